"""The events of all orders as an asynchronous iterator: each once, over sockets that come and go."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from dexexec.client.answers import Event, read_event
from dexexec.client.errors import ClientError, one_line
from dexexec.client.problem_document import json_object
from dexexec.client.problems import PositionUnknownError, Problem
from dexexec.client.reconnecting import next_socket
from dexexec.client.resume import KEY_REFUSED, Close, Notice, Resumption, StreamFaultError
from dexexec.client.socket import Socket, SocketClosedError
from dexexec.domain.stream_error import StreamErrorCode


class AllEventStream:
    """Iterates over the events of all orders that the key sees, until it is closed.

    Raises `PositionUnknownError` where the service cannot go on without leaving out an event: read the orders again,
    and open another stream without a position.
    """

    def __init__(
        self,
        opener: Callable[[], Awaitable[Socket]],
        state: Resumption,
        after: str | None,
        *,
        on_notice: Callable[[Notice], None] | None = None,
        on_reconnect: Callable[[str], None] | None = None,
        on_end: Callable[["AllEventStream"], None] = lambda _: None,
    ) -> None:
        self._opener = opener
        self._state = state
        self._position = after
        self._on_notice = on_notice
        self._on_reconnect = on_reconnect
        self._on_end = on_end
        self._handed_out: set[tuple[str, int]] = set()
        """Events behind the position: another socket repeats them."""
        self._socket: Socket | None = None
        self._turn = asyncio.Lock()
        self._closing = asyncio.Event()

    @property
    def position(self) -> str | None:
        """Where another stream goes on: all events before it were handed out. Those that came since its last change
        come again there. None until the service has answered."""
        return self._position

    async def begin(self) -> None:
        """Wait until the stream has begun: what is committed from then on will come. Without this it begins with the
        first step of the iteration."""
        async with self._turn:
            while self._position is None and not self._closing.is_set():
                await self._step()  # no event comes before the first position

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        async with self._turn:
            while not self._closing.is_set():
                if (event := await self._step()) is not None:
                    return event
            await self.aclose()
            raise StopAsyncIteration

    async def _step(self) -> Event | None:
        try:
            return await (self._connect() if self._socket is None else self._receive(self._socket))
        except ClientError:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the iteration, and close the socket."""
        self._closing.set()
        self._on_end(self)
        await self._hang_up()

    async def __aenter__(self) -> Self:
        await self.begin()
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
        after = {} if self._position is None else {"after": self._position}
        with suppress(SocketClosedError):  # the next call notices it
            await socket.send(json.dumps({"events": "all", **after}))

    async def _receive(self, socket: Socket) -> Event | None:
        cause: Close | StreamFaultError
        try:
            return self._read(await socket.receive())
        except SocketClosedError as error:
            cause = error.close
        except StreamFaultError as error:
            cause = error
        await self._hang_up()
        if not self._closing.is_set():
            if self._on_reconnect is not None:
                self._on_reconnect(str(cause))
            self._state.lost(asyncio.get_running_loop().time(), cause)
        return None

    def _read(self, message: str | bytes) -> Event | None:
        """Take a message of the service: an event that is new. Raises `StreamFaultError` and `ClientError`."""
        body = json_object(message) if isinstance(message, str) else {}
        if "seq" in body and "status" in body:
            return self._event(body)
        if isinstance(position := body.get("position"), str):
            # A socket begins with the position that it was opened with: what came behind it comes again.
            if position != self._position:
                self._position = position
                self._handed_out.clear()
            self._state.progressed()
        elif isinstance(error := body.get("error"), Mapping):
            self._error(error)
        elif not body:
            raise StreamFaultError(f"a message that is no JSON object: {one_line(str(message[:80]))}")
        elif "notice" in body and self._on_notice is not None:
            self._on_notice(Notice(body))
        return None

    def _event(self, body: Mapping[str, object]) -> Event | None:
        event = read_event(body)
        if event is None:
            raise StreamFaultError(f"a message that is no event: {one_line(str(body))[:80]}")
        self._state.progressed()
        key = (event.order_id.lower(), event.seq)
        if key in self._handed_out:
            return None
        self._handed_out.add(key)
        return event

    def _error(self, error: Mapping[str, object]) -> None:
        code = str(error.get("code"))
        detail = one_line(str(error.get("message")))
        # The service goes on by itself, or ends the socket after it.
        if code in {StreamErrorCode.UNAVAILABLE, StreamErrorCode.FLOODING}:
            return
        if code == StreamErrorCode.POSITION_UNKNOWN:
            title = "The position in the stream is not known"
            raise PositionUnknownError(Problem(code=code, status=410, title=title, detail=detail))
        if (refused := KEY_REFUSED.get(code)) is not None:
            raise refused(Problem(code=code, status=refused.status, title="The API key is refused", detail=detail))
        raise StreamFaultError(f"{one_line(code)}: {detail}")

    async def _hang_up(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            try:
                await socket.close()
            except BaseException:  # this task was cancelled: nothing may stay behind
                socket.abort()
                raise
