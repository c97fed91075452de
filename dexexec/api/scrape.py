"""What Prometheus reads: the metrics of the processes, with figures that are read from the servers at that moment."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from dexexec.clock import Clock
from dexexec.errors import UnavailableError
from dexexec.observe.metrics.exposition import Exposition, Fact
from dexexec.venue import VenueError

READ_SECONDS = 2.0
"""The time limit of one source: shorter than Prometheus' usual time-out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSource:
    """Reads facts. What it read last counts for `fresh_seconds`, so that expensive reads stay rare."""

    name: str
    read: Callable[[], Awaitable[list[Fact]]]
    fresh_seconds: float = 0.0


class Scrape:
    """The metrics page of a process."""

    def __init__(self, exposition: Exposition, sources: Sequence[FactSource], clock: Clock) -> None:
        self._exposition = exposition
        self._sources = sources
        self._clock = clock
        self._kept: dict[str, tuple[float, list[Fact]]] = {}
        self._turn = asyncio.Lock()

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type. Figures of a source that does not answer are left out."""
        async with self._turn:  # several readers at once must not multiply the reads
            facts = await asyncio.gather(*(self._facts(source) for source in self._sources))
        answered = Fact(
            name="dexexec_scrape_source_up",
            about="Whether the figures of a source could be read now; without them, its metrics are missing.",
            labels=("source",),
            values={(source.name,): found is not None for source, found in zip(self._sources, facts, strict=True)},
        )
        return self._exposition.text([*(fact for found in facts for fact in found or ()), answered], accept)

    async def _facts(self, source: FactSource) -> list[Fact] | None:
        now = self._clock.monotonic()
        read_at, facts = self._kept.get(source.name, (float("-inf"), []))
        if now - read_at < source.fresh_seconds:
            return facts
        # A source that is away must not cost the others: a scrape that fails as a whole would hide the outage itself.
        try:
            async with asyncio.timeout(READ_SECONDS):
                facts = await source.read()
        except (UnavailableError, VenueError, TimeoutError):
            return None
        self._kept[source.name] = now, facts
        return facts
