"""Writes stdout and stderr on threads, so that a blocked reader stops neither the event loop nor the exit.

A reader blocks when a pipe is full, a terminal is stopped or a disk is full. Up to `LIMIT` bytes are buffered for it;
further lines are dropped and counted, and the count is written when there is room again.
"""

import io
import os
import select
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Protocol

LIMIT = 1 << 20
"""Bytes that are buffered for a reader."""
CHUNK = 65_536
"""Bytes per write."""
CLOSE_SECONDS = 1.0
"""How long the exit waits for a reader."""
RETRY_SECONDS = 1.0
"""The pause after a failed write (full disk, closed pipe) before the next try."""


class Notices(Protocol):
    """Produces the lines that a writer adds by itself. Called on the writer's thread."""

    def dropped(self, count: int) -> str:
        """The line about `count` dropped lines."""

    def due(self, *, everything: bool) -> list[str]:
        """The lines that are due now; with `everything`, also those that become due later."""


class PlainNotices:
    """Notices in plain text, for a writer without a logger."""

    def dropped(self, count: int) -> str:
        """The line about `count` dropped lines."""
        return f"dexexec: {count} lines were dropped because the reader was too slow\n"

    def due(self, *, everything: bool) -> list[str]:
        """No lines: nothing is sampled here."""
        return []


class ThreadedWriter(io.TextIOBase):
    """A text stream over a file descriptor. `write` never blocks and never fails."""

    def __init__(self, descriptor: int, limit: int = LIMIT) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._limit = limit
        self._notices: Notices = PlainNotices()
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._chunk = memoryview(b"")
        """The bytes that the thread is writing. They count in `_size` until they are written."""
        self._size = 0
        self._dropped = 0
        self._closing = False
        self._ended = False
        self._thread: threading.Thread | None = None

    def use_notices(self, notices: Notices) -> None:
        """Produce notices with the logger's format, including the lines that its sampler dropped."""
        self._notices = notices

    def fileno(self) -> int:
        """The file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether the descriptor is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str, /) -> int:
        """Queue `text`, or drop it when the buffer is full."""
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            if self._ended or self._size + len(data) > self._limit:
                self._dropped += max(1, text.count("\n"))
            elif data:
                self._queue(data)
                self._changed.notify_all()
        return len(text)

    def close(self) -> None:
        """Flush the buffer for at most `CLOSE_SECONDS`. Later writes are dropped."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if self._thread is not None:
                self._changed.wait_for(lambda: self._ended, CLOSE_SECONDS)
            self._ended = True

    def _queue(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)
        # Started with the first line: a short command that prints nothing needs no thread.
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="output writer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        # At its end the main thread blocks the signals, and Python restores their default actions. A signal that found
        # this thread then would kill the process, and so change its exit code.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
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
        """Move queued lines into the chunk. With an empty queue, wait for lines at most until notices may be due."""
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
        """Account for `size` written bytes of the chunk. 0 means that the write failed: pause before the next try."""
        with self._changed:
            self._chunk = self._chunk[size:]
            self._size -= size
            # During the exit a failed write is final: a full disk must not delay it.
            if not size and self._closing:
                self._ended = True
                self._changed.notify_all()
            elif not size:
                self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)

    def _put(self) -> int:
        """Write the chunk; the number of bytes written, 0 on failure. Blocks while the reader does not read."""
        while True:
            try:
                return os.write(self._descriptor, self._chunk)
            except BlockingIOError:  # another process that shares the descriptor has made it non-blocking
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
            except OSError:
                return 0


@contextmanager
def threaded_output() -> Iterator[None]:
    """Replace `sys.stdout` and `sys.stderr` by threaded writers for the block, if they have file descriptors.

    An unexpected exception is printed to the new `sys.stderr` and becomes `SystemExit(1)`.
    """
    out = _writer(sys.stdout)
    err = _writer(sys.stderr)
    try:
        with redirect_stdout(out or sys.stdout), redirect_stderr(err or sys.stderr):
            try:
                yield
            except Exception as error:  # noqa: BLE001 - it ends the process
                # Printed here: after the block, Python would print it to the real stderr and could block for ever.
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
