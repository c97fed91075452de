"""What an operator is told of the nodes: once per change, whoever asks them."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from dexexec.settlement.solana.rpc.genesis_check import WrongChainError
from dexexec.settlement.solana.rpc.node import Node, NodeBehindError, NodeRateLimitedError, NodeUnavailableError
from dexexec.settlement.solana.rpc.signature_notifications import WebSocketListener


class NodeListener(WebSocketListener, Protocol):
    """Who is told of the nodes, once per change."""

    def node_failed(self, node: str, why: str) -> None:
        """A node gives no answer that can be used, or is not believed; others are asked, if there are any."""

    def node_rate_limited(self, node: str, why: str) -> None:
        """A node was asked too often and is left alone for a while; others are asked, if there are any."""

    def node_lagging(self, node: str, blocks: int) -> None:
        """A node is behind others, and not believed."""

    def node_recovered(self, node: str) -> None:
        """A node answers again, or has caught up."""


class NodeReports:
    """What was told last of each node."""

    def __init__(self, listener: NodeListener) -> None:
        self._listener = listener
        self._told: dict[Node, str] = {}

    def failed(self, node: Node, error: NodeUnavailableError) -> None:
        """A node gave no answer that can be used."""
        match error:
            case WrongChainError():
                self._tell(node, "foreign", partial(self._listener.node_failed, node.name, str(error)))
            case NodeRateLimitedError():
                self._tell(node, "rests", partial(self._listener.node_rate_limited, node.name, str(error)))
            case NodeBehindError():
                self.lags(node, error.behind)
            case _:
                self._tell(node, "failed", partial(self._listener.node_failed, node.name, str(error)))

    def lags(self, node: Node, blocks: int) -> None:
        """A node is behind the others."""
        self._tell(node, "lags", partial(self._listener.node_lagging, node.name, blocks))

    def answered(self, node: Node, *, caught_up: bool) -> None:
        """A node gave an answer; `caught_up`: one that shows that it is not behind."""
        told = self._told.get(node)
        if told is not None and (caught_up or told != "lags"):
            del self._told[node]
            self._listener.node_recovered(node.name)

    def disputed(self, node: Node, signature: str, deniers: Iterable[Node]) -> None:
        """A node knows a transaction that others do not know and had to."""
        names = ", ".join(sorted(one.name for one in deniers))
        self._listener.node_failed(node.name, f"knows the transaction {signature}, and {names} do not: it is not final")

    def _tell(self, node: Node, what: str, tell: Callable[[], None]) -> None:
        """Once, until something else is so."""
        if self._told.get(node) != what:
            self._told[node] = what
            tell()
