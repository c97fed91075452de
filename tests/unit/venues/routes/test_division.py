"""A divided swap has the same marginal price everywhere, and no other division gives more."""

from decimal import Context, Decimal, localcontext
from math import isclose, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec.domain.depth import Stretch, constant, falling
from dexexec.domain.quote import Mode
from dexexec.venues.routes.division import Pool, divide
from tests.support.pool_depths import output_of

PROPERTY = settings(deadline=None)


def product(reserve_in: float, reserve_out: float, fee: float = 0.0025) -> list[Stretch]:
    """A constant product with a fee on the input: 1/root grows by x / liquidity if both carry the root of the fee."""
    kept = sqrt(1 - fee)
    return [falling(kept * sqrt(reserve_out / reserve_in), 0.0, sqrt(reserve_in * reserve_out) / kept)]


@st.composite
def pools(draw: st.DrawFn) -> list[Stretch]:
    """One to six stretches, with falling prices or constant ones, and gaps between them."""
    root = draw(st.floats(1e-3, 1e3))
    made = []
    for _ in range(draw(st.integers(1, 6))):
        root *= draw(st.sampled_from([1.0, 0.999, 0.9]))
        if draw(st.booleans()):
            made.append(constant(root, draw(st.floats(1.0, 1e12))))
        else:
            end = root * draw(st.floats(0.5, 0.999))
            made.append(falling(root, end, draw(st.floats(1.0, 1e12))))
            root = end
    return made


def received(pool: Pool, amount_in: float) -> float:
    """What a pool gives for an input, one stretch after the other."""
    total = 0.0
    for stretch in pool:
        part = min(amount_in, stretch.amount_in)
        amount_in -= part
        total += output_of(stretch, part)
    return total


def capacity(pool: Pool, mode: Mode) -> float:
    return sum(stretch.amount_in if mode is Mode.EXACT_IN else stretch.amount_out for stretch in pool)


@PROPERTY
@given(st.lists(pools(), min_size=1, max_size=5), st.floats(0.001, 1.2), st.sampled_from(Mode))
def test_the_parts_add_up_to_the_amount_or_to_all_there_is(made: list[list[Stretch]], share: float, mode: Mode) -> None:
    amount = share * sum(capacity(pool, mode) for pool in made)
    parts = divide(made, amount, mode)
    there_is = sum(capacity(pool, mode) for pool in made)
    assert isclose(sum(parts), min(amount, there_is), rel_tol=1e-9)
    for part, pool in zip(parts, made, strict=True):
        assert 0 <= part <= capacity(pool, mode) * (1 + 1e-9)


@PROPERTY
@given(st.lists(pools(), min_size=2, max_size=4), st.floats(0.01, 0.99), st.data())
def test_moving_input_from_one_pool_to_another_never_gives_more(
    made: list[list[Stretch]], share: float, data: st.DataObject
) -> None:
    amount = share * sum(capacity(pool, Mode.EXACT_IN) for pool in made)
    parts = divide(made, amount, Mode.EXACT_IN)
    best = sum(map(received, made, parts))
    source, target = data.draw(st.permutations(range(len(made))))[:2]
    room = capacity(made[target], Mode.EXACT_IN) - parts[target]
    moved = data.draw(st.floats(0, 1)) * min(parts[source], max(room, 0.0))
    other = [part - moved * (place == source) + moved * (place == target) for place, part in enumerate(parts)]
    assert sum(map(received, made, other)) <= best * (1 + 1e-9)


def solved(made: list[list[Stretch]], amount: float) -> Decimal:
    """The most that the pools can give, by another way: a search for the marginal price, in 60 digits."""
    with localcontext(Context(prec=60)):
        stretches = [tuple(map(Decimal, stretch)) for pool in made for stretch in pool]
        wanted = Decimal(amount)

        def taken(root: Decimal) -> list[Decimal]:
            return [
                (most if start > root else Decimal(0))
                if start == end
                else max(Decimal(0), liquidity * (1 / max(end, root) - 1 / start))
                for start, end, liquidity, most in stretches
            ]

        low, high = Decimal(0), max(start for start, *_ in stretches)
        for _ in range(190):
            middle = (low + high) / 2
            low, high = (middle, high) if sum(taken(middle)) >= wanted else (low, middle)
        parts = taken(high)
        received = sum(
            (
                part * start * start if start == end else liquidity * (start - 1 / (1 / start + part / liquidity))
                for part, (start, end, liquidity, _) in zip(parts, stretches, strict=True)
            ),
            Decimal(0),
        )
        # What is left is taken at this price.
        return received + (wanted - sum(parts)) * high * high


@settings(deadline=None, max_examples=30)
@given(st.lists(pools(), min_size=1, max_size=8), st.floats(0.001, 0.999))
def test_the_division_gives_what_an_exact_search_gives(made: list[list[Stretch]], share: float) -> None:
    amount = share * sum(capacity(pool, Mode.EXACT_IN) for pool in made)
    ours = sum(map(received, made, divide(made, amount, Mode.EXACT_IN)))
    assert ours == pytest.approx(float(solved(made, amount)), rel=1e-9)


@pytest.mark.parametrize("mode", Mode)
def test_equal_pools_get_equal_parts(mode: Mode) -> None:
    assert divide([product(1e12, 1e12)] * 4, 1e9, mode) == pytest.approx([2.5e8] * 4)


def test_a_pool_whose_first_unit_is_worse_than_the_last_of_another_gets_nothing() -> None:
    assert divide([product(1e12, 2e12), product(1e12, 1e12)], 1e9, Mode.EXACT_IN) == pytest.approx([1e9, 0.0])


def test_two_products_are_divided_as_the_closed_formula_says() -> None:
    # With x + y = a and equal marginal prices, the inputs are as the roots of the products of the reserves.
    one, other = divide([product(4e12, 4e12, 0.0), product(1e12, 1e12, 0.0)], 1e11, Mode.EXACT_IN)
    assert one == pytest.approx(8e10)
    assert other == pytest.approx(2e10)


def test_of_a_constant_price_only_the_rest_is_taken() -> None:
    parts = divide([[constant(1.0, 100.0), constant(0.5, 100.0)], [constant(0.9, 50.0)]], 180.0, Mode.EXACT_IN)
    assert parts == [130.0, 50.0]
