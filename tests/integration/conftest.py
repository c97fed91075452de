"""What the tests of the stream are given: the record, once in memory and once in Postgres, and a Redis."""

from functools import partial

import pytest

from tests.conftest import Servers
from tests.streaming import OpenRecord, memory_record, postgres_record


@pytest.fixture(params=["memory", "postgres"])
def open_record(request: pytest.FixtureRequest) -> OpenRecord:
    if request.param == "memory":
        return memory_record
    return partial(postgres_record, request.getfixturevalue("database_address"))


@pytest.fixture
def redis_url(servers: Servers) -> str:
    return servers.redis_url
