"""The events of orders as an asynchronous iterator: each once and in order, over sockets that come and go.

`resume.Resumption` decides, this module waits: for connections, for messages and for the program that iterates.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import MappingProxyType, TracebackType
from typing import Self

from dexexec.client.answers import Event
from dexexec.client.errors import ClientError
from dexexec.client.reconnecting import next_socket
from dexexec.client.resume import Close, Notice, Resumption, StreamFaultError
from dexexec.client.socket import CLOSE_SECONDS, Socket, SocketClosedError

BURST = 500
"""Subscriptions that are sent at once. The service takes 2,000 messages, if its limit is the default one."""
PER_SECOND = 100
"""Subscriptions a second after that."""


class EventStream:
    """Iterates over events until every followed order has ended; with `stay_open` until it is closed.

    What ends one order only, such as `OrderNotFoundError`, is raised once: the next step of the iteration goes on with
    the others. `tap` receives every message of the service as it comes, before anything is sorted out.
    """

    def __init__(
        self,
        opener: Callable[[], Awaitable[Socket]],
        state: Resumption,
        *,
        stay_open: bool = False,
        on_notice: Callable[[Notice], None] | None = None,
        tap: Callable[[str | bytes], None] | None = None,
        on_connect: Callable[[], None] | None = None,
        on_reconnect: Callable[[str], None] | None = None,
        on_end: Callable[["EventStream"], None] = lambda _: None,
    ) -> None:
        self._opener = opener
        self._state = state
        self._stay_open = stay_open
        self._on_notice = on_notice
        self._tap = tap
        self._on_connect = on_connect
        self._on_reconnect = on_reconnect
        self._on_end = on_end
        self._positions: dict[str, int] = {}
        self._ready: deque[Event | ClientError] = deque()
        self._socket: Socket | None = None
        self._sender: asyncio.Task[None] | None = None
        self._more = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closing = asyncio.Event()

    @property
    def positions(self) -> Mapping[str, int]:
        """By order id, the `seq` of the last event that was handed out: where another stream resumes."""
        return MappingProxyType(self._positions)

    @property
    def faults_seen(self) -> list[str]:
        """What the service did against its protocol: events that came twice or were left out."""
        return list(self._state.faults_seen)

    def follow(self, order_id: str, after_seq: int = 0) -> None:
        """Follow one more order, from `after_seq` + 1 on."""
        if self._state.follow(order_id, after_seq):
            self._positions[order_id.lower()] = after_seq
            self._more.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        # Several tasks may iterate: each event goes to one of them.
        async with self._turn:
            while not self._ready:
                if self._closing.is_set() or (self._state.done and not self._stay_open):
                    await self.aclose()
                    raise StopAsyncIteration
                try:
                    await (self._connect() if self._socket is None else self._receive(self._socket))
                except ClientError:
                    await self.aclose()  # it is over for all orders: another stream resumes
                    raise
            # Nothing is awaited from here on: a cancelled call loses no event.
            ready = self._ready.popleft()
            if isinstance(ready, ClientError):
                raise ready
            self._positions[ready.order_id.lower()] = ready.seq
            return ready

    async def aclose(self) -> None:
        """End the iteration, and close the socket."""
        self._closing.set()
        self._on_end(self)
        await self._hang_up()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _connect(self) -> None:
        socket = await next_socket(self._opener, self._state, self._closing)
        if socket is None:
            return
        self._socket = socket
        if self._on_connect is not None:
            self._on_connect()
        # A task of its own: thousands of subscriptions take longer than the first events need to come.
        self._sender = asyncio.create_task(self._send(socket))

    async def _receive(self, socket: Socket) -> None:
        cause: Close | StreamFaultError
        try:
            message = await socket.receive()
            if self._tap is not None:
                self._tap(message)
            new = self._state.receive(message)
        except SocketClosedError as error:
            cause = error.close
        except StreamFaultError as error:
            cause = error
        else:
            if isinstance(new, Notice):
                if self._on_notice is not None:
                    self._on_notice(new)
            elif new is not None:
                self._ready.append(new)
            return
        await self._hang_up()
        # The end was wanted: it is no outage.
        if self._closing.is_set():
            return
        if self._on_reconnect is not None:
            self._on_reconnect(str(cause))
        self._state.lost(asyncio.get_running_loop().time(), cause)

    async def _send(self, socket: Socket) -> None:
        """Send subscriptions while the socket lasts, no faster than the service takes them."""
        # Halved each time that the service had to close a socket: its limit may be lower than the default one.
        # The service counts every message, and closes the socket of a client that sends more than it may.
        burst = max(1, BURST >> self._state.slow_downs)
        pause = max(1, PER_SECOND >> self._state.slow_downs) ** -1
        sent = 0
        with suppress(SocketClosedError):  # the reader notices it too, and connects again
            while True:
                # Cleared before the messages are taken: an order that is added meanwhile sets it again.
                self._more.clear()
                while (message := self._state.next_message()) is not None:
                    await socket.send(json.dumps(message))
                    sent += 1
                    if sent > burst:
                        await asyncio.sleep(pause)
                await self._more.wait()

    async def _hang_up(self) -> None:
        """Close the socket, if there is one."""
        # Taken first, so that a second task that closes the stream finds nothing to close.
        socket, self._socket = self._socket, None
        sender, self._sender = self._sender, None
        if sender is not None:
            # Waited for: a task that still runs would send on a socket that is closing.
            sender.cancel()
            await asyncio.wait([sender])
        if socket is not None:
            closing = asyncio.create_task(socket.close())
            try:
                with suppress(SocketClosedError, StreamFaultError, TimeoutError):
                    async with asyncio.timeout(CLOSE_SECONDS):
                        await self._drain(socket)
                await closing
            except BaseException:  # this task was cancelled: nothing may stay behind
                closing.cancel()
                socket.abort()
                raise

    async def _drain(self, socket: Socket) -> None:
        """Take note of what comes until the service closes the socket too: an event after a final one is a fault."""
        # Only at the end of all orders. In the middle the messages left on the socket come again on the next one.
        while self._state.done:
            message = await socket.receive()
            if self._tap is not None:
                self._tap(message)
            self._state.receive(message)
