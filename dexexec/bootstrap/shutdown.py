"""Handles SIGTERM and Ctrl-C during the whole life of a process.

A signal only sets a flag, since an exception in the middle of starting or stopping a server would leave it running.
The handlers are installed once, before the event loop, and never replaced, so that no signal is lost in between.
"""

import asyncio
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)
END_SECONDS = 10.0
"""How long a stop may take, in addition to DEXEXEC_DRAIN_SECONDS for the orders in flight."""


class StopRequest:
    """Whether a stop was requested. Create it on the main thread, before anything that must be stopped."""

    def __init__(self, *, may_hurry: bool = False) -> None:
        """`may_hurry`: a second request ends what a first one waits for."""
        self.requested = False
        self._may_hurry = may_hurry
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        # A SimpleQueue, because its put() is reentrant: the signal handler may interrupt any other code.
        self._ending: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._ended = threading.Event()
        for number in SIGNALS:
            signal.signal(number, lambda _number, _frame: self.request())

    @contextmanager
    def event(self) -> Iterator[asyncio.Event]:
        """An event of the running loop that is set by a stop request, before or during the block."""
        event = asyncio.Event()
        self._waiting = asyncio.get_running_loop(), event
        try:
            if self.requested:
                event.set()
            yield event
        finally:
            self._waiting = None
            self._ending.put(None)  # the time limit of `bounded` also applies when a part has failed

    @contextmanager
    def bounded(self, seconds: float, then: Callable[[], None]) -> Iterator[None]:
        """Call `then`, on a thread, if the block is still running `seconds` after the stop request."""
        watcher = threading.Thread(target=self._watch, args=(seconds, then), name="end watcher", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._ended.set()
            self._ending.put(None)
            # `block_signals` only works for the thread that calls it: a signal must find no other thread.
            watcher.join()

    def _watch(self, seconds: float, then: Callable[[], None]) -> None:
        self._ending.get()
        if not self._ended.wait(seconds):
            then()

    def block_signals(self) -> None:
        """Block the signals once everything has stopped: one could still change the exit code of the process."""
        # Not ignored: a signal that is already pending still needs its handler.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def request(self) -> None:
        """Request a stop, as a signal does. May be called on any thread."""
        # Of several processes, a child may get the signal twice: from the system and from its parent.
        if self.requested and not self._may_hurry:
            return
        self.requested = True
        self._ending.put(None)
        if self._waiting is not None:
            loop, event = self._waiting
            loop.call_soon_threadsafe(event.set)


async def wait_for_stop(stop: asyncio.Event, tasks: Sequence[asyncio.Future[None]]) -> None:
    """Wait for the stop. Raises the error of a task that ends earlier: the process cannot go on without it."""
    for task in tasks:
        task.add_done_callback(lambda _: stop.set())
    await stop.wait()
    for task in tasks:
        if task.done():
            task.result()
            raise RuntimeError("a part of the process ended by itself")
