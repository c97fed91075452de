"""Runs the loops that look after resting orders, in one worker process of all: the living worker with the lowest id.

Each process has the loops, and they do nothing while another one leads. Two leaders for a moment are harmless: each
effect is decided by the order's row.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer


class Duty(Protocol):
    """Something that the leader does again and again."""

    @property
    def name(self) -> str:
        """What it does, for the log: "triggering orders"."""

    async def turn(self) -> None:
        """Do it once. Raises `UnavailableError`."""

    def resign(self) -> None:
        """Called when this process does not lead any more: forget what was learned while it led."""


class LeaderStore(Protocol):
    """The part of `dexexec.store.Store` that the leader uses."""

    async def leads(self, worker: int) -> bool:
        """Whether this worker session is the leader."""


class Leader:
    """Gives each duty a turn every `interval` (seconds) while this process leads."""

    def __init__(
        self, store: LeaderStore, duties: Sequence[Duty], interval: float, *, clock: Clock, observer: Observer
    ) -> None:
        self._store = store
        self._duties = duties
        self._interval = interval
        self._clock = clock
        self._observer = observer
        self._leads = False

    async def run(self, worker: int) -> None:
        """Look after resting orders as the worker session `worker`, until cancelled."""
        try:
            async with asyncio.TaskGroup() as loops:
                # A loop for each duty, so that a slow one, such as waiting for quotes, does not delay the others.
                loops.create_task(self._repeat("leading", lambda: self._elect(worker)))
                for duty in self._duties:
                    loops.create_task(self._repeat(duty.name, duty.turn, led=True))
        finally:
            self._stop_leading()

    async def _elect(self, worker: int) -> None:
        if await self._store.leads(worker):
            self._leads = True
        else:
            self._stop_leading()

    def _stop_leading(self) -> None:
        if self._leads:
            self._leads = False
            for duty in self._duties:
                duty.resign()

    async def _repeat(self, name: str, action: Callable[[], Awaitable[None]], *, led: bool = False) -> None:
        down_since: float | None = None
        while True:
            try:
                if self._leads or not led:
                    await action()
            except UnavailableError as error:
                if down_since is None:
                    down_since = self._clock.monotonic()
                    self._observer.server_unavailable(name, error)
            except asyncio.CancelledError:
                raise_if_cancelled()  # otherwise something that the turn waited for was cancelled: the next one repeats
            except Exception as error:  # noqa: BLE001 - a bug must cost one turn, not the whole worker
                self._observer.duty_failed(name, error)
            else:
                if down_since is not None:
                    self._observer.server_recovered(name, self._clock.monotonic() - down_since)
                    down_since = None
            raise_if_cancelled()
            await self._clock.sleep(self._interval)
