"""Claims of orders whose terms the worker's process knows, because it has stored them. On Postgres and in memory."""

import asyncio
from dataclasses import replace

import pytest

from dexexec.domain.order import Side
from dexexec.domain.quote import Mode
from dexexec.store import Release
from tests.support.parts import new_order
from tests.support.prepared_orders import ROUTED, Open, drop, step
from tests.support.waiting import until


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("mode", list(Mode))
async def test_a_known_order_is_claimed_as_if_it_had_been_read(stores: Open, side: Side, mode: Mode) -> None:
    async with stores() as store:
        first, second = await store.begin("first", 20), await store.begin("second", 20)
        order = new_order(side=side, mode=mode, amount="1.250", key="k", deadline_ms=60_000)
        await store.create(order)
        (known,) = await store.claim(first.id, [order.id], 1, {order.id: order})
        assert (known.order.claim, known.order.claims, known.order.version) == (1, 1, 1)
        assert 0 < known.order.deadline_in_ms <= 60_000
        assert known.order.age_ms >= 0
        await store.release(Release(order.id, 1, blame=False, resume_in_ms=0))
        (read,) = await store.claim(second.id, [order.id])
        assert 0 < read.order.deadline_in_ms <= known.order.deadline_in_ms
        as_the_first = replace(read.order, claim=1, claims=1, deadline_in_ms=known.order.deadline_in_ms)
        assert replace(read, order=as_the_first) == known
        assert str(as_the_first) == str(known.order), "and of the same types"
        for worker in (first, second):
            await worker.end()


async def test_a_known_order_belongs_to_one_worker_while_its_lease_is_valid(stores: Open) -> None:
    async with stores() as store:
        first, second = await store.begin("first", 20), await store.begin("second", 20)
        order = new_order()
        await store.create(order)
        claims = (store.claim(worker.id, [order.id], 1, {order.id: order}) for worker in (first, second))
        claimed = [each for answer in await asyncio.gather(*claims) for each in answer]
        assert [each.order.claim for each in claimed] == [1]
        for worker in (first, second):
            assert await store.claim(worker.id, [order.id], 1, {order.id: order}) == []
            await drop(worker)
        gone: set[str] = set()

        async def both_are_gone() -> bool:
            # Postgres may learn of the end of one before that of the other.
            gone.update(await store.remove_dead_workers())
            return gone == {"first", "second"}

        await until(both_are_gone)
        third = await store.begin("third", 20)
        (again,) = await store.claim(third.id, [order.id], 1, {order.id: order})
        assert again.order.claim == 2
        assert await store.advance(step(claimed[0], 1, *ROUTED)) is None, "its claim is stale"
        await third.end()


async def test_what_has_changed_since_it_was_stored_is_read(stores: Open) -> None:
    """An order that another worker has had, and one that was cancelled."""
    async with stores() as store:
        other, worker = await store.begin("other", 20), await store.begin("w", 20)
        begun, cancelled, new, unknown = (new_order() for _ in range(4))
        orders = [begun, cancelled, new, unknown]
        for order in orders:
            await store.create(order)
        (claimed,) = await store.claim(other.id, [begun.id])
        await store.advance(step(claimed, 1, *ROUTED))
        await store.release(Release(begun.id, 1, blame=False, resume_in_ms=0))
        await store.cancel(cancelled.id)
        known = {order.id: order for order in (begun, cancelled, new)}
        claimed_by_id = {
            each.order.id: each.order for each in await store.claim(worker.id, [order.id for order in orders], 1, known)
        }
        assert {order_id: (order.claim, order.version) for order_id, order in claimed_by_id.items()} == {
            begun.id: (2, 3),
            new.id: (1, 1),
            unknown.id: (1, 1),
        }
        for session in (other, worker):
            await session.end()


async def test_a_worker_without_registration_or_valid_lease_gets_no_known_order(stores: Open) -> None:
    async with stores() as store:
        over, gone, good = await store.begin("over", -1), await store.begin("gone", 20), await store.begin("good", 20)
        await gone.end()
        order = new_order()
        await store.create(order)
        for worker in (over.id, gone.id, good.id + 100):
            assert await store.claim(worker, [order.id], 1, {order.id: order}) == []
        assert len(await store.claim(good.id, [order.id], 1, {order.id: order})) == 1
        for session in (over, good):
            await session.end()


async def test_the_commit_of_a_new_order_is_reported_once_and_of_no_other(stores: Open) -> None:
    committed: list[str] = []
    async with stores() as store:
        first = await store.create(new_order(key="k", body_hash=b"1"), committed=lambda: committed.append("first"))
        again = await store.create(new_order(key="k", body_hash=b"1"), committed=lambda: committed.append("again"))
        assert again.order_id == first.order_id
        late = new_order()
        late = replace(late, passed=("deadline",))
        with pytest.raises(Exception, match="deadline"):
            await store.create(late, committed=lambda: committed.append("late"))
        await store.create(new_order(), committed=lambda: committed.append("second"))
    assert committed == ["first", "second"]
