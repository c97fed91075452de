"""The figures that a scrape reads from Postgres."""

from dataclasses import replace

from dexexec.domain.funds import LAMPORTS, Need, Spending
from dexexec.domain.status import Status
from dexexec.store import Address
from dexexec.store.measurements import read_open_orders, read_reserved
from tests.support.parts import new_order, open_database, open_store
from tests.support.prepared_orders import ROUTED, attempt, claimed_by, one_order, step


async def test_open_orders_are_counted_with_the_age_of_the_oldest(database_address: Address) -> None:
    async with open_store(database_address) as store, open_database(database_address) as database:
        empty = await read_open_orders(database)
        assert (empty.counts, empty.oldest_seconds, empty.oldest_waiting_seconds) == ({}, 0.0, 0.0)
        first = await one_order(store)
        await store.create(replace(new_order(), owner=7))
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, first)
        await store.advance(step(claimed, 1, (Status.ROUTING, {})))
        found = await read_open_orders(database)
        assert found.counts == {("pending", "market"): 1, ("routing", "market"): 1}
        assert found.oldest_seconds >= found.oldest_waiting_seconds > 0
        own = await read_open_orders(database, 7)
        assert (own.counts, own.waiting) == ({("pending", "market"): 1}, 1)
        assert (await read_open_orders(database, 8)).counts == {}
        await store.advance(step(claimed, 2, (Status.FAILED, {"reason": "guard"}), final=True, reason="guard"))
        assert (await read_open_orders(database)).counts == {("pending", "market"): 1}
        await worker.end()


async def test_reservations_are_summed_up_by_network_wallet_and_mint(database_address: Address) -> None:
    async with open_store(database_address) as store, open_database(database_address) as database:
        worker = await store.begin("w", 20)
        for number in range(2):
            claimed = await claimed_by(store, worker, await one_order(store))
            spending = Spending("wallet", 10, (Need("mint", 30, 100), Need(LAMPORTS, 5, 10_000)))
            new = replace(attempt(1, f"signature {number}", network="localnet"), spending=spending)
            events = (*ROUTED, (Status.SUBMITTED, {}))
            assert await store.advance(step(claimed, 1, *events, venue="here", rounds=1, attempt=new))
        expected = {("localnet", "wallet", "mint"): 60, ("localnet", "wallet", "lamports"): 10}
        assert await read_reserved(database) == expected
        await worker.end()
