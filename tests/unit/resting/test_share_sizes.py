"""A resting order for a share of the balance is watched with the size that it has, and follows the balance."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from dexexec.domain.quote import BPS
from dexexec.domain.token import WSOL
from dexexec.resting.share_sizes import BALANCE_SECONDS
from tests.unit.resting.test_oracle import Fixture, resting_order

SOL = 10**9


async def add_share(fixture: Fixture, share_bps: int = BPS, **changes: Any) -> UUID:
    """A resting order that spends a share of the wallet's SOL, as the body reader makes it."""
    order = resting_order(**changes)
    assert order.terms is not None
    order = replace(order, amount=Decimal(0), terms=replace(order.terms, share_bps=share_bps))
    return (await fixture.store.create(order)).order_id


def watched(fixture: Fixture, order_id: UUID) -> int:
    """The size that an order is watched with."""
    order = fixture.oracle._record.watches.get(order_id)
    assert order is not None
    return order.amount


async def test_one_token_stands_for_it_until_the_balance_is_read() -> None:
    fixture = Fixture()
    order_id = await add_share(fixture, limit="200")
    assert await fixture.turn() == []
    assert watched(fixture, order_id) == SOL
    assert fixture.wallet.reads == []


async def test_it_is_watched_with_what_the_wallet_can_spend() -> None:
    fixture = Fixture()
    fixture.wallet.balances = {WSOL: 40 * SOL}
    whole = await add_share(fixture, limit="200")
    half = await add_share(fixture, 5_000, limit="200")
    await fixture.turn()
    await fixture.sizes.turn()
    assert await fixture.turn() == []
    assert (watched(fixture, whole), watched(fixture, half)) == (40 * SOL, 20 * SOL)
    later = await add_share(fixture, 2_500, limit="200")
    await fixture.turn()
    assert watched(fixture, later) == 10 * SOL


async def test_only_the_price_of_the_whole_size_triggers_it() -> None:
    fixture = Fixture()
    fixture.pool.depth = 100 * SOL
    order_id = await add_share(fixture, limit="148.5")
    fixture.set_price(148)
    fixture.wallet.balances = {WSOL: SOL}
    await fixture.turn()
    await fixture.sizes.turn()
    # At 150 dollars one SOL gets more than the limit, and ten do not.
    fixture.wallet.balances = {WSOL: 10 * SOL}
    fixture.clock.advance(BALANCE_SECONDS)
    await fixture.sizes.turn()
    fixture.set_price(150)
    assert await fixture.turn() == []
    assert watched(fixture, order_id) == 10 * SOL
    fixture.wallet.balances = {WSOL: SOL // 2}
    fixture.clock.advance(BALANCE_SECONDS)
    await fixture.sizes.turn()
    assert await fixture.turn() == [order_id]


async def test_a_token_is_read_once_for_all_its_orders_and_not_all_the_time() -> None:
    fixture = Fixture()
    fixture.wallet.balances = {WSOL: 40 * SOL}
    for _ in range(20):
        await add_share(fixture, limit="200")
    await fixture.add(limit="200")
    await fixture.turn()
    for _ in range(10):
        await fixture.sizes.turn()
    assert fixture.wallet.reads == [WSOL]
    fixture.clock.advance(BALANCE_SECONDS)
    await fixture.sizes.turn()
    assert fixture.wallet.reads == [WSOL, WSOL]


async def test_orders_with_a_fixed_amount_need_no_balance() -> None:
    fixture = Fixture()
    await fixture.add(limit="200")
    await fixture.turn()
    await fixture.sizes.turn()
    assert fixture.wallet.reads == []


async def test_a_node_that_is_away_leaves_the_last_size() -> None:
    fixture = Fixture()
    fixture.wallet.balances = {WSOL: 40 * SOL}
    order_id = await add_share(fixture, limit="200")
    await fixture.turn()
    await fixture.sizes.turn()
    fixture.wallet.is_down = True
    fixture.clock.advance(BALANCE_SECONDS)
    await fixture.sizes.turn()
    await fixture.turn()
    assert watched(fixture, order_id) == 40 * SOL


async def test_an_empty_wallet_is_tried_with_one_token_so_that_the_order_fails_with_the_reason() -> None:
    fixture = Fixture()
    order_id = await add_share(fixture, limit="140")
    await fixture.sizes.turn()
    assert await fixture.turn() == [order_id]


async def test_a_trailing_stop_keeps_its_mark_when_the_size_changes() -> None:
    fixture = Fixture(price=100)
    order_id = await add_share(fixture, trail_bps=1_000)
    await fixture.turn()
    fixture.set_price(200)
    await fixture.turn()
    fixture.wallet.balances = {WSOL: 4 * SOL}
    await fixture.sizes.turn()
    fixture.set_price(185)
    assert await fixture.turn() == []
    assert watched(fixture, order_id) == 4 * SOL
    fixture.set_price(179)
    assert await fixture.turn() == [order_id], "ten percent below 200, which was seen for another size"


async def test_an_order_that_left_is_forgotten() -> None:
    fixture = Fixture()
    fixture.wallet.balances = {WSOL: 40 * SOL}
    order_id = await add_share(fixture, limit="140")
    assert await fixture.turn() == [order_id]
    await fixture.sizes.turn()
    await fixture.turn()
    fixture.clock.advance(BALANCE_SECONDS)
    await fixture.sizes.turn()
    assert fixture.wallet.reads == [WSOL]
