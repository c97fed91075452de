"""Several nodes as one: calls go to the last good node first, to the next one if it fails, and to none that lags.

Nodes are compared by their own answers: all of them are called now and then (a survey), and the preferred one in
between.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception
from dexexec.domain.pace import Pace
from dexexec.domain.swap import Blockhash
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.commitments import Commitments
from dexexec.settlement.solana.rpc.decode.blocks import ChainPosition
from dexexec.settlement.solana.rpc.height_check import HeightCheck
from dexexec.settlement.solana.rpc.lag_survey import LagSurvey
from dexexec.settlement.solana.rpc.methods import MethodCall
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_errors import (
    MethodUnsupportedError,
    NodeBehindError,
    NodeRateLimitedError,
    NodeRefusedError,
    NodeUnavailableError,
)
from dexexec.settlement.solana.rpc.node_reports import NodeListener, NodeReports
from dexexec.settlement.solana.rpc.node_trust import NO_WEIGHT, NodeTrust, NodeWeight
from dexexec.settlement.solana.rpc.request_budget import RequestBudget
from dexexec.settlement.solana.rpc.request_meter import RequestMeter
from dexexec.settlement.solana.rpc.send_endpoints import HttpEndpoint
from dexexec.settlement.solana.rpc.slot_timer import SlotTimer
from dexexec.settlement.solana.rpc.throttled_nodes import NotSentError, ThrottledNodes
from dexexec.venue import BadAnswer, Timeout, Unreachable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodePoolOptions:
    """Time limits of calls, and how far a node may be behind.

    `timeout`: seconds for one call, and for its turn. `grace`: seconds that slower nodes get after the first answer,
    when all were called. `survey`: seconds between two surveys. `lag`: blocks, or slots.
    """

    timeout: float = 4.0
    grace: float = 0.3
    survey: float = 5.0
    lag: int = 10


class NodePool:
    """One or several nodes of the same chain."""

    def __init__(
        self,
        nodes: Sequence[Node],
        clock: Clock,
        listener: NodeListener,
        options: NodePoolOptions,
        budget: RequestBudget,
        *,
        meter: RequestMeter | None = None,
    ) -> None:
        self.reports = NodeReports(listener)
        self.trust = NodeTrust(clock, listener, options.lag)
        self._order = list(nodes)
        self._options = options
        self._throttled = ThrottledNodes(clock, budget, options.timeout, options.lag, meter)
        self._heights = HeightCheck(self._throttled, self.trust)
        self._tip_survey = LagSurvey(methods.BLOCKHASH.method, clock, options.lag)
        self._finalized_survey = LagSurvey(methods.FINALIZED.method, clock, options.lag)
        self._unsupported: set[tuple[Node, str]] = set()

    def lags(self) -> dict[str, int]:
        """The slots by which each node was behind the best in its last answers, by name, for nodes that answered
        lately."""
        slots = self._throttled.slots
        return {node.name: slots.behind(slot) for node in self._order if (slot := slots.of(node))}

    @property
    def timer(self) -> SlotTimer:
        """The measurement of how long a slot takes."""
        return self._throttled.timer

    @property
    def grace(self) -> float:
        """Seconds that slower nodes get after the first answer."""
        return self._options.grace

    def slot_now(self, pace: Pace) -> int:
        """The newest confirmed slot, by the nodes' last answers and the time since; 0 if there are none lately."""
        return self._throttled.slots.now(pace)

    def send_endpoint(self, node: Node, reports: NodeReports) -> HttpEndpoint:
        """A node as an endpoint for sends, within the budget of the nodes."""
        return HttpEndpoint(node, self._throttled, reports, self.reports)

    @property
    def commitments(self) -> Commitments:
        """The names of commitments that the nodes have."""
        return self._throttled.commitments

    @property
    def order(self) -> list[Node]:
        """All nodes, the preferred one first."""
        return list(self._order)

    def order_for(self, method: str, first: Node | None = None) -> list[Node]:
        """All nodes: `first`, then in order of preference, and at the end those that do not support `method`."""
        # `sorted` is stable, so nodes of equal rank keep their order of preference.
        return sorted(self._order, key=lambda node: ((node, method) in self._unsupported, node is not first))

    async def call_node(self, node: Node, call: MethodCall[T]) -> T:
        """The answer of this node. Raises `NodeUnavailableError`, `NodeRefusedError`."""
        return await self._throttled.call(node, call)

    async def call(self, call: MethodCall[T], first: Node | None = None, *, fresh: bool = False) -> T:
        """The answer of the first node that gives one, beginning with `first`.

        With `fresh`, an answer that is too far behind the best slot of any node is rejected. Raises
        `NodeUnavailableError` if no node answers, `NodeRefusedError` if one answers that the request is wrong.
        """
        until = self._throttled.deadline()
        nodes = self.order_for(call.method, first)
        errors: dict[Node, NodeUnavailableError] = {}
        for node in nodes:
            try:
                # While there are other nodes, none is waited for.
                return await self._call_and_report(node, call, until, fresh=fresh, wait=len(nodes) == 1)
            except NodeUnavailableError as error:
                errors[node] = error
        # No node answered. One that cools down or lags may answer in the time that is left.
        recovering = [
            node for node, error in errors.items() if isinstance(error, NodeRateLimitedError | NodeBehindError)
        ]
        if recovering and len(nodes) > 1:
            node = recovering[0]
            try:
                return await self._call_and_report(node, call, until, fresh=fresh, wait=True)
            except NodeUnavailableError as error:
                errors[node] = error
        raise _combined(list(errors.values()))

    async def _call_and_report(self, node: Node, call: MethodCall[T], until: float, *, fresh: bool, wait: bool) -> T:
        try:
            if fresh:
                answer = await self._throttled.fresh(node, call, until, wait=wait, patient=wait)
            else:
                answer = await self._throttled.call(node, call, until, patient=wait)
        except NodeUnavailableError as error:
            self.failed(node, error)
            raise
        self.answered(node, caught_up=fresh, method=call.method)
        return answer

    async def simulate(self, call: MethodCall[T]) -> T:
        """As `call`, at or after the newest slot of the same node: the result is compared with accounts read before."""
        node = self.order_for(call.method)[0]
        try:
            return await self._throttled.fresh(node, call, min_slot=self._throttled.slots.of(node))
        except NodeUnavailableError as error:
            self.failed(node, error)
            if len(self._order) == 1:
                raise
        return await self.call(call)

    async def blockhash(self) -> Blockhash:
        """The newest blockhash of a node that does not lag and contradicts neither itself nor the other nodes. Raises
        `NodeUnavailableError`, `NodeRefusedError`."""
        ask = partial(self._heights.blockhash, wait=len(self._order) == 1)
        node, blockhash, weight = await self._newest(self._tip_survey, ask, lambda found: found.last_valid_height)
        if weight.undecided:
            raise NodeUnavailableError(f"two nodes contradict each other ({node.name}: {weight.why})", BadAnswer)
        return blockhash

    async def finalized(self) -> tuple[Node, ChainPosition, NodeWeight]:
        """A node that does not lag, its finalized position and its weight. If no node is believed, one that is not.
        Raises `NodeUnavailableError`, `NodeRefusedError`."""
        return await self._newest(self._finalized_survey, self._heights.finalized, lambda position: position.height)

    async def _newest(
        self, survey: LagSurvey, ask: Callable[[Node], Awaitable[T]], height: Callable[[T], int]
    ) -> tuple[Node, T, NodeWeight]:
        """The answer of the preferred node. All nodes are called if it does not keep up, and whenever a survey is
        due."""
        alone = len(self._order) == 1
        if alone or not survey.is_due(self._options.survey):
            node = self.order_for(survey.method)[0]
            try:
                answer = await ask(node)
            except NodeUnavailableError as error:
                self.failed(node, error)
                if alone:
                    raise
            else:
                weight = self._weigh(survey, [(node, height(answer))])[node]
                if alone or weight.keeps_up:
                    return node, answer, weight
        survey.begin()
        answers = await self._ask_all(ask, self._options.grace)
        weights = self._weigh(survey, [(node, height(answer)) for node, answer in answers])
        for node, answer in answers:
            if weights[node].keeps_up:
                self._prefer(node)
                return node, answer, weights[node]
        # The position of a node that is not believed proves nothing, but its statuses still show that a swap landed.
        for node, answer in answers:
            if survey is self._finalized_survey and self.trust.fault(node):
                return node, answer, weights[node]
        why = "; ".join(f"{node.name} {weights[node].why or 'lags behind'}" for node, _ in answers)
        raise NodeUnavailableError(why, Unreachable)

    def _weigh(self, survey: LagSurvey, answers: Sequence[tuple[Node, int]]) -> dict[Node, NodeWeight]:
        """The weight of each answer. Nodes with a fault are left out of the comparison of finalized heights."""
        faults = {node: self.trust.fault(node) for node, _ in answers} if survey is self._finalized_survey else {}
        sound = [(node, height) for node, height in answers if not faults.get(node)]
        for node, height in sound:
            survey.note(node, height)
        weights = survey.weigh(node for node, _ in sound)
        for node, weight in weights.items():
            if weight.keeps_up:
                self.answered(node, caught_up=True)
            elif weight.behind:
                self.reports.lags(node, weight.behind)
        return weights | {node: replace(NO_WEIGHT, why=fault) for node, fault in faults.items() if fault}

    async def everywhere(self, call: MethodCall[T]) -> list[tuple[Node, T]]:
        """The answers of all nodes, called at the same time, in order of preference. Raises `NodeUnavailableError` if
        no node answers, `NodeRefusedError` if one refused instead."""
        alone = len(self._order) == 1
        return await self._ask_all(lambda node: self._throttled.call(node, call, patient=alone))

    async def positions(self) -> list[tuple[Node, ChainPosition]]:
        """The positions of all nodes that answer, each checked against the node's own newest block. Raises as
        `everywhere`."""

        async def position(node: Node) -> ChainPosition:
            seconds = self._options.timeout
            try:
                async with asyncio.timeout(seconds):
                    # Proofs of expiry rest on these: the chain is checked each time, not only once a minute.
                    await self._throttled.check_chain(node)
                    return await self._heights.position(node)
            except TimeoutError:
                raise NodeUnavailableError(
                    f"{node.name} did not report its position within {seconds:g} s", Timeout
                ) from None

        return await self._ask_all(position)

    def expect_genesis(self, genesis: str, nodes: Sequence[Node]) -> None:
        """Sets the chain's genesis hash, which `nodes` have shown. Other nodes are not used before they show it too."""
        self._throttled.genesis.expect(genesis, nodes)

    async def _ask_all(self, ask: Callable[[Node], Awaitable[T]], grace: float | None = None) -> list[tuple[Node, T]]:
        tasks = {node: asyncio.ensure_future(ask(node)) for node in self._order}
        for task in tasks.values():
            task.add_done_callback(ignore_exception)
        try:
            await _wait_for_answers(set(tasks.values()), grace)
            answers: list[tuple[Node, T]] = []
            errors: list[NodeUnavailableError] = []
            refusal: NodeRefusedError | None = None
            for node, task in tasks.items():
                if not task.done():
                    continue
                match task.exception():
                    case NodeUnavailableError() as error:
                        errors.append(error)
                        self.failed(node, error)
                    case NodeRefusedError() as error:
                        refusal = error
                    case _:
                        answers.append((node, task.result()))
                        self.answered(node)
        finally:
            for task in tasks.values():
                task.cancel()
        if not answers:
            raise refusal or _combined(errors)
        return answers

    def failed(self, node: Node, error: NodeUnavailableError) -> None:
        """Records that a node gave no answer: from now on the others come first."""
        match error:
            case NotSentError():
                return  # our own budget; the node is not at fault
            case MethodUnsupportedError():
                self._unsupported.add((node, error.method))
                return  # it stays the preferred one for all other methods
        self._order.remove(node)
        self._order.append(node)
        self.reports.failed(node, error)

    def answered(self, node: Node, *, caught_up: bool = False, method: str = "") -> None:
        """Records that a node answered. `caught_up`: its answer shows that it does not lag."""
        self._unsupported.discard((node, method))
        self.reports.answered(node, caught_up=caught_up)

    def _prefer(self, node: Node) -> None:
        self._order.remove(node)
        self._order.insert(0, node)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._throttled.aclose()
        for node in self._order:
            await node.aclose()


def _combined(errors: Sequence[NodeUnavailableError]) -> NodeUnavailableError:
    """One error with all messages and the kind of the last one."""
    return NodeUnavailableError("; ".join(map(str, errors)), errors[-1].kind, sent=any(error.sent for error in errors))


async def _wait_for_answers(tasks: Set[asyncio.Future[Any]], grace: float | None) -> None:
    """Waits until all tasks are done, or for `grace` seconds after the first result."""
    while tasks:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks and grace is not None and any(task.exception() is None for task in done):
            await asyncio.wait(tasks, timeout=grace)
            return
