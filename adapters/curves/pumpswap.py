"""PumpSwap: the swap arithmetic of a constant product program whose source and binary are not public.

It follows the program's public documents and its TypeScript SDK 1.15.0 (`sdk/buy.ts`, `sell.ts`, `fees.ts`). What these
leave open is refused. Token A is the pool's base token, token B its quote token, in which all fees are taken.
"""

from dataclasses import dataclass, replace

from dexexec_adapters.curves.integers import ceil_div, ppm
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

BPS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """Rates in basis points of the quote amount: for the pool, for the protocol, and for the coin's creator."""

    lp: int
    protocol: int
    creator: int

    def __post_init__(self) -> None:
        if min(self.lp, self.protocol, self.creator) < 0 or self.lp + self.protocol + self.creator >= BPS:
            raise ValueError(f"the fees {self.lp}, {self.protocol} and {self.creator} bps must be below {BPS} together")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeTier:
    """The fees from a market cap on (base units of the quote token)."""

    market_cap: int
    fees: Fees


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpPool:
    """The parts of a pool, its vaults and the program's fees that a swap reads or writes. `supply` is the base token's.
    `tiers` are the fees by market cap, lowest first; a pool without a creator pays no creator fee."""

    vaults: tuple[int, int]
    supply: int
    tiers: tuple[FeeTier, ...]
    has_creator: bool

    def __post_init__(self) -> None:
        caps = [tier.market_cap for tier in self.tiers]
        if not caps or caps != sorted(set(caps)):
            raise ValueError("the tiers of fees must be some, with growing market caps")


def fees_of(pool: PumpPool) -> Fees:
    """The fees at the price before the swap. Raises `CurveError` for an empty pool."""
    base, quote = _reserves(pool)
    market_cap = quote * pool.supply // base
    # Below the first tier its fees apply too.
    tier = next((tier for tier in reversed(pool.tiers) if market_cap >= tier.market_cap), pool.tiers[0])
    return tier.fees if pool.has_creator else replace(tier.fees, creator=0)


def quote_exact_in(pool: PumpPool, amount_in: int, direction: TradeDirection, now: ChainTime) -> SwapResult[PumpPool]:
    """Price a sale of exactly `amount_in` base tokens (`sell`). Raises `CurveError` when the pool would refuse it."""
    if direction is not TradeDirection.A_TO_B:
        raise CurveError(
            Refusal.UNSUPPORTED,
            "it is not documented how the program computes what an exact amount of the quote token buys: use exactOut",
        )
    check_amount("amount_in", amount_in)
    base, quote = _reserves(pool)
    fees = fees_of(pool)
    gross = quote * amount_in // (base + amount_in)
    lp, protocol, creator = _taken(gross, fees)
    amount_out = gross - lp - protocol - creator
    check_output(amount_out)
    vaults = base + amount_in, quote - gross + lp
    check_fits("the vault", vaults[0])
    return SwapResult(
        amount_in=amount_in,
        amount_out=amount_out,
        fee_in=0,
        fee_out=gross - amount_out,
        protocol_fee=protocol,
        price_impact_ppm=ppm(amount_in, base + amount_in),
        pool_after=replace(pool, vaults=vaults),
    )


def quote_exact_out(pool: PumpPool, amount_out: int, direction: TradeDirection, now: ChainTime) -> SwapResult[PumpPool]:
    """Price a purchase of exactly `amount_out` base tokens (`buy`). Raises `CurveError` when the pool would refuse
    it."""
    if direction is not TradeDirection.B_TO_A:
        raise CurveError(Refusal.UNSUPPORTED, "the program has no sale for an exact amount of the quote token")
    check_amount("amount_out", amount_out)
    base, quote = _reserves(pool)
    if amount_out >= base:
        raise CurveError(Refusal.INSUFFICIENT_LIQUIDITY, f"amount_out is {amount_out} and the pool's reserve is {base}")
    net = ceil_div(quote * amount_out, base - amount_out)
    lp, protocol, creator = _taken(net, fees_of(pool))
    amount_in = net + lp + protocol + creator
    check_fits("amount_in", amount_in)
    vaults = base - amount_out, quote + net + lp
    check_fits("the vault", vaults[1])
    return SwapResult(
        amount_in=amount_in,
        amount_out=amount_out,
        fee_in=amount_in - net,
        fee_out=0,
        protocol_fee=protocol,
        price_impact_ppm=ppm(net, quote + net),
        pool_after=replace(pool, vaults=vaults),
    )


def _reserves(pool: PumpPool) -> tuple[int, int]:
    base, quote = pool.vaults
    if base <= 0 or quote <= 0:
        raise CurveError(Refusal.INSUFFICIENT_LIQUIDITY, f"the pool's reserves are {base} and {quote}")
    return base, quote


def _taken(amount: int, fees: Fees) -> tuple[int, int, int]:
    """The fees of an amount of the quote token. Each is rounded up by itself."""
    lp, protocol, creator = (ceil_div(amount * bps, BPS) for bps in (fees.lp, fees.protocol, fees.creator))
    return lp, protocol, creator
