"""One open stream of server-sent events, on a connection that was taken over from Tornado.

The bytes after the head are blocks of lines (https://html.spec.whatwg.org/multipage/server-sent-events.html). Its sink
decides which events are next; nothing here waits for the peer, and a peer that is too slow is cut and resumes.
"""

import asyncio
import random
import socket
from collections.abc import Mapping
from typing import Protocol

from tornado.iostream import IOStream, StreamClosedError

from dexexec.api import websocket_messages
from dexexec.api.caller import Caller
from dexexec.api.event_streams import EventStreams
from dexexec.api.websocket_outbox import SEND_BUFFER, Outbox
from dexexec.config.settings import Settings
from dexexec.domain.halt import Halt
from dexexec.domain.stream_error import StreamErrorCode
from dexexec.observe.metrics import Metrics

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 2_000
"""When a client connects again by itself, after the connection has broken."""
SOON_MS = (100, 1_000)
"""The same after this process has ended the stream: at another time for each client."""
CLOSE_SECONDS = 2.0
"""How long a peer may take to read the last bytes."""
READ_BYTES = 1_024
MOST_READ = 1 << 16
"""Bytes that a peer may send after its request, which have no meaning."""
COMMENT = b":\n\n"


def block(data: bytes, *, event: str = "", event_id: str = "") -> bytes:
    """An event of the stream. `data` has no newline."""
    name = f"event: {event}\n" if event else ""
    number = f"id: {event_id}\n" if event_id else ""
    return b"%b%bdata: %b\n\n" % (name.encode(), number.encode(), data)


def retry(milliseconds: int) -> bytes:
    """When the client shall connect again."""
    return b"retry: %d\n\n" % milliseconds


class EventSink(Protocol):
    """What follows events for one connection."""

    def begin(self) -> None:
        """Begin to send."""

    def heartbeat(self) -> bytes:
        """The bytes that are sent every `ping_seconds`, so that both ends and what is between them see a living
        connection."""

    def close(self) -> None:
        """Stop."""


class EventStreamConnection:
    """A connection from its head to its end; the registry of sockets ends it as it ends WebSockets."""

    is_websocket = False

    def __init__(
        self, stream: IOStream, *, caller: Caller, streams: EventStreams, settings: Settings, metrics: Metrics
    ) -> None:
        self.caller = caller
        self._stream = stream
        self._registry = streams.registry
        self._settings = settings
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._moved = True
        """Whether the peer has read something since the last heartbeat, or nothing waited for it."""
        self._ended = False
        self._beat: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._sink: EventSink | None = None
        self._outbox = Outbox(stream, settings.socket_buffer_bytes, self._overflowed, self._progressed, frame=_whole)

    async def run(self, headers: Mapping[str, str], sink: EventSink) -> None:
        """Send events until either side ends the connection."""
        self._sink = sink
        self._set_up_socket(self._settings.ping_seconds)
        self.send(_head(headers) + retry(RETRY_MS))
        self._registry.add(self)
        self._registry.admitted(self, before="")
        try:
            if self._registry.draining:
                self.go_away()
            else:
                if (halt := self._registry.halts.of(self.caller.owner)) is not None:
                    self.report_halt(halt, began=True)
                self._beat = self._loop.call_later(self._settings.ping_seconds, self._heartbeat)
                sink.begin()
            await self._read_to_the_end()
        finally:
            self._stop()
            self.abort()
            self._registry.discard(self)

    def _set_up_socket(self, ping_seconds: float) -> None:
        if self._stream.closed():
            return
        self._stream.set_nodelay(True)
        self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # A peer that has vanished accepts no heartbeat, and our kernel would go on trying for a quarter of an hour.
            self._stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(ping_seconds * 2_000))

    async def _read_to_the_end(self) -> None:
        read = 0
        try:
            while read < MOST_READ:
                read += len(await self._stream.read_bytes(READ_BYTES, partial=True))
        except StreamClosedError:
            pass

    # For the sink

    def send(self, data: bytes) -> None:
        """Queue bytes. A peer for which too much waits is cut."""
        self._outbox.send(data)

    async def room(self, size: int) -> None:
        """Wait for a slow peer while history is sent."""
        await self._outbox.room(size)

    def problem(self, code: StreamErrorCode, text: str) -> None:
        """Send an error, with the data of a WebSocket's."""
        self.send(block(websocket_messages.error(code, text), event="problem"))

    def finish(self) -> None:
        """End the stream once the peer has read everything."""
        if not self._ended:
            self._stop()
            self._closing = self._loop.create_task(self._close_when_read())

    def fail(self, error: BaseException) -> None:
        """End the stream after an internal error: the client connects again."""
        self._loop.call_exception_handler({"message": "a stream of events failed", "exception": error})
        self.abort()

    async def _close_when_read(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._outbox.drained()
        except TimeoutError:
            pass
        self.abort()

    def _stop(self) -> None:
        self._ended = True
        if self._beat is not None:
            self._beat.cancel()
        if self._sink is not None:
            self._sink.close()

    # For the registry

    def go_away(self) -> None:
        """End the stream because this process stops."""
        self._metrics.event_stream_closed("going-away")
        self.send(retry(random.randint(*SOON_MS)))
        self.finish()

    def end_key(self) -> None:
        """End the stream because its key was revoked or replaced, or has expired."""
        self._metrics.event_stream_closed("unauthorized")
        self._stop()
        # What waits is not sent any more: the key may read nothing from here on.
        self._outbox.close(
            block(websocket_messages.error(StreamErrorCode.UNAUTHORIZED, "the key has ended"), event="problem")
        )
        self._loop.call_later(CLOSE_SECONDS if self._stream.writing() else 0, self.abort)

    def report_halt(self, halt: Halt, *, began: bool) -> None:
        """Send a notice if the halt concerns orders that the peer may follow."""
        if self.caller.sees is None or halt.covers(self.caller.owner):
            self.send(block(websocket_messages.halt_notice(halt, began=began), event="notice"))

    def abort(self) -> None:
        """Close the connection."""
        self._outbox.close()
        self._stream.close()

    # Liveness

    def _heartbeat(self) -> None:
        if self._outbox.size:
            if not self._moved:
                self._metrics.event_stream_closed("silent")
                self.abort()
                return
            self._moved = False
        elif self._sink is not None:
            self.send(self._sink.heartbeat())
        self._beat = self._loop.call_later(self._settings.ping_seconds, self._heartbeat)

    def _progressed(self) -> None:
        self._moved = True

    def _overflowed(self) -> None:
        self._metrics.event_stream_closed("slow")
        self.abort()


def _whole(data: bytes) -> tuple[bytes]:
    return (data,)


def _head(headers: Mapping[str, str]) -> bytes:
    # Without a length and without chunks: the body ends with the connection. So nothing of what is between can wait for
    # the end of a chunk, and an end is no error in any browser.
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode("latin-1")
