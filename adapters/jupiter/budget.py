"""The number of requests that Jupiter's API allows, and pauses after it refused one."""

from collections import deque
from collections.abc import Callable

from dexexec.venue import RateLimited

WINDOW_SECONDS = 60.0
"""Jupiter counts the requests of the last minute."""
FIRST_PAUSE_SECONDS = 2.0
MOST_PAUSE_SECONDS = 120.0


class RequestBudget:
    """At most `per_minute` requests in any minute, by the monotonic clock `now` (seconds)."""

    def __init__(self, per_minute: int, now: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._now = now
        self._sent: deque[float] = deque()
        self._paused_until = 0.0
        self._pause = FIRST_PAUSE_SECONDS

    def take(self, *, keep: int = 0) -> None:
        """Counts a request. Raises `RateLimited` if not even `keep` more would be left after it, or in a pause."""
        now = self._now()
        if now < self._paused_until:
            raise RateLimited(f"Jupiter refused a request as too many: next one in {self._paused_until - now:.0f} s")
        while self._sent and self._sent[0] <= now - WINDOW_SECONDS:
            self._sent.popleft()
        if len(self._sent) + keep >= self._per_minute:
            raise RateLimited(
                f"{self._per_minute} requests per minute are allowed for Jupiter, and are used up: set"
                " DEXEXEC_JUPITER_REQUESTS_PER_MINUTE if your key allows more"
            )
        self._sent.append(now)

    def refused(self, retry_after: float | None) -> None:
        """Pauses after a refusal; `retry_after` are the seconds that the server named."""
        # Twice as long each time: requests during its pause make Jupiter's window longer.
        pause = max(self._pause, retry_after or 0.0)
        self._pause = min(2 * self._pause, MOST_PAUSE_SECONDS)
        self._paused_until = self._now() + min(pause, MOST_PAUSE_SECONDS)

    def succeeded(self) -> None:
        """Forgets earlier refusals."""
        self._pause = FIRST_PAUSE_SECONDS
