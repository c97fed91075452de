"""What a compute unit is offered: what was enough in three of four recent slots, within bounds, and without waiting."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from dexexec.settlement.solana import priority_fee
from dexexec.settlement.solana.priority_fee import (
    MOST_ADDRESSES,
    MOST_EXPECTED,
    MOST_KNOWN,
    REMEMBERED_SECONDS,
    RENEWED_SECONDS,
    PriorityFeeEstimator,
    percentile,
)
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable
from tests.support.parts import running

FLOOR, CAP = 10, 1_000
STEP = 0.25


@dataclass
class Market:
    """A node's answers, and a record of the calls."""

    prices: Sequence[int] | Exception | None = (100,)
    requests: list[Sequence[str]] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)

    async def __call__(self, addresses: Sequence[str]) -> Sequence[int]:
        self.requests.append(addresses)
        await asyncio.sleep(0)
        if self.prices is None:
            await asyncio.Event().wait()
        if isinstance(self.prices, Exception):
            raise self.prices
        return self.prices or ()

    def priority_fee_unknown(self, why: str) -> None:
        self.reported.append(why)

    def priority_fee_known(self) -> None:
        self.reported.append("known")

    def priority_fee_capped(self, market: int, cap: int) -> None:
        self.reported.append(f"{market} over {cap}")


def price_of(market: Market, clock: ManualClock, floor: int = FLOOR, cap: int = CAP) -> PriorityFeeEstimator:
    return PriorityFeeEstimator(market, floor, cap, clock, market)


@pytest.mark.parametrize(
    ("prices", "expected"),
    [((), 0), ((5,), 5), ((1, 2, 3, 4), 3), ((4, 3, 2, 1), 3), ((0, 0, 0, 9), 0), ((0, 0, 9, 9), 9), (range(101), 75)],
)
def test_the_75th_percentile_was_enough_in_three_of_four_slots(prices: Sequence[int], expected: int) -> None:
    assert percentile(prices) == expected
    assert not prices or sum(one <= expected for one in prices) * 4 >= 3 * len(prices)


@pytest.mark.parametrize(("prices", "expected"), [((), FLOOR), ((0,), FLOOR), ((500,), 500), ((10**9,), CAP)])
async def test_the_price_stays_between_floor_and_cap(prices: Sequence[int], expected: int) -> None:
    assert (await price_of(Market(prices), ManualClock())(["pool"])).price == expected


async def test_a_floor_that_equals_the_cap_needs_no_request() -> None:
    market = Market()
    assert [(await price_of(market, ManualClock(), 0, 0)(["pool"])).price, market.requests] == [0, []]


async def test_a_cap_below_the_market_is_logged_with_both_and_at_most_once_a_minute() -> None:
    market, clock = Market((90_000,)), ManualClock()
    price = price_of(market, clock)
    offer = await price(["pool"])
    assert offer.detail() == {"price": CAP, "cap": CAP, "market": 90_000, "capped": True, "ageMs": 0}
    for _ in range(20):
        clock.advance(REMEMBERED_SECONDS)
        await price(["pool"])
    assert len(market.requests) == 21
    assert market.reported == ["90000 over 1000"] * 4, "at once, and after each minute"
    market.prices = (CAP,)
    clock.advance(REMEMBERED_SECONDS)
    assert not (await price(["pool"])).capped, "what others pay is offered in full"


async def test_an_answer_counts_for_some_seconds_and_only_for_its_accounts() -> None:
    market, clock = Market(), ManualClock()
    price = price_of(market, clock)
    assert [(await price(["a", "b"])).price, (await price(["b", "a"])).price] == [100, 100]
    market.prices = (200,)
    assert [(await price(["b", "a"])).price, (await price(["a"])).price] == [100, 200]
    clock.advance(REMEMBERED_SECONDS)
    assert (await price(["a", "b"])).price == 200
    assert market.requests == [["a", "b"], ["a"], ["a", "b"]]


async def test_concurrent_callers_share_one_request_and_one_who_leaves_does_not_end_it() -> None:
    market = Market()
    price = price_of(market, ManualClock())
    leaving = asyncio.create_task(price(["pool"]))
    others = [asyncio.create_task(price(["pool"])) for _ in range(3)]
    await asyncio.sleep(0)
    leaving.cancel()
    assert [offer.price for offer in await asyncio.gather(*others)] == [100] * 3
    assert len(market.requests) == 1


async def test_without_an_answer_the_last_price_counts_or_the_floor_and_that_is_logged_once() -> None:
    market, clock = Market(), ManualClock()
    price = price_of(market, clock)
    assert (await price(["known"])).price == 100
    clock.advance(REMEMBERED_SECONDS)
    market.prices = Unreachable("the node is away")
    assert [(await price(["known"])).price, (await price(["new"])).price, (await price(["new"])).price] == [
        100,
        FLOOR,
        FLOOR,
    ]
    assert market.reported == ["the node is away"]
    assert len(market.requests) == 3, "a node that is away is not requests again at once"
    clock.advance(REMEMBERED_SECONDS)
    market.prices = (300,)
    assert (await price(["new"])).price == 300
    assert market.reported == ["the node is away", "known"]


