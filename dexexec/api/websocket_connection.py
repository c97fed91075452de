"""One WebSocket connection: RFC 6455 by the websockets library, on a stream taken over from Tornado.

The library is only the protocol: it gets the bytes that were read, and returns messages and bytes to write. Reading
happens here, a small piece per turn of the event loop, so no peer can keep the loop busy.
"""

import asyncio
from contextlib import suppress
from typing import Protocol

from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream, StreamBufferFullError, StreamClosedError
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidHeader, InvalidUpgrade
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import SEND_EOF, State
from websockets.server import ServerProtocol

from dexexec.api.client_stream import end_writing
from dexexec.api.problems import UnreadableRequestError, UpgradeRequiredError
from dexexec.api.request_pacer import Pacer
from dexexec.errors import RequestError

MAX_MESSAGE = 65_536
"""Largest message in bytes, over all its fragments. A larger one closes the connection with 1009."""
READ_BYTES = 1_024
"""Bytes read and parsed at once: at most 170 empty frames, which take about a millisecond."""
READS_PER_TURN = 16
"""Such reads per turn of the event loop, over all sockets."""
CLOSE_SECONDS = 5.0
"""How long a peer may take to answer the close frame."""
LINGER_BYTES = 1 << 16
"""Bytes that may follow the close frame before the connection is cut: cut at once, the peer might not read the
frame."""
FREE_BYTES = 1_024
"""A frame counts as one message, a large one as one message per this many bytes."""


VERSION_HEADER = "Sec-WebSocket-Version"


class Listener(Protocol):
    """Receives what a peer sends. `charge` returns whether the peer may continue."""

    def charge(self, cost: float) -> bool:
        """The peer caused work worth this many messages. False once the socket closes."""

    def on_message(self, message: str | bytes) -> None:
        """A complete message: text, or bytes for a binary one."""

    def on_alive(self) -> None:
        """The peer has sent a ping or a pong."""

    def on_closing(self) -> None:
        """The close frame is sent next: nothing may be written after it."""


def accept(request: HTTPServerRequest) -> Response:
    """The answer to a handshake. Raises `RequestError` for an invalid one."""
    protocol = ServerProtocol()
    headers = Headers(request.headers.get_all())
    response = protocol.accept(Request(str(request.uri), headers, str(request.method), request.version))
    if response.status_code != 101:
        raise _refusal(protocol.handshake_exc)
    return response


def _refusal(error: Exception | None) -> RequestError:
    """The error's text without the values that the client sent."""
    if isinstance(error, InvalidUpgrade) or (isinstance(error, InvalidHeader) and error.name == VERSION_HEADER):
        return UpgradeRequiredError(
            f"the handshake of a WebSocket needs one `{error.name}` header:"
            " Upgrade: websocket, Connection: Upgrade, Sec-WebSocket-Version: 13"
        )
    if isinstance(error, InvalidHeader):
        return UnreadableRequestError(f"the handshake's `{error.name}` header is missing or wrong")
    assert isinstance(error, InvalidHandshake)  # noqa: S101 - what the library raises for a bad request
    return UnreadableRequestError("the handshake of a WebSocket is a GET request of HTTP/1.1")


class WebSocket:
    """An open connection."""

    def __init__(self, stream: IOStream, response: Response, listener: Listener, *, client: str, pacer: Pacer) -> None:
        """`response` answers the handshake; `pacer` gives turns to all sockets, by `client`."""
        self._stream = stream
        self._listener = listener
        self._client = client
        self._pacer = pacer
        self._protocol = ServerProtocol(state=State.OPEN, max_size=MAX_MESSAGE)
        self._loop = asyncio.get_running_loop()
        self._message = bytearray()
        self._opcode = Opcode.TEXT
        self._cut: asyncio.TimerHandle | None = None
        self._ended = False
        """Whether everything is sent, and further bytes of the peer are discarded."""
        self._came_late = 0
        """Bytes after the close frame."""
        with suppress(StreamClosedError):
            stream.write(response.serialize())

    async def run(self) -> None:
        """Read until either side has ended the connection."""
        try:
            while True:
                data = await self._stream.read_bytes(READ_BYTES, partial=True)
                if (turn := self._pacer.turn(self._client)) is not None:
                    await turn
                self._receive(data)
                await asyncio.sleep(0)  # bytes in the buffer would otherwise be parsed without a turn of the event loop
        except StreamClosedError:
            pass
        finally:
            self.abort()

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake. A peer that does not answer is cut after `CLOSE_SECONDS`."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._write()
        self._cut_later()

    def ping(self) -> None:
        """Send a ping."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._write()

    def abort(self) -> None:
        """Cut the connection without a closing handshake."""
        if self._cut is not None:
            self._cut.cancel()
        self._stream.close()

    def _receive(self, data: bytes) -> None:
        # After our close frame the peer's answer must still be read, but not without limit.
        if self._protocol.state is not State.OPEN:
            self._came_late += len(data)
            if self._came_late > LINGER_BYTES:
                self.abort()
            if self._came_late > LINGER_BYTES or self._ended:
                return
        self._protocol.receive_data(data)
        # Before the close frame is written below: no event may follow it.
        if self._protocol.state is not State.OPEN:
            self._listener.on_closing()
        self._write()
        for frame in self._protocol.events_received():
            assert isinstance(frame, Frame)  # noqa: S101 - the handshake is over
            if not self._listener.charge(max(1.0, len(frame.data) / FREE_BYTES)):
                return
            self._received(frame)

    def _received(self, frame: Frame) -> None:
        if frame.opcode in {Opcode.PING, Opcode.PONG}:
            self._listener.on_alive()
        elif frame.opcode is not Opcode.CLOSE:
            if frame.opcode is not Opcode.CONT:
                self._opcode = frame.opcode
            self._message += frame.data
            if frame.fin:
                message, self._message = bytes(self._message), bytearray()
                self._deliver(message)

    def _deliver(self, message: bytes) -> None:
        if self._opcode is Opcode.BINARY:
            self._listener.on_message(message)
            return
        try:
            text = message.decode()
        except UnicodeDecodeError:
            self._listener.on_closing()
            self._protocol.fail(CloseCode.INVALID_DATA, "text that is not UTF-8")
            self._write()
        else:
            self._listener.on_message(text)

    def _write(self) -> None:
        """Write what the protocol produced. Bytes for a peer that has gone are lost."""
        for data in self._protocol.data_to_send():
            try:
                written = self._stream.write(data)
            except StreamClosedError:
                return
            except StreamBufferFullError:  # the peer sends but does not read
                self.abort()
                return
            if data == SEND_EOF:
                self._ended = True
                self._cut_later()
                written.add_done_callback(self._send_eof)

    def _send_eof(self, _: "asyncio.Future[None]") -> None:
        """Everything is written: close this half, and let the peer close the other. If the connection were closed while
        the peer still sends, it would be reset, and the peer might lose the close frame."""
        if not self._stream.closed():
            with suppress(OSError):
                end_writing(self._stream)

    def _cut_later(self) -> None:
        if self._cut is None:
            self._cut = self._loop.call_later(CLOSE_SECONDS, self.abort)
