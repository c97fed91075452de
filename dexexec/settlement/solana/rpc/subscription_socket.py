"""Keeps the WebSocket to a node open while there are subscriptions, and connects again after a failure.

The subscriptions read the messages: those of signatures that settlement waits for, those of programs whose new
pools are watched, and those of accounts that are kept in memory, each over a connection of its own.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from tornado.httpclient import HTTPError
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketError

from dexexec.clock import Clock
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.websocket import RpcWebSocket, websocket_urls

FIRST_RECONNECT_SECONDS = 0.5
LONGEST_RECONNECT_SECONDS = 30.0
_CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    HTTPError,
    StreamClosedError,
    WebSocketClosedError,
    WebSocketError,
    ValueError,
)


class WebSocketListener(Protocol):
    """Receives changes of the connection, each one once."""

    def node_websocket_failed(self, node: str, why: str) -> None:
        """There is no connection: the node is polled instead."""

    def node_websocket_recovered(self, node: str) -> None:
        """There is a connection again."""


class Subscriptions(Protocol):
    """What the connection is for."""

    any_watched: asyncio.Event
    """Set while a connection is needed."""

    def connected(self, socket: RpcWebSocket) -> None:
        """There is a new connection: subscribe everything over it."""

    def disconnected(self) -> None:
        """The connection is lost."""

    def receive(self, message: str | bytes) -> None:
        """Handle a message of the node."""

    def drop_idle(self) -> None:
        """Drop what is no longer needed."""


class SubscriptionSocket:
    """The connection for `subscriptions`, while `run` runs.

    `nodes` returns the nodes in order of preference; `timeout` limits one connection attempt, in seconds.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        nodes: Callable[[], list[Node]],
        clock: Clock,
        listener: WebSocketListener,
        timeout: float,
    ) -> None:
        self._subscriptions = subscriptions
        self._nodes = nodes
        self._clock = clock
        self._listener = listener
        self._timeout = timeout
        self._failure_reported = False
        self.node: Node | None = None
        """The node of the connection, while there is one."""

    async def run(self) -> None:
        """Keeps a connection while anything is watched, until cancelled."""
        pause = FIRST_RECONNECT_SECONDS
        left: Node | None = None
        while True:
            await self._subscriptions.any_watched.wait()
            nodes = self._nodes()
            # The preferred node first. From one that failed, or whose connection ended, to the next in the list: a node
            # that notifies of nothing would otherwise be connected to again and again.
            node = nodes[0] if left is None else nodes[(nodes.index(left) + 1) % len(nodes)]
            left = node
            why = "broke off"
            try:
                socket = await self._connect(node)
            except _CONNECTION_ERRORS as error:
                why = f"cannot be opened ({node.clean(error)})"
            else:
                self._report(node, failure=None)
                # A connection that is accepted and closed without a word does not reset the pauses.
                if await self._serve(node, socket):
                    pause = FIRST_RECONNECT_SECONDS
            self._subscriptions.drop_idle()
            if self._subscriptions.any_watched.is_set():
                self._report(node, failure=why)
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_RECONNECT_SECONDS)
            else:
                left = None

    async def _connect(self, node: Node) -> RpcWebSocket:
        *first, last = websocket_urls(node.url)
        for url in first:
            try:
                return await RpcWebSocket.open(url, node.headers, self._timeout)
            except _CONNECTION_ERRORS:
                continue
        return await RpcWebSocket.open(last, node.headers, self._timeout)

    async def _serve(self, node: Node, socket: RpcWebSocket) -> bool:
        """Handles messages until the connection is lost. Whether there were any."""
        any_received = False
        self.node = node
        try:
            self._subscriptions.connected(socket)
            while (message := await socket.receive()) is not None:
                any_received = True
                self._subscriptions.receive(message)
        finally:
            self._subscriptions.disconnected()
            self.node = None
        return any_received

    def _report(self, node: Node, *, failure: str | None) -> None:
        """Reports a change: reconnecting again and again is one failure."""
        if failure is not None and not self._failure_reported:
            self._listener.node_websocket_failed(node.name, failure)
        elif failure is None and self._failure_reported:
            self._listener.node_websocket_recovered(node.name)
        self._failure_reported = failure is not None
