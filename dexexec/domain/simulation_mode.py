"""Where transactions are simulated before they are signed."""

from enum import StrEnum


class SimulationMode(StrEnum):
    """A value of `DEXEXEC_SIMULATE`."""

    LOCAL = "local"
    """In this process where that is possible, otherwise by a node."""
    NODE = "node"
    """By a node."""
    BOTH = "both"
    """By both where that is possible, and what they show must be equal."""
