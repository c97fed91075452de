"""A circuit breaker: skips a venue or a signer after too many failures in a row.

While it is closed, every request passes. After `failures` failures in a row it opens, and no request passes for
`seconds`. Then it is half-open: one request is a trial, and its result closes or opens the breaker again.
"""

from collections.abc import Callable
from enum import StrEnum


class State(StrEnum):
    """Which requests a breaker lets pass."""

    CLOSED = "closed"  # every request
    OPEN = "open"  # none
    HALF_OPEN = "half-open"  # one, as a trial


class Breaker:
    """`now` is a monotonic clock (seconds). `moved` is called with the state after each change."""

    def __init__(self, failures: int, seconds: float, now: Callable[[], float], moved: Callable[[State], None]) -> None:
        self._limit = failures
        self._seconds = seconds
        self._now = now
        self._moved = moved
        self._failures = 0
        self._opened_until = 0.0
        self._trying = False
        self.state = State.CLOSED
        self.cause: tuple[str, str] = ("", "")
        """Code and detail of the last failure, for the events of orders that have to wait."""

    def enter(self) -> bool:
        """Whether a request may pass. One of `succeeded`, `failed` and `abandoned` must follow for each that does."""
        if self.state is State.OPEN and not self.remaining_seconds():
            self._move(State.HALF_OPEN)
        if self.state is State.CLOSED:
            return True
        # Only one request at a time is a trial, or all waiting orders would run into the same failure.
        passes = self.state is State.HALF_OPEN and not self._trying
        self._trying = self._trying or passes
        return passes

    def remaining_seconds(self) -> float:
        """Seconds until a request may pass again. 0 if one may pass, or is a trial now."""
        return max(0.0, self._opened_until - self._now()) if self.state is State.OPEN else 0.0

    def succeeded(self) -> None:
        """The request succeeded."""
        self._failures = 0
        self._trying = False
        self._move(State.CLOSED)

    def failed(self, code: str, detail: str) -> None:
        """The request failed."""
        # A request that began before the breaker opened must not extend its time.
        if self.state is State.OPEN:
            return
        self._failures += 1
        self._trying = False
        self.cause = code, detail
        if self.state is State.HALF_OPEN or self._failures >= self._limit:
            self._opened_until = self._now() + self._seconds
            self._move(State.OPEN)

    def abandoned(self) -> None:
        """The request ended without a result that counts."""
        self._trying = False

    def _move(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._moved(state)
