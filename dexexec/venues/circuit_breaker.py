"""A circuit breaker: leaves a venue alone after too many failures in a row. The router has one for each venue.

Closed, every request passes. After `failures` failures in a row it opens, and none passes for `seconds`. Then it is
half-open: one request tries the venue, and its result closes or opens the breaker again. What opened it is kept as
text, so that an order that has to wait can be told the cause.
"""

from collections.abc import Callable
from enum import StrEnum


class State(StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"  # every request
    OPEN = "open"  # none
    HALF_OPEN = "half-open"  # one, which tries the venue


class Breaker:
    """`now` is a monotonic clock (seconds). `moved` is called with the state after each change."""

    def __init__(self, failures: int, seconds: float, now: Callable[[], float], moved: Callable[[State], None]) -> None:
        self._limit, self._seconds, self._now, self._moved = failures, seconds, now, moved
        self._failures = 0
        self._opened_until = 0.0
        self._trying = False
        self.state = State.CLOSED
        self.cause: tuple[str, str] = ("", "")
        """Code and detail of the last failure."""

    def enter(self) -> bool:
        """Whether a request may pass. Each that does is ended by one of `succeeded`, `failed` and `abandoned`."""
        if self.state is State.OPEN and not self.remaining_seconds():
            self._move(State.HALF_OPEN)
        if self.state is State.CLOSED:
            return True
        passes = self.state is State.HALF_OPEN and not self._trying
        self._trying = self._trying or passes
        return passes

    def remaining_seconds(self) -> float:
        """Seconds until a request may pass again; 0 when one may, or is trying the venue now."""
        return max(0.0, self._opened_until - self._now()) if self.state is State.OPEN else 0.0

    def succeeded(self) -> None:
        """The venue answered."""
        self._failures, self._trying = 0, False
        self._move(State.CLOSED)

    def failed(self, code: str, detail: str) -> None:
        """The venue failed. What began before the breaker opened does not keep it open for longer."""
        if self.state is State.OPEN:
            return
        self._failures, self._trying = self._failures + 1, False
        self.cause = code, detail
        if self.state is State.HALF_OPEN or self._failures >= self._limit:
            self._opened_until = self._now() + self._seconds
            self._move(State.OPEN)

    def abandoned(self) -> None:
        """The request ended without telling anything about the venue."""
        self._trying = False

    def _move(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._moved(state)
