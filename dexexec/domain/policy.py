"""A policy: the limits of a key, checked when its order is accepted and again before anything is signed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dexexec.domain.terms import OrderType

NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits; None, or a mint that is not named: no limit.

    `max_per_order` and `max_per_day` are base units of the token spent, by mint; a day is a UTC day of the database's
    clock. `mints`, `venues`, `kinds` and `wallets` name all that are allowed.
    """

    requests_per_second: float | None = None
    open_orders: int | None = None
    sockets: int | None = None
    max_per_order: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    max_per_day: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    mints: frozenset[str] | None = None
    venues: frozenset[str] | None = None
    kinds: frozenset[OrderType] | None = None
    max_slippage_bps: int | None = None
    max_price_impact_bps: int | None = None
    wallets: frozenset[str] | None = None


NO_LIMITS = Policy()
