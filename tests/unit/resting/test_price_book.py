"""The book of prices, against a list that is sorted anew each time."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec.resting import price_book
from dexexec.resting.conditions import Fires, WatchedOrder, key_of
from dexexec.resting.price_book import PriceBook
from tests.unit.resting.resting_orders import numbers, resting

STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "amend"]), st.integers(1, 40), st.integers(1, 12), st.integers(0, 3)),
    max_size=120,
)
SIDES = st.sampled_from(list(Fires))


def reached(orders: dict[int, WatchedOrder], fires: Fires, key: int) -> list[int]:
    """The same as the book, computed from all orders."""
    rises = fires is Fires.AT_OR_ABOVE
    found = [order for order in orders.values() if (order.key <= key if rises else order.key >= key)]
    found.sort(key=lambda order: (order.key if rises else -order.key, order.created_at, order.id.int))
    return [order.id.int for order in found]


@settings(deadline=None)
@given(steps=STEPS, fires=SIDES, at=st.integers(0, 13))
def test_the_book_holds_what_a_sorted_list_would(steps: list[tuple[str, int, int, int]], fires: Fires, at: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(price_book, "BUCKET", 2)  # so that few orders make many buckets
        book = PriceBook(fires)
        orders: dict[int, WatchedOrder] = {}
        for what, number, rate, seconds in steps:
            book.remove(resting(number, None).id)
            orders.pop(number, None)
            if what != "remove":
                order = resting(number, Fraction(rate), fires=fires, seconds=seconds)
                orders[number] = order
                book.add(order, order.key)
        key = key_of(Fraction(at))
        expected = reached(orders, fires, key)
        assert numbers(list(book.crossed(key))) == expected
        assert book.crosses(key) is bool(expected)
        assert len(book) == len(orders)
        assert sorted(numbers(list(book.orders()))) == sorted(orders)


@pytest.mark.parametrize("fires", list(Fires))
def test_orders_of_one_price_come_in_the_order_of_their_creation_then_of_their_ids(fires: Fires) -> None:
    book = PriceBook(fires)
    for number, seconds in ((5, 2), (4, 1), (3, 2), (2, 0)):
        # Different sizes at one price: the amount that decides is rounded, and must not change the order.
        order = resting(number, Fraction(1, 3), fires=fires, seconds=seconds, amount=number)
        book.add(order, order.key)
    assert numbers(list(book.crossed(key_of(Fraction(1, 3))))) == [2, 4, 3, 5]


def test_the_price_that_is_reached_first_comes_first() -> None:
    limits = PriceBook(Fires.AT_OR_ABOVE)
    stops = PriceBook(Fires.AT_OR_BELOW)
    for number, rate in ((1, 30), (2, 10), (3, 20)):
        for book in (limits, stops):
            order = resting(number, Fraction(rate))
            book.add(order, order.key)
    assert numbers(list(limits.crossed(key_of(Fraction(25))))) == [2, 3]
    assert numbers(list(stops.crossed(key_of(Fraction(15))))) == [1, 3]


def visited(many: int, crossed: int) -> int:
    """Entries that a crossing looks at, in a book of `many` orders."""
    book = PriceBook(Fires.AT_OR_ABOVE)
    for number in range(1, many + 1):
        order = resting(number, Fraction(number), seconds=0)
        book.add(order, order.key)
    looked: list[int] = []

    class Counting(list[price_book.Entry]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for entry in list.__iter__(self):
                looked.append(1)
                yield entry

    book._buckets = [Counting(bucket) for bucket in book._buckets]
    assert len(list(book.crossed(key_of(Fraction(crossed))))) == crossed
    return len(looked)


def test_a_crossing_looks_at_the_crossed_orders_alone() -> None:
    assert visited(20_000, 1_000) == visited(2_000, 1_000) == 1_001


def test_an_insertion_moves_a_bucket_and_not_the_book() -> None:
    book = PriceBook(Fires.AT_OR_ABOVE)
    for number in range(20_000, 0, -1):  # the worst case for one long list: each belongs before all others
        order = resting(number, Fraction(number), seconds=0)
        book.add(order, order.key)
    assert max(len(bucket) for bucket in book._buckets) <= 2 * price_book.BUCKET
