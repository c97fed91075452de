"""Writes standard output and standard error of a service on threads of their own.

A reader that does not read (a full pipe, a stopped terminal, a full disk) then stops neither the event loop nor the
exit. At most `LIMIT` bytes wait for it; what does not fit is dropped and counted, and the count is written once
there is room again.
"""

import io
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Protocol

LIMIT = 1 << 20
"""Bytes that may wait for a reader."""
CHUNK = 65_536
"""Bytes that are handed to the system at once."""
CLOSE_SECONDS = 1.0
"""How long the exit may wait for a reader."""
RETRY_SECONDS = 1.0
"""The pause before a write is repeated that the system refused: a full disk, a pipe whose reader has gone."""


class Notices(Protocol):
    """What a writer adds by itself. Called on its thread."""

    def dropped(self, count: int) -> str:
        """The line that says how many lines were dropped."""

    def due(self, *, everything: bool) -> list[str]:
        """Lines that have become due meanwhile; with `everything`, those that would become due later as well."""


class PlainNotices:
    """For a writer that no logger uses."""

    def dropped(self, count: int) -> str:
        """As a comment in the text."""
        return f"dexexec: {count} lines were dropped, because nobody read them fast enough\n"

    def due(self, *, everything: bool) -> list[str]:
        """None."""
        return []


class ThreadedWriter(io.TextIOBase):
    """A text stream over a file descriptor. `write` never blocks and never fails."""

    def __init__(self, descriptor: int, limit: int = LIMIT) -> None:
        super().__init__()
        self._descriptor, self._limit = descriptor, limit
        self._notices: Notices = PlainNotices()
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._chunk = memoryview(b"")
        """What the thread is writing. It counts in `_size` until it is written."""
        self._size = 0
        self._dropped = 0
        self._closing = self._ended = False
        self._thread: threading.Thread | None = None

    def announce_by(self, notices: Notices) -> None:
        """Use the logger's own format for what this adds, and let it add what the logger has left out."""
        self._notices = notices

    def fileno(self) -> int:
        """The file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether people read it."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str, /) -> int:
        """Queue `text`, or drop it where too much waits already."""
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            if self._ended or self._size + len(data) > self._limit:
                self._dropped += max(1, text.count("\n"))
            elif data:
                self._queue(data)
                self._changed.notify_all()
        return len(text)

    def close(self) -> None:
        """Write what waits, for `CLOSE_SECONDS` at most; what is written later is dropped."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if self._thread is not None:
                self._changed.wait_for(lambda: self._ended, CLOSE_SECONDS)
            self._ended = True

    def _queue(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="output writer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._ended:
            self._take()
            while self._chunk and not self._ended:
                self._written(self._put())
            for line in self._notices.due(everything=self._closing):
                self.write(line)
            with self._changed:
                if self._closing and not self._waiting and not self._dropped:
                    self._ended = True
                    self._changed.notify_all()

    def _take(self) -> None:
        """Fill the chunk from what waits, and wait for that until notices may have become due."""
        with self._changed:
            if not self._waiting and self._dropped:
                self._queue(self._notices.dropped(self._dropped).encode())
                self._dropped = 0
            elif not self._waiting and not self._closing:
                self._changed.wait(RETRY_SECONDS)
            taken: list[bytes] = []
            size = 0
            while self._waiting and (not taken or size + len(self._waiting[0]) <= CHUNK):
                taken.append(self._waiting.popleft())
                size += len(taken[-1])
            self._chunk = memoryview(b"".join(taken))

    def _written(self, size: int) -> None:
        """The system took so many bytes of the chunk; 0: it refuses them for now, and is asked again."""
        with self._changed:
            self._chunk = self._chunk[size:]
            self._size -= size
            if not size and self._closing:
                self._ended = True
                self._changed.notify_all()
            elif not size:
                self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)

    def _put(self) -> int:
        """Bytes that the system took; 0 where it refuses them. Blocks while the reader does not read."""
        while True:
            try:
                return os.write(self._descriptor, self._chunk)
            except BlockingIOError:  # somebody who shares the descriptor has made it non-blocking
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
            except OSError:
                return 0


@contextmanager
def threaded_output() -> Iterator[None]:
    """Replace `sys.stdout` and `sys.stderr` by such writers while the block lasts, where they have file descriptors.

    An exception that nobody foresaw is printed to the new `sys.stderr` and becomes `SystemExit(1)`: printed later, by
    Python itself, it could wait for its reader for ever.
    """
    out, err = _writer(sys.stdout), _writer(sys.stderr)
    try:
        with redirect_stdout(out or sys.stdout), redirect_stderr(err or sys.stderr):
            try:
                yield
            except Exception as error:  # noqa: BLE001 - it ends the process
                sys.excepthook(type(error), error, error.__traceback__)
                raise SystemExit(1) from None
    finally:
        for writer in (out, err):
            if writer is not None:
                writer.close()


def _writer(stream: object) -> ThreadedWriter | None:
    try:
        assert isinstance(stream, io.TextIOBase)  # noqa: S101
        stream.flush()
        return ThreadedWriter(stream.fileno())
    except (AssertionError, OSError, ValueError):
        return None
