"""Rate limits over all processes: a sliding window in Redis, exact to the millisecond.

Used for `DEXEXEC_ORDERS_PER_MINUTE` (what workers take up) and `DEXEXEC_CLIENT_ORDERS_PER_MINUTE` (what a client may
post). In no window of the given length are more than `limit` units granted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis.asyncio

from dexexec.broker.outages import with_repair

# KEYS window; ARGV limit, window ms, wanted, process. Each unit granted is a member of the window, scored with its
# time; their names are the answer, behind how long until one more can be granted.
TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local limit, window, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local granted = math.max(0, math.min(wanted, limit - redis.call('ZCARD', KEYS[1])))
local answer = {0}
for i = 1, granted do
  answer[i + 1] = t[1] .. '.' .. t[2] .. ':' .. i .. ':' .. ARGV[4]
  redis.call('ZADD', KEYS[1], now, answer[i + 1])
end
if granted > 0 then redis.call('PEXPIRE', KEYS[1], window) end
if granted < wanted then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  answer[1] = math.max(1, oldest[2] + window - now)
end
return answer
"""


# KEYS window. A window is made by its first grant.
DROP = """
if redis.call('TYPE', KEYS[1]).ok == 'zset' then return 0 end
return redis.call('DEL', KEYS[1])
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """`granted` of what was wanted; `retry_after` seconds until one more can be had (0 when all were granted). `units`
    names what was granted, to give some of it back."""

    granted: int
    retry_after: float
    units: tuple[bytes, ...] = ()


class RateLimiter:
    """Sliding windows of `window_ms`, one per key. `tell` is handed a line about a key that was of another type."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        prefix: str,
        process: str,
        window_ms: int = 60_000,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client, self._process, self._window, self._tell = client, process, window_ms, tell
        self._prefix = f"{{{prefix}}}:rate"
        self._take = client.register_script(TAKE)
        self._drop = client.register_script(DROP)

    async def take(self, key: str, limit: int, count: int = 1) -> Grant:
        """Take up to `count` units. Raises `UnavailableError`."""
        name = f"{self._prefix}:{key}"

        async def ask() -> Grant:
            wait_ms, *units = await self._take(keys=[name], args=[limit, self._window, count, self._process])
            return Grant(len(units), float(wait_ms) / 1000, tuple(units))

        return await with_repair(ask, lambda _: self._remake(name))

    async def give_back(self, key: str, units: Sequence[bytes]) -> None:
        """Return units that were taken and not used. Raises `UnavailableError`."""
        name = f"{self._prefix}:{key}"

        async def ask() -> None:
            await self._client.zrem(name, *units)

        if units:
            await with_repair(ask, lambda _: self._remake(name))

    async def _remake(self, name: str) -> None:
        if await self._drop(keys=[name]):
            self._tell(f"{name} was not what it has to be, and was made anew")
