"""Rate limits over all processes: sliding windows in Redis.

Used for `DEXEXEC_ORDERS_PER_MINUTE` (orders that workers start) and `DEXEXEC_CLIENT_ORDERS_PER_MINUTE` (orders that a
client may post). In no window of the given length are more than `limit` units granted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis.asyncio

from dexexec.broker.outages import with_repair

# KEYS window; ARGV limit, window ms, wanted, process. Each granted unit is a member of the sorted set, with its time as
# the score. The answer is the time until one more can be granted, and then the names of the units. Redis' clock is
# used, so that all processes count in the same window. The names contain the process: two may come in one microsecond.
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


# KEYS window. Deletes a key of another type; the first grant makes the window again.
DROP = """
if redis.call('TYPE', KEYS[1]).ok == 'zset' then return 0 end
return redis.call('DEL', KEYS[1])
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to a request for units: how many were `granted`, and in how many seconds one more can be granted
    (`retry_after`; 0 when all were granted). `units` names the granted units, so that some can be given back."""

    granted: int
    retry_after: float
    units: tuple[bytes, ...] = ()


class RateLimiter:
    """Sliding windows of `window_ms`, one per key. `report` is called with a line about a key of a wrong type."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        prefix: str,
        process: str,
        window_ms: int = 60_000,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._process = process
        self._window = window_ms
        self._report = report
        self._prefix = f"{{{prefix}}}:rate"
        self._take = client.register_script(TAKE)
        self._drop = client.register_script(DROP)

    async def take(self, key: str, limit: int, count: int = 1, *, window_ms: int | None = None) -> Grant:
        """Take up to `count` units, of a window of `window_ms` (None: the limiter's). Raises `UnavailableError`."""
        name = f"{self._prefix}:{key}"
        window = window_ms or self._window

        async def command() -> Grant:
            wait_ms, *units = await self._take(keys=[name], args=[limit, window, count, self._process])
            return Grant(len(units), float(wait_ms) / 1000, tuple(units))

        return await with_repair(command, lambda _: self._remake(name))

    async def give_back(self, key: str, units: Sequence[bytes]) -> None:
        """Return units that were not used. Raises `UnavailableError`."""
        name = f"{self._prefix}:{key}"

        async def command() -> None:
            await self._client.zrem(name, *units)

        if units:
            await with_repair(command, lambda _: self._remake(name))

    async def _remake(self, name: str) -> None:
        if await self._drop(keys=[name]):
            self._report(f"{name} was unusable and has been recreated")