async def test_a_node_that_hangs_delays_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priority_fee, "WAIT_SECONDS", 0.01)
    market = Market(None)
    assert (await price_of(market, ManualClock())(["pool"])).price == FLOOR
    assert market.reported == ["no answer within 0.01 s"]


async def pass_time(clock: ManualClock, seconds: float) -> None:
    """Let time pass in steps in which a request is answered."""
    for _ in range(round(seconds / STEP)):
        clock.advance(STEP)
        for _ in range(8):
            await asyncio.sleep(0)


async def test_prices_in_use_are_renewed_before_an_order_would_wait_for_them() -> None:
    market, clock = Market(), ManualClock()
    price = price_of(market, clock)
    pools = [f"pool {number}" for number in range(8)]
    for pool in pools:
        await price([pool])
    market.prices = (200,)
    async with running(price.run()):
        await pass_time(clock, 2 * REMEMBERED_SECONDS)
        before = len(market.requests)
        offers = [await price([pool]) for pool in pools]
        assert [offer.price for offer in offers] == [200] * 8
        assert len(market.requests) == before
        assert all((offer.age_ms or 0) <= REMEMBERED_SECONDS * 1000 for offer in offers)


async def test_prices_that_nobody_uses_any_more_are_not_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priority_fee, "USED_SECONDS", 60.0)
    market, clock = Market(), ManualClock()
    price = price_of(market, clock)
    await price(["pool"])
    async with running(price.run()):
        await pass_time(clock, 60 + RENEWED_SECONDS)
        before = len(market.requests)
        await pass_time(clock, 60)
    assert len(market.requests) == before > 60 / REMEMBERED_SECONDS


async def test_while_a_node_is_away_the_age_grows_and_no_order_waits() -> None:
    market, clock = Market(), ManualClock()
    price = price_of(market, clock)
    await price(["pool"])
    market.prices = Unreachable("the node is away")
    async with running(price.run()):
        await pass_time(clock, 60)
        before = len(market.requests)
        offer = await price(["pool"])
    assert (offer.price, offer.age_ms) == (100, round(1000 * clock.monotonic()))
    assert len(market.requests) == before


async def test_new_accounts_do_not_fill_the_memory() -> None:
    market = Market()
    price = price_of(market, ManualClock())
    for number in range(MOST_KNOWN + 1):
        await price([f"pool {number}"])
    await price([f"pool {MOST_KNOWN}"])
    assert len(market.requests) == MOST_KNOWN + 1
    await price(["pool 0"])
    assert len(market.requests) == MOST_KNOWN + 2, "the oldest was forgotten"


async def test_a_fee_for_all_that_may_be_written_to_is_enough_for_a_part_of_it() -> None:
    market, clock = Market((300,)), ManualClock()
    price = price_of(market, clock)
    price.expect(["a", "b", "c"])
    price.expect(["c", "b", "a"])
    await asyncio.sleep(0)
    assert [sorted(one) for one in market.requests] == [["a", "b", "c"]]
    offer = await price(["a", "b"])
    assert (offer.price, offer.age_ms) == (300, 0), "it waited for the answer that was on its way"
    market.prices = (100,)
    assert (await price(["a", "d"])).price == 100, "an account that was not expected needs a request"
    assert len(market.requests) == 2
    price.expect(["a", "b", "c"])
    assert len(market.requests) == 2, "the answer is fresh"


async def test_a_fee_that_was_more_than_enough_is_renewed_next_and_a_guess_is_not() -> None:
    market, clock = Market((300,)), ManualClock()
    price = price_of(market, clock)
    price.expect(["a", "b"])
    await price(["a"])
    market.prices = (100,)
    async with running(price.run()):
        async with asyncio.timeout(10):
            while (await price(["a"])).price != 100:
                await asyncio.sleep(0)
        clock.advance(RENEWED_SECONDS)
        await asyncio.sleep(0)
    assert [one for one in market.requests if "b" in one] == [["a", "b"]]


async def test_a_guess_without_an_answer_or_too_old_does_not_count() -> None:
    market, clock = Market(Unreachable("down")), ManualClock()
    price = price_of(market, clock)
    price.expect(["a", "b"])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    market.prices = (100,)
    assert (await price(["a"])).price == 100
    price.expect(["c", "d"])
    assert (await price(["c"])).price == 100
    clock.advance(REMEMBERED_SECONDS)
    market.prices = (500,)
    assert (await price(["d"])).price == 500


async def test_guesses_are_bounded_and_a_fixed_price_needs_none() -> None:
    market = Market()
    fixed = price_of(market, ManualClock(), 0, 0)
    fixed.expect(["a"])
    price = price_of(market, ManualClock())
    price.expect([])
    await asyncio.sleep(0)
    assert market.requests == []
    price.expect([str(number) for number in range(MOST_ADDRESSES + 5)])
    await asyncio.sleep(0)
    assert [len(one) for one in market.requests] == [MOST_ADDRESSES]
    for number in range(MOST_EXPECTED):
        price.expect([f"pool {number}"])
        assert (await price([f"pool {number}"])).price == 100
    await price(["0"])
    assert market.requests[-1] == ["0"], "the oldest guess has left"
