"""The demo's orders of each type: what to post, as pure functions of the prices that the venues quote now.

Some orders of each type reach their condition at once, some may, and some expire: a run shows all of these.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal
from enum import StrEnum
from hashlib import blake2b

from dexexec.demo.order import DemoOrder, Message, plan
from dexexec.domain import base58
from dexexec.domain.event import timestamp

PRICE = Context(prec=8)
"""Enough digits for a price; the service compares amounts exactly."""
BPS = 10_000
MINT_BYTES = 32
LIMITS_BPS = (-10, 3, -10, 500, -10)
"""By how much better than the current price a limit is: reached at once, perhaps soon, and not during the demo."""
STOPS = (("below", 10), ("below", -3), ("above", -10), ("above", 3), ("below", -500))
"""Side and distance (bps) of a trigger price: reached at once, near, and far."""
SLICES: tuple[tuple[str, int | None], ...] = (("skip", None), ("catchUp", -100), ("skip", 500))
"""What becomes of missed slices, and by how much better than now (bps) their price must be (None: any price)."""
# These lists have an odd length, so that each entry comes for both sides, which alternate.
SCHEDULE: Message = {"type": "recurring", "slices": 4, "every": "PT2S", "deadlineSeconds": 5}
CONDITIONS: tuple[Message, ...] = (
    {},
    {"minLiquidity": "20", "maxPriceImpactBps": 500},
    {"mintAuthorityRevoked": True, "freezeAuthorityRevoked": True, "maxAgeMs": 30_000},
    {"minLiquidity": "1000000000"},
)
"""Of snipers: from none to one that no pool fulfils."""
SNIPED = "0.05"
"""What a sniper spends of the input mint: little against the depth of a new pool."""
Prices = Mapping[tuple[str, str], Decimal]
"""The best price net of fees, by side and amount."""


class Kind(StrEnum):
    """A type of orders that the demo shows."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    SNIPER = "sniper"
    RECURRING = "recurring"

    @property
    def needs_prices(self) -> bool:
        """Whether its orders depend on current prices."""
        return self in {Kind.LIMIT, Kind.STOP, Kind.RECURRING}


def plan_kind(
    kind: Kind, count: int, keys: Iterable[str], *, prices: Prices, expires_at: datetime, dry_run: bool
) -> list[DemoOrder]:
    """`count` orders of a kind. Those that rest expire at `expires_at`."""
    orders = plan(count, keys)
    until = timestamp(expires_at.astimezone(UTC))
    for number, order in enumerate(orders):
        match kind:
            case Kind.LIMIT:
                price = _better(prices, order, LIMITS_BPS[number % len(LIMITS_BPS)])
                order.fields = {"type": "limit", "limitPrice": price, "expiresAt": until}
            case Kind.STOP:
                when, bps = STOPS[number % len(STOPS)]
                price = _moved(prices[order.side, order.amount], bps)
                order.fields = {"triggerPrice": price, "triggerWhen": when, "expiresAt": until}
            case Kind.SNIPER:
                order.side = "buy"
                order.amount = SNIPED
                conditions = CONDITIONS[number % len(CONDITIONS)]
                order.fields = {
                    "type": "sniper", "mint": _new_mint(order.key), "conditions": conditions, "expiresAt": until,
                }  # fmt: skip
            case Kind.RECURRING:
                order.fields = {**SCHEDULE, **_slices(prices, order, *SLICES[number % len(SLICES)])}
            case Kind.MARKET:
                pass
        if dry_run:
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


def _slices(prices: Prices, order: DemoOrder, missed: str, bps: int | None) -> Message:
    if bps is None:
        return {"missed": missed}
    worst = "minPrice" if order.side == "buy" else "maxPrice"
    return {"missed": missed, worst: _better(prices, order, bps)}


def _new_mint(key: str) -> str:
    """An address that no token has: the mocks launch pools of any mint."""
    return base58.encode(blake2b(key.encode(), digest_size=MINT_BYTES).digest())


def _better(prices: Prices, order: DemoOrder, bps: int) -> str:
    """The current price, better for the order by so many bps: a buy gives the input mint for as much as it can get."""
    return _moved(prices[order.side, order.amount], bps if order.side == "buy" else -bps)


def _moved(price: Decimal, bps: int) -> str:
    return format(PRICE.multiply(price, Decimal(BPS + bps) / BPS).normalize(), "f")
