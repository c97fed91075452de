"""Two oracles, a moving price, and clients that cancel and amend, against a model that looks at every order."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec.domain.quote import Mode
from dexexec.domain.rate import rate_at
from dexexec.domain.terms import Terms, TriggerWhen
from dexexec.errors import UnavailableError
from dexexec.resting import high_water, price_book
from dexexec.resting.conditions import Fires, executable, other_amount, rate_of
from tests.unit.resting.test_oracle import Fixture, resting_order, sale

PRICES = st.integers(95, 106)
AMOUNTS = st.sampled_from(["0.5", "1", "7", "30", "400"])
KINDS = st.sampled_from(["limit", "below", "above", "trailing", "stop-limit"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), KINDS, PRICES, AMOUNTS),
        st.tuples(st.just("add"), KINDS, PRICES, AMOUNTS),
        st.tuples(st.just("price"), PRICES),
        st.tuples(st.just("turn"), st.integers(0, 1)),
        st.tuples(st.just("turn"), st.integers(0, 1)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("amend"), st.integers(0, 30), PRICES),
        st.tuples(st.just("rest again"), st.integers(0, 30)),
        st.tuples(st.just("resign"), st.integers(0, 1)),
        st.tuples(st.just("redis"), st.booleans()),
        st.tuples(st.just("lost answer")),
    ),
    min_size=8,
    max_size=40,
)


class Model:
    """What must be triggered, from the rows and the pool alone. `marks` are the best amounts that trailing stops have
    seen in a turn."""

    def __init__(self) -> None:
        self.fixture = Fixture(100)
        self.fixture.pool.depth = 20_000 * 10**9
        self.fixture.pool.fee_ppm = 2_500
        self.oracles = [self.fixture.oracle, self.fixture.another_oracle()]
        self.orders: list[UUID] = []
        self.marks: dict[UUID, int] = {}

    def other(self, order_id: UUID) -> int | None:
        """What the order's swap would give now, net."""
        row = self.fixture.database.orders[order_id]
        routing = asyncio.run(self.fixture.router.route(sale(row.new.amount_base), 0))
        deal = executable(routing, 100_000)
        return deal.net if deal else None

    def is_reached(self, order_id: UUID) -> bool:
        """Whether the order's own price is reached now."""
        row = self.fixture.database.orders[order_id]
        terms, amount, other = row.new.terms, row.new.amount_base, self.other(order_id)
        assert terms is not None
        if other is None:
            return False
        if terms.trail_bps is not None and not row.triggered:
            mark = self.marks.get(order_id)
            stop = Fraction(10_000 - terms.trail_bps, 10_000)
            return mark is not None and Fraction(other) <= mark * stop
        price = terms.limit_price
        fires = Fires.AT_OR_ABOVE
        if terms.trigger_price is not None and not row.triggered:
            price = terms.trigger_price
            fires = Fires.AT_OR_ABOVE if terms.trigger_when is TriggerWhen.ABOVE else Fires.AT_OR_BELOW
        if price is None:
            return True  # a stop at the market that was reached before
        rate = rate_at(price, row.new.side, input_decimals=9, output_decimals=6)
        exact = rate_of(Mode.EXACT_IN, amount, other)
        reached = exact >= rate if fires is Fires.AT_OR_ABOVE else exact <= rate
        bound = other_amount(Mode.EXACT_IN, amount, rate, fires)
        assert reached is (other >= bound if fires is Fires.AT_OR_ABOVE else other <= bound)
        return reached

    def resting(self) -> list[UUID]:
        return [order_id for order_id in self.orders if self.fixture.database.orders[order_id].resting]

    def observe_marks(self) -> None:
        """A turn has seen the price."""
        for order_id in self.resting():
            terms = self.fixture.database.orders[order_id].new.terms
            other = self.other(order_id)
            if terms is not None and terms.trail_bps is not None and other is not None:
                self.marks[order_id] = max(self.marks.get(order_id, 0), other)

    def turn(self, number: int) -> None:
        """A turn of one of the oracles triggers exactly what is reached."""
        expected = {order_id for order_id in self.resting() if self.is_reached(order_id)}
        before = {order_id: len(self.fixture.waiting_events(order_id)) for order_id in self.orders}
        asyncio.run(self.oracles[number].turn())
        # What was refused because it had changed since it was read is triggered by the next turn.
        asyncio.run(self.oracles[number].turn())
        for order_id in self.orders:
            row = self.fixture.database.orders[order_id]
            triggered = len(self.fixture.waiting_events(order_id)) - before[order_id]
            assert triggered == (order_id in expected), self.fixture.waiting_events(order_id)
            assert not (order_id in expected and row.resting)
        self.observe_marks()

    def choose(self, number: int) -> UUID | None:
        return self.orders[number % len(self.orders)] if self.orders else None

    def add(self, kind: str, price: int, amount: str) -> None:
        """Store an order whose price is `price`."""
        text = str(price)
        order = {
            "limit": lambda: resting_order(limit=text, amount=amount),
            "below": lambda: resting_order(trigger=text, amount=amount),
            "above": lambda: resting_order(trigger=text, when=TriggerWhen.ABOVE, amount=amount),
            "trailing": lambda: resting_order(trail_bps=200, amount=amount),
            "stop-limit": lambda: resting_order(limit="98", trigger=text, amount=amount),
        }[kind]()
        self.orders.append(asyncio.run(self.fixture.store.create(order)).order_id)

    def amend(self, order_id: UUID, price: int) -> None:
        """Give a resting order another price, as a client does."""
        row = self.fixture.database.orders[order_id]
        terms = row.new.terms
        if row.resting and terms is not None and terms.limit_price is not None:
            row.new = replace(row.new, terms=replace(terms, limit_price=Decimal(price)))
            row.version += 1
            row.rested_at = self.fixture.database.now()

    def rest_again(self, order_id: UUID) -> None:
        """What a worker writes after a trigger that came to nothing."""
        row = self.fixture.database.orders[order_id]
        terms: Terms | None = row.new.terms
        if not row.resting and row.finished_at is None and terms is not None and terms.limit_price is not None:
            row.resting, row.rested_at, row.version = True, self.fixture.database.now(), row.version + 1


