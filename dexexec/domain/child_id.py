"""Ids of orders that the service itself makes for another order: always the same id for the same part of a parent, so
that no restart, second process or lost answer makes a part twice."""

from uuid import UUID, uuid5

_TIME = (1 << 128) - (1 << 80)
"""The 48 bits of a UUIDv7 that hold its time."""


def child_id(parent: UUID, part: str) -> UUID:
    """The id of the order that is `part` of `parent`: the hash of both, behind the parent's time."""
    # With a random beginning, the child would sort among the newest attempts for ever, by which a comparison with the
    # chain finds how far back to look (`store.chain_comparisons`).
    return UUID(int=parent.int & _TIME | uuid5(parent, part).int & ~_TIME)
