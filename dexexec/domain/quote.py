"""Requests to venues and their quotes. All amounts are integers in base units; a price is never a float.

Slippage bounds follow the clients of the real programs: `min_out = floor(quote x (10000 - bps) / 10000)`,
`max_in = ceil(quote x (10000 + bps) / 10000)`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from dexexec.domain.network_cost import NetworkCost

BPS = 10_000


class Mode(StrEnum):
    """Which side of the swap is fixed: what is spent (`exactIn`) or what is received (`exactOut`)."""

    EXACT_IN = "exactIn"
    EXACT_OUT = "exactOut"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapRequest:
    """Spend `mint_in` for `mint_out`. `amount` is in base units of `mint_in` (`exactIn`) or of `mint_out`
    (`exactOut`)."""

    mint_in: str
    mint_out: str
    amount: int
    mode: Mode
    slippage_bps: int


def min_out(amount_out: int, slippage_bps: int) -> int:
    """The least that the order accepts, in base units of the output."""
    return amount_out * (BPS - slippage_bps) // BPS


def max_in(amount_in: int, slippage_bps: int) -> int:
    """The most that the order pays, in base units of the input."""
    return -(-amount_in * (BPS + slippage_bps) // BPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A part of a swap over several pools: what it exchanges in one of them, in base units."""

    venue: str
    pool: str
    mint_in: str
    mint_out: str
    amount_in: int
    amount_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A venue's price for one request.

    `fee` is what the venue keeps, in base units of `fee_mint`, already inside the amounts; `network_fee` is the
    lamports that the transaction costs in addition, and `tip` those that the engine adds so that it lands.
    `price_impact_ppm` is the price change by the swap's own size, without the fee, in parts per million.
    `expires_at_ms` is Unix time. `min_out` and `max_in` are both binding in both modes. `route` names the pools on the
    way; `raw` has what the adapter needs to build, and its venue's own answer. `legs` are the parts of a swap over
    several pools, which only the engine itself combines.
    """

    venue: str
    request: SwapRequest
    amount_in: int
    amount_out: int
    min_out: int
    max_in: int
    fee: int
    fee_mint: str
    network_fee: int
    price_impact_ppm: int
    expires_at_ms: int
    context_slot: int
    route: tuple[str, ...]
    raw: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)
    tip: int = 0
    legs: tuple[Leg, ...] = ()

    @property
    def via(self) -> frozenset[str]:
        """The tokens that are only passed through: received from one pool and paid to another."""
        passed = {mint for leg in self.legs for mint in (leg.mint_in, leg.mint_out)}
        return frozenset(passed - {self.request.mint_in, self.request.mint_out})

    @property
    def price(self) -> Fraction:
        """Returns base units of output per base unit of input."""
        return Fraction(self.amount_out, self.amount_in)


@dataclass(frozen=True, slots=True)
class Fill:
    """What a swap moved, in base units, as the chain shows it. `fee` is lamports paid to the network; `cost` has its
    parts and the rent, None if they are not known."""

    amount_in: int
    amount_out: int
    fee: int
    slot: int
    cost: NetworkCost | None = None
