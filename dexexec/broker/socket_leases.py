"""Counts the open sockets of each key over all processes: in Redis, each as a lease that its process renews.

A process that dies renews nothing, so its sockets stop counting soon afterwards.
"""

import asyncio
import itertools
from collections import Counter

import redis.asyncio

from dexexec.broker.outages import translate_redis_errors
from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.errors import UnavailableError

LEASE_SECONDS = 15.0
RENEW_SECONDS = 5.0
REDIS_SECONDS = 0.5
"""How long Redis may take. Without it only the sockets of this process are counted."""

# KEYS the leases of a key; ARGV limit, lease in ms, name of the socket. Each lease is a member with its end as score,
# by the clock of Redis. Answers 0 if there are as many as allowed.
OPEN = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""

# KEYS as above; ARGV lease in ms, names of sockets. Also of those that Redis has lost.
RENEW = """
local t = redis.call('TIME')
local ends = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1]
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], ends, ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""


class SocketLeases:
    """The sockets of this process among those of all."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str, process: str, clock: Clock) -> None:
        self._client = client
        self._prefix = f"{{{prefix}}}:sockets"
        self._process = process
        self._clock = clock
        self._open = client.register_script(OPEN)
        self._renew = client.register_script(RENEW)
        self._numbers = itertools.count(1)
        self._own: dict[str, int] = {}
        """The owner of each socket of this process, by its name."""

    async def open(self, owner: int, limit: int) -> str | None:
        """Count one more socket of `owner`; returns its name, or None if as many as `limit` are open."""
        name = f"{self._process}:{next(self._numbers)}"
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                with translate_redis_errors():
                    granted = int(await self._open(keys=[self._key(owner)], args=[limit, self._lease_ms, name]))
        except (UnavailableError, TimeoutError):
            granted = Counter(self._own.values())[owner] < limit
        if not granted:
            return None
        self._own[name] = owner
        return name

    async def close(self, name: str) -> None:
        """The socket has ended. If Redis is away, its lease ends by itself."""
        owner = self._own.pop(name, None)
        if owner is None:
            return
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                with translate_redis_errors():
                    await self._client.zrem(self._key(owner), name)
        except (UnavailableError, TimeoutError):
            return

    async def run(self) -> None:
        """Renew the leases of this process, until cancelled."""
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            raise_if_cancelled()
            await self._renew_all()

    async def _renew_all(self) -> None:
        of_owner: dict[int, list[str]] = {}
        for name, owner in self._own.items():
            of_owner.setdefault(owner, []).append(name)
        for owner, names in of_owner.items():
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    with translate_redis_errors():
                        await self._renew(keys=[self._key(owner)], args=[self._lease_ms, *names])
            except (UnavailableError, TimeoutError):
                return  # the next turn renews all, also those that have ended meanwhile

    @property
    def _lease_ms(self) -> int:
        return round(LEASE_SECONDS * 1000)

    def _key(self, owner: int) -> str:
        return f"{self._prefix}:{owner}"
