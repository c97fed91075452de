"""Raydium AMM v4: the swap arithmetic of the older constant product program, exact to the unit.

It follows raydium-amm at commit 27f461d (`program/src/processor.rs`, `math.rs`). Pools whose liquidity is also offered
on an order book are refused: what they hold there is not in their vaults.
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

# Values of `AmmV4Pool.status` (`state.rs`, `AmmStatus`). The others allow no swaps.
WITH_ORDER_BOOK = 1
SWAP_ONLY = 6
WAITING_TRADE = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class AmmV4Pool:
    """The parts of a pool account and its two vaults that a swap reads or writes. Amounts are base units.

    Token A is the program's "coin", token B its "pc". `taken` is what the vaults hold for the protocol: it is not for
    sale. The fee is `fee_numerator / fee_denominator` of the input, and all of it stays in the vault. `open_time` is
    Unix seconds and matters only for the status `WAITING_TRADE`.
    """

    vaults: tuple[int, int]
    taken: tuple[int, int]
    fee_numerator: int
    fee_denominator: int
    status: int = SWAP_ONLY
    open_time: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.fee_numerator < self.fee_denominator:
            raise ValueError(f"the fee {self.fee_numerator}/{self.fee_denominator} must be from 0 to below 1")

    @property
    def reserves(self) -> tuple[int, int]:
        """The amounts of token A and token B that are for sale."""
        return self.vaults[0] - self.taken[0], self.vaults[1] - self.taken[1]


def quote_exact_in(pool: AmmV4Pool, amount_in: int, direction: TradeDirection, now: ChainTime) -> SwapResult[AmmV4Pool]:
    """Price a swap that pays exactly `amount_in`. Raises `CurveError` when the pool would refuse it."""
    check_amount("amount_in", amount_in)
    reserve_in, reserve_out = _open_reserves(pool, direction, now)
    _check_rounding("amount_in", amount_in * pool.fee_numerator, pool.fee_denominator)
    fee = ceil_div(amount_in * pool.fee_numerator, pool.fee_denominator)
    net_in = amount_in - fee
    amount_out = net_in * reserve_out // (reserve_in + net_in)
    check_output(amount_out)
    return _settled(pool, direction, amount_in=amount_in, amount_out=amount_out, net_in=net_in)


def quote_exact_out(
    pool: AmmV4Pool, amount_out: int, direction: TradeDirection, now: ChainTime
) -> SwapResult[AmmV4Pool]:
    """Price a swap that receives exactly `amount_out`. Raises `CurveError` when the pool would refuse it."""
    check_amount("amount_out", amount_out)
    reserve_in, reserve_out = _open_reserves(pool, direction, now)
    if amount_out >= reserve_out:
        raise CurveError(
            Refusal.INSUFFICIENT_LIQUIDITY, f"amount_out is {amount_out} and the pool's reserve is {reserve_out}"
        )
    _check_rounding("amount_out", reserve_in * amount_out, reserve_out - amount_out)
    net_in = ceil_div(reserve_in * amount_out, reserve_out - amount_out)
    amount_in = ceil_div(net_in * pool.fee_denominator, pool.fee_denominator - pool.fee_numerator)
    check_fits("amount_in", amount_in)
    return _settled(pool, direction, amount_in=amount_in, amount_out=amount_out, net_in=net_in)


def _open_reserves(pool: AmmV4Pool, direction: TradeDirection, now: ChainTime) -> tuple[int, int]:
    """The reserves as (in, out). Raises `CurveError` for a pool that is closed, empty, or of another kind."""
    if pool.status == WITH_ORDER_BOOK:
        # The program dropped order books in July 2026. Before, such a pool's price depended on what it had there.
        raise CurveError(Refusal.UNSUPPORTED, "its status is 1: a part of its liquidity may be in an order book")
    if pool.status not in (SWAP_ONLY, WAITING_TRADE):
        raise CurveError(Refusal.CLOSED, f"its status is {pool.status}: only 6 and 7 allow swaps")
    if pool.status == WAITING_TRADE and now.unix_timestamp < pool.open_time:
        raise CurveError(Refusal.CLOSED, f"the pool opens at {pool.open_time}, it is {now.unix_timestamp}")
    reserve_a, reserve_b = pool.reserves
    if reserve_a <= 0 or reserve_b <= 0:
        raise CurveError(Refusal.INSUFFICIENT_LIQUIDITY, f"the pool's reserves are {reserve_a} and {reserve_b}")
    return (reserve_a, reserve_b) if direction is TradeDirection.A_TO_B else (reserve_b, reserve_a)


def stretches(pool: AmmV4Pool, direction: TradeDirection, now: ChainTime) -> tuple[Stretch, ...]:
    """How the price moves, fee included. Raises `CurveError` for a pool that is closed."""
    reserve_in, reserve_out = _open_reserves(pool, direction, now)
    return (product(reserve_in, reserve_out, kept_in=1 - pool.fee_numerator / pool.fee_denominator),)


def _check_rounding(name: str, numerator: int, denominator: int) -> None:
    """Refuse what builds of the program round differently: those from before commit 78c6a81 (August 2025) round a
    quotient below one half to 0, later ones to 1. Which build is deployed does not show in any account."""
    if 0 < 2 * numerator < denominator:
        raise CurveError(Refusal.UNSUPPORTED, f"{name} is so small that builds of the program round it differently")


def _settled(
    pool: AmmV4Pool, direction: TradeDirection, *, amount_in: int, amount_out: int, net_in: int
) -> SwapResult[AmmV4Pool]:
    """The result, with the tokens moved between wallet and vaults."""
    first, second = pool.vaults
    reserve_in = pool.reserves[0 if direction is TradeDirection.A_TO_B else 1]
    if direction is TradeDirection.A_TO_B:
        vaults = first + amount_in, second - amount_out
    else:
        vaults = first - amount_out, second + amount_in
    check_fits("the vault", max(vaults))
    # A pool that waited for its time is an ordinary one from its first swap on.
    return SwapResult(
        amount_in=amount_in,
        amount_out=amount_out,
        fee_in=amount_in - net_in,
        fee_out=0,
        protocol_fee=0,
        price_impact_ppm=ppm(net_in, reserve_in + net_in),
        pool_after=replace(pool, vaults=vaults, status=SWAP_ONLY),
    )
