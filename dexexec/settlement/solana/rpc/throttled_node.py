"""One question to one node: within the budget, at the node's pace, not while it rests, and only of our chain.

Who is not asked because of the budget, or because the node rests, has not sent anything: that says nothing about a
swap, neither that it is on its way nor that it is not. Who has time left waits for its turn instead of failing.
"""

import asyncio
from collections import defaultdict
from typing import TypeVar

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception
from dexexec.settlement.solana.rpc.genesis_check import GenesisCheck
from dexexec.settlement.solana.rpc.host_pacing import HostPacing
from dexexec.settlement.solana.rpc.methods import GENESIS_HASH, MethodCall
from dexexec.settlement.solana.rpc.node import (
    SEARCH,
    SEND,
    MethodUnsupportedError,
    Node,
    NodeBehindError,
    NodeRateLimitedError,
    NodeRefusedError,
    NodeUnavailableError,
)
from dexexec.settlement.solana.rpc.request_budget import BudgetExhaustedError, Cooldown, RequestBudget
from dexexec.settlement.solana.rpc.slot_tracker import SlotTracker
from dexexec.venue import RateLimited

T = TypeVar("T")
AGAIN_SECONDS = 0.1
"""How soon a node is asked again that was behind: less than a slot of any cluster but a quick localnet."""
IMPATIENT = frozenset({SEARCH, SEND})
"""Methods that never wait for a node to rest: a search for pools has other ways, and what is sent is sent again."""
REFUSALS = 3
"""How often one question is answered with "too many requests" before it is given up."""


class NotSentError(NodeUnavailableError):
    """The node was not asked: our own budget is spent. That is no fault of the node's."""

    def __init__(self, message: str) -> None:
        super().__init__(message, RateLimited, sent=False)


class ThrottledNodes:
    """Asks. `timeout`: seconds for which a question may wait for its turn. `lag`: slots by which an answer may be older
    than the best."""

    def __init__(self, clock: Clock, budget: RequestBudget, timeout: float, lag: int) -> None:
        self.slots, self.identity = SlotTracker(clock), GenesisCheck(clock)
        self._clock, self._budget, self._timeout, self._lag = clock, budget, timeout, lag
        self._rests: defaultdict[tuple[Node, bool], Cooldown] = defaultdict(lambda: Cooldown(clock))
        self._paces: dict[str, HostPacing] = {}
        self._meetings: dict[Node, asyncio.Future[None]] = {}

    def deadline(self) -> float:
        """Until when what is asked now may wait for its turn (monotonic seconds)."""
        return self._clock.monotonic() + self._timeout

    async def ask(self, node: Node, question: MethodCall[T], until: float | None = None, *, patient: bool = True) -> T:
        """The answer of `node`; it may wait for its turn until `until` (monotonic seconds): for the budget, and if it
        is `patient`, until a node that was asked too often has rested. Raises `NodeUnavailableError`,
        `NodeRefusedError`."""
        until = self.deadline() if until is None else until
        if not self.identity.is_open(node):
            return await self._ask(node, question, until, patient=patient)
        # At once, so that it takes no longer. The answer is not believed before the node is known.
        meeting = self._meetings.get(node) or self._begin_meeting(node, until)
        answer = await self._ask(node, question, until, patient=patient)
        await asyncio.shield(meeting)
        return answer

    async def fresh(
        self,
        node: Node,
        question: MethodCall[T],
        until: float | None = None,
        *,
        least: int | None = None,
        wait: bool = True,
        patient: bool = True,
    ) -> T:
        """As `ask`; of slot `least` or later, by default not far behind the best that any node told. What is older is
        asked for again: behind one address there may be several nodes, of which one is behind. Raises
        `NodeBehindError` when there is none by `until`, or at once unless it should `wait`."""
        until = self.deadline() if until is None else until
        asked = question
        while True:
            due = max(0, self.slots.best() - self._lag) if least is None else least
            try:
                answer = await self.ask(node, asked, until, patient=patient)
                slot = question.slot(answer) if question.slot else due
                if slot >= due:
                    return answer
                behind = due - slot if least is not None else self.slots.behind(slot)
                raise NodeBehindError(f"{node.name} lags behind: it answers of slot {slot}, {behind} slots ago", behind)
            except NodeBehindError:
                if not wait or self._clock.monotonic() + AGAIN_SECONDS > until:
                    raise
            await self._clock.sleep(AGAIN_SECONDS)
            asked = question.not_before(due)

    def _begin_meeting(self, node: Node, until: float) -> asyncio.Future[None]:
        """Many who ask at once share one question of which chain it is; who stops waiting does not end it."""
        meeting = self._meetings[node] = asyncio.ensure_future(self.meet(node, until))
        meeting.add_done_callback(ignore_exception)
        meeting.add_done_callback(lambda _: self._meetings.pop(node, None))
        return meeting

    async def meet(self, node: Node, until: float | None = None) -> None:
        """Ask a node which chain it is of, if ours is known. Raises `WrongChainError` if it is another one, and as
        `ask`."""
        if self.identity.ours is not None:
            until = self.deadline() if until is None else until
            self.identity.meet(node, await self._ask(node, GENESIS_HASH, until, patient=True))

    async def aclose(self) -> None:
        """End what still runs."""
        running = list(self._meetings.values())
        for meeting in running:
            meeting.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _ask(self, node: Node, question: MethodCall[T], until: float, *, patient: bool) -> T:
        """Searches have limits of their own that are soon reached: a node that takes no more of them rests from
        these."""
        rest, pace = self._rests[node, question.method == SEARCH], self._pace(node.endpoint)
        rested = until if patient and question.method not in IMPATIENT else float("-inf")
        refusals = 0
        while True:
            await self._awake(node, rest, rested)
            await self._turn(node, question.method, pace, until)
            if rest.left:
                continue
            try:
                answer = await node.ask(question)
            except NodeRateLimitedError as error:
                if rest.begin(error.wanted) and question.method != SEARCH:
                    pace.slow_down()
                refusals += 1
                if refusals == REFUSALS or self._clock.monotonic() + rest.left > rested:
                    raise
            except NodeRefusedError:
                rest.end()
                pace.answered()
                raise
            except NodeUnavailableError as error:
                if not isinstance(error, NodeBehindError | MethodUnsupportedError):
                    self.identity.forget(node)
                raise
            else:
                rest.end()
                pace.answered()
                if question.slot is not None:
                    self.slots.note(node, question.slot(answer))
                return answer

    async def _awake(self, node: Node, rest: Cooldown, until: float) -> None:
        """Wait until the node has rested. Raises `NodeRateLimitedError` when that is after `until`."""
        while left := rest.left:
            if self._clock.monotonic() + left > until:
                raise NodeRateLimitedError(f"{node.name} was asked too often, and rests for {left:.1f} s", sent=False)
            await self._clock.sleep(left)

    async def _turn(self, node: Node, method: str, pace: HostPacing, until: float) -> None:
        """Wait for our budget, and for the pace that the node's host allows."""
        try:
            await self._budget.take(node.host, method, until, pace.bucket())
        except BudgetExhaustedError as error:
            raise NotSentError(f"{node.name} is not asked: {error}") from None

    def _pace(self, endpoint: str) -> HostPacing:
        if endpoint not in self._paces:
            self._paces[endpoint] = HostPacing(self._clock, endpoint)
        return self._paces[endpoint]
