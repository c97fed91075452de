"""Values of metrics in files that several processes share: what prometheus-client does, at half of its price.

Its own values take a lock and look for a fork with each change. Here one thread counts, and processes never fork.
"""

import os
from pathlib import Path
from typing import ClassVar

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict, mmap_key


def use_mapped_values(folder: Path) -> None:
    """Keep the values of all metrics that this process makes from now on in files of `folder`."""
    MappedValue.folder = folder
    values.ValueClass = MappedValue


def use_memory() -> None:
    """Keep the values of all metrics that this process makes from now on in its memory."""
    values.ValueClass = values.MutexValue


class MappedValue:
    """A number in a memory-mapped file, which outlives the process. prometheus-client makes one for each series, and
    calls it as its own values."""

    _multiprocess = True
    folder: ClassVar[Path]
    _files: ClassVar[dict[str, MmapedDict]] = {}

    def __init__(  # noqa: PLR0917 - as prometheus-client calls it
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: list[str],
        labelvalues: list[str],
        help_text: str,
        multiprocess_mode: str = "",
        **_: object,
    ) -> None:
        # The file's name has what its reader must know: the type, and how the gauges of several processes become one.
        kind = f"gauge_{multiprocess_mode}" if typ == "gauge" else typ
        if kind not in self._files:
            self._files[kind] = MmapedDict(str(self.folder / f"{kind}_{os.getpid()}.db"))
        self._file = self._files[kind]
        self._key = mmap_key(metric_name, name, labelnames, labelvalues, help_text)
        self._value = float(self._file.read_value(self._key)[0])

    def inc(self, amount: float) -> None:
        """Add to the value."""
        self._value += amount
        self._file.write_value(self._key, self._value, 0.0)

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Replace the value."""
        self._value = value
        self._file.write_value(self._key, value, timestamp or 0.0)

    def get(self) -> float:
        """The value."""
        return self._value

    def set_exemplar(self, exemplar: object) -> None:
        """Examples are not kept."""

    def get_exemplar(self) -> None:
        """None."""
