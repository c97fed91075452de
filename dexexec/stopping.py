"""Ctrl-C and SIGTERM, from the first moment of a process to its last.

They are noted and never raised: an exception in the middle of starting or stopping a server would leave it behind.
Installed once and never replaced, not even by the event loop, so that no signal falls into a gap between two handlers.
"""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Whether the process was asked to stop. Made in the main thread, before anything that must be stopped."""

    def __init__(self) -> None:
        self.asked = False
        self._told: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        for number in SIGNALS:
            signal.signal(number, lambda _number, _frame: self.ask())

    @contextmanager
    def event(self) -> Iterator[asyncio.Event]:
        """An event of the running loop that is set once the process is asked to stop, before or inside the block."""
        event = asyncio.Event()
        self._told = asyncio.get_running_loop(), event
        try:
            if self.asked:
                event.set()
            yield event
        finally:
            self._told = None

    def over(self) -> None:
        """All is stopped: a signal now could only spoil the exit code while the interpreter ends. It is held back, not
        ignored: one that came a moment ago still looks for its handler."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def ask(self) -> None:
        """Ask it to stop, as a signal does; from any thread."""
        self.asked = True
        if self._told is not None:
            loop, event = self._told
            loop.call_soon_threadsafe(event.set)


async def first_of(stop: asyncio.Event, tasks: Sequence[asyncio.Future[None]]) -> None:
    """Wait for the stop; a task that ends before it has failed, and so has the process."""
    for task in tasks:
        task.add_done_callback(lambda _: stop.set())
    await stop.wait()
    for task in tasks:
        if task.done():
            task.result()
            raise RuntimeError("a part of the process ended by itself")
