"""Claims whose commits do not wait for the disk: what is lost with a crash of Postgres, and what that cannot do."""

import asyncio

import pytest

from dexexec.clock import SystemClock
from dexexec.store import Address, Claimed, Store
from tests.support.parts import new_order, open_database, running
from tests.support.prepared_orders import ROUTED, step

LOSE_CLAIM = "UPDATE orders SET claim = 0, claims = 0, worker = NULL WHERE id = %s"
"""What a crash of Postgres does to a claim that was committed a moment before: it never was."""


@pytest.mark.parametrize("known", [True, False])
async def test_only_the_commit_of_the_claim_itself_does_not_wait_for_the_disk(
    database_address: Address, known: bool
) -> None:
    async with open_database(database_address) as database:
        store = Store(database, lambda _: None, SystemClock())
        async with running(store.run()):
            worker, order = await store.begin("w", 20), new_order()
            await store.create(order)
            orders = {order.id: order} if known else {}
            assert len(await store.claim(worker.id, [order.id], 1, orders)) == 1
            async with database.connection() as connection:
                cursor = await connection.execute("SHOW synchronous_commit")
                assert await cursor.fetchone() == ("on",)
            await worker.end()


async def test_of_two_workers_with_the_same_claim_one_writes(database_address: Address) -> None:
    """The first claim is lost with the crash, and the next one gets its number."""
    async with open_database(database_address) as database:
        store = Store(database, lambda _: None, SystemClock())
        async with running(store.run()):
            workers = [await store.begin("before the crash", 20), await store.begin("after it", 20)]
            for _ in range(4):
                order = new_order()
                await store.create(order)
                holders: list[Claimed] = []
                for worker in workers:
                    async with database.connection() as connection:
                        await connection.execute(LOSE_CLAIM, (order.id,))
                    holders += await store.claim(worker.id, [order.id], 1, {order.id: order})
                assert [each.order.claim for each in holders] == [1, 1]
                answers = await asyncio.gather(*(store.advance(step(each, 1, *ROUTED)) for each in holders))
                assert sum(answer is not None for answer in answers) == 1
                assert await store.versions([order.id]) == {order.id: 3}
            for worker in workers:
                await worker.end()
