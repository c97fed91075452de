"""Confirmed orders until they are final: real Postgres and Valkey, real transactions on a localnet, and no sweeper."""

from dexexec.domain.status import Status
from dexexec.failpoints import Failpoint
from dexexec.localnet.blocks import Consensus
from tests.support.localnet.settlement_setup import FINAL
from tests.support.localnet.worker_setup import OpenWorkers
from tests.support.orders_on_servers import statuses_of
from tests.support.waiting import until

ORDERS = 6
LIFE = ["pending", "routing", "building", "submitted", "confirmed", "confirmed"]


async def test_promise_2_confirmed_orders_of_a_dead_worker_end_once_by_those_that_are_left(
    open_workers: OpenWorkers,
) -> None:
    """One worker dies while it holds a page of them. The others take the page up without the sweeper and without the
    queue, and nothing is sent again."""
    async with open_workers(consensus=Consensus.TOWER) as b:
        orders = [await b.post() for _ in range(ORDERS)]
        b.at.failpoints.stall = Failpoint.WATCHED
        async with b.working():
            for order_id in orders:
                await b.reached(order_id, Status.CONFIRMED)
            await b.at.failpoints.stalled.wait()
        await b.at.advance(FINAL)
        assert await b.queue.depth() == 0
        sent = len(b.at.request_log.sends)
        async with b.working(), b.working():
            for order_id in orders:
                assert statuses_of(await b.ended(order_id)) == LIFE
        assert await b.queue.depth() == 0
        assert len(b.at.request_log.sends) == sent
        views = [await b.view(order_id) for order_id in orders]
        assert [one["outcome"] for view in views for one in view["attempts"]] == ["landed"] * ORDERS
        assert {view["txHash"] for view in views} == set(await b.at.swaps())


async def test_many_confirmed_orders_are_one_request_to_a_node(open_workers: OpenWorkers) -> None:
    async with open_workers(consensus=Consensus.TOWER) as b:
        orders = [await b.post() for _ in range(ORDERS)]
        async with b.working():
            for order_id in orders:
                await b.reached(order_id, Status.CONFIRMED)
        await b.at.advance(FINAL)
        async with b.store._database.connection() as connection:
            await connection.execute("UPDATE orders SET due_at = clock_timestamp()")  # also those of the last look
        b.at.request_log.requests.clear()
        async with b.working():
            for order_id in orders:
                await b.ended(order_id)
        first = b.at.request_log.of("getSignatureStatuses")[0]
        assert len(first.params[0]) == ORDERS


async def test_a_worker_keeps_what_it_has_confirmed_until_it_is_final(open_workers: OpenWorkers) -> None:
    """Under the claim of its execution, without another one, and without being taken for a stray."""
    async with open_workers(consensus=Consensus.TOWER) as b:
        orders = [await b.post() for _ in range(ORDERS)]
        async with b.working(heartbeat_seconds=0.02):
            for order_id in orders:
                await b.reached(order_id, Status.CONFIRMED)
            looks = len(b.at.request_log.of("getSignatureStatuses"))
            await until(lambda: len(b.at.request_log.of("getSignatureStatuses")) > looks + 10)
            async with b.store._database.connection() as connection:
                rows = await connection.execute("SELECT claim, worker IS NOT NULL FROM orders")
                assert await rows.fetchall() == [(1, True)] * ORDERS
            await b.at.advance(FINAL)
            for order_id in orders:
                assert statuses_of(await b.ended(order_id)) == LIFE
            async with b.store._database.connection() as connection:
                rows = await connection.execute("SELECT DISTINCT claim FROM orders")
                assert await rows.fetchall() == [(1,)]
