"""Which orders a list shows, and how many there are of each status."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dexexec.domain.cancellation import Pair
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """What the orders of a list have in common; None or empty: no condition.

    `since` and `until` bound `created_at`, the latter exclusively. `owners` are numbers of keys. `reason` is that of an
    order that has ended.
    """

    statuses: frozenset[Status] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    venue: str | None = None
    pair: Pair | None = None
    reason: str | None = None
    type: OrderType | None = None
    dry_run: bool | None = None
    tag: str | None = None
    parent: UUID | None = None
    oco_group: str | None = None
    wallet: str | None = None
    owners: tuple[int, ...] = ()


ALL_ORDERS = OrderFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTotals:
    """How many orders of a list have each status. `at_least`: only so many were counted, and there are more."""

    by_status: Mapping[Status, int]
    at_least: bool

    @property
    def orders(self) -> int:
        """How many were counted."""
        return sum(self.by_status.values())
