"""Several nodes as one: the last good one is asked first, the next when it fails, and none that is behind the others.

How far a node is behind is told by its own answers: every node is asked the same at once now and then (a survey), and
the preferred one in between.
"""

import asyncio
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from dexexec.clock import Clock
from dexexec.settlement.rpc.node import Node, NodeRefusedError, NodeUnavailableError
from dexexec.settlement.rpc.questions import Question
from dexexec.venue import Unreachable

T = TypeVar("T")
REMEMBERED = 60.0
"""Seconds for which a height that a node told counts: not for good, as it may have been wrong."""


class Watcher(Protocol):
    """Who is told of the nodes, once per change."""

    def node_failed(self, node: str, why: str) -> None:
        """A node gives no answer that can be used; others are asked, if there are any."""

    def node_lags(self, node: str, blocks: int) -> None:
        """A node is behind others, and not believed."""

    def node_back(self, node: str) -> None:
        """A node answers again, or has caught up."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long nodes are waited for, and how far one may be behind.

    `timeout`: seconds for one call. `grace`: seconds that slower nodes get once one has answered what all were asked.
    `survey`: seconds between two looks at all heights. `lag`: blocks.
    """

    timeout: float = 4.0
    grace: float = 0.3
    survey: float = 5.0
    lag: int = 10


class Nodes:
    """At least one node."""

    def __init__(self, nodes: Sequence[Node], clock: Clock, watcher: Watcher, patience: Patience) -> None:
        self._order = list(nodes)
        self._clock, self._watcher, self._patience = clock, watcher, patience
        self._told: dict[Node, str] = {}
        self._heights: dict[tuple[str, Node], tuple[int, float]] = {}
        self._surveyed: dict[str, float] = {}

    @property
    def order(self) -> list[Node]:
        """All nodes, the preferred one first."""
        return list(self._order)

    async def call(self, question: Question[T], first: Node | None = None) -> T:
        """The answer of the first node that gives one, beginning with `first`. Raises `NodeUnavailableError` when none
        does, `NodeRefusedError` when one says that the question is wrong."""
        errors = []
        for node in sorted(self._order, key=lambda one: one is not first):
            try:
                answer = await node.ask(question)
            except NodeUnavailableError as error:
                errors.append(error)
                self.failed(node, error)
            else:
                self.answered(node)
                return answer
        raise _together(errors)

    async def newest(self, question: Question[T], height: Callable[[T], int]) -> tuple[Node, T]:
        """The answer of a node that is not behind, and the node; `height` reads how far it is from the answer. Raises
        `NodeUnavailableError`, `NodeRefusedError`."""
        method, now = question.method, self._clock.monotonic()
        if len(self._order) == 1 or now < self._surveyed.get(method, float("-inf")) + self._patience.survey:
            node = self._order[0]
            try:
                answer = await node.ask(question)
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
            elif self._told.get(node) != "lags":
                self._told[node] = "lags"
                self._watcher.node_lags(node.name, best - height)
        return believed

    async def everywhere(self, question: Question[T], grace: float | None = None) -> list[tuple[Node, T]]:
        """The answers of all nodes, asked at once, in their order of preference. With `grace`, those are left out that
        take longer after the first. Raises `NodeUnavailableError` when there is none, `NodeRefusedError` when one
        refused then."""
        asked = {node: asyncio.ensure_future(node.ask(question)) for node in self._order}
        for task in asked.values():
            task.add_done_callback(_look_at)
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
        """A node gave no answer: the others come before it."""
        self._order.remove(node)
        self._order.append(node)
        if self._told.get(node) != "failed":
            self._told[node] = "failed"
            self._watcher.node_failed(node.name, str(error))

    def answered(self, node: Node, *, caught_up: bool = False) -> None:
        """A node gave an answer; `caught_up`: one that shows that it is not behind."""
        if self._told.get(node) == "failed" or (caught_up and node in self._told):
            del self._told[node]
            self._watcher.node_back(node.name)

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


def _look_at(task: asyncio.Future[Any]) -> None:
    """An error that nobody waits for any more is no news."""
    if not task.cancelled():
        task.exception()
