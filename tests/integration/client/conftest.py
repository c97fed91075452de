"""What all tests of the client share."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def leaks_are_found_where_they_happen() -> Iterator[None]:
    """A socket that was not closed is a warning, and so an error, of the test that left it: not of a later one."""
    yield
    gc.collect()
