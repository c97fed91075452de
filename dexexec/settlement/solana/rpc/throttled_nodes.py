"""Calls one node within the request budget, at the pace of its host, outside its cooldown, and only on our chain.

A call that waits for its turn fails only when its time is up. A call that is not sent proves nothing about a swap:
neither that it is on its way nor that it is not.
"""

import asyncio
import re
from collections import defaultdict
from typing import TypeVar

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception
from dexexec.settlement.solana.rpc.commitments import Commitments
from dexexec.settlement.solana.rpc.genesis_check import GenesisCheck
from dexexec.settlement.solana.rpc.host_pacing import HostPacing
from dexexec.settlement.solana.rpc.methods import GENESIS_HASH, MethodCall
from dexexec.settlement.solana.rpc.node import SEARCH, SEND, Node
from dexexec.settlement.solana.rpc.node_errors import (
    INVALID_PARAMS,
    MethodUnsupportedError,
    NodeBehindError,
    NodeRateLimitedError,
    NodeRefusedError,
    NodeUnavailableError,
)
from dexexec.settlement.solana.rpc.request_budget import BudgetExhaustedError, Cooldown, RequestBudget
from dexexec.settlement.solana.rpc.request_meter import OK, NoMeter, RequestMeter, outcome_of
from dexexec.settlement.solana.rpc.slot_timer import SlotTimer
from dexexec.settlement.solana.rpc.slot_tracker import SlotTracker
from dexexec.venue import RateLimited

T = TypeVar("T")
BEHIND_RETRY_SECONDS = 0.1
"""Pause before a node that was behind is called again: shorter than a slot of any cluster."""
NEVER_WAITING = frozenset({SEARCH, SEND})
"""Methods that do not wait for the end of a cooldown: pools are found in other ways too, and sends are repeated."""
REFUSED_NAME = re.compile("commitment|confirmed", re.IGNORECASE)
"""In the message of a node that does not have the name of a commitment. A match only causes a second request."""
MAX_REFUSALS = 3
"""How often one call may be refused as too many requests."""


class NotSentError(NodeUnavailableError):
    """The request was not sent: our own budget is exhausted. The node is not at fault."""

    def __init__(self, message: str) -> None:
        super().__init__(message, RateLimited, sent=False)


