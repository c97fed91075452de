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


def solved(reserves: list[tuple[int, int]], kept: Decimal, amount: int) -> Decimal:
    """The most that constant products can give, by another way: a search for the marginal price, in 60 digits."""
    with localcontext(Context(prec=60)):
        low, high = Decimal(0), max(kept * out / into for into, out in reserves)

        def parts(price: Decimal) -> list[Decimal]:
            # kept * x * y / (x + kept * part)^2 = price
            return [max(Decimal(0), ((kept * into * out / price).sqrt() - into) / kept) for into, out in reserves]

        for _ in range(180):
            middle = (low + high) / 2
            low, high = (low, middle) if sum(parts(middle)) < amount else (middle, high)
        whole = zip(parts(low), reserves, strict=True)
        return sum((kept * part * out / (into + kept * part) for part, (into, out) in whole), Decimal(0))


@PROPERTY
@given(
    st.lists(st.tuples(st.integers(10**6, 10**15), st.integers(10**6, 10**15)), min_size=1, max_size=8),
    st.integers(10**6, 10**14),
)
def test_the_division_gives_what_an_exact_search_gives(reserves: list[tuple[int, int]], amount: int) -> None:
    made = [product(into, out) for into, out in reserves]
    ours = sum(map(received, made, divide(made, amount, Mode.EXACT_IN)))
    assert ours == pytest.approx(float(solved(reserves, Decimal("0.9975"), amount)), rel=1e-9)


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
