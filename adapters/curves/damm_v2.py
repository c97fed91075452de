"""Meteora DAMM v2: the swap arithmetic of one price range of constant liquidity, or of a compounding constant product.

It follows MeteoraAg/damm-v2 at commit a3d3827. File names in comments are below `programs/cp-amm/src` there;
"concentrated" and "compounding" are `liquidity_handler/*_liquidity.rs`. Sqrt prices are Q64.64 roots of base units of B
per base unit of A. Liquidity has 64 more fractional bits. Token-2022 transfer fees are outside the curve.
"""

from dataclasses import dataclass, replace
from math import isqrt

from dexexec.domain.depth import Stretch
from dexexec_adapters.curves.damm_v2_fees import (
    BASIS_POINTS,
    FEE_DENOMINATOR,
    BaseFee,
    DynamicFee,
    total_fee_numerator,
)
from dexexec_adapters.curves.integers import Q64, ceil_div, ppm
from dexexec_adapters.curves.stretches import product, ranged
from dexexec_adapters.curves.swap import (
    ChainTime,
    CurveError,
    Refusal,
    SwapResult,
    TradeDirection,
    check_amount,
    check_fits,
    check_output,
)

MIN_SQRT_PRICE = 4295048016
MAX_SQRT_PRICE = 79226673521066979257578248091
# Values of `DammV2Pool.collect_fee_mode`: the fee is taken from the output, always in B, or in B and partly reinvested.
BOTH_TOKENS = 0
ONLY_B = 1
COMPOUNDING = 2

# Values of `DammV2Pool.activation_type`: the unit of `activation_point` and of the base fee's periods.
BY_SLOT = 0
BY_TIMESTAMP = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DammV2Pool:
    """The parts of a pool account that a swap reads or writes. Amounts are base units.

    `token_a_amount` and `token_b_amount` are the reserves. The vaults also hold fees, and do not affect the price.
    `dynamic_fee` is None when it is not initialized. `fee_a_per_liquidity` and `fee_b_per_liquidity` are the claims of
    positions, times 2^128 per unit of liquidity. `pool_status` 0 is enabled. With `layout_version` 0 the reserves are
    not tracked yet; the first swap computes them.
    """

    base_fee: BaseFee
    dynamic_fee: DynamicFee | None
    liquidity: int
    sqrt_price: int
    token_a_amount: int
    token_b_amount: int
    sqrt_min_price: int = MIN_SQRT_PRICE
    sqrt_max_price: int = MAX_SQRT_PRICE
    collect_fee_mode: int = BOTH_TOKENS
    compounding_fee_bps: int = 0
    protocol_fee_percent: int = 20
    protocol_a_fee: int = 0
    protocol_b_fee: int = 0
    fee_a_per_liquidity: int = 0
    fee_b_per_liquidity: int = 0
    activation_point: int = 0
    activation_type: int = BY_SLOT
    pool_status: int = 0
    fee_version: int = 0
    layout_version: int = 1


