"""Whose an order is: a key reads, changes, cancels and sums up its own orders only; see `test_store_port.py`."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from dexexec.domain.api_key import owned_name
from dexexec.domain.cancellation import Cancelled, CancelledAll, Selection
from dexexec.domain.order import NewOrder
from dexexec.domain.order_filter import OrderFilter
from dexexec.store import CostQuery, Store
from tests.contract.test_store_brackets import entry, exits, filled
from tests.contract.test_store_costs import failed_then_filled
from tests.contract.test_store_groups import (
    claim_member,
    finish,
    follow_all,
    limit_member,
    member,
    status_of,
    submit,
)
from tests.support.limit_orders import limit_order
from tests.support.parts import new_order
from tests.support.prepared_orders import Open, claimed_by

MINE, OTHERS = 1, 2


async def posted(store: Store, owner: int | None, order: NewOrder) -> UUID:
    """An order of that key."""
    return (await store.create(replace(order, owner=owner))).order_id


async def listed(store: Store, owner: int | None) -> list[str]:
    """The ids that a list shows, newest first."""
    owners = () if owner is None else (owner,)
    return [str(row["orderId"]) for row in await store.orders(10, None, OrderFilter(owners=owners))]


async def test_promise_18_an_order_is_absent_for_every_key_but_its_own(stores: Open) -> None:
    async with stores() as store:
        own = await posted(store, MINE, limit_order())
        nobodys = await posted(store, None, limit_order())
        for order_id in (own, nobodys):
            assert await store.order(order_id, OTHERS) is None
            assert await store.amendable(order_id, OTHERS) is None
            assert await store.cancel(order_id, OTHERS) is None
        assert (await listed(store, MINE), await listed(store, OTHERS)) == ([str(own)], [])
        assert set(await listed(store, None)) == {str(own), str(nobodys)}
        shown = await store.order(own, MINE)
        assert shown is not None
        assert shown["status"] == "waiting", "the cancel of another key has changed nothing"
        assert await store.amendable(own, MINE) is not None
        assert isinstance(await store.cancel(own, MINE), Cancelled)


async def test_cancelling_all_cancels_the_orders_of_one_key_only(stores: Open) -> None:
    async with stores() as store:
        own, other = [await posted(store, owner, limit_order()) for owner in (MINE, OTHERS)]
        assert await store.cancel_all(Selection(owner=MINE)) == CancelledAll(cancelled=1, too_late=0)
        statuses = [(await store.order(order_id) or {})["status"] for order_id in (own, other)]
        assert statuses == ["cancelled", "waiting"]
        assert await store.cancel_all(Selection()) == CancelledAll(cancelled=1, too_late=0)


async def test_a_worker_sees_whose_an_order_is_and_which_request_posted_it(stores: Open) -> None:
    async with stores() as store:
        order = replace(new_order(), owner=MINE, wallet="desk-2", request_id="r-1")
        await store.create(order)
        worker = await store.begin("w", 20)
        claimed = (await claimed_by(store, worker, order.id)).order
        assert (claimed.owner, claimed.wallet, claimed.request_id) == (MINE, "desk-2", "r-1")
        await worker.end()


async def test_the_exits_of_a_bracket_are_their_entrys_owners(stores: Open) -> None:
    async with stores() as store:
        parent = await filled(store, replace(entry(), owner=MINE, wallet="desk-2"))
        await follow_all(store)
        armed = await exits(store, parent)
        assert len(armed) == 2
        for order_id in armed:
            assert await store.order(order_id, OTHERS) is None
            assert await store.order(order_id, MINE) is not None


async def test_costs_are_those_of_ones_own_attempts(stores: Open) -> None:
    query = CostQuery(since=datetime(2000, 1, 1, tzinfo=UTC), until=None, group_by=())
    async with stores() as store:
        worker = await store.begin("w", 20)
        await failed_then_filled(store, worker, "a", owner=MINE)
        await failed_then_filled(store, worker, "b", owner=OTHERS)
        await failed_then_filled(store, worker, "c")
        swaps = [(await store.costs(replace(query, owner=owner))).total.swaps for owner in (MINE, OTHERS, 3, None)]
        assert swaps == [1, 1, 0, 3]
        await worker.end()


async def test_promise_18_a_fill_of_one_key_cancels_no_order_in_another_key_s_group_of_that_name(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        own, other = (owned_name(owner, "pair") for owner in (MINE, OTHERS))
        first = await claim_member(store, worker, member(own, owner=MINE))
        sibling = await posted(store, MINE, limit_member(own))
        stranger = await posted(store, OTHERS, limit_member(other))
        assert await submit(store, first)
        assert await finish(store, first)
        await follow_all(store)
        assert await status_of(store, sibling) == "cancelled"
        assert await status_of(store, stranger) == "waiting"
        shown = await store.order(sibling, MINE)
        assert shown is not None
        assert '"pair"' in str(shown["events"]), "as its client has named it"
        for owner, found in ((MINE, {first.order.id, sibling}), (OTHERS, {stranger})):
            rows = await store.orders(10, None, OrderFilter(oco_group="pair", owners=(owner,)))
            assert {UUID(str(row["orderId"])) for row in rows} == found
        assert own not in str(shown)
        await worker.end()
