"""A Redis connection that breaks while it is idle, on the event loop of the service."""

import asyncio

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from dexexec.bootstrap.connections import open_redis
from dexexec.bootstrap.servers import Servers as Found
from tests.conftest import Servers
from tests.support.chaos.networks import by_way, of_redis
from tests.support.chaos.proxy import proxy


def test_a_write_after_a_reset_is_a_broken_connection_and_no_internal_error(servers: Servers) -> None:
    """uvloop raises RuntimeError for a write to a transport that has closed."""

    async def write() -> None:
        async with proxy(of_redis(servers.redis_url)) as between:
            found = Found(servers.postgres, by_way(servers.redis_url, between), ())
            async with open_redis(found, "t") as client:
                pool = client.connection_pool
                connection = await pool.get_connection()  # type: ignore[no-untyped-call]
                connection._writer.transport.abort()
                await asyncio.sleep(0)
                with pytest.raises(RedisConnectionError, match="broke"):
                    await connection.send_command("PING")
                await pool.release(connection)
                assert await client.ping()

    uvloop.run(write())
