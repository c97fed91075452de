"""The oracle triggers what a fresh quote reaches: in order, once, and nothing on the word of a tick."""

import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.balance import SpendableBalance
from dexexec.domain.bound import Bound
from dexexec.domain.event import Event
from dexexec.domain.order import FOREVER_MS, NewOrder, Side
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms, TimeInForce, TriggerWhen
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer, make_logger
from dexexec.resting import high_water
from dexexec.resting import oracle as oracle_module
from dexexec.resting.conditions import Executable, Market
from dexexec.resting.oracle import Oracle
from dexexec.resting.quotes import AT_ONCE, OracleQuotes
from dexexec.resting.reference_check import Agreement, NoReference, Reference
from dexexec.resting.share_sizes import ShareSizes
from dexexec.store import HighWater, RestingOrder, Triggering
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable
from dexexec.venues.ranking import net_amount
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.store import MemoryStore
from tests.support.parts import new_order
from tests.unit.resting.pools import Pool, PoolRouter

SOL_AT = Fraction(1, 1_000)
"""A price of one dollar per SOL, in base units."""


def sale(amount: int) -> SwapRequest:
    """A sale of so many lamports."""
    return SwapRequest(mint_in=WSOL, mint_out=USDC, amount=amount, mode=Mode.EXACT_IN, slippage_bps=0)


class Enqueued:
    """A queue that keeps what is put on it."""

    def __init__(self) -> None:
        self.order_ids: list[UUID] = []
        self.is_down = False

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        """Keep the ids, in order."""
        if self.is_down:
            raise UnavailableError("Redis is away")
        self.order_ids += order_ids
        return len(order_ids)


class Opinion:
    """A reference whose opinion a test sets."""

    def __init__(self) -> None:
        self.problem = ""

    async def agreement(self, market: Market, deal: Executable) -> Agreement:
        """The opinion."""
        return Agreement(problem=self.problem, allowed_bps=100)


