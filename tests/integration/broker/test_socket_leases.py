"""The open sockets of a key on a real Valkey: counted over all processes, and given back by close or by death."""

import asyncio

from dexexec.broker.rate_limiter import RateLimiter
from dexexec.broker.socket_leases import LEASE_SECONDS, RENEW_SECONDS, SocketLeases
from dexexec.testing.clock import ManualClock
from tests.conftest import Servers
from tests.support.parts import open_redis, running
from tests.support.waiting import until

DEAD = "redis://127.0.0.1:1/0"


async def test_no_more_sockets_are_open_than_allowed_over_two_processes(servers: Servers, redis_prefix: str) -> None:
    async with open_redis(servers.redis_url) as client, open_redis(servers.redis_url) as other:
        one, two = (SocketLeases(c, redis_prefix, name, ManualClock()) for c, name in ((client, "a"), (other, "b")))
        opened = await asyncio.gather(*((one, two)[n % 2].open(7, 5) for n in range(20)))
        names = [name for name in opened if name is not None]
        assert len(names) == len(set(names)) == 5
        assert await one.open(8, 1) is not None, "another key has its own"
        await one.close(names[0])
        await two.close(names[0])
        await two.close(names[0])
        assert [await two.open(7, 5) is not None for _ in range(2)] == [True, False]


async def test_the_sockets_of_a_process_count_as_long_as_it_renews_them(servers: Servers, redis_prefix: str) -> None:
    async with open_redis(servers.redis_url) as client:
        lives = SocketLeases(client, redis_prefix, "a", ManualClock())
        assert await lives.open(7, 1)
        key = f"{{{redis_prefix}}}:sockets:7"

        async def renewed() -> bool:
            return await client.pttl(key) > LEASE_SECONDS * 1000 - 5_000 and await client.zcard(key) == 1

        await client.delete(key)  # as after a loss of Redis' data
        async with running(lives.run()):
            await until(renewed)
        assert await lives.open(7, 1) is None
        # The process dies: nothing is renewed, and its leases end by the clock of Redis.
        await client.zadd(key, {"a:1": 1})
        assert await SocketLeases(client, redis_prefix, "b", ManualClock()).open(7, 1)
    assert RENEW_SECONDS * 2 < LEASE_SECONDS


async def test_without_redis_the_sockets_of_this_process_are_counted(redis_prefix: str) -> None:
    async with open_redis(DEAD) as client:
        leases = SocketLeases(client, redis_prefix, "a", ManualClock())
        names = [await leases.open(7, 2) for _ in range(3)]
        assert [name is not None for name in names] == [True, True, False]
        await leases.close(str(names[0]))
        assert await leases.open(7, 2)


async def test_a_window_may_be_of_another_length_than_the_limiters(servers: Servers, redis_prefix: str) -> None:
    async with open_redis(servers.redis_url) as client, open_redis(servers.redis_url) as other:
        one, two = (RateLimiter(c, redis_prefix, name) for c, name in ((client, "a"), (other, "b")))
        grants = await asyncio.gather(*((one, two)[n % 2].take("key:7", 3, window_ms=50_000) for n in range(10)))
        assert sum(grant.granted for grant in grants) == 3
        assert all(0 < grant.retry_after <= 50 for grant in grants if not grant.granted)
