"""Opens and checks the connections to Postgres and Redis. A failure is one line with the cause and the remedy."""

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
"""Connections to Postgres in addition to the worker's: for new orders, and for reads by clients, the feed and
readiness. The reads of clients at a time are limited by `dexexec.api.read_gate`."""
REDIS_CONNECTIONS = 32
REDIS_TIMEOUT = 3.0
KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 10_000))
    if hasattr(socket, name)
}
"""TCP keepalive, as for Postgres: a silent peer counts as dead after about ten seconds, and no NAT or firewall drops an
idle connection."""
OLDEST_REDIS = (6, 2)


@asynccontextmanager
async def open_database(servers: Servers) -> AsyncIterator[Database]:
    """Open and check a connection pool for Postgres. Raises `UnreachableError` and `UnusableError`."""
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
    """Open a further pool of up to `size` connections to a Postgres that `open_database` has checked."""
    pool = Database(database.address, size=size)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def open_redis(servers: Servers, prefix: str) -> AsyncIterator[redis.asyncio.Redis]:
    """Open and check a Redis client for keys that begin with the hash tag `{prefix}`. Commands time out after seconds.
    Raises `UnreachableError` and `UnusableError`."""
    try:
        address = RedisAddress.parse(servers.redis_url)
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            address.url,
            max_connections=REDIS_CONNECTIONS,
            timeout=REDIS_TIMEOUT,
            # Blocking reads of the queue last up to BLOCK_MS and must not count as a timeout.
            socket_timeout=REDIS_TIMEOUT + BLOCK_MS / 1000,
            socket_connect_timeout=REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), 1),
            protocol=2,
        )
        pool.connection_class(**pool.connection_kwargs)  # validates the options of the URL; it does not connect
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
    """Raises `UnreachableError` or `UnusableError` unless the server answers and is usable."""
    place = address.place()
    try:
        info = await client.info("server")
    except (RedisError, OSError) as error:
        raise redis_failure(address, error) from error
    mode = info.get("redis_mode", info.get("server_mode"))  # the latter is Valkey's name
    version = str(info["redis_version"])
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
