"""An event loop with virtual time, for several simulated processes at once."""

# Waiting costs no time: when nothing is ready, time jumps to the next timer. Each `Process` is served in the order that
# asyncio promises (first come, first served); the seed draws which process comes next, as between real processes. The
# context of a callback shows which process it belongs to, so that one can be frozen (SIGSTOP: its callbacks and timers
# wait) and killed (SIGKILL: they never run, and no `finally` has an effect).

import asyncio
import contextvars
import heapq
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Process:
    """What can be frozen and killed as a whole."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[_Call] = deque()
        self.frozen = self.dead = False
        self.moves = True
        """Neither frozen nor dead."""
        self.awake = False
        """Whether it has something to do, and may."""


WORLD = Process("world")
PROCESS = contextvars.ContextVar("PROCESS", default=WORLD)


class StuckError(Exception):
    """Nothing will ever happen again, or it never ends."""


class _Call:
    """A callback that waits for its turn, and the handle to cancel it."""

    __slots__ = ("_cancelled", "_when", "args", "callback", "context", "process")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context, when: float
    ) -> None:
        self.callback, self.args, self.context, self._when = callback, args, context, when
        self.process = context.get(PROCESS, WORLD)
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled

    def when(self) -> float:
        return self._when


class VirtualLoop(asyncio.BaseEventLoop):
    """`steps` bounds how many callbacks may run, so that an endless loop ends the scenario."""

    def __init__(self, rng: random.Random, steps: int = 3_000_000) -> None:
        super().__init__()
        self._rng, self._steps_left = rng, steps
        self._virtual_now = 0.0
        self._timers: list[tuple[float, int, _Call]] = []
        self._timer_count = 0
        self._awake: list[Process] = []
        self._world_context = contextvars.Context()
        self.unhandled: list[BaseException] = []
        self._tasks: list[asyncio.Task[Any]] = []

    # What asyncio asks of a loop

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._virtual_now

    def get_debug(self) -> bool:
        """Never."""
        return False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> _Call:
        """As soon as its process has its turn."""
        call = _Call(callback, args, context or contextvars.copy_context(), 0.0)
        self._make_ready(call)
        return call

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> _Call:
        """After `delay` virtual seconds."""
        return self._at(self._virtual_now + delay, callback, args, context or contextvars.copy_context())

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> _Call:
        """At that virtual time."""
        return self._at(when, callback, args, context or contextvars.copy_context())

    def _at(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context
    ) -> _Call:
        call = _Call(callback, args, context, when)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, call))
        return call

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[T]":
        """A task that is kept to the end: those of a dead process must not be collected, which would run their
        `finally` blocks."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep it for the promise checks."""
        error = context.get("exception")
        self.unhandled.append(error if isinstance(error, BaseException) else RuntimeError(context.get("message")))

    # Processes

    def schedule(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        """Call after `delay` seconds, independently of every process: servers and the network go on when a process
        dies."""
        self._at(self._virtual_now + delay, callback, args, self._world_context)

    def start(self, process: Process, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run `work`, and every task and callback it starts, as part of `process`."""
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        return self.create_task(work, context=context)

    def freeze(self, process: Process) -> None:
        """Stop it at once."""
        process.frozen = True
        self._rest(process, moves=False)

    def thaw(self, process: Process) -> None:
        """Let it go on."""
        process.frozen = False
        process.moves = not process.dead
        if process.ready and process.moves and not process.awake:
            process.awake = True
            self._awake.append(process)

    def kill(self, process: Process) -> None:
        """Stop it for good."""
        process.dead = True
        self._rest(process, moves=False)

    def revive(self, process: Process) -> None:
        """Let a killed process run again so that its tasks can be cancelled: only at the end of a scenario."""
        process.dead = False
        self.thaw(process)

    def _rest(self, process: Process, *, moves: bool) -> None:
        process.moves = moves
        if process.awake:
            process.awake = False
            self._awake.remove(process)

    # Running

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` to its end. Raises `StuckError` when that cannot come."""
        events._set_running_loop(self)
        try:
            task = self.create_task(main)
            while not task.done():
                self._turn()
            return task.result()
        finally:
            events._set_running_loop(None)

    def _turn(self) -> None:
        """Let one process do what is ready, or let time pass."""
        if not self._awake:
            self._jump()
            return
        awake = self._awake
        place = int(self._rng.random() * len(awake)) if len(awake) > 1 else 0
        process = awake[place]
        ready = process.ready
        self._steps_left -= len(ready)
        if self._steps_left < 0:
            raise StuckError("it turns in circles")
        for _ in range(len(ready)):
            if not process.moves:  # it was struck by what it did
                return
            call = ready.popleft()
            if not call._cancelled:
                call.context.run(call.callback, *call.args)
        if not ready and process.moves:
            self._rest(process, moves=True)

    def _jump(self) -> None:
        """Go to the next timer, and make everything ready that is due then."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise StuckError("everybody waits for something that nobody does")
        self._virtual_now = max(self._virtual_now, timers[0][0])
        while timers and timers[0][0] <= self._virtual_now:
            call = heapq.heappop(timers)[2]
            if not call._cancelled:
                self._make_ready(call)

    def _make_ready(self, call: _Call) -> None:
        process = call.process
        process.ready.append(call)
        if process.moves and not process.awake:
            process.awake = True
            self._awake.append(process)
