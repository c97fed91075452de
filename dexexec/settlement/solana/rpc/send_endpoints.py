"""The endpoints that signed transactions are sent to: the chain's nodes, and those that only take transactions.

A send-only endpoint gets no other request and never counts as a node: its answers are recorded, and decide nothing.
"""

from collections.abc import Sequence
from typing import Protocol

from dexexec.clock import Clock
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_errors import NodeUnavailableError
from dexexec.settlement.solana.rpc.node_reports import NodeReports
from dexexec.settlement.solana.rpc.node_urls import node_names
from dexexec.settlement.solana.rpc.request_budget import RequestBudget
from dexexec.settlement.solana.rpc.request_meter import RequestMeter
from dexexec.settlement.solana.rpc.throttled_nodes import NotSentError, ThrottledNodes


class SendEndpoint(Protocol):
    """Takes signed transactions."""

    @property
    def name(self) -> str:
        """The name that is shown: no secret of the URL is in it."""

    @property
    def send_only(self) -> bool:
        """Whether it only takes transactions."""

    async def send(self, payload: bytes, *, spare: bool) -> str:
        """Sends the bytes and returns the signature that was answered. With `spare` only if that needs no waiting and
        takes nothing that is reserved for first sends and lookups. Raises `NodeUnavailableError`,
        `NodeRefusedError`."""


class HttpEndpoint:
    """An endpoint over HTTP. `reports` are only about sends: a node that refuses them may answer everything else.
    `lookups` are the reports about a node's other answers; None for one that only takes transactions."""

    def __init__(
        self, node: Node, throttled: ThrottledNodes, reports: NodeReports, lookups: NodeReports | None = None
    ) -> None:
        self._node = node
        self._throttled = throttled
        self._reports = reports
        self._lookups = lookups

    @property
    def name(self) -> str:
        """As `SendEndpoint`."""
        return self._node.name

    @property
    def send_only(self) -> bool:
        """As `SendEndpoint`."""
        return self._lookups is None

    async def send(self, payload: bytes, *, spare: bool) -> str:
        """As `SendEndpoint`."""
        try:
            signature = await self._throttled.call(self._node, methods.send(payload), spare=spare)
        except NotSentError:
            raise  # our own budget; the endpoint is not at fault
        except NodeUnavailableError as error:
            # A node that does not answer lookups either is already reported.
            if self._lookups is None or self._lookups.is_well(self._node):
                self._reports.failed(self._node, error)
            raise
        self._reports.answered(self._node, caught_up=True)
        return signature

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._node.aclose()


def send_only_endpoints(
    urls: Sequence[str],
    *,
    names_of_nodes: Sequence[str],
    clock: Clock,
    reports: NodeReports,
    timeout: float,
    meter: RequestMeter | None,
) -> list[HttpEndpoint]:
    """Returns an endpoint for each URL, with names that differ from those of the nodes. Raises `ValueError` for an
    invalid one, naming only its place in the list."""
    # A budget of their own: what they refuse must not keep anything from the nodes. No genesis hash is expected, since
    # no other request goes there; the blockhash in the bytes makes them void on any other chain.
    throttled = ThrottledNodes(clock, RequestBudget(clock), timeout, max_lag=0, meter=meter)
    names = [f"{name} (sends)" if name in names_of_nodes else name for name in node_names(list(urls))]
    nodes = [Node(url, name, timeout) for url, name in zip(urls, names, strict=True)]
    return [HttpEndpoint(node, throttled, reports) for node in nodes]
