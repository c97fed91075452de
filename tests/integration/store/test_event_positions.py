"""The stream of all events on a real Postgres: transactions that overlap, archives, restored and lost records."""

import asyncio
import random
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from dexexec.backup.record_copy import back_up, restore
from dexexec.store import Address, Database, EventPage, EventReader, PositionUnknownError, migrate
from dexexec.store.event_positions import RAISE_BASE
from tests.support.aged_orders import ArchiveSetup, open_retention
from tests.support.parts import new_order, open_database, open_store

STEP = "UPDATE orders SET version = version + 1 WHERE id = %s RETURNING version"
WRITE = """
INSERT INTO order_events (order_id, seq, status, detail, position)
VALUES (%(id)s, %(seq)s, 'routing', '{}', event_position(%(id)s, %(seq)s)) RETURNING position
"""
WRITE_BY_DEFAULT = """
INSERT INTO order_events (order_id, seq, status, detail) VALUES (%(id)s, %(seq)s, 'routing', '{}') RETURNING position
"""
Seen = list[tuple[UUID, int]]


async def connected(address: Address) -> psycopg.AsyncConnection[Any]:
    """A session whose transactions the test ends."""
    return await psycopg.AsyncConnection.connect(address.conninfo())


async def write(session: psycopg.AsyncConnection[Any], order_id: UUID, statement: str = WRITE) -> tuple[int, int]:
    """The next event of an order, in the session's transaction: its seq and its position."""
    row = await (await session.execute(STEP, (order_id,))).fetchone()
    assert row is not None
    placed = await (await session.execute(statement.encode(), {"id": order_id, "seq": row[0]})).fetchone()
    assert placed is not None
    return int(row[0]), int(placed[0])


async def settled(reader: EventReader, after: str, limit: int = 1_000) -> EventPage:
    """A page when nothing waits: another test may have a transaction open in the same Postgres."""
    while (page := await reader.read(after, limit)).waiting_seconds is not None:
        await asyncio.sleep(0.01)
    return page


async def last(reader: EventReader) -> str:
    """The position behind all events."""
    await settled(reader, "start", 1)
    return await reader.last_position()


def seen(page: EventPage) -> Seen:
    """The events of a page."""
    return [(one.event.order_id, one.event.seq) for one in page.events]


async def orders(address: Address, count: int) -> list[UUID]:
    """New orders, in the order of their ids."""
    async with open_store(address) as store:
        return sorted([(await store.create(new_order())).order_id for _ in range(count)])


# Transactions that overlap


