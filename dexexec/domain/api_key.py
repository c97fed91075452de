"""Keys of clients: what they allow, and whose an order is.

A key is known by a number, its owner number. It is in the rows of the key's orders, and in front of the names that
clients choose, so that two keys can use the same `Idempotency-Key` without meeting.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dexexec.domain.policy import NO_LIMITS, Policy

OWNER_MARK = "/"
"""Separates the owner's number from a name that its client chose. Group names cannot hold it."""


class Scope(StrEnum):
    """What a key allows. `trade` includes `read`; `admin` includes both, for the orders of all keys."""

    READ = "read"
    TRADE = "trade"
    ADMIN = "admin"

    def allows(self, wanted: "Scope") -> bool:
        """Whether a key with this scope may do what needs `wanted`."""
        return _RANKS[self] >= _RANKS[wanted]


_RANKS = {Scope.READ: 0, Scope.TRADE: 1, Scope.ADMIN: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secrets. `owner` is its number."""

    owner: int
    name: str
    scopes: frozenset[Scope]
    policy: Policy = NO_LIMITS
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


def owned_name(owner: int | None, name: str) -> str:
    """A name that a client chose (an `Idempotency-Key`, a group), as it is stored: apart from the same name of another
    key."""
    return name if owner is None else f"{owner}{OWNER_MARK}{name}"


def chosen_name(stored: str) -> str:
    """A group's name as its client chose it. No name of a group holds the mark itself."""
    return stored.rpartition(OWNER_MARK)[2]
