"""Where the processes of a test find their servers: the shared ones, with a database and a Redis prefix per test."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from dexexec.store import Address
from tests.conftest import Servers
from tests.support.service.embedded_servers import data_folder
from tests.support.service.process import QUICK, Launcher, servers_at


@pytest.fixture(autouse=True)
def leaks_are_found_where_they_happen() -> Iterator[None]:
    """A socket that was not closed is a warning, and so an error, of the test that left it: not of a later one."""
    yield
    gc.collect()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder that no service has used yet."""
    with data_folder() as folder:
        yield folder


@pytest.fixture
def given(servers: Servers, database_address: Address, redis_prefix: str) -> dict[str, str]:
    """Settings that name the shared servers."""
    return servers_at(database_address, servers.redis_url, redis_prefix)


@pytest.fixture
def launcher(given: dict[str, str]) -> Iterator[Launcher]:
    """Processes on the shared servers, with mock venues that take no time."""
    with Launcher(**given, **QUICK) as launcher:
        yield launcher
