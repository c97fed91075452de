"""The first contact with Postgres and Redis: clients that are known to work, or one line that says what to do."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from dexexec.bootstrap.servers import Servers
from dexexec.bootstrap.startup_diagnosis import (
    check_certificate_files,
    postgres_failure,
    redis_failure,
    redis_url_problem,
)
from dexexec.broker.locator import Locator, at_located_server, with_connection_errors
from dexexec.broker.permissions import check_rights
from dexexec.broker.queue import BLOCK_MS
from dexexec.config.redis_url import Kind, RedisAddress
from dexexec.errors import UnavailableError, UnusableError
from dexexec.store import Database

ORDER_CONNECTIONS = 2
READ_CONNECTIONS = 5
"""Connections to Postgres beside the worker's: for new orders, and for what clients read: the reads that run at once
(`dexexec.api.read_gate`), the feed and readiness."""
REDIS_CONNECTIONS = 32
REDIS_TIMEOUT = 3.0
KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 10_000))
    if hasattr(socket, name)
}
"""As for Postgres: a peer that went silent is given up within about ten seconds, and no network between forgets a
connection that rests."""
OLDEST_REDIS = (6, 2)


@asynccontextmanager
async def open_database(servers: Servers) -> AsyncIterator[Database]:
    """An open pool. Raises `UnreachableError` and `UnusableError`."""
    database = Database(servers.postgres)
    try:
        await database.check_first_contact()
    except UnavailableError as error:
        raise await postgres_failure(servers.postgres, error.__cause__) from error
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def open_pool(database: Database, size: int) -> AsyncIterator[Database]:
    """Up to `size` more connections to the same Postgres, which is known to answer."""
    pool = Database(database.address, size=size)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def open_redis(servers: Servers, prefix: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client for keys that begin with the hash tag `{prefix}`. Commands fail after seconds instead of hanging; reads
    that block stay below that. Raises `UnreachableError` and `UnusableError`."""
    try:
        address = RedisAddress.parse(servers.redis_url)
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            address.url,
            max_connections=REDIS_CONNECTIONS,
            timeout=REDIS_TIMEOUT,
            socket_timeout=REDIS_TIMEOUT + BLOCK_MS / 1000,
            socket_connect_timeout=REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), 1),
            protocol=2,
        )
        pool.connection_class(**pool.connection_kwargs)  # it does not connect yet: only what the URL says is looked at
        check_certificate_files(pool.connection_kwargs)
        if issubclass(pool.connection_class, redis.asyncio.Connection):
            pool.connection_kwargs |= {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
    except (ValueError, TypeError, RedisError) as error:
        raise UnusableError(redis_url_problem(error)) from error
    pool.connection_class = with_connection_errors(pool.connection_class)
    if address.kind is not Kind.SINGLE:
        locator = Locator(address, prefix, pool.connection_class, pool.connection_kwargs)
        pool.connection_class = at_located_server(pool.connection_class, locator)
    client = redis.asyncio.Redis(connection_pool=pool)
    try:
        await _check(client, address, prefix)
        yield client
    finally:
        await client.aclose()
        await pool.disconnect()


async def _check(client: redis.asyncio.Redis, address: RedisAddress, prefix: str) -> None:
    """Raises `UnreachableError` or `UnusableError` unless the server answers and is one that we can use."""
    place = address.place()
    try:
        info = await client.info("server")
    except (RedisError, OSError) as error:
        raise redis_failure(address, error) from error
    mode, version = info.get("redis_mode", info.get("server_mode")), str(info["redis_version"])  # Valkey calls it so
    if address.kind is Kind.SINGLE and mode == "cluster":
        raise UnusableError(f"Redis at {place} is a node of a Cluster: set REDIS_URL to redis+cluster://{place}")
    if address.kind is Kind.SINGLE and mode == "sentinel":
        text = (
            f"Redis at {place} is a Sentinel: set REDIS_URL to redis+sentinel://{place}/NAME, with the primary's name"
        )
        raise UnusableError(text)
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise UnusableError(f"Redis at {place} is {version}: 6.2 or newer is needed")
    try:
        await check_rights(client, place, prefix)
    except (RedisError, OSError) as error:
        raise redis_failure(address, error) from error
