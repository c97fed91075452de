"""The simulated chain's ledger is cut with the record: a swap goes with its order, and no other does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
import pytest

from dexexec.domain.outcome import Outcome
from dexexec.domain.status import Status
from dexexec.errors import UnavailableError
from dexexec.settlement.simulated.ledger import Receipt
from dexexec.settlement.simulated.postgres_ledger import PostgresLedger
from dexexec.store import Address, ArchiveSession, Resolution
from tests.support.aged_orders import ArchiveSetup, open_retention
from tests.support.long_history import fill
from tests.support.parts import open_database, open_store, running
from tests.support.prepared_orders import ROUTED
from tests.support.waiting import until

ON_CHAIN = """
INSERT INTO simulated_swaps
SELECT signature, a.payload, 1, at, last_valid_height, at + 60000, %s
FROM attempts a JOIN orders o ON o.id = order_id,
     LATERAL (SELECT (extract(epoch FROM o.created_at) * 1000)::bigint AS at) times
WHERE o.id = %s
"""
BLOCKED = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class Settled(ArchiveSetup):
    """A store whose orders settle on the simulated chain."""

    async def swapped(self, days: float) -> str:
        """The signature of an order that ended well, so many days ago."""
        [signature] = self.sent(await self.confirmed(days))
        return signature

    def sent(self, order_id: UUID, *, lost: bool = False) -> list[str]:
        """Its attempts are known to the chain since it was created; their signatures."""
        self.sql(ON_CHAIN, lost, order_id)
        found = self.sql("SELECT signature FROM attempts WHERE order_id = %s ORDER BY n", order_id)
        return [signature for (signature,) in found]

    def known(self) -> set[str]:
        """The signatures that the chain has."""
        return {signature for (signature,) in self.sql("SELECT signature FROM simulated_swaps")}


@asynccontextmanager
async def open_archive_setup(address: Address) -> AsyncIterator[Settled]:
    async with open_store(address) as store:
        yield Settled(address, store)


def tried(setup: ArchiveSetup) -> set[str]:
    """The signatures of all orders that are kept."""
    archived = "SELECT t ->> 'signature' FROM archived_orders, json_array_elements(tries) t"
    return {signature for (signature,) in setup.sql(f"SELECT signature FROM attempts UNION {archived}")}  # noqa: S608


async def test_a_swap_goes_with_its_order_and_those_of_orders_that_are_kept_stay(database_address: Address) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address, days=30) as retention:
        gone = {await setup.swapped(40), await setup.swapped(32)}
        gone.update(setup.sent(await setup.confirmed(40), lost=True))
        kept = {await setup.swapped(29), await setup.swapped(0)}
        assert setup.known() == gone | kept
        await retention.round()
        assert setup.known() == kept == tried(setup)


async def test_all_swaps_of_an_order_that_has_not_ended_stay_however_old_they_are(database_address: Address) -> None:
    """A worker that takes it up looks up every one of them, also those that were given up."""
    async with open_archive_setup(database_address) as setup, open_retention(database_address, days=30) as retention:
        again, aside, unfinal = [await setup.submitted() for _ in range(3)]
        signatures = setup.sent(again.order.id) + setup.sent(aside.order.id) + setup.sent(unfinal.order.id)
        await setup.write(again, 4, (Status.ROUTING, {}), resolution=Resolution(1, Outcome.EXPIRED, {}))
        setup.sql("UPDATE orders SET set_aside_at = clock_timestamp() WHERE id = %s", aside.order.id)
        await setup.confirm(unfinal, final=False)
        neighbour = await setup.confirmed()
        [gone] = setup.sent(neighbour)
        setup.age(90, *(one.order.id for one in (again, aside, unfinal)), neighbour)
        setup.sql("UPDATE simulated_swaps SET valid_until_ms = valid_until_ms - 90 * 86400000::bigint")
        await retention.round()
        assert setup.known() == set(signatures) == tried(setup)
        assert gone not in signatures

        await setup.write(again, 5, *ROUTED[1:], (Status.FAILED, {"reason": "x"}), final=True, reason="x")
        setup.sql("UPDATE orders SET finished_at = created_at WHERE id = %s", again.order.id)
        await retention.round()
        assert setup.known() == set(signatures[1:])


async def test_the_swaps_of_what_ended_late_stay_as_long_as_it_does(database_address: Address) -> None:
    async with open_archive_setup(database_address) as setup, open_retention(database_address, days=30) as retention:
        late = await setup.submitted()
        setup.age(40, late.order.id)
        [signature] = setup.sent(late.order.id)
        await setup.confirm(late)
        await retention.round()
        assert (setup.count("orders"), setup.count("archived_orders")) == (0, 1)
        assert setup.known() == {signature}
        setup.sql("UPDATE archived_orders SET finished_at = created_at")
        await retention.round()
        assert (setup.count("archived_orders"), setup.known()) == (0, set())


async def test_what_is_forgotten_never_lands_anew_and_what_still_could_is_not_forgotten(
    database_address: Address,
) -> None:
    async with (
        open_archive_setup(database_address) as setup,
        open_retention(database_address) as retention,
        open_database(database_address) as database,
    ):
        ledger = PostgresLedger(database)
        gone, stays = await setup.swapped(50), await setup.swapped(50)
        just_now = "(SELECT extract(epoch FROM clock_timestamp()) * 1000)"
        setup.sql(f"UPDATE simulated_swaps SET valid_until_ms = {just_now} WHERE signature = %s", stays)  # noqa: S608
        async with running(ledger.run()):
            before = [one for one in await ledger.find([gone, stays]) if one is not None]
            await retention.round()
            assert setup.count("archived_orders") == 0
            assert await ledger.find([gone, stays]) == [None, before[1]]
            assert await ledger.record(before) == [Receipt.LATE, Receipt.KNOWN], "by a worker that was frozen meanwhile"
            assert await ledger.find([gone]) == [None]


async def test_the_swaps_of_many_orders_go_in_batches(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dexexec.store.archive.CLEARED", 7)
    async with open_archive_setup(database_address) as setup, open_retention(database_address, days=5) as retention:
        fill(database_address.conninfo(), 200, 10)
        assert setup.count("simulated_swaps") == 200
        await retention.round()
        assert setup.known() == tried(setup)
        assert 98 <= len(setup.known()) <= 119, "one in 1.2 h, from 2 h ago until five days ago, and up to a day more"


async def test_a_session_that_dies_among_them_leaves_the_rest_to_the_next_round(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dexexec.store.archive.CLEARED", 1)
    async with (
        open_archive_setup(database_address) as setup,
        open_retention(database_address) as retention,
        open_database(database_address) as database,
    ):
        ids = sorted([await setup.confirmed(50, key="a"), await setup.confirmed(50, key="b")])
        _, [last] = [setup.sent(order_id) for order_id in ids]
        with psycopg.connect(database_address.conninfo()) as other:
            other.execute("SELECT FROM simulated_swaps WHERE signature = %s FOR UPDATE", (last,))
            round_ = asyncio.create_task(retention.round())
            ((pid,),) = await until(lambda: setup.sql(BLOCKED))
            assert setup.known() == {last}
            setup.sql("SELECT pg_terminate_backend(%s)", pid)
            with pytest.raises(UnavailableError):
                await round_
        assert setup.known() == {last}
        async with ArchiveSession.begin(database, 30) as session:
            assert session is not None
            assert len(await session.clear()) == 1
        assert (setup.known(), setup.count("idempotency_keys")) == (set(), 0)
