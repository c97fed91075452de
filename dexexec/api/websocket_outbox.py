"""The send queue of a WebSocket or an event stream: bounded in bytes, written as fast as the peer reads, without a task
while idle.

Messages of one turn of the event loop go out in one write, and the next write starts when the kernel has accepted the
one before, so nothing accumulates in Tornado.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable

from tornado.iostream import IOStream, StreamClosedError

MAX_WRITE = 65_536
"""Bytes of one write, which a later message for a reading peer may have to wait for."""
SEND_BUFFER = 131_072
"""The kernel's send buffer for the peer (bytes). By default it may grow to megabytes for each stuck peer."""
HEADER = 10
"""The longest header of a frame (bytes): each message counts with its own size plus this."""
HEADROOM = 4_096
"""Room in the stream's buffer for pings, pongs and the close frame."""


def text_frame(payload: bytes) -> tuple[bytes, bytes]:
    """A complete text message as header and payload: FIN and opcode 1, not masked (RFC 6455, section 5.2)."""
    # Made here because Tornado's `write_message` starts a task per message. A server's frames are not masked and
    # compression is off, so a frame is a header and the event's own bytes, which all sockets share.
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x81, size), payload
    if size <= 0xFFFF:
        return struct.pack("!BBH", 0x81, 126, size), payload
    return struct.pack("!BBQ", 0x81, 127, size), payload


class Outbox:
    """At most `limit` bytes wait, including those in Tornado; one message more calls `overflow` instead.

    A message that is larger than the limit is accepted when nothing else waits.
    """

    __slots__ = (
        "_closed",
        "_frame",
        "_in_flight",
        "_limit",
        "_overflow",
        "_progress",
        "_queue",
        "_queued",
        "_stream",
        "_waiting",
    )

    def __init__(
        self,
        stream: IOStream,
        limit: int,
        overflow: Callable[[], None],
        progress: Callable[[], None],
        frame: Callable[[bytes], tuple[bytes, ...]] = text_frame,
    ) -> None:
        """`progress` is called whenever a peer that was waited for has read something. `frame` makes the bytes of a
        message."""
        self._frame = frame
        self._stream = stream
        self._limit = limit
        self._overflow = overflow
        self._progress = progress
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._in_flight = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False
        stream.max_write_buffer_size = limit + HEADROOM

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._queued + self._in_flight

    def send(self, payload: bytes) -> None:
        """Queue a text message. Calls `overflow` when too much waits; a closed outbox drops it."""
        if self._closed:
            return
        # An empty outbox accepts any message: a single event may be larger than the limit.
        if self.size and self.size + len(payload) + HEADER > self._limit:
            self._overflow()
            return
        # Not written at once: all messages of this turn of the event loop then share one write.
        if not self._queue and not self._in_flight:
            asyncio.get_running_loop().call_soon(self._write)
        self._queue.append(payload)
        self._queued += len(payload) + HEADER

    async def room(self, size: int) -> None:
        """Wait until `size` more bytes leave half of the limit free for live events."""
        while self.size and self.size + size + HEADER > self._limit // 2 and not self._closed:
            await self._progressed()

    async def drained(self) -> None:
        """Wait until the kernel has taken everything, or the outbox is closed."""
        while self.size and not self._closed:
            await self._progressed()

    async def _progressed(self) -> None:
        progress = asyncio.get_running_loop().create_future()
        self._waiting.append(progress)
        await progress

    def close(self, last: bytes | None = None) -> None:
        """Drop waiting messages. `last` is still sent, after what the kernel has started to take."""
        if self._closed:
            return
        self._closed = True
        self._queue.clear()
        self._queued = 0
        self._make_room()
        if last is not None and not self._stream.closed():
            self._stream.write(b"".join(self._frame(last)))

    def _write(self) -> None:
        while self._queue and not self._in_flight:
            parts: list[bytes] = []
            size = 0
            while self._queue and (not size or size + len(self._queue[0]) + HEADER <= MAX_WRITE):
                payload = self._queue.popleft()
                parts += self._frame(payload)
                size += len(payload) + HEADER
            self._queued -= size
            # For a message above the limit, which Tornado would refuse.
            self._stream.max_write_buffer_size = max(self._limit, size) + HEADROOM
            try:
                written = self._stream.write(b"".join(parts))
            except StreamClosedError:  # the handler gets a callback for this
                self.close()
                return
            if not written.done():
                self._in_flight = size
                written.add_done_callback(self._written)
        self._make_room()

    def _written(self, written: "asyncio.Future[None]") -> None:
        self._in_flight = 0
        if written.cancelled() or written.exception() is not None:
            self.close()
            return
        self._progress()
        self._write()

    def _make_room(self) -> None:
        # Each of them looks again whether there is room for what it has.
        waiting, self._waiting = self._waiting, []
        for progress in waiting:
            if not progress.done():
                progress.set_result(None)
