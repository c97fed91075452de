"""Reads a resting order's row into what the oracle needs: where it fires."""

from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

from dexexec.domain.order import Side
from dexexec.domain.quote import Mode
from dexexec.domain.rate import rate_at
from dexexec.domain.terms import OrderType, TriggerWhen
from dexexec.domain.token import Tokens
from dexexec.resting.conditions import ANY_RATE, Direction, Fires, Market, WatchedOrder, rate_of
from dexexec.store import RestingOrder

PPM_PER_BPS = 100
HIGH_WATER_DIGITS = 80
"""Digits of a stored high-water mark: more than the ratio of two 64-bit amounts needs to be read back exactly."""


class UnwatchableError(Exception):
    """The order's price cannot be watched. The text is the reason."""


def watched_order(row: RestingOrder, tokens: Tokens, max_price_impact_bps: int, now: float) -> WatchedOrder | None:
    """The order as the oracle keeps it; None if it does not wait for a price. `max_price_impact_bps` is for orders
    without a limit, `now` the monotonic time. Raises `UnwatchableError`."""
    if row.type not in (OrderType.MARKET, OrderType.LIMIT):
        return None
    own = row.max_price_impact_bps
    order = WatchedOrder(
        id=row.id,
        version=row.version,
        created_at=row.created_at,
        market=_market(row.side, row.input_mint, row.output_mint, row.mode),
        direction=_direction(row, tokens),
        amount=row.amount_base,
        impact_ppm=(max_price_impact_bps if own is None else own) * PPM_PER_BPS,
        fires=Fires.AT_OR_ABOVE,
        # Not the wall clock: set back, it would keep the order quiet for as long.
        quiet_until=now + row.quiet_ms / 1000 if row.quiet_ms else 0.0,
    )
    _set_condition(order, row)
    return order


def high_water_of(order: WatchedOrder, best: int) -> Decimal:
    """The high-water mark as it is stored: a rate."""
    rate = rate_of(order.market.mode, order.amount, best)
    with localcontext(prec=HIGH_WATER_DIGITS):
        return Decimal(rate.numerator) / Decimal(rate.denominator)


def _set_condition(order: WatchedOrder, row: RestingOrder) -> None:
    terms = row.terms
    if terms.has_trigger and not row.triggered:
        order.stop = True
        if terms.trail_bps is not None:
            order.fires = Fires.AT_OR_BELOW
            order.trail_bps = terms.trail_bps
            if row.high_water is not None:
                order.raise_best(_best_of(order, row.high_water))
        elif terms.trigger_price is not None:
            # A sell's rate is the inverse of the price: a price above its trigger is a rate below.
            above = terms.trigger_when is TriggerWhen.ABOVE
            order.fires = Fires.AT_OR_ABOVE if above is (row.side is Side.BUY) else Fires.AT_OR_BELOW
            order.fire_at(_rate_at(order, terms.trigger_price))
    elif terms.limit_price is not None:
        order.fire_at(_rate_at(order, terms.limit_price))
    else:
        # A stop that was reached, and rests although it needs no price any more: as soon as it may be tried again.
        order.fire_at(ANY_RATE)


def _best_of(order: WatchedOrder, high_water: Decimal) -> int:
    """The inverse of `high_water_of`."""
    rate = Fraction(high_water)
    return round(order.amount * rate if order.market.mode is Mode.EXACT_IN else order.amount / rate)


def _rate_at(order: WatchedOrder, price: Decimal) -> Fraction:
    direction = order.direction
    return rate_at(
        price,
        direction.side,
        input_decimals=direction.input_decimals,
        output_decimals=direction.output_decimals,
    )


def _direction(row: RestingOrder, tokens: Tokens) -> Direction:
    mints = (row.input_mint, row.output_mint)
    known = [token for token in map(tokens.get, mints) if token is not None]
    if len(known) != len(mints):
        raise UnwatchableError("a token of its pair is not configured any more: add it to DEXEXEC_TOKENS")
    first, second = known
    return _shared_direction(row.side, first.decimals, second.decimals)


# One object for all orders of a pair: each order would have its own otherwise.
@lru_cache(maxsize=4096)
def _shared_direction(side: Side, input_decimals: int, output_decimals: int) -> Direction:
    return Direction(side, input_decimals, output_decimals)


@lru_cache(maxsize=4096)
def _market(side: Side, input_mint: str, output_mint: str, mode: Mode) -> Market:
    return Market(input_mint, output_mint, mode) if side is Side.BUY else Market(output_mint, input_mint, mode)
