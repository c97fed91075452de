"""A tap that reads a client's messages to Postgres, to find the moment at which a certain statement is executed.

A prepared statement's text is sent once and its executions only name it, so the tap keeps the names (protocol 3:
Parse, Bind and Query; https://www.postgresql.org/docs/current/protocol-message-formats.html).
"""

import struct
from collections.abc import Iterator

STARTUP_ENDS = {3 << 16, 3 << 16 | 2}
"""Protocol versions: a packet with one of these starts the session proper. Others request encryption first."""


class Execution:
    """True for the bytes in which a statement containing `text` is executed for at least one row (`json_rows`)."""

    def __init__(self, text: str) -> None:
        self._text = text.encode()
        self._buffer = b""
        self._started = False
        self._named: set[bytes] = set()

    def __call__(self, data: bytes) -> bool:
        self._buffer += data
        found = False
        while (message := self._next()) is not None:
            found |= self._executes(*message)
        return found

    def _next(self) -> tuple[bytes, bytes] | None:
        """The next whole message: its type (empty before the session begins) and body."""
        offset = 1 if self._started else 0
        if len(self._buffer) < offset + 4:
            return None
        end = offset + int(struct.unpack_from("!I", self._buffer, offset)[0])
        if len(self._buffer) < end:
            return None
        kind, body, self._buffer = self._buffer[:offset], self._buffer[offset + 4 : end], self._buffer[end:]
        return kind, body

    def _executes(self, kind: bytes, body: bytes) -> bool:
        match kind:
            case b"":
                self._started = struct.unpack_from("!I", body)[0] in STARTUP_ENDS
            case b"P":
                name, query, _ = body.split(b"\0", 2)
                self._named.discard(name)
                if self._text in query:
                    self._named.add(name)
            case b"B":
                _, name, rest = body.split(b"\0", 2)
                return name in self._named and any(value not in {None, b"[]"} for value in _parameters(rest))
            case b"Q":
                return self._text in body
        return False


def _parameters(bind: bytes) -> Iterator[bytes | None]:
    """What a Bind message gives to its statement, after the names."""
    (formats,) = struct.unpack_from("!H", bind)
    place = 2 + 2 * formats
    (count,) = struct.unpack_from("!H", bind, place)
    place += 2
    for _ in range(count):
        (length,) = struct.unpack_from("!i", bind, place)
        place += 4
        yield None if length < 0 else bind[place : place + length]
        place += max(length, 0)
