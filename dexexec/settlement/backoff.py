"""How long to wait between two looks at a swap's status where nothing tells that there is something to see."""

FIRST, LONGEST = 0.01, 0.4
"""Seconds: growing by half, up to the length of a slot."""


class Pauses:
    """The pauses of one swap, one after the other."""

    def __init__(self) -> None:
        self._next = FIRST

    def next(self) -> float:
        """Seconds."""
        pause = self._next
        self._next = min(pause * 1.5, LONGEST)
        return pause
