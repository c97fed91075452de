"""Checks by writing whether an order posted now would be executed.

There is one check at a time, and at most one per second: all requests meanwhile share its result.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception
from dexexec.domain.halt import EVERYBODY, NO_HALTS, Halt
from dexexec.domain.program_version import Quarantine
from dexexec.domain.worker_trouble import NOT_COMPARED, TroubleKind, WorkerTrouble
from dexexec.errors import UnavailableError

FRESH_SECONDS = 1.0
"""How old a result may be."""
CHECK_SECONDS = 2.0
"""The time limit of a check: shorter than the usual time-out of a health check."""

WORKER = "worker"
MISSING = frozenset({WORKER, TroubleKind.COMPARISON.value})
"""Reports about workers that make the service not ready."""
STOPPING = "the process is about to stop: send requests to another one"


class ReadyStore(Protocol):
    """The part of `dexexec.store.Store` that is used here."""

    async def check_writes(self) -> None:
        """Raises `UnavailableError` unless Postgres accepts writes."""

    async def worker_trouble(self) -> str | None:
        """None without a living worker; else the reason why no worker can execute orders now, or an empty text."""

    async def signing_stopped(self) -> bool:
        """Whether a worker may not sign now, because record and chain are not compared yet."""


class ReadyQueue(Protocol):
    """The part of `dexexec.broker.queue.Queue` that the check uses."""

    async def check_writes(self) -> None:
        """Raises `UnavailableError` unless Redis accepts writes."""


class Halts(Protocol):
    """The part of `dexexec.feed.halt_watch.HaltWatch` that is used here."""

    def all(self) -> Iterable[Halt]:
        """For whom nothing is signed."""


class Quarantines(Protocol):
    """The part of `dexexec.feed.quarantine_watch.QuarantineWatch` that is used here."""

    def all(self) -> Iterable[Quarantine]:
        """The venues that get no orders, because a program of theirs was upgraded."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The missing parts, each with its cause, and the time of the check (monotonic seconds). `degraded` are causes for
    which the service does less than usual, and should still get requests."""

    causes: dict[str, str]
    at: float
    degraded: dict[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether no part is missing."""
        return not self.causes


class Readiness:
    """One per process."""

    def __init__(
        self,
        store: ReadyStore,
        queue: ReadyQueue,
        clock: Clock,
        halts: Halts = NO_HALTS,
        quarantines: Quarantines | None = None,
    ) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._halts = halts
        self._quarantines = quarantines
        self._answer: Answer | None = None
        self._running_check: asyncio.Task[Answer] | None = None
        self.stopping = False
        """Whether the process is about to stop: it still serves requests, and should get no new clients."""

    def stop(self) -> None:
        """From now on the answer is that nothing should be sent here."""
        self.stopping = True

    async def answer(self) -> Answer:
        """The current result: at most `FRESH_SECONDS` old, or of the check that is running."""
        if self.stopping:
            # At once: a load balancer has until the port closes to read this.
            return Answer({"stopping": STOPPING}, self._clock.monotonic())
        if self._answer is not None and self._clock.monotonic() - self._answer.at < FRESH_SECONDS:
            return self._answer
        if self._running_check is None:
            self._running_check = asyncio.create_task(self._check(), name="readiness")
            self._running_check.add_done_callback(ignore_exception)
        # Shielded: a prober that disconnects must not cancel the check for the others.
        return await asyncio.shield(self._running_check)

    async def _check(self) -> Answer:
        at = self._clock.monotonic()
        try:
            *causes, worker = await asyncio.gather(self._postgres(), self._redis(), self._comparison(), self._worker())
        finally:
            self._running_check = None
        missing = {name: cause for found in causes for name, cause in found.items()}
        degraded = halt_causes(self._halts.all())
        if self._quarantines is not None:
            degraded |= quarantine_causes(self._quarantines.all())
        # A worker that lives and waits for nodes or venues is no reason to send requests elsewhere: reads and cancels
        # work, and orders wait for the same nodes and venues wherever they are posted.
        for name, cause in worker.items():
            (missing if name in MISSING else degraded)[name] = cause
        self._answer = Answer(missing, at, degraded)
        return self._answer

    async def _postgres(self) -> dict[str, str]:
        with _noting("postgres", "Postgres does not commit in time") as causes:
            # A write, since a full disk or a failover leaves Postgres readable.
            async with asyncio.timeout(CHECK_SECONDS):
                await self._store.check_writes()
        return causes

    async def _redis(self) -> dict[str, str]:
        with _noting("redis", "Redis does not answer in time") as causes:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._queue.check_writes()
        return causes

    async def _worker(self) -> dict[str, str]:
        with _noting(WORKER, "Postgres does not report in time whether one is alive") as causes:
            async with asyncio.timeout(CHECK_SECONDS):
                trouble = await self._store.worker_trouble()
                if trouble is None:
                    return {WORKER: "none is alive"}
                if trouble:
                    found = WorkerTrouble.of(trouble)
                    return {found.kind.value: found.detail}
        return causes

    async def _comparison(self) -> dict[str, str]:
        with contextlib.suppress(UnavailableError, TimeoutError):  # Postgres is then reported as missing
            async with asyncio.timeout(CHECK_SECONDS):
                if await self._store.signing_stopped():
                    return {NOT_COMPARED.kind.value: NOT_COMPARED.detail}
        return {}


def halt_causes(halts: Iterable[Halt]) -> dict[str, str]:
    """Why orders wait, if signing is halted."""
    # Cancels and reads must still be routed here, so this is no reason to be not ready. Without names of keys: probes
    # need no key.
    by_owner = {halt.owner: halt for halt in halts}
    if EVERYBODY in by_owner:
        return {"halted": by_owner[EVERYBODY].detail}
    return {"halted": f"signing is halted for {len(by_owner)} of the keys"} if by_owner else {}


def quarantine_causes(quarantines: Iterable[Quarantine]) -> dict[str, str]:
    """Which venues get no orders. Others do, so the service is ready all the same."""
    found = "; ".join(f"{one.venue}: {one.detail}" for one in quarantines)
    return {"quarantined": found} if found else {}


@contextmanager
def _noting(name: str, late: str) -> Iterator[dict[str, str]]:
    """The causes of missing parts; adds that of the error that ends the block."""
    causes: dict[str, str] = {}
    try:
        yield causes
    except UnavailableError as error:
        causes[name] = str(error)
    except TimeoutError:
        causes[name] = late
