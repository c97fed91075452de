"""Several nodes as one: the last good one is asked first, the next when it fails, and none that is behind the others.

How far a node is behind is told by its own answers: every node is asked the same at once now and then (a survey), and
the preferred one in between.
"""

import asyncio
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from dexexec.cancellation import no_news
from dexexec.clock import Clock
from dexexec.settlement.rpc.asking import REMEMBERED, Asking, NotAskedError
from dexexec.settlement.rpc.budget import Budget
from dexexec.settlement.rpc.news import NewsWatcher
from dexexec.settlement.rpc.node import Node, NodeBusyError, NodeLacksError, NodeRefusedError, NodeUnavailableError
from dexexec.settlement.rpc.questions import Question
from dexexec.venue import Unreachable

T = TypeVar("T")


class StaleError(NodeUnavailableError):
    """A node answered `behind` slots later than another, or than itself before."""

    def __init__(self, message: str, behind: int) -> None:
        super().__init__(message, Unreachable)
        self.behind = behind


class Watcher(NewsWatcher, Protocol):
    """Who is told of the nodes, once per change."""

    def node_failed(self, node: str, why: str) -> None:
        """A node gives no answer that can be used; others are asked, if there are any."""

    def node_rests(self, node: str, why: str) -> None:
        """A node was asked too often and is left alone for a while; others are asked, if there are any."""

    def node_lags(self, node: str, blocks: int) -> None:
        """A node is behind others, and not believed."""

    def node_back(self, node: str) -> None:
        """A node answers again, or has caught up."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long nodes are waited for, and how far one may be behind.

    `timeout`: seconds for one call, and for its turn. `grace`: seconds that slower nodes get once one has answered what
    all were asked. `survey`: seconds between two looks at all heights. `lag`: blocks, or slots.
    """

    timeout: float = 4.0
    grace: float = 0.3
    survey: float = 5.0
    lag: int = 10


class Nodes:
    """At least one node."""

    def __init__(
        self, nodes: Sequence[Node], clock: Clock, watcher: Watcher, patience: Patience, budget: Budget
    ) -> None:
        self._order = list(nodes)
        self._clock, self._watcher, self._patience = clock, watcher, patience
        self._asking = Asking(clock, budget, patience.timeout)
        self._lacking: set[tuple[Node, str]] = set()
        self._told: dict[Node, str] = {}
        self._heights: dict[tuple[str, Node], tuple[int, float]] = {}
        self._surveyed: dict[str, float] = {}

    @property
    def order(self) -> list[Node]:
        """All nodes, the preferred one first."""
        return list(self._order)

    def order_for(self, method: str, first: Node | None = None) -> list[Node]:
        """All nodes: `first`, the preferred ones, and at the end those that are known not to do `method`."""
        return sorted(self._order, key=lambda one: ((one, method) in self._lacking, one is not first))

    async def ask(self, node: Node, question: Question[T]) -> T:
        """The answer of this very node. Raises `NodeUnavailableError`, `NodeRefusedError`."""
        return await self._asking.ask(node, question)

    async def call(self, question: Question[T], first: Node | None = None, *, fresh: bool = False) -> T:
        """The answer of the first node that gives one, beginning with `first`. With `fresh`, one of a slot that is too
        far behind the best that any node told is none. Raises `NodeUnavailableError` when there is no answer,
        `NodeRefusedError` when a node says that the question is wrong."""
        errors, until = [], self._asking.deadline()
        for node in self.order_for(question.method, first):
            try:
                answer = await self._asking.ask(node, question, until)
                if fresh:
                    self._refuse_stale(node, question, answer)
            except NodeUnavailableError as error:
                errors.append(error)
                self.failed(node, error)
            else:
                self.answered(node, caught_up=fresh, method=question.method)
                return answer
        raise _together(errors)

    def _refuse_stale(self, node: Node, question: Question[T], answer: T) -> None:
        slot = question.slot(answer) if question.slot else 0
        behind = self._asking.slots.behind(slot)
        if behind > self._patience.lag:
            raise StaleError(f"{node.name} lags behind: it answers of slot {slot}, {behind} slots ago", behind)

    async def newest(self, question: Question[T], height: Callable[[T], int]) -> tuple[Node, T]:
        """The answer of a node that is not behind, and the node; `height` reads how far it is from the answer. Raises
        `NodeUnavailableError`, `NodeRefusedError`."""
        method, now = question.method, self._clock.monotonic()
        if len(self._order) == 1 or now < self._surveyed.get(method, float("-inf")) + self._patience.survey:
            node = self.order_for(method)[0]
            try:
                answer = await self.ask(node, question)
            except NodeUnavailableError as error:
                self.failed(node, error)
                if len(self._order) == 1:
                    raise
            else:
                if self.keeping_up(method, [(node, height(answer))]):
                    return node, answer
        answers = await self.everywhere(question, self._patience.grace)
        self._surveyed[method] = now
        believed = self.keeping_up(method, [(node, height(answer)) for node, answer in answers])
        for node, answer in answers:
            if node in believed:
                self._prefer(node)
                return node, answer
        raise NodeUnavailableError(f"{', '.join(node.name for node, _ in answers)} lags behind", Unreachable)

    def keeping_up(self, method: str, answered: Sequence[tuple[Node, int]]) -> set[Node]:
        """Those that now answer `method` at a height which is not too far behind the highest that any told last."""
        now = self._clock.monotonic()
        self._heights |= {(method, node): (height, now) for node, height in answered}
        best = max(value for (of, _), (value, at) in self._heights.items() if of == method and now - at <= REMEMBERED)
        believed = {node for node, height in answered if best - height <= self._patience.lag}
        for node, height in answered:
            if node in believed:
                self.answered(node, caught_up=True)
            else:
                self._tell(node, "lags", partial(self._watcher.node_lags, node.name, best - height))
        return believed

    async def everywhere(self, question: Question[T], grace: float | None = None) -> list[tuple[Node, T]]:
        """The answers of all nodes, asked at once, in their order of preference. With `grace`, those are left out that
        take longer after the first. Raises `NodeUnavailableError` when there is none, `NodeRefusedError` when one
        refused then."""
        asked = {node: asyncio.ensure_future(self.ask(node, question)) for node in self._order}
        for task in asked.values():
            task.add_done_callback(no_news)
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
            case NotAskedError():
                return
            case NodeLacksError():
                self._lacking.add((node, error.method))
                return
        self._order.remove(node)
        self._order.append(node)
        match error:
            case NodeBusyError():
                self._tell(node, "rests", partial(self._watcher.node_rests, node.name, str(error)))
            case StaleError():
                self._tell(node, "lags", partial(self._watcher.node_lags, node.name, error.behind))
            case _:
                self._tell(node, "failed", partial(self._watcher.node_failed, node.name, str(error)))

    def answered(self, node: Node, *, caught_up: bool = False, method: str = "") -> None:
        """A node gave an answer; `caught_up`: one that shows that it is not behind."""
        self._lacking.discard((node, method))
        if self._told.get(node) in {"failed", "rests"} or (caught_up and node in self._told):
            del self._told[node]
            self._watcher.node_back(node.name)

    def _tell(self, node: Node, what: str, tell: Callable[[], None]) -> None:
        """Once, until something else is so."""
        if self._told.get(node) != what:
            self._told[node] = what
            tell()

    def _prefer(self, node: Node) -> None:
        self._order.remove(node)
        self._order.insert(0, node)

    async def aclose(self) -> None:
        """Close all connections."""
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
