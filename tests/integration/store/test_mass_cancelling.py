"""Cancelling many orders together on real Postgres: all of them, none else, and an answer that is true after an
outage."""

import asyncio
from collections.abc import Sequence

import psycopg
import pytest
from psycopg import sql

from dexexec.domain.cancellation import CancelledAll, Pair, Selection
from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import PartlyCancelledError
from dexexec.store import Address
from dexexec.store.mass_cancellations import PAGE
from tests.support.parts import open_store
from tests.support.prepared_orders import ROUTED, attempt, claimed_by, one_order, step
from tests.support.resting_rows import rest
from tests.support.waiting import until

MANY = 2 * PAGE + 17
OTHER = "9" * 43


async def test_all_resting_orders_are_cancelled_over_several_pages_each_with_one_last_event(
    database_address: Address,
) -> None:
    pages: list[Sequence[Event]] = []
    async with open_store(database_address, pages.append) as store:
        rest(database_address.conninfo(), MANY)
        executed_at_once = await one_order(store)
        pages.clear()
        assert await store.cancel_all(Selection()) == CancelledAll(cancelled=MANY, too_late=0)
        assert max(map(len, pages)) == PAGE
        events = [event for page in pages for event in page]
        assert {(event.seq, event.status, event.final) for event in events} == {(3, Status.CANCELLED, True)}
        assert len({event.order_id for event in events}) == MANY
        assert await store.versions([executed_at_once]) == {executed_at_once: 1}, "it does not rest"
        assert await store.cancel_all(Selection()) == CancelledAll(cancelled=0, too_late=0), "repeating is harmless"
    with psycopg.connect(database_address.conninfo()) as connection:
        query = "SELECT count(*) FROM orders o JOIN order_events e ON e.order_id = o.id AND e.seq = o.version"
        query += " WHERE o.ended = 'cancelled' AND NOT o.resting AND e.status = 'cancelled'"
        assert connection.execute(query).fetchone() == (MANY,)


async def test_a_pair_and_a_tag_narrow_the_selection(database_address: Address) -> None:
    async with open_store(database_address) as store:
        conninfo = database_address.conninfo()
        rest(conninfo, 3)
        rest(conninfo, 4, pair=(USDC, OTHER))
        rest(conninfo, 5, tag="grid")
        rest(conninfo, 6, pair=(USDC, OTHER), tag="grid")
        both = Selection(pair=Pair(USDC, OTHER), tag="grid")
        assert await store.cancel_all(both) == CancelledAll(cancelled=6, too_late=0)
        assert await store.cancel_all(Selection(tag="grid")) == CancelledAll(cancelled=5, too_late=0)
        assert await store.cancel_all(Selection(pair=Pair(OTHER, USDC))) == CancelledAll(cancelled=0, too_late=0)
        assert await store.cancel_all(Selection(pair=Pair(WSOL, USDC))) == CancelledAll(cancelled=3, too_late=0)
        assert await store.cancel_all(Selection()) == CancelledAll(cancelled=4, too_late=0)


async def test_open_orders_are_cancelled_too_and_what_is_signed_is_left_alone_and_counted(
    database_address: Address,
) -> None:
    async with open_store(database_address) as store:
        rest(database_address.conninfo(), 2)
        worker = await store.begin("w", 20)
        pending, held, signed = [await one_order(store) for _ in range(3)]
        claimed = await claimed_by(store, worker, held)
        sent = await claimed_by(store, worker, signed)
        new = attempt(1, "signature of the sent order")
        assert await store.advance(step(sent, 1, *ROUTED, (Status.SUBMITTED, {}), venue="here", attempt=new))
        assert await store.cancel_all(Selection(all_open=True)) == CancelledAll(cancelled=4, too_late=1)
        assert await store.advance(step(claimed, 1, *ROUTED)) is None, "its worker writes nothing more"
        assert (await store.held(worker.id)).keys() == {signed}
        found = await store.order(pending)
        assert found is not None
        assert found["status"] == "cancelled"
        await worker.end()


