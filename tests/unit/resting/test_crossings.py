"""Few quotes find every order that its own quote would trigger."""

import asyncio
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec.domain.quote import Mode
from dexexec.domain.token import USDC, WSOL
from dexexec.resting.conditions import Fires, Market, WatchedOrder, executable
from dexexec.resting.crossings import find_crossed
from dexexec.resting.quotes import OracleQuotes
from dexexec.resting.watches import Group, Watches
from dexexec.testing.clock import ManualClock
from dexexec.venues.ranking import net_amount
from tests.unit.resting.pools import Pool, PoolRouter
from tests.unit.resting.resting_orders import SELL_SOL, resting

PRICE = Fraction(3, 20)


def watched(*orders: WatchedOrder) -> Watches:
    watches = Watches()
    for order in orders:
        watches.put(order)
    return watches


async def crossed_by(router: PoolRouter, group: Group) -> set[int]:
    return {order.id.int for order in await find_crossed(group, OracleQuotes(router, ManualClock()))}


ORDERS = st.lists(
    st.tuples(
        st.integers(1, 10**15),
        st.fractions(Fraction(1, 100), Fraction(1, 5), max_denominator=10**6),
        st.sampled_from([1_000_000, 100_000, 5_000]),
    ),
    min_size=1,
    max_size=20,
)


@settings(deadline=None)
@given(
    orders=ORDERS,
    fires=st.sampled_from(list(Fires)),
    mode=st.sampled_from(list(Mode)),
    depths=st.lists(st.sampled_from([10**11, 10**13, 10**16]), min_size=1, max_size=2),
)
def test_promise_20_no_order_that_its_own_quote_triggers_is_missed(
    orders: list[tuple[int, Fraction, int]], fires: Fires, mode: Mode, depths: list[int]
) -> None:
    market = Market(WSOL, USDC, mode)
    made = [
        resting(number, rate, fires=fires, amount=amount, market=market, impact_ppm=impact)
        for number, (amount, rate, impact) in enumerate(orders, 1)
    ]
    router = PoolRouter(*(Pool(f"pool-{depth}", PRICE, depth=depth) for depth in depths))
    [group] = watched(*made).groups()

    async def check() -> None:
        found = await crossed_by(router, group)
        quotes = OracleQuotes(router, ManualClock())
        for order in made:
            own = executable(await quotes.quote(market, order.amount), order.impact_ppm)
            if own is not None and order.fires_at(own.net):
                assert order.id.int in found

    asyncio.run(check())


async def test_far_from_all_orders_one_quote_is_enough() -> None:
    orders = [resting(number, PRICE * 2, amount=4**number) for number in range(10, 30)]
    router = PoolRouter(Pool("pool", PRICE))
    [group] = watched(*orders).groups()
    assert await crossed_by(router, group) == set()
    assert router.sizes == [4**10]


async def test_only_bands_that_may_be_reached_are_quoted() -> None:
    near = resting(1, PRICE * Fraction(9, 10), amount=4**20)
    far = [resting(number, PRICE * 2, amount=4**number) for number in range(5, 30) if number != 20]
    router = PoolRouter(Pool("pool", PRICE))
    [group] = watched(near, *far).groups()
    assert await crossed_by(router, group) == {1}
    assert router.sizes == [4**5, 4**20]


async def test_a_stop_is_watched_at_the_largest_size() -> None:
    stops = [resting(number, PRICE / 2, fires=Fires.AT_OR_BELOW, amount=10**number) for number in (6, 9)]
    router = PoolRouter(Pool("pool", PRICE))
    [group] = watched(*stops).groups()
    await crossed_by(router, group)
    assert router.sizes[0] == 10**9


async def test_a_size_without_a_quote_does_not_hide_the_others_of_its_band() -> None:
    pool = Pool("pool", PRICE)
    pool.least = 1_050
    orders = [resting(number, PRICE / 2, amount=1_025 + number) for number in range(50)]
    [group] = watched(*orders).groups()
    assert set(range(25, 50)) <= await crossed_by(PoolRouter(pool), group)


async def test_without_venues_nothing_is_found() -> None:
    pool = Pool("pool", PRICE)
    pool.is_down = True
    router = PoolRouter(pool)
    [group] = watched(resting(1, PRICE / 2)).groups()
    assert await crossed_by(router, group) == set()
    assert router.sizes == [1_000]  # an outage is no reason to try other sizes


async def test_a_trailing_stop_is_found_above_its_mark_and_below_its_trigger() -> None:
    order = resting(1, None, amount=10**6, market=SELL_SOL, trail_bps=1_000)
    watches = watched(order)
    pool = Pool("pool", PRICE)
    router = PoolRouter(pool)
    [above] = watches.groups()
    assert await crossed_by(router, above) == {1}  # it has no mark yet
    quote = pool.quote((await OracleQuotes(router, ManualClock()).quote(SELL_SOL, 10**6)).ranking[0].request)
    watches.raise_best(order, net_amount(quote))
    below, above = watches.groups()
    pool.price = PRICE * Fraction(95, 100)
    assert await crossed_by(router, below) == set()
    assert await crossed_by(router, above) == set()
    pool.price = PRICE * Fraction(89, 100)
    assert await crossed_by(router, below) == {1}
    pool.price = PRICE * Fraction(101, 100)
    assert await crossed_by(router, above) == {1}
    watches.remove(order.id)
    assert watches.groups() == []
