"""Ctrl-C and SIGTERM, from the first moment of a process to its last.

They are noted and never raised: an exception in the middle of starting or stopping a server would leave it behind.
Installed once and never replaced, not even by the event loop, so that no signal falls into a gap between two handlers.
Every wait on the way down has a bound; `StopRequest.bounded` is for what hangs all the same.
"""

import asyncio
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)
END_SECONDS = 10.0
"""What a process may take to end, beside DEXEXEC_DRAIN_SECONDS for the orders in flight."""


class StopRequest:
    """Whether the process was asked to stop. Made in the main thread, before anything that must be stopped."""

    def __init__(self) -> None:
        self.requested = False
        self._told: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._ending: queue.SimpleQueue[None] = queue.SimpleQueue()  # the one thing that a signal's handler may put to
        self._ended = threading.Event()
        for number in SIGNALS:
            signal.signal(number, lambda _number, _frame: self.request())

    @contextmanager
    def event(self) -> Iterator[asyncio.Event]:
        """An event of the running loop that is set once the process is asked to stop, before or inside the block."""
        event = asyncio.Event()
        self._told = asyncio.get_running_loop(), event
        try:
            if self.requested:
                event.set()
            yield event
        finally:
            self._told = None
            self._ending.put(None)  # also when a part has failed: from here on it can only end

    @contextmanager
    def bounded(self, seconds: float, then: Callable[[], None]) -> Iterator[None]:
        """Call `then`, in a thread, when the block has not ended so long after the process was asked to stop."""
        threading.Thread(target=self._watch, args=(seconds, then), name="end watcher", daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()

    def _watch(self, seconds: float, then: Callable[[], None]) -> None:
        self._ending.get()
        if not self._ended.wait(seconds):
            then()

    def block_signals(self) -> None:
        """All is stopped: a signal now could only spoil the exit code while the interpreter ends. It is held back, not
        ignored: one that came a moment ago still looks for its handler."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def request(self) -> None:
        """Ask it to stop, as a signal does; from any thread."""
        self.requested = True
        self._ending.put(None)
        if self._told is not None:
            loop, event = self._told
            loop.call_soon_threadsafe(event.set)


async def wait_for_stop(stop: asyncio.Event, tasks: Sequence[asyncio.Future[None]]) -> None:
    """Wait for the stop; a task that ends before it has failed, and so has the process."""
    for task in tasks:
        task.add_done_callback(lambda _: stop.set())
    await stop.wait()
    for task in tasks:
        if task.done():
            task.result()
            raise RuntimeError("a part of the process ended by itself")
