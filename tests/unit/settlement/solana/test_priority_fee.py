"""What a compute unit is offered: what was enough in three of four recent slots, within bounds, and without waiting."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from dexexec.settlement.solana import priority_fee
from dexexec.settlement.solana.priority_fee import MOST_KNOWN, REMEMBERED_SECONDS, PriorityFeeEstimator, percentile
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable

FLOOR, CAP = 10, 1_000


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
    assert offer.detail() == {"price": CAP, "cap": CAP, "market": 90_000, "capped": True}
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


async def test_new_accounts_do_not_fill_the_memory() -> None:
    market = Market()
    price = price_of(market, ManualClock())
    for number in range(MOST_KNOWN + 1):
        await price([f"pool {number}"])
    await price([f"pool {MOST_KNOWN}"])
    assert len(market.requests) == MOST_KNOWN + 1
    await price(["pool 0"])
    assert len(market.requests) == MOST_KNOWN + 2, "the oldest was forgotten"
