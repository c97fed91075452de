"""What a test may ask a node to do wrong. Pure: counters that say what to do with the next request or transaction."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from dexexec.localnet import lies
from dexexec.localnet.blocks import MAX_LAG
from dexexec.localnet.lies import HONEST, Lies
from dexexec.localnet.rpc.errors import InvalidParamsError


class FaultyAnswer(StrEnum):
    """How a request is answered."""

    TOO_MANY_REQUESTS = "429"
    UNAVAILABLE = "503"
    UNHEALTHY = "-32005"
    WOULD_FAIL = "-32002"
    BAD_SIGNATURE = "-32003"
    BAD_PARAMS = "-32602"
    ANOTHER_SIGNATURE = "another"
    GARBAGE = "garbage"
    HANG = "hang"
    HANG_UP = "hangup"


class ForgottenStatuses(StrEnum):
    """Which statuses a node does not find: those it should remember, or all, its history too."""

    NOTHING = "nothing"
    RECENT = "recent"
    ALL = "all"


@dataclass(slots=True)
class AnswerFault:
    """Answer the next `requests` so, of all methods or of some; `execute` carries the request out first."""

    answer: FaultyAnswer
    requests: int
    methods: frozenset[str] = frozenset()
    execute: bool = False


@dataclass(slots=True)
class LandingDelay:
    """The next `transactions` land `slots` later."""

    transactions: int
    slots: int


@dataclass(slots=True)
class Faults:
    """The faults of one node."""

    drop: int = 0
    late: LandingDelay = field(default_factory=lambda: LandingDelay(0, 0))
    answers: list[AnswerFault] = field(default_factory=list)
    lag: int = 0
    forgets: ForgottenStatuses = ForgottenStatuses.NOTHING
    lies: Lies = HONEST

    def answer(self, methods: set[str]) -> AnswerFault | None:
        """How the next request (one method, or those of a batch) is to be answered wrongly. Counts it."""
        for one in self.answers:
            if one.requests > 0 and (not one.methods or one.methods & methods):
                one.requests -= 1
                return one
        return None

    def delay(self) -> int | None:
        """Slots until the next transaction lands: 0 at once, None never. Counts it."""
        if self.drop > 0:
            self.drop -= 1
            return None
        if self.late.transactions > 0:
            self.late.transactions -= 1
            return self.late.slots
        return 0

    def body(self) -> dict[str, Any]:
        """What is left of them, as `read` takes it."""
        answers = [asdict(one) | {"methods": sorted(one.methods)} for one in self.answers if one.requests]
        return asdict(self) | {"answers": answers, "lies": self.lies.body()}


def read(values: Mapping[str, Any]) -> Faults:
    """Faults from JSON. Raises `InvalidParamsError` that names the field and what would be right."""
    rest = dict(values)
    late = _object(rest.pop("late", {}), "late")
    answers = rest.pop("answers", [])
    if not isinstance(answers, list):
        raise InvalidParamsError("answers: must be a list of objects")
    found = Faults(
        drop=_count(rest, "drop"),
        late=LandingDelay(_count(late, "transactions", where="late."), _count(late, "slots", where="late.")),
        answers=[_answer(_object(one, f"answers[{n}]"), f"answers[{n}].") for n, one in enumerate(answers)],
        lag=_count(rest, "lag", MAX_LAG),
        forgets=_choice(ForgottenStatuses, rest.pop("forgets", ForgottenStatuses.NOTHING), "forgets"),
        lies=lies.read(_object(rest.pop("lies", {}), "lies")),
    )
    _nothing_left(rest | {f"late.{name}": value for name, value in late.items()})
    return found


def _answer(values: dict[str, Any], where: str) -> AnswerFault:
    answer = _choice(FaultyAnswer, values.pop("answer", None), f"{where}answer")
    methods, execute = values.pop("methods", []), values.pop("execute", False)
    if not isinstance(methods, list) or not all(isinstance(name, str) for name in methods):
        raise InvalidParamsError(f"{where}methods: must be a list of method names")
    if not isinstance(execute, bool):
        raise InvalidParamsError(f"{where}execute: must be true or false")
    requests = _count(values, "requests", where=where, default=1)
    _nothing_left({where + name: value for name, value in values.items()})
    return AnswerFault(answer, requests, frozenset(methods), execute)


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidParamsError(f"{name}: must be an object")
    return dict(value)


def _count(values: dict[str, Any], name: str, most: int = 1_000_000, *, where: str = "", default: int = 0) -> int:
    value = values.pop(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise InvalidParamsError(f"{where}{name}: must be an integer from 0 to {most}")
    return value


def _choice(kind: Any, value: object, name: str) -> Any:
    if value not in list(kind):
        raise InvalidParamsError(f"{name}: must be one of {', '.join(kind)}")
    return kind(value)


def _nothing_left(values: Mapping[str, Any]) -> None:
    if values:
        raise InvalidParamsError(f"{next(iter(values))}: is not a fault")
