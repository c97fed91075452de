"""The conditions of a sniper: what a new pool, and a quote of it, must fulfil before the order spends anything.

Each condition that is not fulfilled is a `Stop`, with the figure that was seen and the limit. Pure.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum
from fractions import Fraction

from dexexec.domain.launch import NewPool
from dexexec.domain.quote import Quote
from dexexec.domain.token import from_base_units

PPM_PER_BPS = 100
PRICE_DIGITS = 12
"""Significant digits of a price that is shown. Decisions compare exact amounts."""


class Condition(StrEnum):
    """The name of a condition, as clients write it."""

    MIN_LIQUIDITY = "minLiquidity"
    MAX_PRICE_IMPACT_BPS = "maxPriceImpactBps"
    MAX_PRICE = "maxPrice"
    MAX_AGE_MS = "maxAgeMs"
    MINT_AUTHORITY_REVOKED = "mintAuthorityRevoked"
    FREEZE_AUTHORITY_REVOKED = "freezeAuthorityRevoked"
    MAX_TRANSFER_FEE_BPS = "maxTransferFeeBps"
    VENUES = "venues"


@dataclass(frozen=True, slots=True)
class Stop:
    """A condition that keeps an order from a pool: what was seen, and the limit, both as clients read them."""

    condition: Condition
    seen: str
    limit: str

    @property
    def text(self) -> str:
        """The same as a sentence."""
        return f"{self.condition}: {self.seen}, and the order's limit is {self.limit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SniperConditions:
    """The conditions of one order; None or False: not required.

    `min_liquidity` is tokens of the spent mint in the pool. `max_price` is tokens of the spent mint for one token of
    the launched mint. `max_age_ms` counts from the moment from which the pool allows swaps. `venues` are allowed venues
    (empty: all).
    """

    min_liquidity: Decimal | None = None
    max_price_impact_bps: int | None = None
    max_price: Decimal | None = None
    max_age_ms: int | None = None
    mint_authority_revoked: bool = False
    freeze_authority_revoked: bool = False
    max_transfer_fee_bps: int | None = None
    venues: tuple[str, ...] = ()

    def detail(self) -> dict[str, object]:
        """The conditions as JSON values, without those that are not required."""
        values: dict[Condition, object] = {
            Condition.MIN_LIQUIDITY: None if self.min_liquidity is None else format(self.min_liquidity, "f"),
            Condition.MAX_PRICE_IMPACT_BPS: self.max_price_impact_bps,
            Condition.MAX_PRICE: None if self.max_price is None else format(self.max_price, "f"),
            Condition.MAX_AGE_MS: self.max_age_ms,
            Condition.MINT_AUTHORITY_REVOKED: self.mint_authority_revoked or None,
            Condition.FREEZE_AUTHORITY_REVOKED: self.freeze_authority_revoked or None,
            Condition.MAX_TRANSFER_FEE_BPS: self.max_transfer_fee_bps,
            Condition.VENUES: list(self.venues) or None,
        }
        return {name.value: value for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, detail: Mapping[str, object]) -> "SniperConditions":
        """The conditions in a stored object. Raises `TypeError` and `ValueError` for an object that this version cannot
        read."""
        venues = detail.get(Condition.VENUES, [])
        if not isinstance(venues, list):
            raise TypeError("venues must be a list")
        return cls(
            min_liquidity=_decimal(detail.get(Condition.MIN_LIQUIDITY)),
            max_price_impact_bps=_integer(detail.get(Condition.MAX_PRICE_IMPACT_BPS)),
            max_price=_decimal(detail.get(Condition.MAX_PRICE)),
            max_age_ms=_integer(detail.get(Condition.MAX_AGE_MS)),
            mint_authority_revoked=detail.get(Condition.MINT_AUTHORITY_REVOKED) is True,
            freeze_authority_revoked=detail.get(Condition.FREEZE_AUTHORITY_REVOKED) is True,
            max_transfer_fee_bps=_integer(detail.get(Condition.MAX_TRANSFER_FEE_BPS)),
            venues=tuple(map(str, venues)),
        )

    def impact_bps(self, default: int) -> int:
        """How far the swap may move a price; `default` for an order without a limit of its own."""
        return default if self.max_price_impact_bps is None else self.max_price_impact_bps

    def stops_of_pool(self, pool: NewPool, mint: str, now_ms: int) -> list[Stop]:
        """The conditions that a pool does not fulfil, for an order that buys `mint`."""
        wanted = pool.token(mint)
        [spent] = [token for token in pool.tokens if token.mint != mint]
        # The other figures of a pool that is out of the question are no news.
        if self.venues and pool.venue not in self.venues:
            return [Stop(Condition.VENUES, pool.venue, ", ".join(self.venues))]
        stops = []
        if self.min_liquidity is not None:
            liquidity = Fraction(spent.reserve, 10**spent.decimals)
            if liquidity < Fraction(self.min_liquidity):
                seen = from_base_units(spent.reserve, spent.decimals)
                stops.append(Stop(Condition.MIN_LIQUIDITY, seen, format(self.min_liquidity, "f")))
        # By this process's clock: it differs from the chain's by far less than the ages that matter.
        age_ms = now_ms - pool.launched_at_ms
        if self.max_age_ms is not None and age_ms > self.max_age_ms:
            stops.append(Stop(Condition.MAX_AGE_MS, str(age_ms), str(self.max_age_ms)))
        if self.mint_authority_revoked and wanted.mint_authority is not None:
            stops.append(Stop(Condition.MINT_AUTHORITY_REVOKED, f"held by {wanted.mint_authority}", "revoked"))
        if self.freeze_authority_revoked and wanted.freeze_authority is not None:
            stops.append(Stop(Condition.FREEZE_AUTHORITY_REVOKED, f"held by {wanted.freeze_authority}", "revoked"))
        # Either token of the pair may take a fee, and the order pays both.
        fee_bps = max(token.transfer_fee_bps for token in pool.tokens)
        if self.max_transfer_fee_bps is not None and fee_bps > self.max_transfer_fee_bps:
            stops.append(Stop(Condition.MAX_TRANSFER_FEE_BPS, str(fee_bps), str(self.max_transfer_fee_bps)))
        return stops

    def stops_of_quote(self, quote: Quote, pool: NewPool, impact_bps: int) -> list[Stop]:
        """The conditions that a quote of a pool does not fulfil. `impact_bps` applies to an order without a limit of
        its own."""
        limit_bps = self.impact_bps(impact_bps)
        stops = []
        if quote.price_impact_ppm > limit_bps * PPM_PER_BPS:
            stops.append(Stop(Condition.MAX_PRICE_IMPACT_BPS, impact_text(quote.price_impact_ppm), str(limit_bps)))
        least = self.least_out(quote.amount_in, pool, quote.request.mint_out)
        if self.max_price is not None and least is not None and quote.amount_out < least:
            shift = Fraction(10) ** (
                pool.token(quote.request.mint_out).decimals - pool.token(quote.request.mint_in).decimals
            )
            price = Fraction(quote.amount_in, quote.amount_out) * shift
            stops.append(Stop(Condition.MAX_PRICE, _shown(price), format(self.max_price, "f")))
        return stops

    def least_out(self, amount_in: int, pool: NewPool, mint: str) -> int | None:
        """The least base units of `mint` for `amount_in` at `max_price`; None without one."""
        if self.max_price is None:
            return None
        [spent] = [token for token in pool.tokens if token.mint != mint]
        # Exact, and rounded up: a price is never worse than the one that the client named.
        tokens = Fraction(amount_in, 10**spent.decimals) / Fraction(self.max_price)
        unit: int = 10 ** pool.token(mint).decimals
        return math.ceil(tokens * unit)


def impact_text(ppm: int) -> str:
    """A price impact in bps, exactly."""
    return format((Decimal(ppm) / PPM_PER_BPS).normalize(), "f")


def _shown(price: Fraction) -> str:
    with localcontext(prec=PRICE_DIGITS):
        return format((Decimal(price.numerator) / Decimal(price.denominator)).normalize(), "f")


def _decimal(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _integer(value: object) -> int | None:
    return None if value is None else int(str(value))
