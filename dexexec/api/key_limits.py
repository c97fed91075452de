"""The limits of a key that are not about an order: requests per second and open sockets, over all processes."""

import asyncio
import math
from typing import Protocol

from dexexec.api.caller import Caller
from dexexec.api.websocket_registry import TokenBucket
from dexexec.broker.rate_limiter import Grant
from dexexec.clock import Clock
from dexexec.domain.policy_check import Breach
from dexexec.errors import UnavailableError
from dexexec.operator_errors import PolicyError, TooManyRequestsError

REDIS_SECONDS = 0.5
"""How long Redis may take. Without it each process counts its own requests."""
LONG_WINDOW_SECONDS = 10.0
"""The window for a number of requests per second that is no whole number."""
MOST_BUCKETS = 10_000


class Windows(Protocol):
    """The part of `dexexec.broker.rate_limiter.RateLimiter` that is used here."""

    async def take(self, key: str, limit: int, count: int = 1, *, window_ms: int | None = None) -> Grant:
        """Take units of a window."""


class Leases(Protocol):
    """The part of `dexexec.broker.socket_leases.SocketLeases` that is used here."""

    async def open(self, owner: int, limit: int) -> str | None:
        """Count one more socket; None if as many as `limit` are open."""

    async def close(self, name: str) -> None:
        """The socket has ended."""


class KeyLimits:
    """One per process."""

    def __init__(self, windows: Windows, leases: Leases, clock: Clock) -> None:
        self._windows = windows
        self._leases = leases
        self._clock = clock
        self._buckets: dict[int, tuple[float, TokenBucket]] = {}

    async def count_request(self, caller: Caller) -> None:
        """Raises `TooManyRequestsError`."""
        rate = caller.policy.requests_per_second
        if rate is None or caller.owner is None:
            return
        limit, seconds = window_of(rate)
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                grant = await self._windows.take(f"key:{caller.owner}", limit, window_ms=round(seconds * 1000))
        except (UnavailableError, TimeoutError):
            grant = self._count_here(caller.owner, rate)
        if grant.granted < 1:
            text = f"over the key's policy: requestsPerSecond is {rate:g}"
            raise TooManyRequestsError(text, grant.retry_after)

    async def open_socket(self, caller: Caller) -> str | None:
        """Count a socket; returns the name to close it by, None if the key has no such limit. Raises `PolicyError`."""
        limit = caller.policy.sockets
        if limit is None or caller.owner is None:
            return None
        name = await self._leases.open(caller.owner, limit)
        if name is None:
            raise PolicyError([Breach(field="", policy="sockets", limit=str(limit), given=f"{limit + 1} at once")])
        return name

    async def close_socket(self, name: str) -> None:
        """A socket that was counted has ended."""
        await self._leases.close(name)

    def _count_here(self, owner: int, rate: float) -> Grant:
        now = self._clock.monotonic()
        known_rate, bucket = self._buckets.get(owner, (0.0, None))
        if bucket is None or known_rate != rate:
            if len(self._buckets) >= MOST_BUCKETS:
                self._buckets.clear()
            # The bucket holds ten seconds' worth, as for the messages of a socket.
            bucket = TokenBucket(rate, now)
            self._buckets[owner] = (rate, bucket)
        return Grant(1, 0.0) if bucket.take(1, now) else Grant(0, 1 / rate)


class SocketPlace:
    """The place of one socket among those of its key."""

    def __init__(self, limits: KeyLimits | None) -> None:
        self._limits = limits
        self._name: str | None = None

    async def take(self, caller: Caller) -> None:
        """Take a place, unless it has one. Raises `PolicyError`."""
        if self._name is None and self._limits is not None:
            self._name = await self._limits.open_socket(caller)

    async def leave(self) -> None:
        """Give the place back."""
        if self._name is not None and self._limits is not None:
            name, self._name = self._name, None
            await self._limits.close_socket(name)


def window_of(rate: float) -> tuple[int, float]:
    """A number of requests and a window (seconds) with that rate: one second if the rate is a whole number."""
    if rate >= 1 and rate == int(rate):
        return int(rate), 1.0
    seconds = max(LONG_WINDOW_SECONDS, math.ceil(1 / rate))
    return math.floor(rate * seconds), float(seconds)
