"""Turns of tests in a parallel run: many side by side, or one alone, and no test waits for ever."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.turns import turn

PATIENCE = 20.0


class Held:
    """A turn that a thread takes, and keeps until it is let go."""

    def __init__(self, pool: ThreadPoolExecutor, folder: Path, *, alone: bool) -> None:
        self._taken, self._let_go = threading.Event(), threading.Event()
        self.done: Future[None] = pool.submit(self._hold, folder, alone)

    def _hold(self, folder: Path, alone: bool) -> None:
        with turn(folder, alone=alone):
            self._taken.set()
            assert self._let_go.wait(PATIENCE)

    def begins(self, seconds: float = PATIENCE) -> bool:
        """Whether it has its turn, after so long at the latest."""
        return self._taken.wait(seconds)

    def end(self) -> None:
        self._let_go.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as found:
        yield found


@contextmanager
def ended(*turns: Held) -> Iterator[None]:
    """Let go of all in the end, so that no thread stays."""
    try:
        yield
    finally:
        for one in turns:
            one.end()


def test_ordinary_tests_run_side_by_side(pool: ThreadPoolExecutor, tmp_path: Path) -> None:
    first, second = Held(pool, tmp_path, alone=False), Held(pool, tmp_path, alone=False)
    with ended(first, second):
        assert first.begins()
        assert second.begins()


def test_one_alone_waits_for_those_that_run_and_those_that_come_wait_for_it(
    pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    runs = Held(pool, tmp_path, alone=False)
    assert runs.begins()
    alone = Held(pool, tmp_path, alone=True)
    with ended(runs, alone):
        assert not alone.begins(0.05)
        runs.end()
        assert alone.begins()
        comes = Held(pool, tmp_path, alone=False)
        with ended(comes):
            assert not comes.begins(0.05)
            alone.end()
            assert comes.begins()
