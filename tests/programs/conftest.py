"""Servers for the processes, as in tests/acceptance; how long a run is; and the seed."""

import os

import pytest

from tests.acceptance.conftest import given, leaks_are_found_where_they_happen

__all__ = ["given", "leaks_are_found_where_they_happen"]

RUNS = "TEST_PROGRAMS_RUNS"
"""How many times as long as usual."""
SEED = "TEST_PROGRAMS_SEED"


@pytest.fixture
def runs() -> int:
    """1, or the value of the option."""
    return int(os.environ.get(RUNS, "1"))


@pytest.fixture
def seed() -> int:
    """What markets and orders are drawn from."""
    return int(os.environ.get(SEED, "1"))
