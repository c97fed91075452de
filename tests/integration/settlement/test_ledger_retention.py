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
from tests.support.aged_orders import Ground, open_retention
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


class Settled(Ground):
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
async def open_ground(address: Address) -> AsyncIterator[Settled]:
    async with open_store(address) as store:
        yield Settled(address, store)


def tried(ground: Ground) -> set[str]:
    """The signatures of all orders that are kept."""
    archived = "SELECT t ->> 'signature' FROM archived_orders, json_array_elements(tries) t"
    return {signature for (signature,) in ground.sql(f"SELECT signature FROM attempts UNION {archived}")}  # noqa: S608


async def test_a_swap_goes_with_its_order_and_those_of_orders_that_are_kept_stay(database_address: Address) -> None:
    async with open_ground(database_address) as ground, open_retention(database_address, days=30) as retention:
        gone = {await ground.swapped(40), await ground.swapped(32)}
        gone.update(ground.sent(await ground.confirmed(40), lost=True))
        kept = {await ground.swapped(29), await ground.swapped(0)}
        assert ground.known() == gone | kept
        await retention.round()
        assert ground.known() == kept == tried(ground)


async def test_all_swaps_of_an_order_that_has_not_ended_stay_however_old_they_are(database_address: Address) -> None:
    """A worker that takes it up looks up every one of them, also those that were given up."""
    async with open_ground(database_address) as ground, open_retention(database_address, days=30) as retention:
        again, aside, unfinal = [await ground.submitted() for _ in range(3)]
        signatures = ground.sent(again.order.id) + ground.sent(aside.order.id) + ground.sent(unfinal.order.id)
        await ground.write(again, 4, (Status.ROUTING, {}), resolution=Resolution(1, Outcome.EXPIRED, {}))
        ground.sql("UPDATE orders SET set_aside_at = clock_timestamp() WHERE id = %s", aside.order.id)
        await ground.confirm(unfinal, final=False)
        neighbour = await ground.confirmed()
        [gone] = ground.sent(neighbour)
        ground.age(90, *(one.order.id for one in (again, aside, unfinal)), neighbour)
        ground.sql("UPDATE simulated_swaps SET valid_until_ms = valid_until_ms - 90 * 86400000::bigint")
        await retention.round()
        assert ground.known() == set(signatures) == tried(ground)
        assert gone not in signatures

        await ground.write(again, 5, *ROUTED[1:], (Status.FAILED, {"reason": "x"}), final=True, reason="x")
        ground.sql("UPDATE orders SET finished_at = created_at WHERE id = %s", again.order.id)
        await retention.round()
        assert ground.known() == set(signatures[1:])


async def test_the_swaps_of_what_ended_late_stay_as_long_as_it_does(database_address: Address) -> None:
    async with open_ground(database_address) as ground, open_retention(database_address, days=30) as retention:
        late = await ground.submitted()
        ground.age(40, late.order.id)
        [signature] = ground.sent(late.order.id)
        await ground.confirm(late)
        await retention.round()
        assert (ground.count("orders"), ground.count("archived_orders")) == (0, 1)
        assert ground.known() == {signature}
        ground.sql("UPDATE archived_orders SET finished_at = created_at")
        await retention.round()
        assert (ground.count("archived_orders"), ground.known()) == (0, set())


async def test_what_is_forgotten_never_lands_anew_and_what_still_could_is_not_forgotten(
    database_address: Address,
) -> None:
    async with (
        open_ground(database_address) as ground,
        open_retention(database_address) as retention,
        open_database(database_address) as database,
    ):
        ledger = PostgresLedger(database)
        gone, stays = await ground.swapped(50), await ground.swapped(50)
        just_now = "(SELECT extract(epoch FROM clock_timestamp()) * 1000)"
        ground.sql(f"UPDATE simulated_swaps SET valid_until_ms = {just_now} WHERE signature = %s", stays)  # noqa: S608
        async with running(ledger.run()):
            before = [one for one in await ledger.find([gone, stays]) if one is not None]
            await retention.round()
            assert ground.count("archived_orders") == 0
            assert await ledger.find([gone, stays]) == [None, before[1]]
            assert await ledger.record(before) == [Receipt.LATE, Receipt.KNOWN], "by a worker that was frozen meanwhile"
            assert await ledger.find([gone]) == [None]


async def test_the_swaps_of_many_orders_go_in_batches(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dexexec.store.archive.CLEARED", 7)
    async with open_ground(database_address) as ground, open_retention(database_address, days=5) as retention:
        fill(database_address.conninfo(), 200, 10)
        assert ground.count("simulated_swaps") == 200
        await retention.round()
        assert ground.known() == tried(ground)
        assert 98 <= len(ground.known()) <= 119, "one in 1.2 h, from 2 h ago until five days ago, and up to a day more"


async def test_a_session_that_dies_among_them_leaves_the_rest_to_the_next_round(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dexexec.store.archive.CLEARED", 1)
    async with (
        open_ground(database_address) as ground,
        open_retention(database_address) as retention,
        open_database(database_address) as database,
    ):
        ids = sorted([await ground.confirmed(50, key="a"), await ground.confirmed(50, key="b")])
        _, [last] = [ground.sent(order_id) for order_id in ids]
        with psycopg.connect(database_address.conninfo()) as other:
            other.execute("SELECT FROM simulated_swaps WHERE signature = %s FOR UPDATE", (last,))
            round_ = asyncio.create_task(retention.round())
            ((pid,),) = await until(lambda: ground.sql(BLOCKED))
            assert ground.known() == {last}
            ground.sql("SELECT pg_terminate_backend(%s)", pid)
            with pytest.raises(UnavailableError):
                await round_
        assert ground.known() == {last}
        async with ArchiveSession.begin(database, 30) as session:
            assert session is not None
            assert len(await session.clear()) == 1
        assert (ground.known(), ground.count("idempotency_keys")) == (set(), 0)
