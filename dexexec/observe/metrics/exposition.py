"""The text that Prometheus reads: the values of this process, or the sum over all processes that share a folder.

With `--processes` each process keeps its values in files of one folder, so that they outlive it. The parent adds the
files of a process that has ended to those of all ended ones (`fold`), so that their number does not grow.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus-client finds the folder. It must be set before its first import."""
_LOCK = "lock"
_ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A gauge that is read when Prometheus reads the metrics, such as the depth of the queue: the same for all
    processes. `values` are by the values of `labels`."""

    name: str
    about: str
    labels: tuple[str, ...] = ()
    values: Mapping[tuple[str, ...], float]


class Exposition:
    """Writes the metrics of `registry`, or of all processes that share the folder of `FOLDER`."""

    def __init__(self, registry: "CollectorRegistry") -> None:
        self._registry = registry
        folder = os.environ.get(FOLDER)
        self._folder = Path(folder) if folder else None

    def text(self, facts: Sequence[Fact], accept: str = "") -> tuple[bytes, str]:
        """The answer and its content type, in the format that the client accepts."""
        from prometheus_client import CollectorRegistry  # noqa: PLC0415
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415
        from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

        encoder, content_type = choose_encoder(accept)
        every = CollectorRegistry(auto_describe=False)
        every.register(_Facts(facts))
        if self._folder is None:
            every.register(_Values(self._registry))
            return encoder(every), content_type
        MultiProcessCollector(every, str(self._folder))
        with _locked(self._folder, fcntl.LOCK_SH):
            return encoder(every), content_type


@contextmanager
def metrics_over_processes(processes: int, *, is_child: bool) -> Iterator[None]:
    """Prepares the environment of the metrics, before prometheus-client is imported: with several `processes`, a folder
    for the block that this process and its children share."""
    if is_child:
        yield  # the parent has set the variable
        return
    # One that was left from another program would mix its metrics with those of this service.
    os.environ.pop(FOLDER, None)
    if processes == 1:
        yield
        return
    with TemporaryDirectory(prefix="dexexec-metrics-") as folder:
        os.environ[FOLDER] = folder
        yield


def fold(folder: Path, pid: int) -> None:
    """Keep what an ended process has counted, and drop its gauges. Called once for each process that has ended."""
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    # Scrapes wait meanwhile: between the sum and the removal of the file, its values would count twice.
    with _locked(folder, fcntl.LOCK_EX):
        mark_process_dead(pid, str(folder))
        for kind in ("counter", "histogram"):
            file = folder / f"{kind}_{pid}.db"
            if not file.exists():
                continue
            total = MmapedDict(str(folder / f"{kind}_{_ENDED}.db"))
            try:
                for key, value, timestamp, _ in MmapedDict.read_all_values_from_file(str(file)):
                    total.write_value(key, total.read_value(key)[0] + value, timestamp)
            finally:
                total.close()
            file.unlink()


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    # A lock of the file system, since the parent folds and its children answer scrapes. It ends with its process.
    with (folder / _LOCK).open("a") as file:
        fcntl.flock(file, how)
        yield


class _Values:
    """The metrics of a registry as one collector of another."""

    def __init__(self, registry: "CollectorRegistry") -> None:
        self._registry = registry

    def collect(self) -> "Iterable[Metric]":
        return self._registry.collect()


class _Facts:
    """Facts as a collector."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._facts = facts

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

        for fact in self._facts:
            family = GaugeMetricFamily(fact.name, fact.about, labels=fact.labels)
            for labels, value in fact.values.items():
                family.add_metric(labels, value)
            yield family