async def test_promise_32_no_event_is_lost_or_repeated_while_transactions_commit_in_any_order(
    database_address: Address,
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    ids = await orders(database_address, 6)
    written: dict[UUID, int] = defaultdict(lambda: 1)

    async def write_some() -> None:
        session = await connected(database_address)
        async with session:
            for _ in range(20):
                # Sorted, so that no two wait for each other.
                chosen = sorted(chance.sample(ids, chance.randint(1, 3)))
                made = dict[UUID, int]()
                for order_id in chosen:
                    made[order_id] = (await write(session, order_id))[0]
                    await asyncio.sleep(chance.random() / 200)
                if chance.random() < 0.2:
                    await session.rollback()
                else:
                    await session.commit()
                    written.update({order_id: max(seq, written[order_id]) for order_id, seq in made.items()})

    heard = Seen()
    async with open_database(database_address) as database:
        writers = asyncio.gather(*(write_some() for _ in range(4)))
        position = "start"
        while True:
            done = writers.done()
            page = await EventReader(database).read(position, chance.randint(1, 7))
            # As a client that was cut off after any of them.
            cut = chance.randint(0, len(page.events))
            heard += seen(page)[:cut] if cut else []
            position = page.events[cut - 1].position if cut else position
            if done and not page.events and page.waiting_seconds is None:
                break
        await writers
    assert len(set(heard)) == len(heard), f"seed {seed}"
    assert {order_id: [seq for one, seq in heard if one == order_id] for order_id in ids} == {
        order_id: list(range(1, written[order_id] + 1)) for order_id in ids
    }, f"seed {seed}"


async def test_an_event_waits_for_an_older_transaction_and_comes_behind_its_event(database_address: Address) -> None:
    early, late = await orders(database_address, 2)
    async with (
        open_database(database_address) as database,
        await connected(database_address) as first,
        await connected(database_address) as second,
    ):
        reader = EventReader(database)
        begin = await last(reader)
        await write(first, early)
        await write(second, late)
        await second.commit()
        page = await reader.read(begin, 10)
        assert (page.events, page.position) == ((), begin)
        assert page.waiting_seconds is not None
        assert await reader.last_position() == begin, "a new reader begins before what is not readable yet"
        await first.commit()
        assert seen(await settled(reader, begin)) == [(early, 2), (late, 2)]


async def test_an_event_whose_transaction_is_older_than_its_orders_last_event_comes_behind_that(
    database_address: Address,
) -> None:
    a, b = await orders(database_address, 2)
    async with (
        open_database(database_address) as database,
        await connected(database_address) as older,
        await connected(database_address) as younger,
    ):
        reader = EventReader(database)
        begin = await last(reader)
        await write(older, a)
        _, before = await write(younger, b)
        await younger.commit()
        seq, behind = await write(older, b)
        await older.rollback()
        assert (seq, behind >= before) == (3, True)
        await write(older, a)
        _, before = await write(younger, b)
        await younger.commit()
        seq, wrong = await write(older, b, WRITE_BY_DEFAULT)
        assert (seq, wrong < before) == (4, True), "without the function it would come first"
        await older.rollback()
        await write(older, a)
        await write(younger, b)
        await younger.commit()
        await write(older, b)
        await older.commit()
        heard, position = Seen(), begin
        while (page := await settled(reader, position, 1)).events:
            heard += seen(page)
            position = page.position
        assert sorted(heard) == sorted([(a, 2), (b, 2), (b, 3), (b, 4), (b, 5)])
        assert [seq for order_id, seq in heard if order_id == b] == [2, 3, 4, 5]


# The archive


async def test_a_position_before_archived_events_is_refused_and_one_behind_them_goes_on(
    database_address: Address,
) -> None:
    async with open_store(database_address) as store, open_database(database_address) as database:
        setup, reader = ArchiveSetup(database_address, store), EventReader(database)
        empty = await last(reader)
        await setup.confirmed(3)
        middle = (await settled(reader, "start", 2)).position
        end = await last(reader)
        fresh = (await store.create(new_order())).order_id
        async with open_retention(database_address) as archiver:
            await archiver.round()
        assert seen(await settled(reader, end)) == [(fresh, 1)], "it has seen all that was archived"
        assert seen(await settled(reader, "start")) == [(fresh, 1)]
        for missing in (empty, middle):
            with pytest.raises(PositionUnknownError):
                await reader.read(missing, 10)


async def test_a_reader_at_the_end_of_a_record_that_is_archived_whole_keeps_its_position(
    database_address: Address,
) -> None:
    async with open_store(database_address) as store, open_database(database_address) as database:
        setup, reader = ArchiveSetup(database_address, store), EventReader(database)
        await setup.confirmed(3)
        end = await last(reader)
        async with open_retention(database_address, rest=timedelta(0)) as archiver:
            await archiver.round()
        assert setup.count("order_events") == 0
        assert await last(reader) == end
        assert (await settled(reader, end)).events == ()
        fresh = (await store.create(new_order())).order_id
        assert seen(await settled(reader, end)) == [(fresh, 1)]


# Other records


async def test_a_restored_backup_goes_on_at_positions_that_it_has_and_refuses_those_that_it_lost(
    database_address: Address, tmp_path: Path
) -> None:
    [kept] = await orders(database_address, 1)
    path = tmp_path / "record.backup"
    async with open_database(database_address) as database:
        reader = EventReader(database)
        known = await last(reader)
        await back_up(database, path, lambda _: None)
        await orders(database_address, 1)
        lost = await last(reader)
        assert lost != known
    elsewhere = replace(database_address, schema="restored")
    target = Database(elsewhere)
    await target.open()
    try:
        await restore(target, path, lambda _: None)
        reader = EventReader(target)
        assert seen(await settled(reader, "start")) == [(kept, 1)]
        [new] = await orders(elsewhere, 1)
        assert seen(await settled(reader, known)) == [(new, 1)]
        with pytest.raises(PositionUnknownError):
            await reader.read(lost, 10)
    finally:
        await target.close()


async def test_a_dump_whose_positions_are_above_the_numbers_of_this_postgres_goes_on_behind_them(
    database_address: Address,
) -> None:
    [kept] = await orders(database_address, 1)
    with psycopg.connect(database_address.conninfo(), autocommit=True) as connection:
        connection.execute("UPDATE order_events SET position = position + 1000000000000")
    # Each start looks, and `dexexec migrate` too.
    async with open_database(database_address) as database:
        assert await migrate(database) == []
        reader = EventReader(database)
        known = await last(reader)
        assert seen(await settled(reader, "start")) == [(kept, 1)]
        [new] = await orders(database_address, 1)
        assert seen(await settled(reader, known)) == [(new, 1)]
        assert await migrate(database) == []
        [newer] = await orders(database_address, 1)
        assert seen(await settled(reader, known)) == [(new, 1), (newer, 1)]
        with psycopg.connect(database_address.conninfo(), autocommit=True) as connection:
            connection.execute(RAISE_BASE.replace("{}", "'SELECT 0::bigint'").encode())


async def test_a_position_whose_event_was_lost_stays_unknown_although_another_takes_its_place(
    database_address: Address,
) -> None:
    [order_id] = await orders(database_address, 1)
    async with open_database(database_address) as database:
        reader = EventReader(database)
        position = await last(reader)
        with psycopg.connect(database_address.conninfo(), autocommit=True) as connection:
            # A standby without the last commit was promoted, and gave its number to a step of the same order.
            connection.execute("UPDATE order_events SET at = at + interval '1 us' WHERE order_id = %s", (order_id,))
        with pytest.raises(PositionUnknownError):
            await reader.read(position, 10)
