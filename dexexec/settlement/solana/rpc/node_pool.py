"""Several nodes as one: the last good one is asked first, the next when it fails, and none that is behind the others.

How far a node is behind is told by its own answers: every node is asked the same at once now and then (a survey), and
the preferred one in between.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception
from dexexec.domain.swap import Blockhash
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.decode import ChainPosition
from dexexec.settlement.solana.rpc.height_check import HeightCheck
from dexexec.settlement.solana.rpc.lag_survey import LagSurvey
from dexexec.settlement.solana.rpc.methods import MethodCall
from dexexec.settlement.solana.rpc.node import (
    MethodUnsupportedError,
    Node,
    NodeBehindError,
    NodeRateLimitedError,
    NodeRefusedError,
    NodeUnavailableError,
)
from dexexec.settlement.solana.rpc.node_reports import NodeListener, NodeReports
from dexexec.settlement.solana.rpc.node_trust import NO_WEIGHT, NodeTrust, NodeWeight
from dexexec.settlement.solana.rpc.request_budget import RequestBudget
from dexexec.settlement.solana.rpc.throttled_node import NotSentError, ThrottledNodes
from dexexec.venue import BadAnswer, Timeout, Unreachable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodePoolOptions:
    """How long nodes are waited for, and how far one may be behind.

    `timeout`: seconds for one call, and for its turn. `grace`: seconds that slower nodes get once one has answered what
    all were asked. `survey`: seconds between two looks at all heights. `lag`: blocks, or slots.
    """

    timeout: float = 4.0
    grace: float = 0.3
    survey: float = 5.0
    lag: int = 10


class NodePool:
    """At least one node."""

    def __init__(
        self,
        nodes: Sequence[Node],
        clock: Clock,
        listener: NodeListener,
        patience: NodePoolOptions,
        budget: RequestBudget,
    ) -> None:
        self._order = list(nodes)
        self._patience = patience
        self.reports = NodeReports(listener)
        self._throttled = ThrottledNodes(clock, budget, patience.timeout, patience.lag)
        self.trust = NodeTrust(clock, listener, patience.lag)
        self._heights = HeightCheck(self._throttled, self.trust)
        self._tips = LagSurvey(methods.BLOCKHASH.method, clock, patience.lag)
        self._roots = LagSurvey(methods.FINALIZED.method, clock, patience.lag)
        self._lacking: set[tuple[Node, str]] = set()

    @property
    def grace(self) -> float:
        """Seconds that slower nodes get once others have answered."""
        return self._patience.grace

    @property
    def order(self) -> list[Node]:
        """All nodes, the preferred one first."""
        return list(self._order)

    def order_for(self, method: str, first: Node | None = None) -> list[Node]:
        """All nodes: `first`, the preferred ones, and at the end those that are known not to do `method`."""
        return sorted(self._order, key=lambda one: ((one, method) in self._lacking, one is not first))

    async def ask(self, node: Node, question: MethodCall[T]) -> T:
        """The answer of this very node. Raises `NodeUnavailableError`, `NodeRefusedError`."""
        return await self._throttled.ask(node, question)

    async def call(self, question: MethodCall[T], first: Node | None = None, *, fresh: bool = False) -> T:
        """The answer of the first node that gives one, beginning with `first`. With `fresh`, one of a slot that is too
        far behind the best that any node told is none. A node that rests or is behind is waited for when no other one
        answers. Raises `NodeUnavailableError` when there is no answer, `NodeRefusedError` when a node says that the
        question is wrong."""
        until, nodes = self._throttled.deadline(), self.order_for(question.method, first)
        errors: dict[Node, NodeUnavailableError] = {}
        for node in nodes:
            try:
                return await self._answer(node, question, until, fresh=fresh, wait=len(nodes) == 1)
            except NodeUnavailableError as error:
                errors[node] = error
        later = [node for node, error in errors.items() if isinstance(error, NodeRateLimitedError | NodeBehindError)]
        if later and len(nodes) > 1:
            try:
                return await self._answer(later[0], question, until, fresh=fresh, wait=True)
            except NodeUnavailableError as error:
                errors[later[0]] = error
        raise _together(list(errors.values()))

    async def _answer(self, node: Node, question: MethodCall[T], until: float, *, fresh: bool, wait: bool) -> T:
        try:
            if fresh:
                answer = await self._throttled.fresh(node, question, until, wait=wait, patient=wait)
            else:
                answer = await self._throttled.ask(node, question, until, patient=wait)
        except NodeUnavailableError as error:
            self.failed(node, error)
            raise
        self.answered(node, caught_up=fresh, method=question.method)
        return answer

    async def simulate(self, question: MethodCall[T]) -> T:
        """As `call`, of no slot before the newest that the same node told: it is compared with accounts read before."""
        node = self.order_for(question.method)[0]
        try:
            return await self._throttled.fresh(node, question, least=self._throttled.slots.of(node))
        except NodeUnavailableError as error:
            self.failed(node, error)
            if len(self._order) == 1:
                raise
        return await self.call(question)

    async def blockhash(self) -> Blockhash:
        """The newest blockhash, of a node that is not behind and contradicts neither itself nor the others. Raises
        `NodeUnavailableError`, `NodeRefusedError`."""
        ask = partial(self._heights.blockhash, wait=len(self._order) == 1)
        node, found, weight = await self._newest(self._tips, ask, lambda one: one.last_valid_height)
        if weight.undecided:
            raise NodeUnavailableError(f"two nodes contradict each other ({node.name}: {weight.why})", BadAnswer)
        return found

    async def finalized(self) -> tuple[Node, ChainPosition, NodeWeight]:
        """A finalized position of a node that is not behind, the node, and what the answer counts. If no node can be
        believed, one that cannot. Raises `NodeUnavailableError`, `NodeRefusedError`."""
        return await self._newest(self._roots, self._heights.finalized, lambda one: one.height)

    async def _newest(
        self, survey: LagSurvey, ask: Callable[[Node], Awaitable[T]], height: Callable[[T], int]
    ) -> tuple[Node, T, NodeWeight]:
        """The preferred node is asked; all of them when it does not keep up, and now and then."""
        alone = len(self._order) == 1
        if alone or not survey.is_due(self._patience.survey):
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
        answers = await self._each(ask, self._patience.grace)
        weights = self._weigh(survey, [(node, height(answer)) for node, answer in answers])
        for node, answer in answers:
            if weights[node].keeps_up:
                self._prefer(node)
                return node, answer, weights[node]
        for node, answer in answers:
            if survey is self._roots and self.trust.fault(node):
                return node, answer, weights[node]
        why = "; ".join(f"{node.name} {weights[node].why or 'lags behind'}" for node, _ in answers)
        raise NodeUnavailableError(why, Unreachable)

    def _weigh(self, survey: LagSurvey, answers: Sequence[tuple[Node, int]]) -> dict[Node, NodeWeight]:
        faults = {node: self.trust.fault(node) for node, _ in answers} if survey is self._roots else {}
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

    async def everywhere(self, question: MethodCall[T], grace: float | None = None) -> list[tuple[Node, T]]:
        """The answers of all nodes, asked at once, in their order of preference. With `grace`, those are left out that
        take longer after the first. Raises `NodeUnavailableError` when there is none, `NodeRefusedError` when one
        refused then."""
        alone = len(self._order) == 1
        return await self._each(lambda node: self._throttled.ask(node, question, patient=alone), grace)

    async def positions(self) -> list[tuple[Node, ChainPosition]]:
        """Where all nodes are that answer, each held against its own newest block, and each known to be of our chain
        now. Raises as `everywhere`."""

        async def position(node: Node) -> ChainPosition:
            seconds = self._patience.timeout
            try:
                async with asyncio.timeout(seconds):
                    await self._throttled.meet(node)
                    return await self._heights.position(node)
            except TimeoutError:
                raise NodeUnavailableError(f"{node.name} did not tell where it is in {seconds:g} s", Timeout) from None

        return await self._each(position)

    def is_of(self, genesis: str, nodes: Sequence[Node]) -> None:
        """The chain is this one, and these nodes are of it. Others are not used before they have shown that."""
        self._throttled.identity.is_ours(genesis, nodes)

    async def _each(self, ask: Callable[[Node], Awaitable[T]], grace: float | None = None) -> list[tuple[Node, T]]:
        asked = {node: asyncio.ensure_future(ask(node)) for node in self._order}
        for task in asked.values():
            task.add_done_callback(ignore_exception)
        try:
            await _some(set(asked.values()), grace)
            answers: list[tuple[Node, T]] = []
            errors: list[NodeUnavailableError] = []
            refusal: NodeRefusedError | None = None
            for node, task in asked.items():
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
            for task in asked.values():
                task.cancel()
        if not answers:
            raise refusal or _together(errors)
        return answers

    def failed(self, node: Node, error: NodeUnavailableError) -> None:
        """A node gave no answer: the others come before it. Nothing is wrong with one that was not asked, or that does
        not do what it was asked."""
        match error:
            case NotSentError():
                return
            case MethodUnsupportedError():
                self._lacking.add((node, error.method))
                return
        self._order.remove(node)
        self._order.append(node)
        self.reports.failed(node, error)

    def answered(self, node: Node, *, caught_up: bool = False, method: str = "") -> None:
        """A node gave an answer; `caught_up`: one that shows that it is not behind."""
        self._lacking.discard((node, method))
        self.reports.answered(node, caught_up=caught_up)

    def _prefer(self, node: Node) -> None:
        self._order.remove(node)
        self._order.insert(0, node)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._throttled.aclose()
        for node in self._order:
            await node.aclose()


def _together(errors: Sequence[NodeUnavailableError]) -> NodeUnavailableError:
    """One error that says what all say; the last one's kind."""
    return NodeUnavailableError("; ".join(map(str, errors)), errors[-1].kind, sent=any(one.sent for one in errors))


async def _some(tasks: Set[asyncio.Future[Any]], grace: float | None) -> None:
    """Until one has a result and the others had their grace, or all are done."""
    while tasks:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks and grace is not None and any(task.exception() is None for task in done):
            await asyncio.wait(tasks, timeout=grace)
            return