async def test_an_order_that_is_locked_at_that_moment_is_waited_for_and_cancelled_last(
    database_address: Address,
) -> None:
    announced: list[Event] = []
    async with open_store(database_address, announced.extend) as store:
        rest(database_address.conninfo(), 5)
        async with await psycopg.AsyncConnection.connect(database_address.conninfo()) as other:
            cursor = await other.execute("SELECT id FROM orders ORDER BY created_at DESC LIMIT 2 FOR UPDATE")
            locked = {row[0] for row in await cursor.fetchall()}
            cancelling = asyncio.create_task(store.cancel_all(Selection()))
            await until(lambda: len(announced) == 3)
            assert not locked & {event.order_id for event in announced}
            await other.rollback()
        assert await cancelling == CancelledAll(cancelled=5, too_late=0)


async def test_an_order_that_comes_back_to_rest_behind_the_walk_is_not_missed(database_address: Address) -> None:
    conninfo = database_address.conninfo()
    moved: list[object] = []

    def rest_again(events: Sequence[Event]) -> None:
        """After the first page, the triggered order rests again; it is the newest of all."""
        if events and not moved:
            with psycopg.connect(conninfo, autocommit=True) as connection:
                statement = (
                    "UPDATE orders SET resting = true, status = 'waiting' WHERE status = 'submitted' RETURNING id"
                )
                moved.append(connection.execute(statement).fetchone())

    async with open_store(database_address, rest_again) as store:
        rest(conninfo, PAGE + 1)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(
                "UPDATE orders SET resting = false, status = 'submitted' WHERE id = (SELECT id FROM orders"
                " ORDER BY created_at DESC LIMIT 1)"
            )
        assert await store.cancel_all(Selection()) == CancelledAll(cancelled=PAGE + 1, too_late=0)
        assert moved != [None]


async def test_orders_that_are_posted_meanwhile_are_not_meant(database_address: Address) -> None:
    conninfo = database_address.conninfo()
    posted: list[int] = []

    def post(events: Sequence[Event]) -> None:
        if events and len(posted) < 10:
            rest(conninfo, PAGE)
            posted.append(PAGE)

    async with open_store(database_address, post) as store:
        rest(conninfo, PAGE)
        assert await store.cancel_all(Selection()) == CancelledAll(cancelled=PAGE, too_late=0)


async def test_an_outage_in_the_middle_reports_what_is_done_and_repeating_cancels_the_rest(
    database_address: Address,
) -> None:
    conninfo = database_address.conninfo()
    name = sql.Identifier(database_address.database)
    admin = psycopg.connect(conninfo, dbname="postgres", autocommit=True)
    pages: list[int] = []

    def go_away(events: Sequence[Event]) -> None:
        """After the first page: no session lives, and none can be opened."""
        pages.append(len(events))
        if len(pages) == 1:
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (database_address.database,),
            )

    with admin:
        async with open_store(database_address, go_away, 2.0) as store:
            rest(conninfo, MANY)
            try:
                with pytest.raises(PartlyCancelledError) as caught:
                    await store.cancel_all(Selection())
            finally:
                admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
            assert (pages, caught.value.about) == ([PAGE], {"cancelled": PAGE})
            assert await store.cancel_all(Selection()) == CancelledAll(cancelled=MANY - PAGE, too_late=0)


async def test_promise_3_nothing_is_cancelled_in_a_record_that_is_not_compared_with_the_chain(
    database_address: Address,
) -> None:
    async with open_store(database_address) as store:
        rest(database_address.conninfo(), 3)
        async with store._database.connection() as connection:
            await connection.execute("UPDATE installation SET identity = '1/00000001'")
        with pytest.raises(PartlyCancelledError, match="not compared") as caught:
            await store.cancel_all(Selection())
        assert caught.value.about == {"cancelled": 0}
