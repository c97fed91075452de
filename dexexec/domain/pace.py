"""The pace of a Solana cluster: how long a slot takes, and how soon a block is final. It is measured, and changes."""

from dataclasses import dataclass
from enum import StrEnum


class Finality(StrEnum):
    """When a block that the cluster has confirmed is final."""

    IMMEDIATE = "immediate"
    """With its confirmation: the two are the same (Alpenglow)."""
    DELAYED = "delayed"
    """Some slots after its confirmation, until which a fork may remove it (TowerBFT). The safe assumption."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of a cluster. `measured`: `slot_seconds` is from the cluster; otherwise it is an assumption."""

    slot_seconds: float
    finality: Finality
    measured: bool

    @property
    def final_at_once(self) -> bool:
        """Whether a confirmed block is final."""
        return self.finality is Finality.IMMEDIATE

    def seconds(self, slots: float) -> float:
        """How long `slots` take, in seconds."""
        return slots * self.slot_seconds

    def slots(self, seconds: float) -> float:
        """How many slots fit into `seconds`."""
        return seconds / self.slot_seconds


UNKNOWN_PACE = Pace(0.4, Finality.DELAYED, measured=False)
"""Until a cluster is measured: the longest slots that a public cluster was ever set to."""
