"""Which node a WebSocket goes to next: never again to the one whose connection has just ended, if there are others."""

import asyncio
from typing import cast

import pytest

from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.subscription_socket import SubscriptionSocket
from dexexec.settlement.solana.rpc.websocket import RpcWebSocket
from dexexec.testing.clock import ManualClock

NODES = [Node(f"http://{name}.example", name, 1.0) for name in ("a", "b", "c")]


class Brief:
    """A connection that brings one message, and then ends."""

    def __init__(self) -> None:
        self._messages: list[str | None] = ["{}", None]

    async def receive(self) -> str | None:
        return self._messages.pop(0)


class Wanted:
    """Subscriptions that need a connection all the time, or `once`: then the next need comes after a while."""

    def __init__(self, *, once: bool) -> None:
        self.any_watched = asyncio.Event()
        self.any_watched.set()
        self._once = once

    def connected(self, socket: RpcWebSocket) -> None: ...

    def disconnected(self) -> None: ...

    def receive(self, message: str | bytes) -> None: ...

    def drop_idle(self) -> None:
        if self._once:
            self.any_watched.clear()
            asyncio.get_running_loop().call_soon(self.any_watched.set)


class Silent:
    """A listener to nothing."""

    def node_websocket_failed(self, node: str, why: str) -> None: ...

    def node_websocket_recovered(self, node: str) -> None: ...


class Recording(SubscriptionSocket):
    """Notes the nodes that it connects to. The connections to `refusing` ones fail."""

    refusing: frozenset[str] = frozenset()

    def __init__(self, nodes: list[Node], *, once: bool) -> None:
        super().__init__(Wanted(once=once), lambda: nodes, ManualClock(), Silent(), 1.0)
        self.tried: list[str] = []
        self.enough = asyncio.Event()

    async def _connect(self, node: Node) -> RpcWebSocket:
        self.tried.append(node.name)
        if len(self.tried) == 5:
            self.enough.set()
        if node.name in self.refusing:
            raise OSError
        return cast("RpcWebSocket", Brief())


@pytest.mark.parametrize("refusing", [(), ("b",), ("a", "b", "c")])
@pytest.mark.parametrize(
    ("nodes", "once", "expected"),
    [(1, False, "aaaaa"), (2, False, "ababa"), (3, False, "abcab"), (3, True, "aaaaa")],
)
async def test_each_connection_goes_to_the_next_node(
    nodes: int, once: bool, expected: str, refusing: tuple[str, ...]
) -> None:
    socket = Recording(NODES[:nodes], once=once)
    socket.refusing = frozenset(refusing)
    task = asyncio.create_task(socket.run())
    try:
        async with asyncio.timeout(20):
            await socket.enough.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert "".join(socket.tried[:5]) == expected
