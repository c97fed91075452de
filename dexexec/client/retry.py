"""When a request or a connection is tried again, and when it is given up. Pure: time and chance are arguments.

Pauses have full jitter: each is chosen between nothing and a limit that doubles, so that clients that lost the service
at the same moment do not come back at the same moment.
"""

from collections.abc import Callable
from dataclasses import dataclass

FIRST_LIMIT = 0.2
"""The longest pause (seconds) before the first repetition. The limit doubles with each one."""
LONGEST_LIMIT = 5.0

Random = Callable[[], float]
"""A number from 0 up to 1, as `random.random` returns it."""


def pause(failures: int, random: Random, at_least: float | None = None) -> float:
    """Seconds to wait after so many failures in a row; `at_least` is the Retry-After of the service."""
    # Bounded before it is doubled: an outage of days has many failures.
    limit = min(LONGEST_LIMIT, FIRST_LIMIT * (1 << min(failures - 1, 16)))
    # The service's own Retry-After is the same for all clients that it refuses at once, so the chance comes on top.
    return (at_least or 0.0) + limit * random()


@dataclass(slots=True)
class Tries:
    """The tries of one request. `deadline` and the times are seconds of one monotonic clock."""

    deadline: float
    random: Random
    least_seconds: float = 0.0
    """A try is not begun with less time than this: cut off, it would hide why the ones before it failed."""
    failures: int = 0
    uncertain: bool = False
    """Whether a try had no answer, so that it may have had its effect."""

    def next_at(self, now: float, *, retry_after: float | None = None) -> float | None:
        """When to try again; None if that would be after the deadline."""
        self.failures += 1
        at = now + pause(self.failures, self.random, retry_after)
        # A pause that ends after the deadline would only delay the error.
        return at if at + self.least_seconds < self.deadline else None
