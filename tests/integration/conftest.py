"""What is given to the tests of the stream (the record, in memory and in Postgres, and a Redis) and of the worker, on a
scripted chain or on a localnet."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from dexexec.clock import SystemClock
from dexexec.limiter import RateLimiter
from dexexec.store import Address
from tests.conftest import Servers
from tests.integration import localnet_bench
from tests.integration.bench import LANDED, Bench, OpenBench
from tests.parts import open_queue, open_redis, open_store
from tests.scripted import ScriptedChain, ScriptedVenue
from tests.streaming import OpenRecord, memory_record, postgres_record


@pytest.fixture(params=["memory", "postgres"])
def open_record(request: pytest.FixtureRequest) -> OpenRecord:
    if request.param == "memory":
        return memory_record
    return partial(postgres_record, request.getfixturevalue("database_address"))


@pytest.fixture
def redis_url(servers: Servers) -> str:
    return servers.redis_url


@pytest.fixture
def bench(database_address: Address, servers: Servers, redis_prefix: str) -> OpenBench:
    """Opens a `Bench` for one test."""

    @asynccontextmanager
    async def open_bench() -> AsyncIterator[Bench]:
        clock, chain = SystemClock(), ScriptedChain()
        chain.statuses = [LANDED]
        async with (
            open_store(database_address) as store,
            open_queue(servers.redis_url, redis_prefix) as queue,
            open_redis(servers.redis_url) as client,
        ):
            a = ScriptedVenue("a", clock, 1_510_000, chain)
            b = ScriptedVenue("b", clock, 1_500_000, chain)
            limiter = RateLimiter(client, redis_prefix, "p")
            yield Bench(store, queue, limiter, chain, a, b, itertools.count())

    return open_bench


@pytest.fixture
def open_bench(
    tmp_path: Path, database_address: Address, servers: Servers, redis_prefix: str
) -> localnet_bench.OpenBench:
    """Opens a `Bench` on a localnet for one test."""
    return partial(localnet_bench.bench, tmp_path, database_address, servers.redis_url, redis_prefix)
