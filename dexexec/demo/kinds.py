"""The demo's orders of each type: what to post, as pure functions of the prices that the venues quote now.

Some orders of each type reach their condition at once, some may, and some expire: a run shows all of these.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal
from enum import StrEnum
from itertools import cycle

from dexexec.demo.order import DemoOrder, plan
from dexexec.domain.event import timestamp

PRICE = Context(prec=8)
"""Enough digits for a price; the service compares amounts exactly."""
BPS = 10_000
LIMITS_BPS = (-10, 3, -10, 500, -10)
"""By how much better than the current price a limit is: reached at once, perhaps soon, and not during the demo."""
STOPS = (("below", 10), ("below", -3), ("above", -10), ("above", 3), ("below", -500))
"""Side and distance (bps) of a trigger price: reached at once, near, and far."""
# Both lists have an odd length, so that each entry comes for both sides, which alternate.
Prices = Mapping[tuple[str, str], Decimal]
"""The best price net of fees, by side and amount."""


class Kind(StrEnum):
    """A type of orders that the demo shows."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"

    @property
    def needs_prices(self) -> bool:
        """Whether its orders depend on current prices."""
        return self in {Kind.LIMIT, Kind.STOP}


def plan_kind(
    kind: Kind, count: int, keys: Iterable[str], *, prices: Prices, expires_at: datetime, dry_run: bool
) -> list[DemoOrder]:
    """`count` orders of a kind. Those that rest expire at `expires_at`."""
    orders = plan(count, keys)
    until = timestamp(expires_at.astimezone(UTC))
    match kind:
        case Kind.LIMIT:
            for order, bps in zip(orders, cycle(LIMITS_BPS), strict=False):
                better = bps if order.side == "buy" else -bps  # a buy gives the input mint for as much as it can get
                price = _moved(prices[order.side, order.amount], better)
                order.fields = {"type": "limit", "limitPrice": price, "expiresAt": until}
        case Kind.STOP:
            for order, (when, bps) in zip(orders, cycle(STOPS), strict=False):
                price = _moved(prices[order.side, order.amount], bps)
                order.fields = {"triggerPrice": price, "triggerWhen": when, "expiresAt": until}
        case Kind.MARKET:
            pass
    if dry_run:
        for order in orders:
            order.fields = {**order.fields, "dryRun": True}
    return orders


def net_price(quote: Mapping[str, object], side: str) -> Decimal | None:
    """The price of one venue's quote net of all fees, or None if it has none. The given amount is the one spent."""
    try:
        price, out, net = values = [Decimal(str(quote[name])) for name in ("price", "amountOut", "net")]
    except (KeyError, ArithmeticError):
        return None
    if not all(value.is_finite() and value > 0 for value in values):
        return None
    # The price is that of what the venue pays out; network fees reduce what is received.
    return price * net / out if side == "buy" else price * out / net


def _moved(price: Decimal, bps: int) -> str:
    return format(PRICE.multiply(price, Decimal(BPS + bps) / BPS).normalize(), "f")
