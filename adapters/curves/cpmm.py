"""Raydium CPMM: the swap arithmetic of a constant product pool, exact to the unit.

It follows raydium-cp-swap at commit 609780f. File names in comments are below `programs/cp-swap/src` there.
Token-2022 transfer fees are outside the curve: the caller deducts them before and after.
"""

from dataclasses import dataclass, replace

from dexexec.domain.depth import Stretch
from dexexec_adapters.curves.integers import ceil_div, ppm
from dexexec_adapters.curves.stretches import product
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

FEE_RATE_DENOMINATOR = 1_000_000
SWAP_DISABLED = 4
"""The bit of `CpmmPool.status` that disables swaps (`states/pool.rs`, `PoolStatusBitIndex::Swap`)."""

# Values of `CpmmPool.creator_fee_on`: the token in which the creator's fee is taken. BOTH_TOKENS: the input token.
BOTH_TOKENS = 0
ONLY_TOKEN_0 = 1
ONLY_TOKEN_1 = 2


@dataclass(frozen=True, slots=True)
class AmmConfig:
    """The fee rates of a config, which many pools share.

    `trade_fee_rate` and `creator_fee_rate` are millionths of the volume, `protocol_fee_rate` and `fund_fee_rate`
    millionths of the trade fee. Raises `ValueError` for rates that leave nothing to swap.
    """

    trade_fee_rate: int
    protocol_fee_rate: int
    fund_fee_rate: int
    creator_fee_rate: int = 0

    def __post_init__(self) -> None:
        if min(self.trade_fee_rate, self.creator_fee_rate, self.protocol_fee_rate, self.fund_fee_rate) < 0:
            raise ValueError("a fee rate is negative: rates are millionths from 0")
        if self.trade_fee_rate + self.creator_fee_rate >= FEE_RATE_DENOMINATOR:
            raise ValueError(f"trade_fee_rate + creator_fee_rate must be below {FEE_RATE_DENOMINATOR}")
        if self.protocol_fee_rate + self.fund_fee_rate > FEE_RATE_DENOMINATOR:
            raise ValueError(f"protocol_fee_rate + fund_fee_rate must be at most {FEE_RATE_DENOMINATOR}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CpmmPool:
    """The parts of a pool account, its config and its two vaults that a swap reads or writes. Amounts are base units.

    The vaults also hold fees that were not collected yet, so prices come from `reserves`, never from the vaults.
    `creator_fee_on` is one of `BOTH_TOKENS`, `ONLY_TOKEN_0`, `ONLY_TOKEN_1`; `open_time` is Unix seconds.
    """

    amm_config: AmmConfig
    vault_0_amount: int
    vault_1_amount: int
    protocol_fees_token_0: int = 0
    protocol_fees_token_1: int = 0
    fund_fees_token_0: int = 0
    fund_fees_token_1: int = 0
    creator_fees_token_0: int = 0
    creator_fees_token_1: int = 0
    creator_fee_on: int = 0
    enable_creator_fee: bool = False
    status: int = 0
    open_time: int = 0

    @property
    def reserves(self) -> tuple[int, int]:
        """The amounts of token 0 and token 1 that are for sale (`states/pool.rs`, `vault_amount_without_fee`)."""
        return (
            self.vault_0_amount - self.protocol_fees_token_0 - self.fund_fees_token_0 - self.creator_fees_token_0,
            self.vault_1_amount - self.protocol_fees_token_1 - self.fund_fees_token_1 - self.creator_fees_token_1,
        )


def quote_exact_in(pool: CpmmPool, amount_in: int, direction: TradeDirection, now: ChainTime) -> SwapResult[CpmmPool]:
    """Price a swap that pays exactly `amount_in`. Raises `CurveError` when the pool would refuse it."""
    check_amount("amount_in", amount_in)
    reserve_in, reserve_out = _open_reserves(pool, direction, now)
    creator_in_rate, creator_out_rate = _creator_rates(pool, direction)
    input_rate = pool.amm_config.trade_fee_rate + creator_in_rate
    # curve/calculator.rs, swap_base_input: fees on the input are taken together, so they round up once.
    fee_in = ceil_div(amount_in * input_rate, FEE_RATE_DENOMINATOR)
    net_in = amount_in - fee_in
    # curve/constant_product.rs, swap_base_input_without_fees: out = in * y / (x + in), rounded down.
    gross_out = net_in * reserve_out // (reserve_in + net_in)
    fee_out = ceil_div(gross_out * creator_out_rate, FEE_RATE_DENOMINATOR)
    check_output(gross_out - fee_out)
    return _settle(
        pool,
        direction,
        net_in=net_in,
        gross_out=gross_out,
        fee_in=fee_in,
        fee_out=fee_out,
        creator_in_rate=creator_in_rate,
        price_impact_ppm=ppm(net_in, reserve_in + net_in),
    )


def quote_exact_out(pool: CpmmPool, amount_out: int, direction: TradeDirection, now: ChainTime) -> SwapResult[CpmmPool]:
    """Price a swap that receives exactly `amount_out`. Raises `CurveError` when the pool would refuse it."""
    check_amount("amount_out", amount_out)
    reserve_in, reserve_out = _open_reserves(pool, direction, now)
    creator_in_rate, creator_out_rate = _creator_rates(pool, direction)
    input_rate = pool.amm_config.trade_fee_rate + creator_in_rate
    # curve/fees.rs, calculate_pre_fee_amount: the amount of which `amount_out` is left after the creator's fee.
    gross_out = ceil_div(amount_out * FEE_RATE_DENOMINATOR, FEE_RATE_DENOMINATOR - creator_out_rate)
    if gross_out >= reserve_out:
        raise CurveError(
            Refusal.INSUFFICIENT_LIQUIDITY,
            f"amount_out is {amount_out}: including its fee, that is {gross_out} of a reserve of {reserve_out}",
        )
    # curve/constant_product.rs, swap_base_output_without_fees: in = x * out / (y - out), rounded up.
    net_in = ceil_div(reserve_in * gross_out, reserve_out - gross_out)
    # curve/calculator.rs, swap_base_output: the fees on the input as one rate again.
    amount_in = ceil_div(net_in * FEE_RATE_DENOMINATOR, FEE_RATE_DENOMINATOR - input_rate)
    return _settle(
        pool,
        direction,
        net_in=net_in,
        gross_out=gross_out,
        fee_in=amount_in - net_in,
        fee_out=gross_out - amount_out,
        creator_in_rate=creator_in_rate,
        price_impact_ppm=ppm(net_in, reserve_in + net_in),
    )


def stretches(pool: CpmmPool, direction: TradeDirection, now: ChainTime) -> tuple[Stretch, ...]:
    """How the price moves, fees included. Raises `CurveError` for a pool that is closed."""
    reserve_in, reserve_out = _open_reserves(pool, direction, now)
    creator_in, creator_out = _creator_rates(pool, direction)
    kept_in = 1 - (pool.amm_config.trade_fee_rate + creator_in) / FEE_RATE_DENOMINATOR
    return (product(reserve_in, reserve_out, kept_in=kept_in, kept_out=1 - creator_out / FEE_RATE_DENOMINATOR),)


def _open_reserves(pool: CpmmPool, direction: TradeDirection, now: ChainTime) -> tuple[int, int]:
    """The reserves as (in, out). Raises `CurveError` for a pool that is closed or empty."""
    if pool.status & SWAP_DISABLED:
        raise CurveError(Refusal.CLOSED, "swaps are disabled in this pool's status")
    if now.unix_timestamp < pool.open_time:
        raise CurveError(Refusal.CLOSED, f"the pool opens at {pool.open_time}, it is {now.unix_timestamp}")
    reserve_0, reserve_1 = pool.reserves
    if reserve_0 <= 0 or reserve_1 <= 0:
        raise CurveError(Refusal.INSUFFICIENT_LIQUIDITY, f"the pool's reserves are {reserve_0} and {reserve_1}")
    return (reserve_0, reserve_1) if direction is TradeDirection.A_TO_B else (reserve_1, reserve_0)


def _creator_rates(pool: CpmmPool, direction: TradeDirection) -> tuple[int, int]:
    """The creator's fee rates on the input and on the output. At least one of them is 0."""
    if not pool.enable_creator_fee:
        return 0, 0
    rate = pool.amm_config.creator_fee_rate
    # states/pool.rs, is_creator_fee_on_input.
    input_token = ONLY_TOKEN_0 if direction is TradeDirection.A_TO_B else ONLY_TOKEN_1
    if pool.creator_fee_on in (BOTH_TOKENS, input_token):
        return rate, 0
    if pool.creator_fee_on in (ONLY_TOKEN_0, ONLY_TOKEN_1):
        return 0, rate
    raise CurveError(Refusal.UNSUPPORTED, f"creator_fee_on is {pool.creator_fee_on}: only 0, 1 and 2 are supported")


def _settle(
    pool: CpmmPool,
    direction: TradeDirection,
    *,
    net_in: int,
    gross_out: int,
    fee_in: int,
    fee_out: int,
    creator_in_rate: int,
    price_impact_ppm: int,
) -> SwapResult[CpmmPool]:
    """Move the tokens between wallet and vaults, and book the fees that leave the reserves.

    The trade fee is always taken from the input. Protocol and fund get shares of it; the rest stays in the reserves.
    """
    config = pool.amm_config
    # curve/fees.rs, split_creator_fee: in proportion to the rates, and the creator's part rounds down.
    creator_in = fee_in * creator_in_rate // (config.trade_fee_rate + creator_in_rate) if creator_in_rate else 0
    trade_fee = fee_in - creator_in
    protocol_fee = trade_fee * config.protocol_fee_rate // FEE_RATE_DENOMINATOR
    fund_fee = trade_fee * config.fund_fee_rate // FEE_RATE_DENOMINATOR
    amount_in = net_in + fee_in
    amount_out = gross_out - fee_out
    if direction is TradeDirection.A_TO_B:
        check_fits("vault_0_amount", pool.vault_0_amount + amount_in)
        pool_after = replace(
            pool,
            vault_0_amount=pool.vault_0_amount + amount_in,
            vault_1_amount=pool.vault_1_amount - amount_out,
            protocol_fees_token_0=pool.protocol_fees_token_0 + protocol_fee,
            fund_fees_token_0=pool.fund_fees_token_0 + fund_fee,
            creator_fees_token_0=pool.creator_fees_token_0 + creator_in,
            creator_fees_token_1=pool.creator_fees_token_1 + fee_out,
        )
    else:
        check_fits("vault_1_amount", pool.vault_1_amount + amount_in)
        pool_after = replace(
            pool,
            vault_0_amount=pool.vault_0_amount - amount_out,
            vault_1_amount=pool.vault_1_amount + amount_in,
            protocol_fees_token_1=pool.protocol_fees_token_1 + protocol_fee,
            fund_fees_token_1=pool.fund_fees_token_1 + fund_fee,
            creator_fees_token_0=pool.creator_fees_token_0 + fee_out,
            creator_fees_token_1=pool.creator_fees_token_1 + creator_in,
        )
    return SwapResult(
        amount_in=amount_in,
        amount_out=amount_out,
        fee_in=fee_in,
        fee_out=fee_out,
        protocol_fee=protocol_fee,
        price_impact_ppm=price_impact_ppm,
        pool_after=pool_after,
    )
