"""How fast a host is asked after it said that it was asked too often: slower at once, faster again slowly.

What the host allows is not known, so it is taken from what it answered in the second before. All who ask that host
wait for their turn: none of them is refused because of it.
"""

from collections import deque

from dexexec.clock import Clock
from dexexec.settlement.solana.rpc.request_budget import TokenBucket

SLOWER = 0.5
"""Part of what it answered that a host is asked after it complained."""
FASTER = 0.1
"""Part by which the rate grows in each second without a complaint."""
LEAST, MOST = 5.0, 1_000.0
"""Requests per second: what is asked in any case, also after a complaint in a quiet moment, when nothing was answered
just before; and from where on there is no limit any more."""
WINDOW = 1.0
"""Seconds over which answers are counted."""


class HostPacing:
    """The pace of one host. No limit until it first complains."""

    def __init__(self, clock: Clock, host: str) -> None:
        self._clock, self._host = clock, host
        self._answered: deque[float] = deque()
        self._bucket: TokenBucket | None = None
        self._since = 0.0

    @property
    def rate(self) -> float | None:
        """Requests per second, if there is a limit."""
        return self._bucket.rate if self._bucket else None

    def slow_down(self) -> None:
        """The host complains."""
        self._forget_old()
        answered = len(self._answered) / WINDOW
        rate = max(LEAST, SLOWER * (min(answered, self._bucket.rate) if self._bucket else answered))
        if self._bucket is None:
            self._bucket = TokenBucket(self._clock, self._host, rate, burst=1.0, reserve=0.0)
        self._bucket.rate, self._since = rate, self._clock.monotonic()

    def bucket(self) -> TokenBucket | None:
        """Where a request has to take its turn, if anywhere."""
        if self._bucket is not None:
            now = self._clock.monotonic()
            self._bucket.rate *= (1 + FASTER) ** (now - self._since)
            self._since = now
            if self._bucket.rate >= MOST:
                self._bucket = None
        return self._bucket

    def answered(self) -> None:
        """It answers a request."""
        self._answered.append(self._clock.monotonic())
        self._forget_old()

    def _forget_old(self) -> None:
        before = self._clock.monotonic() - WINDOW
        while self._answered and self._answered[0] <= before:
            self._answered.popleft()
