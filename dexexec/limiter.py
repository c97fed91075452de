"""Rate limits over all processes: a sliding window in Redis, exact to the millisecond.

Used for `DEXEXEC_ORDERS_PER_MINUTE` (what workers take up) and `DEXEXEC_CLIENT_ORDERS_PER_MINUTE` (what a client may
post). In no window of the given length are more than `limit` units granted.
"""

from dataclasses import dataclass

import redis.asyncio

from dexexec.queue import outages

# KEYS window; ARGV limit, window ms, wanted. A grant is `granted` members with the same score; the answer tells how
# long until one more can be granted. Members need only be unique: the clock's microseconds and a running number.
TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local limit, window, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local granted = math.max(0, math.min(wanted, limit - redis.call('ZCARD', KEYS[1])))
for i = 1, granted do redis.call('ZADD', KEYS[1], now, t[1] .. t[2] .. ':' .. i .. ':' .. ARGV[4]) end
if granted > 0 then redis.call('PEXPIRE', KEYS[1], window) end
local wait = 0
if granted < wanted then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  wait = math.max(1, oldest[2] + window - now)
end
return {granted, wait}
"""

# KEYS window; ARGV how many. The newest go first: they are the ones just taken.
GIVE_BACK = "return redis.call('ZREMRANGEBYRANK', KEYS[1], -ARGV[1], -1)"


@dataclass(frozen=True, slots=True)
class Grant:
    """`granted` of what was wanted; `retry_after` seconds until one more can be had (0 when all were granted)."""

    granted: int
    retry_after: float


class RateLimiter:
    """Sliding windows of `window_ms`, one per key."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str, process: str, window_ms: int = 60_000) -> None:
        self._prefix, self._process, self._window = f"{{{prefix}}}:rate", process, window_ms
        self._take = client.register_script(TAKE)
        self._give_back = client.register_script(GIVE_BACK)

    async def take(self, key: str, limit: int, count: int = 1) -> Grant:
        """Take up to `count` units. Raises `UnavailableError`."""
        with outages():
            answer = await self._take(keys=[f"{self._prefix}:{key}"], args=[limit, self._window, count, self._process])
        return Grant(int(answer[0]), float(answer[1]) / 1000)

    async def give_back(self, key: str, count: int) -> None:
        """Return units that were taken and not used. Raises `UnavailableError`."""
        if count:
            with outages():
                await self._give_back(keys=[f"{self._prefix}:{key}"], args=[count])
