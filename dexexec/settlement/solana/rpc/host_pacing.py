"""Limits the request rate of one host after it answered "too many requests": halved at once, raised slowly.

What a host allows is unknown, so the new rate is derived from what it answered in the second before. All requests to
the host wait for their turn; none is refused because of the rate.
"""

from collections import deque

from dexexec.clock import Clock
from dexexec.settlement.solana.rpc.request_budget import TokenBucket

SLOW_DOWN_FACTOR = 0.5
"""New rate after a complaint, as a part of the rate that the host answered."""
GROWTH_PER_SECOND = 0.1
"""Growth of the rate in each second without a complaint."""
MIN_RATE = 5.0
"""Requests per second that are always allowed. A complaint in a quiet moment, when hardly anything was answered, would
otherwise stop everything."""
MAX_RATE = 1_000.0
"""Requests per second above which there is no limit any more."""
WINDOW = 1.0
"""Seconds over which answers are counted."""


class HostPacing:
    """The request rate of one host. There is no limit until it first complains."""

    def __init__(self, clock: Clock, host: str) -> None:
        self._clock = clock
        self._host = host
        self._answer_times: deque[float] = deque()
        self._bucket: TokenBucket | None = None
        self._rate_set_at = 0.0

    @property
    def rate(self) -> float | None:
        """Requests per second, if limited."""
        return self._bucket.rate if self._bucket else None

    def slow_down(self) -> None:
        """Records a complaint of the host."""
        self._drop_old_answers()
        answered = len(self._answer_times) / WINDOW
        # Answers may still arrive that were requested at a higher rate than the present one.
        measured = min(answered, self._bucket.rate) if self._bucket else answered
        rate = max(MIN_RATE, SLOW_DOWN_FACTOR * measured)
        if self._bucket is None:
            self._bucket = TokenBucket(self._clock, self._host, rate, burst=1.0, reserve=0.0)
        self._bucket.rate = rate
        self._rate_set_at = self._clock.monotonic()

    def bucket(self) -> TokenBucket | None:
        """The bucket that a request takes a token from, if the host is limited."""
        if self._bucket is not None:
            now = self._clock.monotonic()
            self._bucket.rate *= (1 + GROWTH_PER_SECOND) ** (now - self._rate_set_at)
            self._rate_set_at = now
            if self._bucket.rate >= MAX_RATE:
                self._bucket = None
        return self._bucket

    def answered(self) -> None:
        """Records an answer of the host."""
        self._answer_times.append(self._clock.monotonic())
        self._drop_old_answers()

    def _drop_old_answers(self) -> None:
        window_start = self._clock.monotonic() - WINDOW
        while self._answer_times and self._answer_times[0] <= window_start:
            self._answer_times.popleft()
