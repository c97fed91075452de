"""Reports changes in the state of nodes to the operator, each change once."""

from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import partial
from typing import Protocol

from dexexec.domain.pace import Finality
from dexexec.settlement.solana.rpc.genesis_check import WrongChainError
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_errors import NodeBehindError, NodeRateLimitedError, NodeUnavailableError
from dexexec.settlement.solana.rpc.subscription_socket import WebSocketListener


class NodeListener(WebSocketListener, Protocol):
    """Receives changes in the state of nodes, each one once."""

    def node_failed(self, node: str, why: str) -> None:
        """A node gives no usable answer or is not believed. Other nodes are used, if there are any."""

    def node_rate_limited(self, node: str, why: str) -> None:
        """A node refused too many requests and gets none for a while. Other nodes are used, if there are any."""

    def node_lagging(self, node: str, blocks: int) -> None:
        """A node is behind the others, and its answers are not used."""

    def node_recovered(self, node: str) -> None:
        """A node answers again, or has caught up."""

    def finality_learned(self, finality: Finality) -> None:
        """The nodes show when a confirmed block is final, for the first time or differently than before."""


class _State(Enum):
    """The last reported state of a node that is not well."""

    FAILED = auto()
    WRONG_CHAIN = auto()
    COOLING_DOWN = auto()
    LAGGING = auto()


class NodeReports:
    """Passes a node's state to the listener when it changes."""

    def __init__(self, listener: NodeListener) -> None:
        self._listener = listener
        self._reported: dict[Node, _State] = {}

    def failed(self, node: Node, error: NodeUnavailableError) -> None:
        """A node gave no usable answer."""
        failed = partial(self._listener.node_failed, node.name, str(error))
        match error:
            case WrongChainError():
                # A state of its own: it is reported even if the node had failed in another way before.
                self._change(node, _State.WRONG_CHAIN, failed)
            case NodeRateLimitedError():
                self._change(
                    node, _State.COOLING_DOWN, partial(self._listener.node_rate_limited, node.name, str(error))
                )
            case NodeBehindError():
                self.lags(node, error.behind)
            case _:
                self._change(node, _State.FAILED, failed)

    def lags(self, node: Node, blocks: int) -> None:
        """A node is behind the others."""
        self._change(node, _State.LAGGING, partial(self._listener.node_lagging, node.name, blocks))

    def answered(self, node: Node, *, caught_up: bool) -> None:
        """A node answered. `caught_up`: its answer shows that it does not lag."""
        state = self._reported.get(node)
        # A lagging node answers too, so an answer alone does not end that state.
        if state is not None and (caught_up or state is not _State.LAGGING):
            del self._reported[node]
            self._listener.node_recovered(node.name)

    def consensus(self, finality: Finality) -> None:
        """The nodes show when a confirmed block is final."""
        self._listener.finality_learned(finality)

    def is_well(self, node: Node) -> bool:
        """Whether nothing is wrong with a node, by its last report."""
        return node not in self._reported

    def disputed(self, node: Node, signature: str, denied_by: Iterable[Node]) -> None:
        """A node has a transaction that others do not have and should."""
        names = ", ".join(sorted(one.name for one in denied_by))
        self._listener.node_failed(
            node.name, f"has the transaction {signature}, and {names} do not: it is not taken as final"
        )

    def _change(self, node: Node, state: _State, report: Callable[[], None]) -> None:
        if self._reported.get(node) is not state:
            self._reported[node] = state
            report()
