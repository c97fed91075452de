"""The outcome of an attempt: what became of one signed transaction, as the record stores it."""

from enum import StrEnum


class Outcome(StrEnum):
    """The values are stored in the column `attempts.outcome` and sent in events: they never change."""

    OPEN = "open"  # not proven yet: NULL in the column
    CONFIRMED = "confirmed"  # on the chain, and can still be undone: stored as open
    LANDED = "landed"  # on the chain for good
    FAILED = "failed"  # on the chain for good, without effect
    EXPIRED = "expired"  # proven never to land
    UNSENT = "unsent"  # signed and never sent
    REJECTED = "rejected"  # only in old records

    @property
    def proven(self) -> bool:
        """Whether the attempt is over: nothing can change its outcome."""
        return self not in (Outcome.OPEN, Outcome.CONFIRMED)
