"""The connection of one client, with its phase and the time limit of that phase.

`dexexec.api.server` creates one for each accepted connection, and `dexexec.api.body_limit` moves it from phase to
phase. One timer checks the time limits of all connections (`ConnectionTable`): a timer per request would cost more than
reading the request.
"""

import asyncio
import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Protocol

from tornado.iostream import IOStream, SSLIOStream

_ENDED = select.POLLHUP | select.POLLERR
_PEER_CLOSED = getattr(select, "POLLRDHUP", 0)  # only Linux has it


BARE_REFUSAL = b"HTTP/1.1 400 Bad Request\r\n\r\n"
"""What Tornado writes to a request that it cannot parse, before it calls any handler."""


class Phase(Enum):
    """What a connection currently waits for."""

    HANDSHAKE = "the end of a TLS handshake"
    REQUEST = "headers of a request"
    BODY = "the body of a request"
    ANSWER = "the client to take its answer"
    DETACHED = "nothing: it became a WebSocket, which has limits of its own"


class Connection(Protocol):
    """The part of a connection that `ConnectionTable` uses."""

    client: str
    phase: Phase
    since: float
    first_byte_at: float
    unread: int

    def close(self) -> None:
        """End it now."""


class StreamOwner(Protocol):
    """The part of `ConnectionTable` that a connection uses."""

    def moved(self, stream: Connection) -> None:
        """A connection has entered another phase."""

    def closed(self, stream: Connection) -> None:
        """A connection has been closed, and its descriptor is free."""


class ClientStream(IOStream):
    """`client` is the address that the connection counts for, and `proxied` whether it is a trusted proxy's. `since` is
    the start of its phase, and `first_byte_at` the time of the first byte in it (seconds, monotonic; 0: none yet)."""

    def __init__(
        self,
        connection: socket.socket,
        owner: StreamOwner,
        client: str,
        *,
        proxied: bool,
        refusal: Callable[["ClientStream"], bytes],
        early: Callable[[bytes], tuple[int, bytes] | None] = lambda _: None,
        buffer: int,
        chunk: int,
    ) -> None:
        """`refusal` makes the answer to a request that cannot be parsed, and `early` that to one which is refused by
        its head alone, with the length of the body that follows. `buffer` bounds what is read ahead of handling,
        `chunk` what is read at once (bytes)."""
        super().__init__(connection, max_buffer_size=buffer, read_chunk_size=chunk)
        self._owner = owner
        self._refusal = refusal
        self._early = early
        self._loop = asyncio.get_running_loop()
        self._on_answered: Callable[[], None] | None = None
        self.client = client
        self.proxied = proxied
        self.phase = Phase.REQUEST
        self.since = self._loop.time()
        self.first_byte_at = 0.0
        self.unread = 0
        """Bytes of answers that the kernel has not accepted yet."""

    def enter(self, phase: Phase) -> None:
        """Enter a phase; its time starts now."""
        self.phase = phase
        self.since = self._loop.time()
        self.first_byte_at = 0.0
        self._tell_answered()
        if not self.closed():
            self._owner.moved(self)

    def peer_is_gone(self) -> bool:
        """Whether the client has closed the connection, also if Tornado has not noticed because of unread requests.
        Half-closed counts as closed, as in Tornado."""
        if self.closed():
            return True
        poll = select.poll()
        poll.register(self.socket, _PEER_CLOSED)
        return any(events & (_ENDED | _PEER_CLOSED) for _, events in poll.poll(0))

    async def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> bytes:
        """Called by Tornado for the head of each request. Those that are refused early do not get to Tornado."""
        while True:
            head = await super().read_until_regex(regex, max_bytes)
            refused = self._early(head)
            if refused is None:
                return head
            length, answer = refused
            self.enter(Phase.BODY)
            await self.read_bytes(length)
            self.enter(Phase.ANSWER)
            await self.write(answer)
            self.enter(Phase.REQUEST)
            # What a client sends ahead is in the buffer: without this, all of it would be answered in one turn.
            await asyncio.sleep(0)

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Called by Tornado for each read."""
        size = super().read_from_fd(buf)
        if size and not self.first_byte_at:
            self.first_byte_at = self._loop.time()
        return size

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        """Called by Tornado, and by the WebSocket's outbox."""
        # Tornado has no other place where its answer could be replaced. A client that has gone gets none.
        if data == BARE_REFUSAL and not self.closed():
            data = self._refusal(self)
        future = super().write(data)
        self.unread += len(data)
        return future

    def write_to_fd(self, data: memoryview) -> int:
        """Called by Tornado for each write."""
        size = super().write_to_fd(data)
        self.unread -= size
        return size

    def close_fd(self) -> None:
        """Called by Tornado once, when either side closes the connection."""
        super().close_fd()
        self._owner.closed(self)
        self._tell_answered()

    def when_answered(self, callback: Callable[[], None]) -> None:
        """Call back once the client has read the answer to its request, or the connection has ended."""
        self._on_answered = callback
        if self.closed():
            self._tell_answered()

    def _tell_answered(self) -> None:
        callback, self._on_answered = self._on_answered, None
        if callback is not None:
            callback()


class SecureStream(ClientStream, SSLIOStream):
    """A `ClientStream` over TLS, whose handshake is over."""

    def close_fd(self) -> None:
        """Called by Tornado once. Announces the end, without which the client could not tell it from an attack."""
        with suppress(OSError, ValueError):
            self.socket.unwrap()
        super().close_fd()


def end_writing(stream: IOStream) -> None:
    """Close the sending half of a connection. Raises `OSError`."""
    if isinstance(stream, SSLIOStream):
        # `shutdown` would end the decryption of what the client still sends.
        with suppress(ssl.SSLWantReadError):  # the client's own end is not awaited
            stream.socket.unwrap()
    else:
        stream.socket.shutdown(socket.SHUT_WR)
