"""A number in a file by which the mock prices are multiplied: how a test or a demonstration moves the market."""

import os
from decimal import Decimal, InvalidOperation
from pathlib import Path

from dexexec.venue import Unreachable

PPM = 1_000_000
LOWEST = Decimal("0.01")
HIGHEST = Decimal(100)


class PriceMultiple:
    """The number in the file `path`; 1 without a path, and while there is no file."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._version: tuple[int, int, int] | None = None
        self._ppm = PPM

    def read_ppm(self) -> int:
        """The number in parts per million. Raises `Unreachable` for a file without a number from 0.01 to 100."""
        if self._path is None:
            return PPM
        try:
            status = os.stat(self._path)  # noqa: PTH116 - for each quote, and Path.stat takes twice as long
            # A file that was replaced has another number, also within one tick of the file system's clock.
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version != self._version:
                self._ppm = _parsed(self._path.read_text())
                self._version = version
        except FileNotFoundError:
            return PPM
        except OSError as error:
            raise Unreachable("the file of the mock prices cannot be read") from error
        return self._ppm


def _parsed(text: str) -> int:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and LOWEST <= number <= HIGHEST):
        raise Unreachable("the file of the mock prices has no number from 0.01 to 100")
    return int(number * PPM)
