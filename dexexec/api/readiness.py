"""Whether an order posted now would be executed, found out by writing as an order is written.

However many ask, there is one look at a time, and one a second at most: whoever asks meanwhile is told what it finds.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception
from dexexec.errors import UnavailableError

FRESH_SECONDS = 1.0
"""How old an answer may be."""
LOOK_SECONDS = 2.0
"""What one look may take: shorter than what probers usually wait for an answer."""


class ReadyStore(Protocol):
    """What is needed of `dexexec.store.Store`."""

    async def check_writes(self) -> None:
        """Raises `UnavailableError` unless Postgres takes writes."""

    async def worker_trouble(self) -> str | None:
        """None without a living worker; else why no worker can execute orders now, or nothing."""

    async def signing_stopped(self) -> bool:
        """Whether a worker may not sign at present, as record and chain are not compared yet."""


class ReadyQueue(Protocol):
    """What is needed of `dexexec.broker.queue.Queue`."""

    async def check_writes(self) -> None:
        """Raises `UnavailableError` unless Redis takes writes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is missing, each with the cause; and when it was looked for (monotonic seconds)."""

    causes: dict[str, str]
    at: float

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return not self.causes


class Readiness:
    """One per process."""

    def __init__(self, store: ReadyStore, queue: ReadyQueue, clock: Clock) -> None:
        self._store, self._queue, self._clock = store, queue, clock
        self._answer: Answer | None = None
        self._looking: asyncio.Task[Answer] | None = None

    async def answer(self) -> Answer:
        """At most `FRESH_SECONDS` old, unless a look that takes longer is waited for."""
        if self._answer is not None and self._clock.monotonic() - self._answer.at < FRESH_SECONDS:
            return self._answer
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="readiness")
            self._looking.add_done_callback(ignore_exception)
        return await asyncio.shield(self._looking)

    async def _look(self) -> Answer:
        at = self._clock.monotonic()
        try:
            causes = await asyncio.gather(self._postgres(), self._redis(), self._worker(), self._comparison())
        finally:
            self._looking = None
        self._answer = Answer({name: cause for found in causes for name, cause in found.items()}, at)
        return self._answer

    async def _postgres(self) -> dict[str, str]:
        with _noting("postgres", "Postgres does not commit in time") as causes:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._store.check_writes()
        return causes

    async def _redis(self) -> dict[str, str]:
        with _noting("redis", "Redis does not answer in time") as causes:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._queue.check_writes()
        return causes

    async def _worker(self) -> dict[str, str]:
        with _noting("worker", "Postgres does not tell in time whether one is alive") as causes:
            async with asyncio.timeout(LOOK_SECONDS):
                trouble = await self._store.worker_trouble()
                if trouble is None:
                    return {"worker": "none is alive"}
                if trouble:
                    return {"node": trouble}
        return causes

    async def _comparison(self) -> dict[str, str]:
        with contextlib.suppress(UnavailableError, TimeoutError):  # then Postgres is what is missing
            async with asyncio.timeout(LOOK_SECONDS):
                if await self._store.signing_stopped():
                    return {"chain-comparison": "nothing is signed until record and chain are compared"}
        return {}


@contextmanager
def _noting(name: str, late: str) -> Iterator[dict[str, str]]:
    """Causes, to which the one is added that the block fails with."""
    causes: dict[str, str] = {}
    try:
        yield causes
    except UnavailableError as error:
        causes[name] = str(error)
    except TimeoutError:
        causes[name] = late
