"""Rate limits over all processes: a sliding window in Redis, exact to the millisecond.

Used for `DEXEXEC_ORDERS_PER_MINUTE` (what workers take up) and `DEXEXEC_CLIENT_ORDERS_PER_MINUTE` (what a client may
post). In no window of the given length are more than `limit` units granted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import redis.asyncio

from dexexec.queue import outages

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


@dataclass(frozen=True, slots=True)
class Grant:
    """`granted` of what was wanted; `retry_after` seconds until one more can be had (0 when all were granted). `units`
    names what was granted, to give some of it back."""

    granted: int
    retry_after: float
    units: tuple[bytes, ...] = ()


class RateLimiter:
    """Sliding windows of `window_ms`, one per key."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str, process: str, window_ms: int = 60_000) -> None:
        self._client, self._process, self._window = client, process, window_ms
        self._prefix = f"{{{prefix}}}:rate"
        self._take = client.register_script(TAKE)

    async def take(self, key: str, limit: int, count: int = 1) -> Grant:
        """Take up to `count` units. Raises `UnavailableError`."""
        with outages():
            answer = await self._take(keys=[f"{self._prefix}:{key}"], args=[limit, self._window, count, self._process])
        wait_ms, *units = answer
        return Grant(len(units), float(wait_ms) / 1000, tuple(units))

    async def give_back(self, key: str, units: Sequence[bytes]) -> None:
        """Return units that were taken and not used. Raises `UnavailableError`."""
        if units:
            with outages():
                await self._client.zrem(f"{self._prefix}:{key}", *units)