class WalletOfShares:
    """What the wallet can spend of each token, as a test sets it."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = {}
        self.reads: list[str] = []
        self.is_down = False

    async def spendable(self, mint: str, wallet: str | None) -> SpendableBalance:
        """The balance."""
        self.reads.append(mint)
        if self.is_down:
            raise Unreachable("the node is away")
        return SpendableBalance(account="account", slot=1, balance=self.balances.get(mint, 0))


class Fixture:
    """An oracle on a store in memory, and a pool whose price the test sets (dollars per SOL, without a fee)."""

    def __init__(self, price: int = 150, *, reference: Reference | None = None) -> None:
        self.clock = ManualClock()
        self.events: list[Event] = []
        self.database = MemoryDatabase()
        self.store = MemoryStore(self.database, self.events.extend)
        self.queue = Enqueued()
        self.pool = Pool("pool", price * SOL_AT, fee_ppm=0)
        self.router = PoolRouter(self.pool)
        self.reference = reference or NoReference()
        self.wallet = WalletOfShares()
        self.sizes = ShareSizes(self.wallet, self.clock)
        self.oracle = self.another_oracle()

    def another_oracle(self) -> Oracle:
        """An oracle of another process on the same store."""
        return Oracle(
            self.store,
            self.queue,
            OracleQuotes(self.router, self.clock, self.reference),
            self.reference,
            sizes=self.sizes,
            tokens=Tokens(KNOWN),
            max_price_impact_bps=1_000,
            clock=self.clock,
            observer=Observer(make_logger("critical")),
        )

    def set_price(self, dollars: float) -> None:
        """Set the price of the pool."""
        self.pool.price = Fraction(dollars) * SOL_AT

    async def add(self, **changes: Any) -> UUID:
        """Store a resting order that spends SOL."""
        order = resting_order(**changes)
        assert order.rests
        return (await self.store.create(order)).order_id

    async def turn(self) -> list[UUID]:
        """A turn of the oracle; returns what it triggered, in order."""
        before = len(self.queue.order_ids)
        await self.oracle.turn()
        return self.queue.order_ids[before:]

    def waiting_events(self, order_id: UUID) -> list[Event]:
        """The events after the two of an order that begins to rest."""
        return [event for event in self.events if event.order_id == order_id][2:]


def resting_order(
    limit: str | None = None,
    *,
    trigger: str | None = None,
    when: TriggerWhen = TriggerWhen.BELOW,
    trail_bps: int | None = None,
    amount: str = "1",
    **changes: Any,
) -> NewOrder:
    terms = Terms(
        time_in_force=TimeInForce.GTC if limit else None,
        limit_price=Decimal(limit) if limit else None,
        trigger_price=Decimal(trigger) if trigger else None,
        trigger_when=when if trigger else None,
        trail_bps=trail_bps,
    )
    kind = OrderType.LIMIT if limit else OrderType.MARKET
    order = replace(new_order(amount=amount), type=kind, terms=terms, deadline_ms=FOREVER_MS)
    return replace(order, **changes)


async def test_a_limit_is_triggered_when_the_price_for_its_size_reaches_it() -> None:
    fixture = Fixture(150)
    order = await fixture.add(limit="151.25")
    assert await fixture.turn() == []
    fixture.set_price(151.24)
    assert await fixture.turn() == []
    fixture.set_price(151.27)
    assert await fixture.turn() == [order]
    [event] = fixture.waiting_events(order)
    assert event.status is Status.WAITING
    triggered = event.detail["triggered"]
    assert isinstance(triggered, dict)
    assert triggered["venue"] == "pool"
    assert triggered["reached"] == "151.25"
    assert "the limit of 151.25 is reached" in str(event.detail["detail"])
    assert await fixture.turn() == []  # once


async def test_what_rests_in_a_promoted_standby_is_found_although_its_numbers_are_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fixture = Fixture(150)
    await fixture.turn()
    order = await fixture.add(limit="140")

    async def rested_since_in_the_standby(since: int) -> tuple[list[RestingOrder], int]:
        return [], since - 1

    monkeypatch.setattr(fixture.store, "rested_since", rested_since_in_the_standby)
    assert await fixture.turn() == [order]


async def test_the_network_cost_counts() -> None:
    # 0.001 SOL: the fee of 5,000 lamports is half a percent of it.
    fixture = Fixture(150)
    order = await fixture.add(limit="149.5", amount="0.001")
    assert await fixture.turn() == []
    fixture.set_price(150.3)
    assert await fixture.turn() == [order]


async def test_the_fee_and_the_impact_of_the_whole_size_count() -> None:
    fixture = Fixture(150)
    fixture.pool.fee_ppm = 10_000
    fixture.pool.depth = 1_000 * 10**9
    small = await fixture.add(limit="148", amount="0.5")
    large = await fixture.add(limit="148", amount="20")
    assert await fixture.turn() == [small]  # 150 less 1 % is 148.5; 20 SOL move the price by 2 % more
    fixture.set_price(153)
    assert await fixture.turn() == [large]


async def test_a_swap_that_moves_the_price_too_far_is_not_triggered() -> None:
    fixture = Fixture(150)
    fixture.pool.depth = 1_000 * 10**9
    order = await fixture.add(limit="100", amount="20", max_price_impact_bps=100)
    other = await fixture.add(limit="100", amount="20", max_price_impact_bps=500)
    assert await fixture.turn() == [other]
    fixture.pool.depth = 10_000 * 10**9
    assert await fixture.turn() == [order]


@pytest.mark.parametrize(
    ("side", "when", "before", "after"),
    [
        (Side.BUY, TriggerWhen.BELOW, 151, 149),
        (Side.BUY, TriggerWhen.ABOVE, 149, 151),
        (Side.SELL, TriggerWhen.BELOW, 151, 149),
        (Side.SELL, TriggerWhen.ABOVE, 149, 151),
    ],
)
@pytest.mark.parametrize("mode", list(Mode))
async def test_a_trigger_means_the_price_of_the_pair_for_both_sides(
    side: Side, when: TriggerWhen, before: int, after: int, mode: Mode
) -> None:
    fixture = Fixture(before)
    order = replace(new_order(side=side, mode=mode, amount="1"), terms=resting_order(trigger="150", when=when).terms)

    dollars = before

    def follow(request: SwapRequest) -> None:
        # The pool has one direction; the other one is its inverse.
        price = dollars * SOL_AT
        fixture.pool.price = price if request.mint_in == order.input_mint else 1 / price

    fixture.router.on_quote = follow
    created = await fixture.store.create(replace(order, deadline_ms=FOREVER_MS))
    assert await fixture.turn() == []
    dollars = after
    assert await fixture.turn() == [created.order_id]


async def test_a_stop_that_was_reached_is_reached_for_good() -> None:
    fixture = Fixture(151)
    order = await fixture.add(limit="148", trigger="150")
    assert await fixture.turn() == []
    fixture.set_price(149)
    assert await fixture.turn() == [order]
    row = fixture.database.orders[order]
    assert row.triggered
    # It came to nothing, and rests as a limit order now: above its trigger, but not below its limit.
    row.resting, row.rested_at = True, fixture.database.now()
    fixture.set_price(147)
    assert await fixture.turn() == []
    fixture.set_price(155)
    assert await fixture.turn() == [order]


async def test_promise_20_a_tick_is_not_believed_alone() -> None:
    fixture = Fixture(140)
    order = await fixture.add(limit="150")
    await fixture.turn()
    quoted = len(fixture.router.sizes)

    def spike(request: SwapRequest) -> None:
        # A price that is gone when the order's own size is quoted.
        fixture.set_price(200 if len(fixture.router.sizes) == quoted + 1 else 140)

    fixture.router.on_quote = spike
    assert await fixture.turn() == []
    assert len(fixture.router.sizes) == quoted + 2
    assert fixture.waiting_events(order) == []


async def test_promise_20_orders_are_triggered_in_the_order_of_price_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle_module, "AT_ONCE", 7)
    rng = random.Random(1)
    fixture = Fixture(100)
    limits = [str(rng.randint(101, 110)) for _ in range(60)]
    expected = []
    for number, limit in enumerate(limits):
        order = await fixture.add(limit=limit, amount=str(rng.randint(1, 9)), id=UUID(int=number))
        expected.append((Decimal(limit), fixture.database.orders[order].created_at, order))
    fixture.set_price(120)
    assert await fixture.turn() == [order for _, _, order in sorted(expected)]
    assert fixture.router.most_busy <= AT_ONCE


async def test_many_sizes_are_quoted_a_few_at_a_time_and_all_decided() -> None:
    fixture = Fixture(100)
    orders = {await fixture.add(limit="101", amount=f"1.{number:03}1") for number in range(400)}
    fixture.set_price(110)
    assert set(await fixture.turn()) == orders
    assert fixture.router.most_busy == AT_ONCE


async def test_orders_of_one_size_share_a_quote() -> None:
    fixture = Fixture(100)
    for _ in range(50):
        await fixture.add(limit="101")
    fixture.set_price(110)
    assert len(await fixture.turn()) == 50
    assert len(fixture.router.sizes) == 2


async def test_an_order_is_quiet_for_a_while_after_a_trigger_that_came_to_nothing() -> None:
    fixture = Fixture(110)
    order = await fixture.add(limit="100")
    fixture.database.orders[order].quiet_until = fixture.database.now() + 2_000_000
    assert await fixture.turn() == []
    await fixture.clock.sleep(3)
    assert await fixture.turn() == [order]


async def test_a_wall_clock_that_is_set_back_keeps_no_order_quiet() -> None:
    fixture = Fixture(110)
    order = await fixture.add(limit="100")
    fixture.database.orders[order].quiet_until = fixture.database.now() + 2_000_000
    assert await fixture.turn() == []
    fixture.clock.set_back(3_600)
    await fixture.clock.sleep(3)
    assert await fixture.turn() == [order]


async def test_a_cancelled_order_is_dropped_and_an_amended_one_is_read_again() -> None:
    fixture = Fixture(90)
    cancelled = await fixture.add(limit="100")
    amended = await fixture.add(limit="100")
    assert await fixture.turn() == []
    await fixture.store.cancel(cancelled)
    row = fixture.database.orders[amended]
    row.version += 1
    row.new = replace(row.new, terms=resting_order(limit="120").terms, bound=Bound(1, 2))
    fixture.set_price(110)  # before the oracle has read the change
    assert await fixture.turn() == []
    fixture.set_price(121)
    assert await fixture.turn() == [amended]


async def test_promise_20_of_two_oracles_one_triggers_an_order() -> None:
    fixture = Fixture(90)
    other = fixture.another_oracle()
    orders = [await fixture.add(limit="100") for _ in range(5)]
    await fixture.oracle.turn()
    await other.turn()
    fixture.set_price(110)
    await fixture.oracle.turn()
    await other.turn()
    assert fixture.queue.order_ids == orders
    assert all(len(fixture.waiting_events(order)) == 1 for order in orders)


async def test_without_redis_the_trigger_is_committed_for_the_sweeper_to_find() -> None:
    fixture = Fixture(110)
    order = await fixture.add(limit="100")
    fixture.queue.is_down = True
    await fixture.oracle.turn()
    assert not fixture.database.orders[order].resting
    assert len(fixture.waiting_events(order)) == 1


async def test_an_oracle_that_resigned_begins_anew() -> None:
    fixture = Fixture(90)
    order = await fixture.add(limit="100")
    await fixture.turn()
    fixture.oracle.resign()
    later = await fixture.add(limit="100")
    fixture.set_price(110)
    assert await fixture.turn() == [order, later]


async def test_orders_of_other_types_are_left_alone() -> None:
    fixture = Fixture(110)
    await fixture.add(limit="100", type=OrderType.RECURRING)
    assert await fixture.turn() == []
    assert fixture.router.sizes == []


async def test_a_damaged_row_costs_the_others_nothing() -> None:
    fixture = Fixture(110)
    broken = await fixture.add(trail_bps=100, mode=Mode.EXACT_OUT)
    order = await fixture.add(limit="100")
    fixture.database.orders[broken].high_water = Decimal(0)
    assert await fixture.turn() == [order]
    fixture.oracle.resign()
    fixture.database.orders[broken].high_water = Decimal("NaN")
    assert await fixture.turn() == []


async def test_an_order_whose_token_is_gone_costs_the_others_nothing() -> None:
    fixture = Fixture(110)
    await fixture.add(limit="100", input_mint="C" * 44)
    order = await fixture.add(limit="100")
    assert await fixture.turn() == [order]


# ---- trailing stops ------------------------------------------------------------------------------------------------


async def test_a_trailing_stop_follows_the_price_up_and_fires_below_it() -> None:
    fixture = Fixture(100)
    order = await fixture.add(trail_bps=1_000)
    for dollars in (100, 120, 115, 150, 136, 149):
        fixture.set_price(dollars)
        assert await fixture.turn() == [], f"at {dollars}"
    fixture.set_price(134)
    assert await fixture.turn() == [order]
    [event] = fixture.waiting_events(order)
    triggered = event.detail["triggered"]
    assert isinstance(triggered, dict)
    assert Decimal(triggered["bestPrice"]) == pytest.approx(Decimal(150), rel=Decimal("0.001"))


async def test_promise_20_a_high_water_mark_survives_a_restart_exactly() -> None:
    fixture = Fixture(100)
    order = await fixture.add(trail_bps=1_000)
    fixture.set_price(150)
    await fixture.turn()
    stored = fixture.database.orders[order].high_water
    fixture.set_price(140)
    fixture.oracle = fixture.another_oracle()  # it has seen no price but this one
    assert await fixture.turn() == []
    assert fixture.database.orders[order].high_water == stored
    fixture.set_price(134)
    assert await fixture.turn() == [order]


async def test_trailing_stops_that_began_at_different_times_have_marks_of_their_own() -> None:
    fixture = Fixture(150)
    first = await fixture.add(trail_bps=1_000)
    await fixture.turn()
    fixture.set_price(140)
    second = await fixture.add(trail_bps=1_000)
    assert await fixture.turn() == []
    fixture.set_price(134)
    assert await fixture.turn() == [first]
    fixture.set_price(125)
    assert await fixture.turn() == [second]


async def test_many_sizes_that_trail_a_price_share_a_quote_that_bounds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(high_water, "OWN_SIZES", 3)
    fixture = Fixture(100)
    fixture.pool.depth = 10**12
    orders = [await fixture.add(trail_bps=1_000, amount=str(10 + number)) for number in range(20)]
    await fixture.turn()
    # One at the edge of the group, three own ones, and one for the other seventeen.
    assert len(fixture.router.sizes) == 5
    exact = 0
    for number, order_id in enumerate(orders):
        own = fixture.pool.quote(sale((10 + number) * 10**9))
        rate = Fraction(net_amount(own), own.amount_in)
        mark = fixture.database.orders[order_id].high_water
        assert mark is not None
        # No stop trails a price that its own size never had, and none is far below it.
        assert rate * Fraction(97, 100) < Fraction(mark) <= rate * (1 + Fraction(1, 10**9))
        exact += abs(Fraction(mark) - rate) < Fraction(1, 10**12)
    assert exact >= 3


async def test_a_trigger_does_not_wait_for_marks() -> None:
    fixture = Fixture(100)
    await fixture.turn()
    for number in range(5):
        await fixture.add(trail_bps=1_000, amount=str(10 + number))
    limit = await fixture.add(limit="110", amount="3")
    fixture.set_price(120)
    done: list[str] = []
    raising, triggering = fixture.store.raise_high_water, fixture.store.trigger

    async def raise_high_water(marks: Sequence[HighWater]) -> None:
        done.append("marks")
        await raising(marks)

    async def trigger(items: Sequence[Triggering]) -> list[UUID]:
        done.append("trigger")
        return await triggering(items)

    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(fixture.store, "raise_high_water", raise_high_water)
        patch.setattr(fixture.store, "trigger", trigger)
        assert await fixture.turn() == [limit]
    assert done == ["trigger", "marks"]


# ---- the reference price -------------------------------------------------------------------------------------------


async def test_promise_20_nothing_is_triggered_while_the_reference_does_not_agree() -> None:
    opinion = Opinion()
    fixture = Fixture(110, reference=opinion)
    order = await fixture.add(limit="100")
    opinion.problem = "they are 500 bps apart, and 100 are allowed"
    for _ in range(4):
        assert await fixture.turn() == []
    [event] = fixture.waiting_events(order)
    assert event.detail["waitsFor"] == "reference"
    assert "500 bps apart" in str(event.detail["detail"])
    opinion.problem = ""
    assert await fixture.turn() == [order]


async def test_each_time_that_the_reference_holds_an_order_back_is_an_event() -> None:
    opinion = Opinion()
    fixture = Fixture(110, reference=opinion)
    order = await fixture.add(limit="100")
    opinion.problem = "it is 60 s old"
    await fixture.turn()
    # A price that crosses the limit to and fro is one episode.
    for dollars in (90, 110, 90, 110, 90):
        fixture.set_price(dollars)
        fixture.clock.advance(1)
        await fixture.turn()
    assert len(fixture.waiting_events(order)) == 1
    fixture.clock.advance(60)
    await fixture.turn()
    fixture.set_price(110)
    await fixture.turn()
    await fixture.turn()
    assert len(fixture.waiting_events(order)) == 2


async def test_a_mark_that_the_reference_does_not_see_is_not_raised() -> None:
    opinion = Opinion()
    fixture = Fixture(100, reference=opinion)
    order = await fixture.add(trail_bps=1_000)
    await fixture.turn()
    opinion.problem = "they are 5000 bps apart"
    fixture.set_price(150)
    await fixture.turn()
    opinion.problem = ""
    fixture.set_price(95)
    assert await fixture.turn() == []
    fixture.set_price(89)
    assert await fixture.turn() == [order]


class Believing:
    """A reference that agrees with one pool alone."""

    def __init__(self, pool: str) -> None:
        self.pool = pool

    async def agreement(self, market: Market, deal: Executable) -> Agreement:
        """Whether it is a quote of that pool."""
        return Agreement(problem="" if deal.quote.venue == self.pool else "they are far apart")


async def test_a_venue_with_a_price_that_is_not_there_hides_no_fall_from_a_stop() -> None:
    fixture = Fixture(150, reference=Believing("pool"))
    stop = await fixture.add(trigger="140")
    trailing = await fixture.add(trail_bps=1_000)
    fixture.router.pools = (Pool("liar", 1_000 * SOL_AT, fee_ppm=0), fixture.pool)
    assert await fixture.turn() == []
    fixture.set_price(139)
    assert await fixture.turn() == [stop]
    fixture.set_price(134)
    assert await fixture.turn() == [trailing], "its mark is that of the pool which is believed"


async def test_a_price_that_is_not_there_triggers_no_limit_while_another_venue_is_believed() -> None:
    fixture = Fixture(90, reference=Believing("pool"))
    order = await fixture.add(limit="100")
    fixture.router.pools = (Pool("liar", 1_000 * SOL_AT, fee_ppm=0), fixture.pool)
    assert await fixture.turn() == []
    fixture.set_price(101)
    assert await fixture.turn() == [order]
