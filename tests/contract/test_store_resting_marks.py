"""What the oracle writes of orders that rest on: their marks only rise, and a note is an event of its version."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from dexexec.domain.event import Event
from dexexec.domain.order import FOREVER_MS
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms, TimeInForce
from dexexec.store import HighWater, RestingNote, RestingOrder, Store, Triggering
from tests.support.parts import new_order
from tests.support.prepared_orders import Open

TRAILING = Terms(trail_bps=100)
LIMIT = Terms(time_in_force=TimeInForce.GTC, limit_price=Decimal(150))
NOTE = {"waitsFor": "reference", "detail": "the reference price does not agree"}
LONG = Decimal("0.15" + "3" * 60)
"""A rate with more digits than a float holds."""


async def rested(store: Store, terms: Terms) -> RestingOrder:
    since = await store.rested_horizon()
    kind = OrderType.LIMIT if terms.limit_price else OrderType.MARKET
    created = await store.create(replace(new_order(), type=kind, terms=terms, deadline_ms=FOREVER_MS))
    orders, _ = await store.rested_since(since)
    [found] = [order for order in orders if order.id == created.order_id]
    return found


async def read_again(store: Store, order_id: UUID) -> RestingOrder:
    [order] = await store.rested_among([order_id])
    return order


async def test_promise_20_a_high_water_mark_only_rises_and_is_read_back_exactly(stores: Open) -> None:
    async with stores() as store:
        order = await rested(store, TRAILING)
        assert order.high_water is None
        for rate, expected in ((Decimal("0.1"), Decimal("0.1")), (LONG, LONG), (Decimal("0.12"), LONG)):
            await store.raise_high_water([HighWater(order.id, order.version, rate)])
            assert (await read_again(store, order.id)).high_water == expected
        # It is no event, and no change that makes a trigger stale.
        assert (await read_again(store, order.id)).version == order.version


async def test_the_mark_of_an_order_that_does_not_rest_stays(stores: Open) -> None:
    async with stores() as store:
        order = await rested(store, TRAILING)
        await store.raise_high_water([HighWater(order.id, order.version, Decimal(1))])
        await store.cancel(order.id)
        await store.raise_high_water([HighWater(order.id, order.version, Decimal(2))])
        assert await store.rested_among([order.id]) == []


async def test_a_note_is_an_event_and_the_order_rests_on(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        order = await rested(store, LIMIT)
        since = await store.rested_horizon()
        await store.note_resting([RestingNote(order.id, order.version, NOTE)])
        event = announced[-1]
        assert (event.order_id, event.seq, event.status, event.detail) == (order.id, 3, Status.WAITING, NOTE)
        # Every leader reads the new version, without which it could not trigger the order.
        changed, _ = await store.rested_since(since)
        assert [(one.id, one.version) for one in changed if one.id == order.id] == [(order.id, 3)]
        assert await store.trigger([Triggering(order_id=order.id, version=order.version, detail={})]) == []
        assert await store.trigger([Triggering(order_id=order.id, version=3, detail={})]) == [order.id]


async def test_a_note_of_another_version_or_of_a_cancelled_order_is_not_written(stores: Open) -> None:
    async with stores() as store:
        order = await rested(store, LIMIT)
        await store.note_resting([RestingNote(order.id, order.version - 1, NOTE)])
        assert await store.versions([order.id]) == {order.id: 2}
        await store.cancel(order.id)
        await store.note_resting([RestingNote(order.id, 3, NOTE)])
        assert await store.versions([order.id]) == {order.id: 3}