class ThrottledNodes:
    """Calls nodes. `timeout`: seconds for which a call may wait for its turn. `max_lag`: slots by which an answer may
    be older than the best."""

    def __init__(
        self, clock: Clock, budget: RequestBudget, timeout: float, max_lag: int, meter: RequestMeter | None = None
    ) -> None:
        self.slots = SlotTracker(clock)
        self.timer = SlotTimer(clock)
        self.commitments = Commitments()
        self.genesis = GenesisCheck(clock)
        self._clock = clock
        self._budget = budget
        self._meter = meter or NoMeter()
        self._timeout = timeout
        self._max_lag = max_lag
        # Searches and sends have their own, lower limits at most providers: a node that refuses them still answers the
        # rest. The lookup of a swap must not wait because the same bytes were sent too often. Sends keep to both.
        self._cooldowns: defaultdict[tuple[Node, str], Cooldown] = defaultdict(lambda: Cooldown(clock))
        self._pacings: dict[str, HostPacing] = {}
        self._checks: dict[Node, asyncio.Future[None]] = {}

    def deadline(self) -> float:
        """Until when a call that starts now may wait for its turn (monotonic seconds)."""
        return self._clock.monotonic() + self._timeout

    async def call(
        self,
        node: Node,
        call: MethodCall[T],
        until: float | None = None,
        *,
        patient: bool = True,
        spare: bool = False,
    ) -> T:
        """The answer of `node`. Waits for the budget until `until` (monotonic seconds), and if `patient` also for the
        end of the node's cooldown. `spare`: only if the budget has a request left now that is not reserved. Raises
        `NodeUnavailableError`, `NodeRefusedError`."""
        if spare:
            until = self._clock.monotonic()
        elif until is None:
            until = self.deadline()
        if not self.genesis.is_due(node):
            return await self._call(node, call, until, patient=patient, spare=spare)
        # The check runs at the same time, so that it costs no extra time. The answer is used only if it passes.
        check = self._checks.get(node) or self._begin_check(node, self.deadline() if spare else until)
        answer = await self._call(node, call, until, patient=patient, spare=spare)
        await asyncio.shield(check)
        return answer

    async def fresh(
        self,
        node: Node,
        call: MethodCall[T],
        until: float | None = None,
        *,
        min_slot: int | None = None,
        wait: bool = True,
        patient: bool = True,
    ) -> T:
        """As `call`, but not older than `min_slot`; without that, not far behind the best slot of any node.

        Raises `NodeBehindError` if there is no such answer by `until`, or at once without `wait`.
        """
        until = self.deadline() if until is None else until
        attempt = call
        while True:
            required = max(0, self.slots.best() - self._max_lag) if min_slot is None else min_slot
            try:
                answer = await self.call(node, attempt, until, patient=patient)
                slot = call.slot(answer) if call.slot else required
                if slot >= required:
                    return answer
                behind = required - slot if min_slot is not None else self.slots.behind(slot)
                raise NodeBehindError(
                    f"{node.name} lags behind: its answer is of slot {slot}, {behind} slots ago", behind
                )
            except NodeBehindError:
                if not wait or self._clock.monotonic() + BEHIND_RETRY_SECONDS > until:
                    raise
            # Several nodes may share the address, of which one is behind: another one may answer next.
            await self._clock.sleep(BEHIND_RETRY_SECONDS)
            attempt = call.not_before(required)

    def _begin_check(self, node: Node, until: float) -> asyncio.Future[None]:
        """Starts a check that concurrent calls share; a caller that gives up does not end it."""
        check = self._checks[node] = asyncio.ensure_future(self.check_chain(node, until))
        check.add_done_callback(ignore_exception)
        check.add_done_callback(lambda _: self._checks.pop(node, None))
        return check

    async def check_chain(self, node: Node, until: float | None = None) -> None:
        """Checks the node's genesis hash, if one is expected. Raises `WrongChainError`, and as `call`."""
        if self.genesis.expected is not None:
            until = self.deadline() if until is None else until
            self.genesis.record(node, await self._call(node, GENESIS_HASH, until, patient=True))

    async def aclose(self) -> None:
        """Ends running checks."""
        running = list(self._checks.values())
        for check in running:
            check.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _call(self, node: Node, call: MethodCall[T], until: float, *, patient: bool, spare: bool = False) -> T:
        own_cooldown = call.method if call.method in NEVER_WAITING else ""
        cooldown = self._cooldowns[node, own_cooldown]
        pacing = self._pacing(node.endpoint)
        cooldown_until = until if patient and call.method not in NEVER_WAITING else float("-inf")
        refusals = 0
        while True:
            if call.method == SEND:
                await self._wait_for_cooldown(node, self._cooldowns[node, ""], cooldown_until)
            await self._wait_for_cooldown(node, cooldown, cooldown_until)
            await self._wait_for_budget(node, call.method, pacing, until, spare=spare)
            # Another call may have been refused while this one waited for the budget.
            if cooldown.left:
                continue
            try:
                answer = await self._by_its_name(node, call)
            except NodeRateLimitedError as error:
                # Refusals of requests that were on their way together slow the host down once.
                if cooldown.begin(error.retry_after) and not own_cooldown:
                    pacing.slow_down()
                refusals += 1
                if refusals == MAX_REFUSALS or self._clock.monotonic() + cooldown.left > cooldown_until:
                    raise
            except NodeRefusedError:
                cooldown.end()
                pacing.answered()
                raise
            except NodeUnavailableError as error:
                # After a real failure another node may answer at this address.
                if not isinstance(error, NodeBehindError | MethodUnsupportedError):
                    self.genesis.forget(node)
                raise
            else:
                cooldown.end()
                pacing.answered()
                if call.slot is not None:
                    slot = call.slot(answer)
                    self.slots.note(node, slot)
                    self.timer.note(node.name, slot)
                return answer

    async def _by_its_name(self, node: Node, call: MethodCall[T]) -> T:
        """The answer to the call with the name of its commitment that the node has."""
        named = self.commitments.applied(node, call)
        try:
            return await self._metered(node, named)
        except NodeRefusedError as error:
            final = named.finalized()
            if final is named or error.code != INVALID_PARAMS or not REFUSED_NAME.search(str(error)):
                raise
            # Probably the name is what is wrong. If it is not, the node refuses this one as well.
            try:
                answer = await self._metered(node, final)
            except (NodeRefusedError, NodeUnavailableError):
                raise error from None
            self.commitments.refuses(node)
            return answer

    async def _metered(self, node: Node, call: MethodCall[T]) -> T:
        begun = self._clock.monotonic()
        outcome = OK
        try:
            return await node.call(call)
        except (NodeUnavailableError, NodeRefusedError) as error:
            outcome = outcome_of(error)
            raise
        finally:
            # Also when the caller gave up: then it is counted as an answer that took as long as the caller waited.
            self._meter.node_answered(node.name, call.method, outcome, self._clock.monotonic() - begun)

    async def _wait_for_cooldown(self, node: Node, cooldown: Cooldown, until: float) -> None:
        """Raises `NodeRateLimitedError` if the cooldown ends after `until`."""
        while left := cooldown.left:
            if self._clock.monotonic() + left > until:
                message = f"{node.name} refused too many requests and gets none for {left:.1f} s"
                raise NodeRateLimitedError(message, sent=False)
            await self._clock.sleep(left)

    async def _wait_for_budget(self, node: Node, method: str, pacing: HostPacing, until: float, *, spare: bool) -> None:
        """Raises `NotSentError` if there is no budget by `until`."""
        try:
            await self._budget.take(node.host, method, until, pacing.bucket(), spare=spare)
        except BudgetExhaustedError as error:
            self._meter.node_not_asked(node.name)
            raise NotSentError(f"nothing was sent to {node.name}: {error}") from None

    def _pacing(self, endpoint: str) -> HostPacing:
        if endpoint not in self._pacings:
            self._pacings[endpoint] = HostPacing(self._clock, endpoint)
        return self._pacings[endpoint]
