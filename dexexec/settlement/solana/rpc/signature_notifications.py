"""Who waits for a swap is woken when its node says that something happened to it; nothing that it says is believed.

One WebSocket serves all that is waited for. A notification, and just as well the loss of the connection, only wake who
waits: it then asks for the status, which is the proof. Where there is no WebSocket, or a signature's subscription is
not (or no longer) there, who waits is woken after the same pauses as without news.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from tornado.httpclient import HTTPError
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketError

from dexexec.clock import Clock
from dexexec.settlement.backoff import LookupPauses
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.websocket import (
    Notification,
    RpcWebSocket,
    SubscriptionReply,
    read_message,
    subscribe,
    unsubscribe,
    websocket_urls,
)

FORGET_AFTER = 30.0
"""Seconds after which a signature that nobody waits for is given up."""
FIRST_RETRY, LONGEST_RETRY = 0.5, 30.0
"""Seconds between two tries to connect, doubled each time."""
_NO_CONNECTION = (OSError, TimeoutError, HTTPError, StreamClosedError, WebSocketClosedError, WebSocketError, ValueError)


class WebSocketListener(Protocol):
    """Who is told of the WebSocket, once per change."""

    def node_websocket_failed(self, node: str, why: str) -> None:
        """There is no WebSocket: swaps are looked up again and again instead."""

    def node_websocket_recovered(self, node: str) -> None:
        """There is one again."""


@dataclass(slots=True)
class _Awaited:
    """A signature. `number` is its subscription while there is one; `told` once its notification came, as there is
    only one."""

    used: float
    waiting: int = 0
    number: int | None = None
    told: bool = False
    pauses: LookupPauses = field(default_factory=LookupPauses)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Something may have happened; from now on it is looked at often, until there is a subscription again."""
        self.number, self.pauses = None, LookupPauses()
        self.woken.set()


class SignatureNotifications:
    """The news of one chain, while `run` runs. `nodes` gives them in order of preference; `timeout` (seconds) bounds
    the making of a connection."""

    def __init__(
        self, nodes: Callable[[], list[Node]], clock: Clock, listener: WebSocketListener, timeout: float
    ) -> None:
        self._nodes, self._clock, self._listener, self._timeout = nodes, clock, listener, timeout
        self._awaited: dict[str, _Awaited] = {}
        self._asked: dict[int, str] = {}
        self._numbers: dict[int, str] = {}
        self._requests = count(1)
        self._socket: RpcWebSocket | None = None
        self._wanted = asyncio.Event()
        self._failed = False

    async def wait(self, signature: str, seconds: float) -> None:
        """As `NotifyingChain`. Also returns once the subscription exists: events before it are not notified."""
        awaited = self._awaited.get(signature) or self._await(signature)
        pause = seconds if awaited.number is not None else min(seconds, awaited.pauses.next())
        awaited.waiting += 1
        try:
            await self._either(awaited.woken, pause)
        finally:
            awaited.waiting -= 1
            awaited.used = self._clock.monotonic()
        awaited.woken.clear()

    async def run(self) -> None:
        """Keep the connection as long as something is waited for, until cancelled."""
        retry, tries = FIRST_RETRY, 0
        while True:
            await self._wanted.wait()
            nodes = self._nodes()
            node = nodes[tries % len(nodes)]
            try:
                self._socket = await self._open(node)
            except _NO_CONNECTION as error:
                why = f"cannot be opened ({node.clean(error)})"
            else:
                self._tell(node, None)
                try:
                    if await self._serve(self._socket):
                        retry, tries = FIRST_RETRY, 0
                finally:
                    self._lose()
                why = "broke off"
            self._forget()
            if self._wanted.is_set():
                self._tell(node, why)
                tries += 1
                await self._clock.sleep(retry)
                retry = min(retry * 2, LONGEST_RETRY)

    async def _open(self, node: Node) -> RpcWebSocket:
        *first, last = websocket_urls(node.url)
        for address in first:
            try:
                return await RpcWebSocket.open(address, node.headers, self._timeout)
            except _NO_CONNECTION:
                continue
        return await RpcWebSocket.open(last, node.headers, self._timeout)

    async def _serve(self, socket: RpcWebSocket) -> bool:
        """Until it is gone. Whether anything was heard."""
        heard = False
        for signature, awaited in self._awaited.items():
            if not awaited.told:
                self._subscribe(signature)
        while (message := await socket.hear()) is not None:
            heard = True
            match read_message(message):
                case SubscriptionReply(request, number):
                    self._subscribed(self._asked.pop(request, ""), number)
                case Notification(number):
                    self._notified(self._numbers.pop(number, ""))
        return heard

    def _subscribed(self, signature: str, number: int | None) -> None:
        awaited = self._awaited.get(signature)
        if number is None or awaited is None:
            return
        awaited.number = number
        self._numbers[number] = signature
        awaited.woken.set()

    def _notified(self, signature: str) -> None:
        awaited = self._awaited.get(signature)
        if awaited is not None:
            awaited.told = True
            awaited.wake()

    def _lose(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._asked.clear()
        self._numbers.clear()
        for awaited in self._awaited.values():
            awaited.wake()

    def _await(self, signature: str) -> _Awaited:
        self._forget()
        awaited = self._awaited[signature] = _Awaited(self._clock.monotonic())
        self._wanted.set()
        self._subscribe(signature)
        return awaited

    def _subscribe(self, signature: str) -> None:
        if self._socket is not None:
            request = next(self._requests)
            self._asked[request] = signature
            self._socket.say(subscribe(request, signature))

    def _forget(self) -> None:
        """What nobody waits for any more is not subscribed to any more."""
        before = self._clock.monotonic() - FORGET_AFTER
        for signature, awaited in list(self._awaited.items()):
            if awaited.waiting or awaited.used > before:
                continue
            del self._awaited[signature]
            if awaited.number is not None and self._socket is not None:
                self._numbers.pop(awaited.number, None)
                self._socket.say(unsubscribe(next(self._requests), awaited.number))
        if not self._awaited:
            self._wanted.clear()

    def _tell(self, node: Node, why: str | None) -> None:
        if why is not None and not self._failed:
            self._listener.node_websocket_failed(node.name, why)
        elif why is None and self._failed:
            self._listener.node_websocket_recovered(node.name)
        self._failed = why is not None

    async def _either(self, event: asyncio.Event, seconds: float) -> None:
        """Until `event`, for `seconds` at most."""
        tasks = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._clock.sleep(seconds))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
