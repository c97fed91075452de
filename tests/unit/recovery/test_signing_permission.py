"""When a worker may sign: once every wallet's record is compared, and all in the same Postgres."""

from collections.abc import Sequence
from typing import cast

from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer, make_logger
from dexexec.recovery.chain_comparison import Comparison
from dexexec.recovery.signing_permission import ComparedRecord, Unrestricted
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable


class Listening(Observer):
    """Records the reports it gets."""

    def __init__(self) -> None:
        super().__init__(make_logger("critical"))
        self.lines: list[str] = []

    def signing_stopped(self, why: str) -> None:
        self.lines.append(f"stopped: {why}")

    def signing_resumed(self) -> None:
        self.lines.append("allowed")

    def postgres_identity_incomplete(self, identity: str) -> None:
        self.lines.append(f"incomplete: {identity}")


class Answers:
    """A comparison that gives or raises one answer after the other, the last one for good."""

    def __init__(self, *answers: str | Exception) -> None:
        self._answers = list(answers)
        self.stops = 0

    async def ensure(self) -> str:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stopped(self) -> None:
        self.stops += 1
        raise UnavailableError("Postgres does not answer")


async def obtained(comparisons: Sequence[Answers]) -> tuple[str, list[str]]:
    """The final permission, and the reports until then."""
    observer = Listening()
    permission = ComparedRecord(cast("list[Comparison]", comparisons), ManualClock(), observer)
    assert permission.identity() == "", "nothing is, before it is asked"
    await permission.obtain()
    return permission.identity(), observer.lines


async def test_what_is_compared_is_permitted_and_nothing_is_reported() -> None:
    assert await obtained([Answers("1/00000001")]) == ("1/00000001", [])
    await Unrestricted().obtain()


async def test_it_is_tried_until_it_succeeds_and_each_reason_is_logged_once() -> None:
    away = Unreachable("a did not answer")
    slow = Answers(away, away, away, UnavailableError("Postgres does not answer"), "1/00000002")
    found = await obtained([slow])
    assert found == ("1/00000002", ["stopped: a did not answer", "stopped: Postgres does not answer", "allowed"])
    assert slow.stops == 4, "the others hear each time that nothing is signed"


async def test_two_wallets_are_compared_in_one_postgres_or_again() -> None:
    assert (await obtained([Answers("1/00000001", "1/00000002"), Answers("1/00000002")]))[0] == "1/00000002"


async def test_a_postgres_without_an_identity_is_reported() -> None:
    assert await obtained([Answers("/00000001")]) == ("/00000001", ["incomplete: /00000001"])
    assert await obtained([Answers("1/")]) == ("1/", ["incomplete: 1/"])
