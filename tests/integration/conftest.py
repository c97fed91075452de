"""What is given to the tests of the stream (the record, in memory and in Postgres, and a Redis) and of the worker, on a
scripted chain or on a localnet."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from dexexec.broker.rate_limiter import RateLimiter
from dexexec.clock import SystemClock
from dexexec.store import Address
from tests.conftest import Servers
from tests.support.localnet import worker_setup
from tests.support.parts import open_queue, open_redis, open_store
from tests.support.scripted import ScriptedChain, ScriptedVenue
from tests.support.scripted_workers import LANDED, OpenScriptedWorkers, ScriptedWorkers
from tests.support.streaming import OpenRecord, memory_record, postgres_record


@pytest.fixture(params=["memory", "postgres"])
def open_record(request: pytest.FixtureRequest) -> OpenRecord:
    if request.param == "memory":
        return memory_record
    return partial(postgres_record, request.getfixturevalue("database_address"))


@pytest.fixture
def redis_url(servers: Servers) -> str:
    return servers.redis_url


@asynccontextmanager
async def open_scripted_workers(address: Address, redis_url: str, prefix: str) -> AsyncIterator[ScriptedWorkers]:
    """Workers on the given servers, with scripted venues and a scripted chain."""
    clock, chain = SystemClock(), ScriptedChain()
    chain.statuses = [LANDED]
    async with (
        open_store(address) as store,
        open_queue(redis_url, prefix) as queue,
        open_redis(redis_url) as client,
    ):
        a = ScriptedVenue("a", clock, 1_510_000, chain)
        b = ScriptedVenue("b", clock, 1_505_000, chain)
        limiter = RateLimiter(client, prefix, "p")
        yield ScriptedWorkers(
            store=store,
            queue=queue,
            limiter=limiter,
            chain=chain,
            a=a,
            b=b,
            names=itertools.count(),
        )


@pytest.fixture
def scripted_workers(database_address: Address, servers: Servers, redis_prefix: str) -> OpenScriptedWorkers:
    """Opens workers with scripted venues for one test."""
    return partial(open_scripted_workers, database_address, servers.redis_url, redis_prefix)


@pytest.fixture
def open_workers(
    tmp_path: Path, database_address: Address, servers: Servers, redis_prefix: str
) -> worker_setup.OpenWorkers:
    """Opens workers on a localnet for one test."""
    return partial(worker_setup.worker_setup, tmp_path, database_address, servers.redis_url, redis_prefix)
