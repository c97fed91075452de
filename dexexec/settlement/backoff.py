"""The pauses between two lookups of a swap, on a chain that sends no notifications."""

FIRST_PAUSE = 0.01
"""Seconds. Short, because a swap of a mock venue may land at once."""
LONGEST_PAUSE = 0.4
"""Seconds: the length of a slot. Nothing changes faster."""


class LookupPauses:
    """The pauses of one swap, each half as long again as the one before."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def next(self) -> float:
        """Returns the next pause in seconds."""
        pause = self._next
        self._next = min(pause * 1.5, LONGEST_PAUSE)
        return pause
