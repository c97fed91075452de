"""The pauses between two lookups of a swap, where nothing notifies of it."""

from collections.abc import Callable

FIRST_PAUSE = 0.01
"""Seconds. Short, because a swap of a mock venue may land at once."""


class LookupPauses:
    """The pauses of one swap, each half as long again as the one before, up to the length of a slot in seconds, which
    `slot_seconds` returns: nothing changes faster."""

    def __init__(self, slot_seconds: Callable[[], float]) -> None:
        self._slot_seconds = slot_seconds
        self._next = FIRST_PAUSE

    def next(self) -> float:
        """Returns the next pause in seconds."""
        pause = self._next
        self._next = min(pause * 1.5, self._slot_seconds())
        return pause

    def restart(self) -> None:
        """Begins again with the shortest pause."""
        self._next = FIRST_PAUSE
