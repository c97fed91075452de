"""One question to one node, within the budget and not while the node rests; and how far the nodes are by their answers.

Who is not asked because of the budget, or because the node rests, has not sent anything: that says nothing about a
swap, neither that it is on its way nor that it is not.
"""

from collections import defaultdict
from typing import TypeVar

from dexexec.clock import Clock
from dexexec.settlement.rpc.budget import Budget, BudgetSpentError, Rest
from dexexec.settlement.rpc.node import SEARCH, Node, NodeBusyError, NodeRefusedError, NodeUnavailableError
from dexexec.settlement.rpc.questions import Question
from dexexec.venue import RateLimited

T = TypeVar("T")
REMEMBERED = 60.0
"""Seconds for which a slot or height that a node told counts: not for good, as it may have been wrong."""


class NotAskedError(NodeUnavailableError):
    """The node was not asked: our own budget is spent. That is no fault of the node's."""

    def __init__(self, message: str) -> None:
        super().__init__(message, RateLimited, sent=False)


class Slots:
    """The highest confirmed slot that each node told lately."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[Node, tuple[int, float]] = {}

    def note(self, node: Node, slot: int) -> None:
        """A node answers as of `slot`."""
        now = self._clock.monotonic()
        highest, at = self._told.get(node, (0, now))
        if slot >= highest or now - at > REMEMBERED:
            self._told[node] = (slot, now)

    def behind(self, slot: int) -> int:
        """How many slots an answer of now is behind the best that any node told."""
        now = self._clock.monotonic()
        best = max((highest for highest, at in self._told.values() if now - at <= REMEMBERED), default=slot)
        return max(0, best - slot)


class Asking:
    """Asks. `timeout` is how long a question may wait for the budget, in seconds."""

    def __init__(self, clock: Clock, budget: Budget, timeout: float) -> None:
        self.slots = Slots(clock)
        self._clock, self._budget, self._timeout = clock, budget, timeout
        self._rests: defaultdict[tuple[Node, bool], Rest] = defaultdict(lambda: Rest(clock))

    def deadline(self) -> float:
        """Until when what is asked now may wait for the budget (monotonic seconds)."""
        return self._clock.monotonic() + self._timeout

    async def ask(self, node: Node, question: Question[T], until: float | None = None) -> T:
        """The answer of `node`; it may wait for the budget until `until` (monotonic seconds). Raises
        `NodeUnavailableError`, `NodeRefusedError`.

        Searches have limits of their own that are soon reached: a node that takes no more of them rests from these.
        """
        rest = self._rests[node, question.method == SEARCH]
        _awake(node, rest)
        try:
            await self._budget.take(node.host, question.method, self.deadline() if until is None else until)
        except BudgetSpentError as error:
            raise NotAskedError(f"{node.name} is not asked: {error}") from None
        _awake(node, rest)
        try:
            answer = await node.ask(question)
        except NodeBusyError as error:
            rest.begin(error.wanted)
            raise
        except NodeRefusedError:
            rest.end()
            raise
        rest.end()
        if question.slot is not None:
            self.slots.note(node, question.slot(answer))
        return answer


def _awake(node: Node, rest: Rest) -> None:
    if rest.left:
        raise NodeBusyError(f"{node.name} was asked too often, and rests for {rest.left:.1f} s", sent=False)
