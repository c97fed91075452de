"""The first contact with Postgres and Redis: clients that are known to work, or one line that says what to do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from dexexec.errors import UnavailableError, UnreachableError
from dexexec.queue import BLOCK_MS
from dexexec.servers import Servers
from dexexec.store import Database

REDIS_CONNECTIONS = 32
REDIS_TIMEOUT = 3.0
OLDEST_REDIS = (6, 2)


@asynccontextmanager
async def open_database(servers: Servers) -> AsyncIterator[Database]:
    """An open pool. Raises `UnreachableError`."""
    database = Database(servers.postgres)
    try:
        connection = await database.dedicated()
    except UnavailableError as error:
        place, why = servers.places()["Postgres"], str(error.__cause__).strip().splitlines() or ["no answer"]
        text = f"Postgres at {place} does not answer ({why[0].strip()}): check PG_HOST, PG_PORT, PG_USER, PG_PASSWORD"
        raise UnreachableError(f"{text} and PG_DATABASE, or unset PG_HOST for an embedded one") from error
    await connection.close()
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def open_redis(servers: Servers) -> AsyncIterator[redis.asyncio.Redis]:
    """A client. Commands fail after seconds instead of hanging; reads that block stay below that. Raises
    `UnreachableError`."""
    try:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            servers.redis_url,
            max_connections=REDIS_CONNECTIONS,
            timeout=REDIS_TIMEOUT,
            socket_timeout=REDIS_TIMEOUT + BLOCK_MS / 1000,
            socket_connect_timeout=REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), 1),
            protocol=2,
        )
    except ValueError as error:
        raise UnreachableError("REDIS_URL must look like redis://[:password@]host:port/0 or unix:///path") from error
    pool.connection_class = _telling_of_breaks(pool.connection_class)
    client = redis.asyncio.Redis(connection_pool=pool)
    place = servers.places()["Redis"]
    try:
        try:
            info = await client.info("server")
        except (RedisError, OSError) as error:
            text = f"Redis at {place} does not answer ({error}): check REDIS_URL, or unset it for an embedded one"
            raise UnreachableError(text) from error
        version = str(info["redis_version"])
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
            raise UnreachableError(f"Redis at {place} is {version}: 6.2 or newer is needed")
        yield client
    finally:
        await client.aclose()
        await pool.disconnect()


def _telling_of_breaks(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """Connections of this kind to which a broken transport is a `ConnectionError`: uvloop's answers a write after a
    reset with a RuntimeError, which redis-py passes on as it is."""

    class Telling(kind):  # type: ignore[valid-type, misc]
        async def send_packed_command(self, *args: object, **kwargs: object) -> None:
            try:
                await super().send_packed_command(*args, **kwargs)
            except RuntimeError as error:
                raise RedisConnectionError(f"the connection broke: {error}") from error

    return Telling
