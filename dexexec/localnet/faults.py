"""The faults that a test may set on a node: counters that decide what to do with the next request or transaction.
Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from dexexec.localnet import lies
from dexexec.localnet.blocks import MAX_LAG, Commitment
from dexexec.localnet.lies import HONEST, Lies
from dexexec.localnet.rpc.errors import InvalidParamsError


class FaultyAnswer(StrEnum):
    """What a request is answered with."""

    TOO_MANY_REQUESTS = "429"
    UNAVAILABLE = "503"
    UNHEALTHY = "-32005"
    WOULD_FAIL = "-32002"
    BAD_SIGNATURE = "-32003"
    UNKNOWN_METHOD = "-32601"
    BAD_PARAMS = "-32602"
    ANOTHER_SIGNATURE = "another"
    GARBAGE = "garbage"
    HANG = "hang"
    HANG_UP = "hangup"


class ForgottenStatuses(StrEnum):
    """Which statuses a node does not find: the recent ones, or all, also in its history."""

    NOTHING = "nothing"
    RECENT = "recent"
    ALL = "all"


@dataclass(slots=True)
class AnswerFault:
    """Answers the next `requests` wrongly, of some methods or of all. `execute`: carries out the request first."""

    answer: FaultyAnswer
    requests: int
    methods: frozenset[str] = frozenset()
    execute: bool = False


@dataclass(slots=True)
class LandingDelay:
    """Lets the next `transactions` land `slots` later."""

    transactions: int
    slots: int


@dataclass(slots=True, kw_only=True)
class NotificationFaults:
    """What a node does to the notifications of its WebSockets, which stay open.

    `silent`: those of these addresses are left out. `frozen`: all are left out. `delay`: they come so many slots
    later, in their order. `replay`: with each new slot the value before the newest comes again, with that slot.
    """

    silent: frozenset[str] = frozenset()
    frozen: bool = False
    delay: int = 0
    replay: bool = False


@dataclass(slots=True, kw_only=True)
class Faults:
    """The faults of one node."""

    drop: int = 0
    late: LandingDelay = field(default_factory=lambda: LandingDelay(0, 0))
    answers: list[AnswerFault] = field(default_factory=list)
    lag: int = 0
    forgets: ForgottenStatuses = ForgottenStatuses.NOTHING
    refuses: frozenset[str] = frozenset()
    """Commitments whose names the node does not have."""
    lies: Lies = HONEST
    notifications: NotificationFaults = field(default_factory=NotificationFaults)

    def answer(self, methods: set[str]) -> AnswerFault | None:
        """The fault for the next request, of one method or of those in a batch. Counts the request."""
        # In the order of the list, so that a test can script a sequence of answers.
        for fault in self.answers:
            if fault.requests > 0 and (not fault.methods or fault.methods & methods):
                fault.requests -= 1
                return fault
        return None

    def delay(self) -> int | None:
        """Slots until the next transaction lands; None: it never does. Counts the transaction."""
        if self.drop > 0:
            self.drop -= 1
            return None
        if self.late.transactions > 0:
            self.late.transactions -= 1
            return self.late.slots
        return 0

    def body(self) -> dict[str, Any]:
        """The remaining faults as JSON, in the form that `read` accepts."""
        answers = [asdict(fault) | {"methods": sorted(fault.methods)} for fault in self.answers if fault.requests]
        notifications = asdict(self.notifications) | {"silent": sorted(self.notifications.silent)}
        changed = {"answers": answers, "lies": self.lies.body(), "notifications": notifications}
        return asdict(self) | changed | {"refuses": sorted(self.refuses)}


def read(values: Mapping[str, Any]) -> Faults:
    """Reads faults from JSON. Raises `InvalidParamsError`, which names the field and what is allowed."""
    remaining = dict(values)
    late = _object(remaining.pop("late", {}), "late")
    answers = remaining.pop("answers", [])
    if not isinstance(answers, list):
        raise InvalidParamsError("answers: must be a list of objects")
    faults = Faults(
        drop=_count(remaining, "drop"),
        late=LandingDelay(_count(late, "transactions", where="late."), _count(late, "slots", where="late.")),
        answers=[_answer(_object(fault, f"answers[{n}]"), f"answers[{n}].") for n, fault in enumerate(answers)],
        lag=_count(remaining, "lag", MAX_LAG),
        forgets=_choice(ForgottenStatuses, remaining.pop("forgets", ForgottenStatuses.NOTHING), "forgets"),
        refuses=frozenset(
            _choice(Commitment, name, "refuses") for name in _names(remaining, "refuses", "commitments", "")
        ),
        lies=lies.read(_object(remaining.pop("lies", {}), "lies")),
        notifications=_notifications(_object(remaining.pop("notifications", {}), "notifications")),
    )
    # A misspelled fault would otherwise silently do nothing.
    _reject_unknown(remaining | {f"late.{name}": value for name, value in late.items()})
    return faults


def _answer(values: dict[str, Any], where: str) -> AnswerFault:
    answer = _choice(FaultyAnswer, values.pop("answer", None), f"{where}answer")
    methods = _names(values, "methods", "method names", where)
    execute = _flag(values, "execute", where)
    requests = _count(values, "requests", where=where, default=1)
    _reject_unknown({where + name: value for name, value in values.items()})
    return AnswerFault(answer, requests, methods, execute)


def _notifications(values: dict[str, Any]) -> NotificationFaults:
    where = "notifications."
    faults = NotificationFaults(
        silent=_names(values, "silent", "addresses", where),
        frozen=_flag(values, "frozen", where),
        delay=_count(values, "delay", where=where),
        replay=_flag(values, "replay", where),
    )
    _reject_unknown({where + name: value for name, value in values.items()})
    return faults


def _names(values: dict[str, Any], name: str, what: str, where: str) -> frozenset[str]:
    names = values.pop(name, [])
    if not isinstance(names, list) or not all(isinstance(entry, str) for entry in names):
        raise InvalidParamsError(f"{where}{name}: must be a list of {what}")
    return frozenset(names)


def _flag(values: dict[str, Any], name: str, where: str) -> bool:
    flag = values.pop(name, False)
    if not isinstance(flag, bool):
        raise InvalidParamsError(f"{where}{name}: must be true or false")
    return flag


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidParamsError(f"{name}: must be an object")
    return dict(value)


def _count(values: dict[str, Any], name: str, most: int = 1_000_000, *, where: str = "", default: int = 0) -> int:
    value = values.pop(name, default)
    # A bool is an int in Python, and `true` in JSON is no count.
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise InvalidParamsError(f"{where}{name}: must be an integer from 0 to {most}")
    return value


def _choice(kind: Any, value: object, name: str) -> Any:
    if value not in list(kind):
        raise InvalidParamsError(f"{name}: must be one of {', '.join(kind)}")
    return kind(value)


def _reject_unknown(values: Mapping[str, Any]) -> None:
    if values:
        raise InvalidParamsError(f"{next(iter(values))}: is not a fault")
