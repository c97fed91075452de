"""Limit orders that rest until they are cancelled."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from dexexec.domain.bound import Bound
from dexexec.domain.order import FOREVER_MS, NewOrder
from dexexec.domain.terms import OrderType, Terms, TimeInForce
from tests.support.parts import new_order

LIMIT = Terms(time_in_force=TimeInForce.GTC, limit_price=Decimal("151.25"))


def limit_order(**changes: Any) -> NewOrder:
    """Buy USDC with 0.01 SOL for 151.25 or more."""
    kind: dict[str, Any] = {
        "type": OrderType.LIMIT,
        "terms": LIMIT,
        "deadline_ms": FOREVER_MS,
        "bound": Bound(1_512_500, 10_000_000),
        "bound_open": False,
    }
    return replace(new_order(), **{**kind, **changes})
