"""What readers of the stream of all events rely on, whether the record is Postgres or the one in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

import pytest

from dexexec.clock import SystemClock
from dexexec.store import Address, EventPage, EventReader, InvalidPositionError, PositionUnknownError, Store
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.events import MemoryEventReader
from tests.support.fakes.store import MemoryStore
from tests.support.parts import new_order, open_database, running

MINE, OTHERS = 1, 2


class Reader(Protocol):
    """The methods of both readers."""

    async def read(self, after: str, limit: int, owner: int | None = None) -> EventPage:
        """Return a page of events."""

    async def last_position(self) -> str:
        """Return the newest position."""


@dataclass(frozen=True)
class SettledReader:
    """Reads when nothing waits: another test may have a transaction open in the same Postgres."""

    reader: Reader

    async def read(self, after: str, limit: int, owner: int | None = None) -> EventPage:
        """Return a page of events, all of which can be read."""
        while (page := await self.reader.read(after, limit, owner)).waiting_seconds is not None:
            await asyncio.sleep(0.01)
        return page

    async def last_position(self) -> str:
        """Return the position behind all events."""
        await self.read("start", 1)
        return await self.reader.last_position()


@dataclass(frozen=True)
class Streamed:
    """A store, and a reader of its events."""

    store: Store
    reader: SettledReader

    async def order(self, owner: int | None = None) -> UUID:
        """A new order of that key."""
        return (await self.store.create(replace(new_order(), owner=owner))).order_id


OpenStreamed = Callable[[], AbstractAsyncContextManager[Streamed]]


@pytest.fixture(params=["memory", "postgres"])
def streams(request: pytest.FixtureRequest) -> OpenStreamed:
    """Opens a record with a reader."""

    @asynccontextmanager
    async def open_memory() -> AsyncIterator[Streamed]:
        memory = MemoryDatabase()
        yield Streamed(MemoryStore(memory).port, SettledReader(MemoryEventReader(memory)))

    if request.param == "memory":
        return open_memory
    address: Address = request.getfixturevalue("database_address")

    @asynccontextmanager
    async def open_postgres() -> AsyncIterator[Streamed]:
        async with open_database(address) as database:
            store = Store(database, lambda _: None, SystemClock())
            async with running(store.run()):
                yield Streamed(store, SettledReader(EventReader(database)))

    return open_postgres


def shown(page: EventPage) -> list[tuple[UUID, int]]:
    """The events of a page."""
    return [(one.event.order_id, one.event.seq) for one in page.events]


async def test_a_reader_that_goes_on_at_any_position_gets_each_event_once_and_in_the_order_of_seq(
    streams: OpenStreamed,
) -> None:
    async with streams() as record:
        begin = await record.reader.last_position()
        ids = [await record.order() for _ in range(3)]
        for order_id in ids[:2]:
            await record.store.cancel(order_id)
        whole = await record.reader.read(begin, 100)
        assert shown(whole) == [(ids[0], 1), (ids[1], 1), (ids[2], 1), (ids[0], 2), (ids[1], 2)]
        assert not whole.more
        assert whole.position == whole.events[-1].position == await record.reader.last_position()
        for number, one in enumerate(whole.events, 1):
            assert shown(await record.reader.read(one.position, 100)) == shown(whole)[number:]
        paged, position = list[tuple[UUID, int]](), begin
        while (page := await record.reader.read(position, 2)).events:
            paged += shown(page)
            position = page.position
        assert paged == shown(whole)


async def test_a_reader_that_has_everything_gets_nothing_and_keeps_its_position(streams: OpenStreamed) -> None:
    async with streams() as record:
        await record.order()
        last = await record.reader.last_position()
        page = await record.reader.read(last, 10)
        assert (page.events, page.position, page.more, page.waiting_seconds) == ((), last, False, None)


async def test_an_empty_record_has_a_position_that_everything_follows(streams: OpenStreamed) -> None:
    async with streams() as record:
        empty = await record.reader.last_position()
        assert (await record.reader.read(empty, 10)).position == empty
        order_id = await record.order()
        assert shown(await record.reader.read(empty, 10)) == [(order_id, 1)]
        assert shown(await record.reader.read("start", 10)) == [(order_id, 1)]


async def test_a_key_reads_the_events_of_its_own_orders_and_gets_past_those_of_others(streams: OpenStreamed) -> None:
    async with streams() as record:
        begin = await record.reader.last_position()
        mine = await record.order(MINE)
        theirs = await record.order(OTHERS)
        nobodys = await record.order(None)
        page = await record.reader.read(begin, 10, MINE)
        assert shown(page) == [(mine, 1)]
        assert page.position == await record.reader.last_position(), "it has nothing more to look at"
        assert [one.owner for one in page.events] == [MINE]
        assert shown(await record.reader.read(begin, 10)) == [(mine, 1), (theirs, 1), (nobodys, 1)]
        assert shown(await record.reader.read(begin, 1, OTHERS)) == []
        assert (await record.reader.read(begin, 1, OTHERS)).more


async def test_a_position_shows_neither_the_order_nor_its_owner(streams: OpenStreamed) -> None:
    async with streams() as record:
        order_id = await record.order(OTHERS)
        position = await record.reader.last_position()
        assert order_id.hex not in position.replace("-", "")
        assert len(position) <= 33


async def test_a_position_of_another_record_is_not_known_here(streams: OpenStreamed) -> None:
    async with streams() as record:
        await record.order()
        for foreign in ("1-0123456789abcdef", "7fffffffffffff-0123456789abcdef"):
            with pytest.raises(PositionUnknownError):
                await record.reader.read(foreign, 10)


@pytest.mark.parametrize(
    "position",
    ["", "Start", "1", "-1", "0x1-0123456789abcdef", "1-0123456789ABCDEF", "1-0123456789abcde", "1-0123456789abcdef\n",
     "\u0661-0123456789abcdef", "1-0123456789abcdef-2", "fffffffffffffffff-0123456789abcdef", "' OR 1=1 --", "1\0"],
)  # fmt: skip
async def test_what_is_no_position_is_refused(streams: OpenStreamed, position: str) -> None:
    async with streams() as record:
        with pytest.raises(InvalidPositionError):
            await record.reader.read(position, 10)
