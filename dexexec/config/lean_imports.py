"""Keeps libraries from importing optional packages that the service has for other purposes.

Such imports would be a sixth of the whole start.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Let imports in the block fail for these packages, as if they were not installed. Afterwards they can be imported
    as usual. A package that is imported already stays: there is nothing left to save, and its modules need each
    other."""
    hidden = [name for name in packages if name not in sys.modules]
    # None in the table of modules is Python's own way to forbid an import.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
