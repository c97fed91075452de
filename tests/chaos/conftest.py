"""A socket left open is an error of the test that opened it."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def leaks_are_found_where_they_happen() -> Iterator[None]:
    """Not at some later moment, in another test."""
    yield
    gc.collect()
