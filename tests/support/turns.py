"""Turns between the workers of a parallel run: a test marked `alone` runs while no other test does.

Two file locks keep an `alone` test from waiting for ever for a free moment: every test takes the gate before it
begins, and an `alone` test keeps the gate while it waits for the others to end.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait for the turn of a test, and hold it. `folder` is shared by all workers."""
    with (folder / "gate").open("w") as gate, (folder / "room").open("w") as room:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            fcntl.flock(gate, fcntl.LOCK_UN)
        yield
