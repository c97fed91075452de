"""Raydium CLMM: the swap arithmetic of a pool with concentrated liquidity, exact to the unit.

It follows raydium-clmm at commit 03b44b7. File names in comments are below `programs/amm/src` there. Pools with a
dynamic fee, a fee on the output or limit orders are refused: they are newer than the program it was compared with.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dexexec.domain.depth import Stretch
from dexexec_adapters.curves.clmm_ticks import (
    MAX_SQRT_PRICE,
    MIN_SQRT_PRICE,
    Tick,
    TickArray,
    TickWalk,
    sqrt_price_at,
    tick_at,
)
from dexexec_adapters.curves.integers import ceil_div
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

FEE_RATE_DENOMINATOR = 1_000_000
SWAP_DISABLED = 16
"""The bit of `ClmmPool.status` that disables swaps (`states/pool.rs`, `PoolStatusBitIndex::Swap`)."""
FEE_ON_INPUT = 0
"""The value of `ClmmPool.fee_on` with which the fee is taken from the input."""
MOST_RANGES = 72
"""Ranges between ticks that a swap may go through. Each took 17,000 compute units when this was measured, and a
transaction has 1,400,000 at most."""
U128_MAX = 2**128 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClmmConfig:
    """The fee rates of a config, which many pools share: `trade_fee_rate` in millionths of the input, the others in
    millionths of the trade fee. Raises `ValueError` for rates that leave nothing to swap."""

    trade_fee_rate: int
    protocol_fee_rate: int
    fund_fee_rate: int

    def __post_init__(self) -> None:
        if not 0 <= self.trade_fee_rate < FEE_RATE_DENOMINATOR:
            raise ValueError(f"trade_fee_rate must be below {FEE_RATE_DENOMINATOR}")
        if min(self.protocol_fee_rate, self.fund_fee_rate) < 0:
            raise ValueError("a fee rate is negative: rates are millionths from 0")
        if self.protocol_fee_rate + self.fund_fee_rate > FEE_RATE_DENOMINATOR:
            raise ValueError(f"protocol_fee_rate + fund_fee_rate must be at most {FEE_RATE_DENOMINATOR}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClmmPool:
    """The parts of a pool, its config, its bitmap extension and its tick arrays that a swap reads or writes.

    `sqrt_price` is Q64.64, `open_time` Unix seconds. `bitmap` is that of `clmm_ticks.bitmap_of`, `arrays` are the tick
    arrays that were read, by their start.
    """

    config: ClmmConfig
    tick_spacing: int
    tick_current: int
    sqrt_price: int
    liquidity: int
    bitmap: int
    arrays: Mapping[int, TickArray] = field(default_factory=dict)
    status: int = 0
    open_time: int = 0
    fee_on: int = FEE_ON_INPUT
    has_dynamic_fee: bool = False


class _Range(NamedTuple):
    """What a swap moves between two ticks: its price afterwards, and base units. `net_in` is without the fee."""

    price: int
    net_in: int
    out: int
    fee: int


class _Moved(NamedTuple):
    """What a swap moves in all its ranges: price, tick and liquidity afterwards, and base units."""

    price: int
    tick: int
    liquidity: int
    net_in: int
    out: int
    fee: int
    protocol_fee: int
    ranges: int


def quote_exact_in(pool: ClmmPool, amount_in: int, direction: TradeDirection, now: ChainTime) -> SwapResult[ClmmPool]:
    """Price a swap that pays exactly `amount_in`.

    Raises `CurveError` when the pool would refuse it, `MissingArray` when its price needs more tick arrays.
    """
    check_amount("amount_in", amount_in)
    return _swap(pool, amount_in, direction, now, exact_in=True)


def quote_exact_out(pool: ClmmPool, amount_out: int, direction: TradeDirection, now: ChainTime) -> SwapResult[ClmmPool]:
    """Price a swap that receives exactly `amount_out`.

    Raises `CurveError` when the pool would refuse it, `MissingArray` when its price needs more tick arrays.
    """
    check_amount("amount_out", amount_out)
    return _swap(pool, amount_out, direction, now, exact_in=False)


def stretches(pool: ClmmPool, direction: TradeDirection, now: ChainTime) -> tuple[Stretch, ...]:
    """How the price moves, fee included, as far as the tick arrays were read. Raises `CurveError` for a closed pool."""
    a_to_b = direction is TradeDirection.A_TO_B
    _check(pool, a_to_b, now)
    kept = 1 - pool.config.trade_fee_rate / FEE_RATE_DENOMINATOR
    price = pool.sqrt_price
    liquidity = pool.liquidity
    found: list[Stretch] = []
    # A division that reaches further is priced by the pool itself, which reads more or refuses.
    with suppress(CurveError, MissingArray):
        for tick in TickWalk(pool.bitmap, pool.tick_spacing, pool.arrays).ticks(pool.tick_current, a_to_b=a_to_b):
            if tick.has_orders or len(found) == MOST_STRETCHES:
                break
            at_tick = sqrt_price_at(tick.at)
            found += between_ticks(price, at_tick, liquidity, a_to_b=a_to_b, kept_in=kept)
            liquidity += -tick.liquidity_net if a_to_b else tick.liquidity_net
            price = at_tick
    return tuple(found)


def arrays_ahead(pool: ClmmPool, count: int, *, a_to_b: bool) -> list[int]:
    """The starts of the first `count` tick arrays that a swap in this direction needs."""
    return TickWalk(pool.bitmap, pool.tick_spacing, {}).ahead(pool.tick_current, count, a_to_b=a_to_b)


def with_neighbours(pool: ClmmPool, arrays: Sequence[int], most: int, *, a_to_b: bool) -> tuple[int, ...]:
    """The arrays of a swap with the next one, and with the one behind the price, as far as `most` allows.

    The price may move both ways until the swap. The program skips arrays before the first one that it needs, and does
    not look at those after the last one.
    """
    found = list(arrays)
    beyond = TickWalk(pool.bitmap, pool.tick_spacing, {}).ahead(arrays[-1], 2, a_to_b=a_to_b)
    found += [start for start in beyond if start not in found][: most - len(found)]
    behind = [start for start in arrays_ahead(pool, 2, a_to_b=not a_to_b) if start not in found]
    return (*behind[: min(1, most - len(found))], *found)


def _check(pool: ClmmPool, a_to_b: bool, now: ChainTime) -> None:
    """Raises `CurveError` for a pool that does not swap in this direction now, or that cannot be priced."""
    if pool.status & SWAP_DISABLED:
        raise CurveError(Refusal.CLOSED, "swaps are disabled in this pool's status")
    # instructions/swap_v2.rs: later than the opening, not at it.
    if now.unix_timestamp <= pool.open_time:
        raise CurveError(Refusal.CLOSED, f"the pool opens after {pool.open_time}, it is {now.unix_timestamp}")
    if pool.has_dynamic_fee:
        raise CurveError(Refusal.UNSUPPORTED, "the pool has a dynamic fee, which is not supported")
    if pool.fee_on != FEE_ON_INPUT:
        raise CurveError(Refusal.UNSUPPORTED, f"fee_on is {pool.fee_on}: only 0, a fee on the input, is supported")
    if pool.tick_spacing <= 0 or not MIN_TICK <= pool.tick_current <= MAX_TICK:
        raise CurveError(
            Refusal.UNSUPPORTED, f"tick {pool.tick_current} with the spacing {pool.tick_spacing} is not a price"
        )
    # instructions/swap.rs, swap_internal: the price limit of a swap without one must be ahead.
    low, high = (MIN_SQRT_PRICE + 2, MAX_SQRT_PRICE - 1) if a_to_b else (MIN_SQRT_PRICE, MAX_SQRT_PRICE - 2)
    if not low <= pool.sqrt_price <= high:
        raise CurveError(Refusal.PRICE_RANGE, f"sqrt_price is {pool.sqrt_price}, outside of {low} to {high}")


def _swap(
    pool: ClmmPool, amount: int, direction: TradeDirection, now: ChainTime, *, exact_in: bool
) -> SwapResult[ClmmPool]:
    """Price the swap, and check what the program checks after it (instructions/swap_v2.rs, exact_internal_v2)."""
    a_to_b = direction is TradeDirection.A_TO_B
    _check(pool, a_to_b, now)
    walk = TickWalk(pool.bitmap, pool.tick_spacing, pool.arrays)
    moved = _moved(pool, walk.ticks(pool.tick_current, a_to_b=a_to_b), amount, a_to_b=a_to_b, exact_in=exact_in)
    amount_in = moved.net_in + moved.fee
    if amount_in == 0:
        raise CurveError(
            Refusal.ZERO_OUTPUT, "the amount is too small: it would cost nothing, which the program refuses"
        )
    check_output(moved.out)
    check_fits("amount_in", amount_in)
    check_fits("amount_out", moved.out)
    return SwapResult(
        amount_in=amount_in,
        amount_out=moved.out,
        fee_in=moved.fee,
        fee_out=0,
        protocol_fee=moved.protocol_fee,
        price_impact_ppm=impact_ppm(pool.sqrt_price, moved.net_in, moved.out, moved.ranges, a_to_b=a_to_b),
        pool_after=replace(pool, sqrt_price=moved.price, tick_current=moved.tick, liquidity=moved.liquidity),
        arrays=tuple(walk.visited),
    )


def _moved(pool: ClmmPool, ticks: Iterator[Tick], amount: int, *, a_to_b: bool, exact_in: bool) -> _Moved:
    """Move through the ticks ahead until `amount` is used up (instructions/swap.rs, swap_internal)."""
    limit = MIN_SQRT_PRICE + 1 if a_to_b else MAX_SQRT_PRICE - 1
    rate = pool.config.trade_fee_rate
    price = pool.sqrt_price
    liquidity = pool.liquidity
    left = amount
    net_in = out = fee = protocol_fee = ranges = 0
    crossed: int | None = None
    while left:
        if price == limit:
            # Without a price limit of its own, the program refuses a swap that is filled in part.
            raise CurveError(Refusal.PRICE_RANGE, "the swap would move the price to the end of the program's range")
        if ranges == MOST_RANGES:
            raise CurveError(
                Refusal.INSUFFICIENT_LIQUIDITY,
                f"the swap crosses more than {MOST_RANGES - 1} ticks: too many to compute",
            )
        tick = next(ticks)
        at_tick = _price_ahead(tick, price, a_to_b)
        target = max(at_tick, limit) if a_to_b else min(at_tick, limit)
        part = (_range_in if exact_in else _range_out)(price, target, liquidity, left, rate, a_to_b)
        left -= part.net_in + part.fee if exact_in else part.out
        net_in += part.net_in
        out += part.out
        fee += part.fee
        # The protocol's share of each range rounds down.
        protocol_fee += part.fee * pool.config.protocol_fee_rate // FEE_RATE_DENOMINATOR
        ranges += 1
        if part.price == at_tick:
            # The liquidity changes also where the swap ends exactly at the tick.
            liquidity += -tick.liquidity_net if a_to_b else tick.liquidity_net
            if not 0 <= liquidity <= U128_MAX:
                raise CurveError(Refusal.MATH_OVERFLOW, f"the liquidity would be {liquidity} after tick {tick.at}")
            crossed = tick.at
        elif part.price != price:
            crossed = None
        price = part.price
    after = _tick_after(pool, price, crossed, a_to_b)
    return _Moved(price, after, liquidity, net_in, out, fee, protocol_fee, ranges)


def _price_ahead(tick: Tick, price: int, a_to_b: bool) -> int:
    """The price of the next tick. Raises `CurveError` for one that cannot be crossed."""
    if tick.has_orders:
        raise CurveError(Refusal.UNSUPPORTED, f"tick {tick.at} has limit orders, which are not supported")
    at_tick = sqrt_price_at(tick.at)
    if (at_tick > price) if a_to_b else (at_tick < price):
        raise CurveError(Refusal.PRICE_RANGE, f"tick {tick.at} is not ahead of the price {price}")
    return at_tick


def _range_in(price: int, target: int, liquidity: int, left: int, rate: int, a_to_b: bool) -> _Range:  # noqa: PLR0917
    """Pay up to `left` between two ticks (libraries/swap_math.rs, compute_swap)."""
    net = left * (FEE_RATE_DENOMINATOR - rate) // FEE_RATE_DENOMINATOR
    most = _amount_in(price, target, liquidity, a_to_b)
    if net >= most:
        out = _amount_out(price, target, liquidity, a_to_b)
        return _Range(target, most, out, ceil_div(most * rate, FEE_RATE_DENOMINATOR - rate))
    after = price_after_input(price, liquidity, net, a_to_b=a_to_b)
    net_in = _amount_in(price, after, liquidity, a_to_b)
    # What rounding leaves is part of the fee, or the swap would not end.
    return _Range(after, net_in, _amount_out(price, after, liquidity, a_to_b), left - net_in)


def _range_out(price: int, target: int, liquidity: int, left: int, rate: int, a_to_b: bool) -> _Range:  # noqa: PLR0917
    """Receive up to `left` between two ticks (libraries/swap_math.rs, compute_swap)."""
    most = _amount_out(price, target, liquidity, a_to_b)
    after = target if left >= most else price_after_output(price, liquidity, left, a_to_b=a_to_b)
    # A price that moved further than needed would give more than the rest.
    out = min(most if after == target else _amount_out(price, after, liquidity, a_to_b), left)
    net_in = _amount_in(price, after, liquidity, a_to_b)
    return _Range(after, net_in, out, ceil_div(net_in * rate, FEE_RATE_DENOMINATOR - rate))


def _amount_in(price: int, after: int, liquidity: int, a_to_b: bool) -> int:
    if a_to_b:
        return amount_a(after, price, liquidity, round_up=True)
    return amount_b(price, after, liquidity, round_up=True)


def _amount_out(price: int, after: int, liquidity: int, a_to_b: bool) -> int:
    if a_to_b:
        return amount_b(after, price, liquidity, round_up=False)
    return amount_a(price, after, liquidity, round_up=False)


def _tick_after(pool: ClmmPool, price: int, crossed: int | None, a_to_b: bool) -> int:
    """The tick of the pool after the swap (instructions/swap.rs, swap_internal)."""
    if crossed is not None:
        return crossed - 1 if a_to_b else crossed
    # A swap that is too small to move the price leaves the tick, which is one below a price at a crossed tick.
    return pool.tick_current if price == pool.sqrt_price else tick_at(price)