@settings(deadline=None, max_examples=100)
@given(steps=STEPS)
def test_promise_20_what_is_reached_is_triggered_once_and_nothing_else(steps: list[tuple[object, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(price_book, "BUCKET", 2)
        patch.setattr(high_water, "OWN_SIZES", 100)
        model = Model()
        for what, *arguments in steps:
            match what, arguments:
                case "add", [str(kind), int(price), str(amount)]:
                    model.add(kind, price, amount)
                case "price", [int(price)]:
                    model.fixture.set_price(price)
                case "turn", [int(number)]:
                    model.turn(number)
                case "cancel", [int(number)] if order_id := model.choose(number):
                    asyncio.run(model.fixture.store.cancel(order_id))
                case "amend", [int(number), int(price)] if order_id := model.choose(number):
                    model.amend(order_id, price)
                case "rest again", [int(number)] if order_id := model.choose(number):
                    model.rest_again(order_id)
                case "resign", [int(number)]:
                    model.oracles[number].resign()
                case "redis", [bool(is_down)]:
                    model.fixture.queue.is_down = is_down
                case "lost answer", []:
                    lose_the_answer(model)
        model.turn(0)
        model.turn(1)


def lose_the_answer(model: Model) -> None:
    """A turn whose trigger is committed, and whose answer is lost: nothing is triggered a second time."""
    trigger = model.fixture.store.trigger

    async def lost(items: object) -> list[UUID]:
        await trigger(items)  # type: ignore[arg-type]
        raise UnavailableError("Postgres does not answer in time")

    model.fixture.store.trigger = lost  # type: ignore[method-assign]
    try:
        asyncio.run(model.oracles[0].turn())
    except UnavailableError:
        pass
    else:
        model.observe_marks()  # nothing was reached, so the turn was a complete one
    finally:
        model.fixture.store.trigger = trigger  # type: ignore[method-assign]
