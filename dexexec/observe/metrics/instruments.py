"""Counters, gauges and histograms: those of prometheus-client, or ones that do nothing where metrics are turned off.

`prometheus_client` is imported when the first real instrument is made, so that other commands do not wait for it.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

from dexexec.observe.metrics.exposition import FOLDER, Exposition

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

OverProcesses = Literal["livesum", "livemax", "livemin"]
"""How the gauges of several processes become one: only those of living processes count."""
InstrumentT = TypeVar("InstrumentT")
Labels = str | tuple[str, ...]


class Counter(Protocol):
    """A number that only grows."""

    def inc(self, amount: float = 1) -> None:
        """Add `amount`."""


class Gauge(Protocol):
    """A number that goes up and down."""

    def set(self, value: float) -> None:
        """Replace the value."""


class Histogram(Protocol):
    """Counts values by size."""

    def observe(self, amount: float) -> None:
        """Count a value."""


class Family(dict[Labels, InstrumentT], Generic[InstrumentT]):
    """The instruments of one metric by the values of its labels; `family[()]` of one without labels."""

    def __init__(self, make: Callable[[tuple[str, ...]], InstrumentT]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, labels: Labels) -> InstrumentT:
        # Kept here, since prometheus-client's own search by labels takes longer than counting.
        instrument = self[labels] = self._make((labels,) if isinstance(labels, str) else labels)
        return instrument


class Instruments(Protocol):
    """Makes the instruments of a process."""

    @property
    def exposition(self) -> Exposition | None:
        """Writes their values for Prometheus; None without any."""

    def counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Family[Counter]:
        """A counter, whose name ends with `_total`."""

    def gauge(
        self, name: str, about: str, labels: Sequence[str] = (), *, over_processes: OverProcesses = "livesum"
    ) -> Family[Gauge]:
        """A gauge."""

    def histogram(
        self, name: str, about: str, labels: Sequence[str] = (), *, buckets: Sequence[float]
    ) -> Family[Histogram]:
        """A histogram with these upper bounds."""


class PrometheusInstruments:
    """Instruments of prometheus-client, in a registry of their own.

    With the variable `FOLDER` in the environment, the values are in files of that folder and outlive the process.
    """

    def __init__(self) -> None:
        # 50 ms of imports, which a command without metrics need not wait for.
        import prometheus_client  # noqa: PLC0415

        from dexexec.observe.metrics.mapped_values import use_mapped_values, use_memory  # noqa: PLC0415

        if folder := os.environ.get(FOLDER):
            use_mapped_values(Path(folder))
        else:
            use_memory()
        # Series with the time of creation double the answer, and no query needs them.
        prometheus_client.disable_created_metrics()
        self.registry: CollectorRegistry = prometheus_client.CollectorRegistry()
        self.exposition = Exposition(self.registry)
        self._client = prometheus_client

    def counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Family[Counter]:
        """As `Instruments`."""
        metric = self._client.Counter(name, about, labels, registry=self.registry)
        return Family(lambda values: metric.labels(*values) if values else metric)

    def gauge(
        self, name: str, about: str, labels: Sequence[str] = (), *, over_processes: OverProcesses = "livesum"
    ) -> Family[Gauge]:
        """As `Instruments`."""
        metric = self._client.Gauge(name, about, labels, registry=self.registry, multiprocess_mode=over_processes)
        return Family(lambda values: metric.labels(*values) if values else metric)

    def histogram(
        self, name: str, about: str, labels: Sequence[str] = (), *, buckets: Sequence[float]
    ) -> Family[Histogram]:
        """As `Instruments`."""
        metric = self._client.Histogram(name, about, labels, registry=self.registry, buckets=buckets)
        return Family(lambda values: metric.labels(*values) if values else metric)


class _Nothing:
    """An instrument that drops every value."""

    def inc(self, amount: float = 1) -> None:
        pass

    def set(self, value: float) -> None:
        pass

    def observe(self, amount: float) -> None:
        pass


NOTHING = _Nothing()


class NoInstruments:
    """Instruments that drop every value."""

    exposition: Exposition | None = None

    def counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Family[Counter]:
        """As `Instruments`."""
        return Family(lambda _: NOTHING)

    def gauge(
        self, name: str, about: str, labels: Sequence[str] = (), *, over_processes: OverProcesses = "livesum"
    ) -> Family[Gauge]:
        """As `Instruments`."""
        return Family(lambda _: NOTHING)

    def histogram(
        self, name: str, about: str, labels: Sequence[str] = (), *, buckets: Sequence[float]
    ) -> Family[Histogram]:
        """As `Instruments`."""
        return Family(lambda _: NOTHING)
