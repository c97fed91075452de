"""Compares the venues' prices with a reference price, before they trigger anything.

A pool's price can be moved for the length of a block. A stop that believes it sells at a bottom that was made for it.
A reference that is unknown, old or broken does not agree.
"""

import asyncio
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.quote import BPS, Quote
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import clean
from dexexec.reference import AnyReference, ReferencePrice
from dexexec.resting.conditions import Executable, Market
from dexexec.venue import VenueError

KEPT_MS = 200
"""How long an answer of the reference is used for other orders of the same market."""
TIMEOUT_SECONDS = 1.0
PPM = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The reference's opinion of a quote. `problem` is why it does not agree, empty if it does."""

    problem: str = ""
    reference_rate: Fraction | None = None
    deviation_bps: int | None = None
    allowed_bps: int = 0

    @property
    def holds(self) -> bool:
        """Whether the reference agrees."""
        return not self.problem


class Reference(Protocol):
    """Whether the venues' prices can be believed."""

    async def agreement(self, market: Market, deal: Executable) -> Agreement:
        """The reference's opinion of a quote."""


class NoReference:
    """Without a reference, the venues are believed."""

    async def agreement(self, market: Market, deal: Executable) -> Agreement:
        """Always agrees."""
        return Agreement()


@dataclass(frozen=True, slots=True)
class _Answer:
    """A price of the reference, or why it has no price, at a time (Unix ms)."""

    price: ReferencePrice | None
    problem: str
    at_ms: int


class ReferenceCheck:
    """Agrees with a quote if its price, before its fee and price impact, is within `max_deviation_bps` of a reference
    price that is at most `max_age_ms` old."""

    def __init__(
        self,
        reference: AnyReference,
        *,
        max_deviation_bps: int,
        max_age_ms: int,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._reference = reference
        self._max_deviation_bps = max_deviation_bps
        self._max_age_ms = max_age_ms
        self._clock = clock
        self._observer = observer
        self._answers: dict[Market, _Answer] = {}

    async def agreement(self, market: Market, deal: Executable) -> Agreement:
        """Compare the quote with the reference."""
        answer = await self._answer(market)
        allowed = self._max_deviation_bps
        if answer.price is None:
            return Agreement(problem=answer.problem, allowed_bps=allowed)
        rate = answer.price.rate
        age_ms = self._clock.unix_ms() - answer.price.at_ms
        if age_ms > self._max_age_ms:
            problem = f"it is {age_ms / 1000:.1f} s old, and at most {self._max_age_ms / 1000:.1f} s are allowed"
            return Agreement(problem=problem, reference_rate=rate, allowed_bps=allowed)
        if age_ms < -self._max_age_ms:
            # A time that never gets old would switch the check of the age off.
            problem = f"its time is {-age_ms / 1000:.1f} s in the future"
            return Agreement(problem=problem, reference_rate=rate, allowed_bps=allowed)
        spot = spot_rate(deal.quote)
        if spot is None:
            return Agreement(problem="the quote has no price without fees", reference_rate=rate, allowed_bps=allowed)
        # Rounded up, so that a deviation just above the limit is not shown as the limit.
        deviation = math.ceil(abs(spot - rate) * BPS / rate)
        problem = f"they are {deviation} bps apart, and {allowed} are allowed" if deviation > allowed else ""
        return Agreement(problem=problem, reference_rate=rate, deviation_bps=deviation, allowed_bps=allowed)

    async def _answer(self, market: Market) -> _Answer:
        now_ms = self._clock.unix_ms()
        known = self._answers.get(market)
        if known is not None and 0 <= now_ms - known.at_ms < KEPT_MS:
            return known
        price = None
        problem = f"{self._reference.name} has no price for this pair"
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                price = _checked(await self._reference.price(market.mint_in, market.mint_out))
        except TimeoutError:
            problem = f"{self._reference.name} did not answer in time"
        except VenueError as error:
            problem = f"{self._reference.name}: {clean(error)}"
        except Exception as error:  # noqa: BLE001 - it is an adapter's code, and its failure must not trigger anything
            raise_if_cancelled()
            self._observer.reference_misbehaved(self._reference.name, error)
            problem = f"{self._reference.name} failed"
        answer = _Answer(price, problem, now_ms)
        self._answers[market] = answer
        return answer


def spot_rate(quote: Quote) -> Fraction | None:
    """The venue's price before the swap: without its fee and price impact. None if the quote's figures allow none."""
    spent = quote.amount_in - (quote.fee if quote.fee_mint == quote.request.mint_in else 0)
    received = quote.amount_out + (quote.fee if quote.fee_mint == quote.request.mint_out else 0)
    if spent <= 0 or quote.price_impact_ppm >= PPM:
        return None
    return Fraction(received, spent) * Fraction(PPM, PPM - quote.price_impact_ppm)


def _checked(price: object) -> ReferencePrice | None:
    """The answer of a reference, if it is one. Raises `TypeError` and `ValueError`."""
    if price is None:
        return None
    if not isinstance(price, ReferencePrice):
        raise TypeError("the answer is not a ReferencePrice")
    # Read once and copied: the answer is an adapter's object.
    copy = ReferencePrice(rate=Fraction(price.rate), at_ms=int(price.at_ms))
    if copy.rate <= 0:
        raise ValueError("the price is not positive")
    return copy
