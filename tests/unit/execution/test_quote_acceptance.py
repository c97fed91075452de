"""Which quotes an order may take: those within its one bound, from venues that it does not move too far."""

from dataclasses import replace

import pytest

from dexexec.domain.bound import Bound, FixedBound
from dexexec.domain.order import Order
from dexexec.domain.quote import Mode
from dexexec.domain.recurring import Slice
from dexexec.domain.terms import Terms
from dexexec.execution.quote_acceptance import accept
from dexexec.venues.router import Answer, Routing
from tests.support.attempts import claimed_order
from tests.support.scripted import quote_of

ORDER = claimed_order(slippage_bps=10)


def quoted(order: Order = ORDER, impact_ppm: int = 3, **amounts: int) -> Routing:
    """A round of these venues' quotes."""
    return Routing.of(
        [
            Answer(venue=venue, quote=quote_of(venue, order.swap, amount, price_impact_ppm=impact_ppm))
            for venue, amount in amounts.items()
        ]
    )


def reasons(routing: Routing) -> dict[str, str]:
    return {answer.venue: answer.code for answer in routing.answers}


def test_promise_13_the_first_rounds_best_quote_fixes_the_bound_for_all_venues() -> None:
    found = accept(ORDER, quoted(a=10_031_900, b=12_517_700), 1_000)
    assert found.fixed == FixedBound(Bound(12_505_182, 10**9), 10**9, 12_517_700)
    assert reasons(found.routing) == {"a": "slippage", "b": ""}
    assert [quote.venue for quote in found.routing.ranking] == ["b"]
    assert "1978 bps past its bound" in found.routing.answers[0].detail


def test_promise_13_an_existing_bound_is_not_replaced_by_later_rounds() -> None:
    first = accept(ORDER, quoted(a=150_000_000), 1_000)
    second = accept(first.order, quoted(a=151_000_000, b=149_850_000, c=149_849_999), 1_000)
    assert (second.fixed, second.bound) == (None, Bound(149_850_000, 10**9))
    assert reasons(second.routing) == {"a": "", "b": "", "c": "slippage"}
    assert [quote.min_out for quote in second.routing.ranking] == [150_849_000, 149_850_000]


def test_a_round_without_an_acceptable_quote_fixes_nothing() -> None:
    found = accept(ORDER, Routing.of([Answer(venue="a", code="timeout")]), 1_000)
    assert (found.bound, found.fixed, found.order) == (None, None, ORDER)


def test_promise_13_a_clients_bound_is_used_alone_when_no_slippage_is_given() -> None:
    order = replace(ORDER, bound=Bound(140_000_000, 10**9), bound_open=False)
    found = accept(order, quoted(a=150_000_000, b=141_000_000, c=139_999_999), 1_000)
    assert reasons(found.routing) == {"a": "", "b": "", "c": "slippage"}
    assert found.fixed == FixedBound(Bound(140_000_000, 10**9), 10**9, 150_000_000)
    again = accept(found.order, quoted(a=145_000_000), 1_000)
    assert (again.fixed, again.order.first_quote) == (None, (10**9, 150_000_000))


def test_promise_13_of_a_clients_bound_and_its_slippage_the_tighter_one_counts() -> None:
    order = replace(ORDER, bound=Bound(140_000_000, 10**9))
    assert accept(order, quoted(a=150_000_000), 1_000).bound == Bound(149_850_000, 10**9)
    assert accept(order, quoted(a=140_000_001), 1_000).bound == Bound(140_000_000, 10**9)


def test_a_quote_past_the_clients_bound_fixes_nothing() -> None:
    order = replace(ORDER, bound=Bound(140_000_000, 10**9))
    found = accept(order, quoted(a=130_000_000), 1_000)
    assert (found.fixed, found.order) == (None, order)
    assert reasons(found.routing) == {"a": "slippage"}


def test_promise_13_an_exact_output_is_bound_by_what_it_costs() -> None:
    order = replace(ORDER, mode=Mode.EXACT_OUT, amount_base=150_000_000)
    found = accept(order, quoted(order, a=10**9, b=1_001_000_001, c=1_001_000_000), 1_000)
    assert found.bound == Bound(150_000_000, 1_001_000_000)
    assert reasons(found.routing) == {"a": "", "b": "slippage", "c": ""}


@pytest.mark.parametrize(
    ("order_bps", "setting_bps", "impact_ppm", "taken"),
    [
        (None, 1_000, 100_000, True),
        (None, 1_000, 100_001, False),
        (5_000, 1_000, 500_000, True),
        (0, 1_000, 1, False),
        (0, 1_000, 0, True),
        (10_000, 1_000, 999_950, True),
        (None, 10_000, 999_950, True),
    ],
)
def test_a_venue_whose_price_the_order_would_move_too_far_is_not_taken(
    order_bps: int | None, setting_bps: int, impact_ppm: int, taken: bool
) -> None:
    order = replace(ORDER, max_price_impact_bps=order_bps)
    found = accept(order, quoted(a=150_000_000, impact_ppm=impact_ppm), setting_bps)
    assert bool(found.routing.ranking) is taken
    assert reasons(found.routing) == {"a": "" if taken else "price-impact"}
    assert found.routing.answers[0].retryable is taken


def test_what_moves_the_price_too_far_does_not_fix_the_bound() -> None:
    empty = replace(quoted(a=999_000_000, impact_ppm=999_950).answers[0])
    sound = quoted(b=150_000_000).answers[0]
    found = accept(ORDER, Routing.of([empty, sound]), 1_000)
    assert found.order.first_quote == (10**9, 150_000_000)
    assert found.routing.answers[0].detail.startswith("the swap would move the price by 99.995 %")


def test_a_slice_is_not_swapped_at_a_better_price_than_its_range() -> None:
    order = replace(ORDER, terms=Terms(slice=Slice(1, 12, 150_000_000)))
    found = accept(order, quoted(a=150_000_001, b=150_000_000), 1_000)
    assert reasons(found.routing) == {"a": "price-range", "b": ""}
    assert found.routing.answers[0].detail == "150000001 base units are more than the range of prices allows: 150000000"
    assert accept(order, quoted(a=150_000_001), 1_000).bound is None


def test_a_slice_that_receives_an_exact_amount_does_not_pay_less_than_its_range() -> None:
    order = claimed_order(slippage_bps=10, mode=Mode.EXACT_OUT)
    order = replace(order, terms=Terms(slice=Slice(1, 12, 150_000_000)))
    found = accept(order, quoted(order, a=149_999_999, b=150_000_000), 1_000)
    assert reasons(found.routing) == {"a": "price-range", "b": ""}