def sqrt_price_from_amounts(token_a_amount: int, token_b_amount: int) -> int:
    """The Q64.64 sqrt price at which both amounts are worth the same, rounded down."""
    # compounding, get_sqrt_price_from_amounts.
    return isqrt((token_b_amount << 128) // token_a_amount)


def liquidity_from_b(token_b_amount: int, sqrt_price: int, sqrt_min_price: int) -> int:
    """The most liquidity that `token_b_amount` can provide from `sqrt_min_price` up to `sqrt_price`."""
    # L = b / (sqrt(P) - sqrt(Pmin)), solved from the formula for B in `range_reserves`.
    return (token_b_amount << 128) // (sqrt_price - sqrt_min_price)


def range_reserves(liquidity: int, sqrt_price: int, sqrt_min_price: int, sqrt_max_price: int) -> tuple[int, int]:
    """The amounts of A and B behind a range of constant liquidity, rounded up."""
    # concentrated, get_delta_amount_a_unsigned: a = L * (sqrt(Pmax) - sqrt(P)) / (sqrt(P) * sqrt(Pmax)).
    token_a_amount = ceil_div(liquidity * (sqrt_max_price - sqrt_price), sqrt_price * sqrt_max_price)
    # concentrated, get_delta_amount_b_unsigned: b = L * (sqrt(P) - sqrt(Pmin)).
    return token_a_amount, ceil_div(liquidity * (sqrt_price - sqrt_min_price), 1 << 128)


def quote_exact_in(
    pool: DammV2Pool, amount_in: int, direction: TradeDirection, now: ChainTime
) -> SwapResult[DammV2Pool]:
    """Price a swap that pays exactly `amount_in`. Raises `CurveError` when the pool would refuse it."""
    check_amount("amount_in", amount_in)
    fee_numerator = _open_fee_numerator(pool, now)
    a_to_b = direction is TradeDirection.A_TO_B
    on_input = _fee_on_input(pool, a_to_b)
    fee_in = 0
    fee_out = 0
    # state/fee.rs, get_fee_on_amount: the fee rounds up, on both sides.
    if on_input:
        fee_in = ceil_div(amount_in * fee_numerator, FEE_DENOMINATOR)
    net_in = amount_in - fee_in
    gross_out, next_sqrt_price = _curve_out(pool, net_in, a_to_b)
    if not on_input:
        fee_out = ceil_div(gross_out * fee_numerator, FEE_DENOMINATOR)
    check_output(gross_out - fee_out)
    return _settle(
        pool,
        now,
        a_to_b,
        net_in=net_in,
        gross_out=gross_out,
        fee_in=fee_in,
        fee_out=fee_out,
        next_sqrt_price=next_sqrt_price,
    )


def quote_exact_out(
    pool: DammV2Pool, amount_out: int, direction: TradeDirection, now: ChainTime
) -> SwapResult[DammV2Pool]:
    """Price a swap that receives exactly `amount_out`. Raises `CurveError` when the pool would refuse it."""
    check_amount("amount_out", amount_out)
    fee_numerator = _open_fee_numerator(pool, now)
    a_to_b = direction is TradeDirection.A_TO_B
    on_input = _fee_on_input(pool, a_to_b)
    fee_in = 0
    fee_out = 0
    # state/fee.rs, get_included_fee_amount: the amount before the fee, rounded up.
    if not on_input:
        fee_out = ceil_div(amount_out * FEE_DENOMINATOR, FEE_DENOMINATOR - fee_numerator) - amount_out
    gross_out = amount_out + fee_out
    net_in, next_sqrt_price = _curve_in(pool, gross_out, a_to_b)
    if on_input:
        fee_in = ceil_div(net_in * FEE_DENOMINATOR, FEE_DENOMINATOR - fee_numerator) - net_in
    return _settle(
        pool,
        now,
        a_to_b,
        net_in=net_in,
        gross_out=gross_out,
        fee_in=fee_in,
        fee_out=fee_out,
        next_sqrt_price=next_sqrt_price,
    )


def stretches(pool: DammV2Pool, direction: TradeDirection, now: ChainTime) -> tuple[Stretch, ...]:
    """How the price moves, fees included. Raises `CurveError` for a pool that is closed."""
    kept = 1 - _open_fee_numerator(pool, now) / FEE_DENOMINATOR
    a_to_b = direction is TradeDirection.A_TO_B
    kept_in, kept_out = (kept, 1.0) if _fee_on_input(pool, a_to_b) else (1.0, kept)
    if pool.collect_fee_mode == COMPOUNDING:
        return (product(*_reserves(pool, a_to_b), kept_in=kept_in, kept_out=kept_out),)
    start, end = pool.sqrt_price / Q64, pool.sqrt_min_price / Q64
    if not a_to_b:
        start, end = Q64 / pool.sqrt_price, Q64 / pool.sqrt_max_price
    if start <= end:
        return ()  # at the end of its range
    return (ranged(start, end, pool.liquidity / Q64, kept_in=kept_in, kept_out=kept_out),)


def _open_fee_numerator(pool: DammV2Pool, now: ChainTime) -> int:
    """The fee of a swap now. Raises `CurveError` for a pool that is closed, empty or of an unsupported kind."""
    if pool.pool_status:
        raise CurveError(Refusal.CLOSED, f"pool_status is {pool.pool_status}: the pool is disabled")
    if pool.activation_type not in (BY_SLOT, BY_TIMESTAMP):
        raise CurveError(Refusal.UNSUPPORTED, f"activation_type is {pool.activation_type}: only 0 and 1 are supported")
    point = now.slot if pool.activation_type == BY_SLOT else now.unix_timestamp
    if point < pool.activation_point:
        raise CurveError(Refusal.CLOSED, f"the pool opens at {pool.activation_point}, it is {point}")
    if pool.collect_fee_mode not in (BOTH_TOKENS, ONLY_B, COMPOUNDING):
        raise CurveError(
            Refusal.UNSUPPORTED, f"collect_fee_mode is {pool.collect_fee_mode}: only 0, 1 and 2 are supported"
        )
    if pool.liquidity <= 0:
        raise CurveError(Refusal.INSUFFICIENT_LIQUIDITY, f"liquidity is {pool.liquidity}: the pool is empty")
    if pool.collect_fee_mode == COMPOUNDING and min(pool.token_a_amount, pool.token_b_amount) <= 0:
        raise CurveError(
            Refusal.INSUFFICIENT_LIQUIDITY,
            f"the pool's reserves are {pool.token_a_amount} and {pool.token_b_amount}",
        )
    return total_fee_numerator(pool.base_fee, pool.dynamic_fee, pool.fee_version, point, pool.activation_point)


def _fee_on_input(pool: DammV2Pool, a_to_b: bool) -> bool:
    # state/fee.rs, FeeMode::get_fee_mode: modes that collect only B take it from the input when B is paid.
    return not a_to_b and pool.collect_fee_mode != BOTH_TOKENS


def _curve_out(pool: DammV2Pool, net_in: int, a_to_b: bool) -> tuple[int, int]:
    """The output for `net_in` before a fee on the output, and the sqrt price after the swap.

    Every rounding is in the pool's favour.
    """
    if pool.collect_fee_mode == COMPOUNDING:
        reserve_in, reserve_out = _reserves(pool, a_to_b)
        # compounding, calculate_a_to_b_from_amount_in: a constant product. The price follows from the reserves later.
        return reserve_out * net_in // (reserve_in + net_in), pool.sqrt_price
    liquidity = pool.liquidity
    price = pool.sqrt_price
    if a_to_b:
        # concentrated, get_next_sqrt_price_from_amount_in_a_rounding_up: sqrt(P') = L * sqrt(P) / (L + a * sqrt(P)).
        after = _in_range(pool, ceil_div(liquidity * price, liquidity + net_in * price))
        return liquidity * (price - after) >> 128, after
    # concentrated, get_next_sqrt_price_from_amount_in_b_rounding_down: sqrt(P') = sqrt(P) + b / L.
    after = _in_range(pool, price + (net_in << 128) // liquidity)
    return liquidity * (after - price) // (price * after), after


def _curve_in(pool: DammV2Pool, gross_out: int, a_to_b: bool) -> tuple[int, int]:
    """The input for `gross_out` before a fee on the input, and the sqrt price after the swap."""
    if pool.collect_fee_mode == COMPOUNDING:
        reserve_in, reserve_out = _reserves(pool, a_to_b)
        if gross_out >= reserve_out:
            raise CurveError(
                Refusal.INSUFFICIENT_LIQUIDITY, f"the output would be {gross_out} of a reserve of {reserve_out}"
            )
        return ceil_div(reserve_in * gross_out, reserve_out - gross_out), pool.sqrt_price
    liquidity = pool.liquidity
    price = pool.sqrt_price
    if a_to_b:
        # concentrated, get_next_sqrt_price_from_amount_out_b_rounding_down: sqrt(P') = sqrt(P) - b / L.
        after = _in_range(pool, price - ceil_div(gross_out << 128, liquidity))
        return ceil_div(liquidity * (price - after), price * after), after
    if gross_out * price >= liquidity:
        raise CurveError(
            Refusal.INSUFFICIENT_LIQUIDITY, f"{gross_out} is more of token A than the pool's liquidity can provide"
        )
    # concentrated, get_next_sqrt_price_from_amount_out_a_rounding_up: sqrt(P') = L * sqrt(P) / (L - a * sqrt(P)).
    after = _in_range(pool, ceil_div(liquidity * price, liquidity - gross_out * price))
    return ceil_div(liquidity * (after - price), 1 << 128), after


def _in_range(pool: DammV2Pool, sqrt_price: int) -> int:
    if not pool.sqrt_min_price <= sqrt_price <= pool.sqrt_max_price:
        raise CurveError(
            Refusal.PRICE_RANGE,
            f"the swap would move sqrt_price to {sqrt_price}, out of {pool.sqrt_min_price} to {pool.sqrt_max_price}",
        )
    return sqrt_price


def _reserves(pool: DammV2Pool, a_to_b: bool) -> tuple[int, int]:
    """The tracked reserves as (in, out)."""
    return (pool.token_a_amount, pool.token_b_amount) if a_to_b else (pool.token_b_amount, pool.token_a_amount)


def _settle(
    pool: DammV2Pool,
    now: ChainTime,
    a_to_b: bool,
    *,
    net_in: int,
    gross_out: int,
    fee_in: int,
    fee_out: int,
    next_sqrt_price: int,
) -> SwapResult[DammV2Pool]:
    """Move reserves, price and volatility, and split the fee between protocol, positions and the pool itself.

    A swap without a referral account is assumed. A referral takes a part of the protocol's share; the amounts that the
    wallet pays and receives stay the same.
    """
    price = pool.sqrt_price
    token_a = pool.token_a_amount
    token_b = pool.token_b_amount
    # state/pool.rs, update_layout_version_if_needed.
    if pool.layout_version == 0:
        token_a, token_b = range_reserves(pool.liquidity, price, pool.sqrt_min_price, pool.sqrt_max_price)
    # state/fee.rs, split_fees: each share rounds down, and positions get the rest.
    fee = fee_in + fee_out
    protocol_fee = fee * pool.protocol_fee_percent // 100
    compounding_fee = (fee - protocol_fee) * pool.compounding_fee_bps // BASIS_POINTS
    claimable = ((fee - protocol_fee - compounding_fee) << 128) // pool.liquidity

    if a_to_b:
        token_a = token_a + net_in
        token_b = token_b - gross_out
    else:
        token_a = token_a - gross_out
        token_b = token_b + net_in
    if min(token_a, token_b) < 0:
        raise CurveError(Refusal.INSUFFICIENT_LIQUIDITY, f"{gross_out} is more than the pool's reserve")
    token_b += compounding_fee
    check_fits("amount_in", net_in + fee_in)
    check_fits("token_a_amount", token_a)
    check_fits("token_b_amount", token_b)
    if pool.collect_fee_mode == COMPOUNDING:
        # Both reserves before the reinvested fee, or the impact would depend on it.
        impact = ppm(net_in, token_a if a_to_b else token_b - compounding_fee)
        next_sqrt_price = sqrt_price_from_amounts(token_a, token_b)
    else:
        impact = ppm(abs(price - next_sqrt_price), max(price, next_sqrt_price))

    fee_in_a = pool.collect_fee_mode == BOTH_TOKENS and not a_to_b
    pool_after = replace(
        pool,
        dynamic_fee=pool.dynamic_fee and pool.dynamic_fee.after_swap(price, next_sqrt_price, now.unix_timestamp),
        sqrt_price=next_sqrt_price,
        token_a_amount=token_a,
        token_b_amount=token_b,
        protocol_a_fee=pool.protocol_a_fee + (protocol_fee if fee_in_a else 0),
        protocol_b_fee=pool.protocol_b_fee + (0 if fee_in_a else protocol_fee),
        fee_a_per_liquidity=pool.fee_a_per_liquidity + (claimable if fee_in_a else 0),
        fee_b_per_liquidity=pool.fee_b_per_liquidity + (0 if fee_in_a else claimable),
        layout_version=1,
    )
    return SwapResult(
        amount_in=net_in + fee_in,
        amount_out=gross_out - fee_out,
        fee_in=fee_in,
        fee_out=fee_out,
        protocol_fee=protocol_fee,
        price_impact_ppm=impact,
        pool_after=pool_after,
    )
