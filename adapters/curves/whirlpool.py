"""Orca Whirlpool: the swap arithmetic of a pool with concentrated liquidity, exact to the unit.

It follows orca-so/whirlpools at commit 630c0e0. File names in comments are below `programs/whirlpool/src` there.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dexexec.domain.depth import Stretch
from dexexec_adapters.curves.integers import U64_MAX, ceil_div
from dexexec_adapters.curves.stretches import MOST_STRETCHES, between_ticks
from dexexec_adapters.curves.swap import (
    ChainTime,
    CurveError,
    MissingArray,
    Refusal,
    SwapResult,
    TradeDirection,
    check_amount,
    check_fits,
    check_output,
)
from dexexec_adapters.curves.ticks import (
    MAX_TICK,
    MIN_TICK,
    amount_a,
    amount_b,
    impact_ppm,
    price_after_input,
    price_after_output,
)
from dexexec_adapters.curves.whirlpool_fees import AdaptiveFee, AdaptiveRates, FeeRates, StaticRates
from dexexec_adapters.curves.whirlpool_ticks import (
    MAX_SQRT_PRICE,
    MIN_SQRT_PRICE,
    TickArray,
    TickWalk,
    sqrt_price_at,
    tick_at,
)

FEE_RATE_DENOMINATOR = 1_000_000
PROTOCOL_FEE_DENOMINATOR = 10_000
U128_MAX = 2**128 - 1
MOST_RANGES = 120
"""Ranges of one swap. The program takes 8,000 to 10,000 compute units for each, and a transaction has 1.4 million."""
MOST_PRODUCT = 2**192 - 1
"""Liquidity times a price, or a difference of prices, which the program shifts by 64 of its 256 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whirlpool:
    """The parts of a pool, its oracle and its tick arrays that a swap reads or writes.

    `sqrt_price` is Q64.64. `fee_rate` is in millionths of the input, `protocol_fee_rate` in ten-thousandths of the fee.
    `opens_at` is Unix seconds. `arrays` are the tick arrays that were read, by their start. Raises `ValueError` for
    values that no pool has.
    """

    tick_spacing: int
    tick_current: int
    sqrt_price: int
    liquidity: int
    fee_rate: int
    protocol_fee_rate: int
    adaptive_fee: AdaptiveFee | None = None
    opens_at: int = 0
    arrays: Mapping[int, TickArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.tick_spacing <= 0 or not MIN_TICK <= self.tick_current <= MAX_TICK:
            raise ValueError(f"tick {self.tick_current} with the spacing {self.tick_spacing} is not a price")
        if not MIN_SQRT_PRICE <= self.sqrt_price <= MAX_SQRT_PRICE:
            raise ValueError(f"sqrt_price is {self.sqrt_price}: it must be from {MIN_SQRT_PRICE} to {MAX_SQRT_PRICE}")
        if not 0 <= self.protocol_fee_rate <= PROTOCOL_FEE_DENOMINATOR:
            raise ValueError(f"protocol_fee_rate is {self.protocol_fee_rate}, above {PROTOCOL_FEE_DENOMINATOR}")


class _Range(NamedTuple):
    """What a swap moves between two prices: the second one, and base units. `net_in` is without the fee."""

    price: int
    net_in: int
    out: int
    fee: int


def quote_exact_in(pool: Whirlpool, amount_in: int, direction: TradeDirection, now: ChainTime) -> SwapResult[Whirlpool]:
    """Price a swap that pays exactly `amount_in`.

    Raises `CurveError` when the pool would refuse it, `MissingArray` when its price needs more tick arrays.
    """
    check_amount("amount_in", amount_in)
    return _swap(pool, amount_in, direction, now, exact_in=True)


def quote_exact_out(
    pool: Whirlpool, amount_out: int, direction: TradeDirection, now: ChainTime
) -> SwapResult[Whirlpool]:
    """Price a swap that receives exactly `amount_out`.

    Raises `CurveError` when the pool would refuse it, `MissingArray` when its price needs more tick arrays.
    """
    check_amount("amount_out", amount_out)
    return _swap(pool, amount_out, direction, now, exact_in=False)


def stretches(pool: Whirlpool, direction: TradeDirection, now: ChainTime) -> tuple[Stretch, ...]:
    """How the price moves, fees included, as far as the arrays were read. Raises `CurveError` for a closed pool."""
    a_to_b = direction is TradeDirection.A_TO_B
    limit = MIN_SQRT_PRICE if a_to_b else MAX_SQRT_PRICE
    _check(pool, limit, now)
    rates = _fee_rates(pool, now, a_to_b=a_to_b)
    price = pool.sqrt_price
    liquidity = pool.liquidity
    found: list[Stretch] = []
    # A division that reaches further is priced by the pool itself, which reads more or refuses.
    with suppress(CurveError, MissingArray):
        for tick in TickWalk(pool.tick_current, pool.tick_spacing, pool.arrays, a_to_b=a_to_b).ticks():
            at_tick = sqrt_price_at(tick.at)
            target = max(at_tick, limit) if a_to_b else min(at_tick, limit)
            # With a fee that moves, several ranges lie between two ticks.
            for _ in range(MOST_STRETCHES):
                kept = 1 - rates.rate() / FEE_RATE_DENOMINATOR
                bound = rates.bounded(target, liquidity)
                found += between_ticks(price, bound, liquidity, a_to_b=a_to_b, kept_in=kept)
                price = bound
                rates.advance(price, tick.at)
                if price == target:
                    break
            if price != target or len(found) >= MOST_STRETCHES:
                break
            liquidity += -tick.liquidity_net if a_to_b else tick.liquidity_net
    return tuple(found)


def _fee_rates(pool: Whirlpool, now: ChainTime, *, a_to_b: bool) -> FeeRates:
    if pool.adaptive_fee is None:
        return StaticRates(pool.fee_rate)
    return AdaptiveRates(pool.adaptive_fee, pool.fee_rate, pool.tick_current, now.unix_timestamp, a_to_b=a_to_b)


def _check(pool: Whirlpool, limit: int, now: ChainTime) -> None:
    """Raises `CurveError` for a pool that does not swap in this direction now."""
    if now.unix_timestamp < pool.opens_at:
        raise CurveError(Refusal.CLOSED, f"the pool opens at {pool.opens_at}, it is {now.unix_timestamp}")
    if pool.sqrt_price == limit:
        raise CurveError(Refusal.PRICE_RANGE, "the price is at the end of the program's range")


def _swap(
    pool: Whirlpool, amount: int, direction: TradeDirection, now: ChainTime, *, exact_in: bool
) -> SwapResult[Whirlpool]:
    """Move through the ticks until `amount` is used up (manager/swap_manager.rs)."""
    a_to_b = direction is TradeDirection.A_TO_B
    limit = MIN_SQRT_PRICE if a_to_b else MAX_SQRT_PRICE
    _check(pool, limit, now)
    rates = _fee_rates(pool, now, a_to_b=a_to_b)
    price = pool.sqrt_price
    tick_current = pool.tick_current
    liquidity = pool.liquidity
    left = amount
    net_in = out = fee = protocol_fee = ranges = first_rate = 0
    walk = TickWalk(pool.tick_current, pool.tick_spacing, pool.arrays, a_to_b=a_to_b)
    ticks = walk.ticks()
    while left:
        if price == limit:
            # The program would fill a part of an exact input, and refuse an exact output.
            raise CurveError(Refusal.PRICE_RANGE, "the swap would move the price to the end of the program's range")
        tick = next(ticks)
        at_tick = sqrt_price_at(tick.at)
        target = max(at_tick, limit) if a_to_b else min(at_tick, limit)
        if (target > price) if a_to_b else (target < price):
            raise CurveError(Refusal.PRICE_RANGE, f"tick {tick.at} is not ahead of the price {price}")
        # With a fee that moves, several ranges lie between two ticks.
        while True:
            rate = rates.rate()
            first_rate = first_rate if ranges else rate
            bound = rates.bounded(target, liquidity)
            moved = _range(price, bound, liquidity, left, rate, a_to_b=a_to_b, exact_in=exact_in)
            left -= moved.net_in + moved.fee if exact_in else moved.out
            net_in += moved.net_in
            out += moved.out
            fee += moved.fee
            protocol_fee += moved.fee * pool.protocol_fee_rate // PROTOCOL_FEE_DENOMINATOR
            ranges += 1
            if ranges > MOST_RANGES:
                raise CurveError(
                    Refusal.INSUFFICIENT_LIQUIDITY,
                    f"the swap moves through more than {MOST_RANGES} ranges, which a transaction cannot compute",
                )
            if moved.price == at_tick:
                liquidity += -tick.liquidity_net if a_to_b else tick.liquidity_net
                if not 0 <= liquidity <= U128_MAX:
                    raise CurveError(Refusal.MATH_OVERFLOW, f"the liquidity would be {liquidity} after tick {tick.at}")
                # The next search to the left includes its first tick.
                tick_current = tick.at - 1 if a_to_b else tick.at
            elif moved.price != price:
                tick_current = tick_at(moved.price)
            price = moved.price
            rates.advance(price, tick.at)
            if not left or price == target:
                break
    check_output(out)
    check_fits("amount_in", net_in + fee)
    check_fits("amount_out", out)
    # What an adaptive fee rises by on the way is an effect of the size too.
    at_first_rate = (net_in + fee) * (FEE_RATE_DENOMINATOR - first_rate) // FEE_RATE_DENOMINATOR
    return SwapResult(
        amount_in=net_in + fee,
        amount_out=out,
        fee_in=fee,
        fee_out=0,
        protocol_fee=protocol_fee,
        price_impact_ppm=impact_ppm(pool.sqrt_price, at_first_rate, out, ranges, a_to_b=a_to_b),
        pool_after=replace(
            pool,
            sqrt_price=price,
            tick_current=tick_current,
            liquidity=liquidity,
            adaptive_fee=rates.after((pool.sqrt_price, price)),
        ),
        arrays=walk.starts,
    )


def _range(price: int, target: int, liquidity: int, left: int, rate: int, *, a_to_b: bool, exact_in: bool) -> _Range:
    """Move up to `left` between two prices (math/swap_math.rs, compute_swap)."""
    amount = left * (FEE_RATE_DENOMINATOR - rate) // FEE_RATE_DENOMINATOR if exact_in else left
    most = _fixed(price, target, liquidity, a_to_b=a_to_b, exact_in=exact_in)
    if most <= min(amount, U64_MAX):
        after = target
    elif not amount:
        after = price
    else:
        if a_to_b == exact_in:
            _check_product(liquidity, price)
        move = price_after_input if exact_in else price_after_output
        after = move(price, liquidity, amount, a_to_b=a_to_b)
        if not MIN_SQRT_PRICE <= after <= MAX_SQRT_PRICE:
            raise CurveError(Refusal.PRICE_RANGE, "the price would leave the program's range")
    fixed = _fixed(price, after, liquidity, a_to_b=a_to_b, exact_in=exact_in)
    other = _fixed(price, after, liquidity, a_to_b=a_to_b, exact_in=not exact_in)
    net_in, out = (fixed, other) if exact_in else (other, min(fixed, left))
    if max(fixed, other) > U64_MAX:
        raise CurveError(Refusal.MATH_OVERFLOW, "an amount would not fit in 64 bits")
    if exact_in and after != target:
        # What rounding leaves is part of the fee, or the swap would not end.
        return _Range(after, net_in, out, left - net_in)
    return _Range(after, net_in, out, ceil_div(net_in * rate, FEE_RATE_DENOMINATOR - rate))


def _fixed(price: int, after: int, liquidity: int, *, a_to_b: bool, exact_in: bool) -> int:
    """What is paid between two prices, rounded up, or without `exact_in` what is received, rounded down."""
    low, high = min(price, after), max(price, after)
    if a_to_b != exact_in:
        return amount_b(low, high, liquidity, round_up=exact_in)
    _check_product(liquidity, high - low)
    return amount_a(low, high, liquidity, round_up=exact_in)


def _check_product(liquidity: int, factor: int) -> None:
    """Raises `CurveError` where the program's 256 bits overflow (math/token_math.rs)."""
    if liquidity * factor > MOST_PRODUCT:
        raise CurveError(Refusal.MATH_OVERFLOW, f"the liquidity {liquidity} is more than the program can count with")
