"""A reference that is unknown, old, broken or too far away does not agree."""

import asyncio
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.observe.observer import Observer, make_logger
from dexexec.reference import PriceReference, ReferenceContext, ReferencePrice
from dexexec.resting import reference_check
from dexexec.resting.conditions import Executable, Market
from dexexec.resting.reference_check import ReferenceCheck, spot_rate
from dexexec.testing.clock import ManualClock
from dexexec.venue import NoOptions, Unreachable
from tests.support.scripted import quote_of
from tests.unit.resting.pools import Pool

SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**9, mode=Mode.EXACT_IN, slippage_bps=0)
MARKET = Market(WSOL, USDC, Mode.EXACT_IN)
PRICE = Fraction(3, 20)


class Answering(PriceReference[NoOptions]):
    """A reference whose answer a test sets: a price, anything else, or an exception."""

    name = "answering"

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(ReferenceContext(clock=clock, tokens=Tokens(KNOWN), chains={}, options=NoOptions()))
        self.answer: Any = None
        self.requests = 0

    async def price(self, mint_in: str, mint_out: str) -> ReferencePrice | None:
        """The answer."""
        self.requests += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer == "hangs":
            await asyncio.sleep(3600)
        answer: ReferencePrice | None = self.answer
        return answer


@dataclass
class Fixture:
    clock: ManualClock
    reference: Answering
    check: ReferenceCheck

    def set(self, factor: float, age_ms: int = 0) -> None:
        """Set the reference's price, as a multiple of the pool's."""
        self.reference.answer = ReferencePrice(rate=PRICE * Fraction(factor), at_ms=self.clock.unix_ms() - age_ms)

    async def problem(self, *, fee_ppm: int = 0, amount: int = 10**9) -> str:
        """What is wrong with the quote of a pool at `PRICE`; empty if the reference agrees."""
        self.clock.advance(1)  # no answer is used twice
        pool = Pool("pool", PRICE, depth=10**12, fee_ppm=fee_ppm)
        quote = pool.quote(SwapRequest(mint_in=WSOL, mint_out=USDC, amount=amount, mode=Mode.EXACT_IN, slippage_bps=0))
        return (await self.check.agreement(MARKET, Executable(quote, quote.amount_out))).problem


@pytest.fixture
def fixture() -> Fixture:
    clock = ManualClock()
    reference = Answering(clock)
    check = ReferenceCheck(
        reference, max_deviation_bps=100, max_age_ms=5_000, clock=clock, observer=Observer(make_logger("critical"))
    )
    return Fixture(clock, reference, check)


@pytest.mark.parametrize(("factor", "agrees"), [(1, True), (1.009, True), (0.992, True), (1.02, False), (0.98, False)])
async def test_it_agrees_within_the_limit_on_both_sides(fixture: Fixture, factor: float, agrees: bool) -> None:
    fixture.set(factor)
    assert (not await fixture.problem()) is agrees


async def test_the_price_impact_of_a_large_swap_is_no_disagreement(fixture: Fixture) -> None:
    fixture.set(1)
    assert not await fixture.problem(amount=10**11)  # it moves the price by a tenth


async def test_a_quote_s_fee_is_no_part_of_its_price() -> None:
    for fee_mint, fee, other in ((WSOL, 10**8, 135_000_000), (USDC, 15_000_000, 135_000_000)):
        quote = quote_of("pool", SELL, other, fee=fee, fee_mint=fee_mint, price_impact_ppm=0)
        assert spot_rate(quote) == PRICE


async def test_a_quote_without_a_price_is_none() -> None:
    assert spot_rate(quote_of("pool", SELL, 1, price_impact_ppm=1_000_000)) is None
    assert spot_rate(quote_of("pool", SELL, 1, fee=10**9, fee_mint=WSOL)) is None


async def test_an_old_price_does_not_agree(fixture: Fixture) -> None:
    fixture.set(1, age_ms=5_000 - 1_000)
    assert not await fixture.problem()
    fixture.set(1, age_ms=5_001)
    assert "s old, and at most 5.0 s are allowed" in await fixture.problem()
    fixture.set(1, age_ms=-60_000)
    assert "in the future" in await fixture.problem()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (None, "answering has no price for this pair"),
        (Unreachable("the node is away"), "answering: the node is away"),
        (RuntimeError("a bug"), "answering failed"),
        ("nonsense", "answering failed"),
        (ReferencePrice(rate=Fraction(0), at_ms=2**60), "answering failed"),
        (ReferencePrice(rate=Fraction(-1), at_ms=2**60), "answering failed"),
        (ReferencePrice(rate="x", at_ms=2**60), "answering failed"),  # type: ignore[arg-type]
    ],
)
async def test_what_is_no_price_does_not_agree(fixture: Fixture, answer: object, problem: str) -> None:
    fixture.reference.answer = answer
    assert await fixture.problem() == problem


async def test_a_reference_that_hangs_does_not_agree(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_check, "TIMEOUT_SECONDS", 0.01)
    fixture.reference.answer = "hangs"
    assert await fixture.problem() == "answering did not answer in time"


async def test_orders_that_are_decided_together_share_an_answer(fixture: Fixture) -> None:
    fixture.set(1)
    quote = Pool("pool", PRICE).quote(SELL)
    for _ in range(5):
        await fixture.check.agreement(MARKET, Executable(quote, quote.amount_out))
    assert fixture.reference.requests == 1
