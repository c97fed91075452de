"""What is warm and why, as values: for `venues --watch` and `GET /api/venues`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmPool:
    """The state of one pool's accounts. `cold` is why they are not answered from memory; empty if they are. `age_slots`
    is how long ago the oldest of them was confirmed."""

    address: str
    cold: str
    accounts: int
    age_slots: int
    notifications_per_second: float
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmReport:
    """The watched state of one chain. `node` notifies of changes; empty without a connection. `slot` is the newest
    complete one, `age_seconds` when it was reported. `from_memory` and `from_node` count the reads of accounts for
    orders, `gaps` how often notifications were found to be missing or false, and `last_gap` is the last reason."""

    cold: str
    node: str
    slot: int
    age_seconds: float | None
    watched: int
    limit: int
    subscribed: int
    refused: str
    notifications_per_second: float
    bytes: int
    from_memory: int
    from_node: int
    gaps: int
    last_gap: str
