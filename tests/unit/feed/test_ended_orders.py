"""Each order that ends in a process is reported once, also if other processes wrote its earlier events."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.domain.timeline import Timeline
from dexexec.errors import UnavailableError
from dexexec.feed import ended_orders
from dexexec.feed.ended_orders import EndedOrders
from dexexec.feed.publisher import Outgoing

AT = datetime(2026, 1, 31, tzinfo=UTC)
WAY = (Status.PENDING, Status.ROUTING, Status.FAILED)


def way(order_id: UUID, statuses: Sequence[Status] = WAY) -> list[Event]:
    """All events of an order."""
    return [Event(order_id=order_id, seq=n, status=status, at=AT, detail={}) for n, status in enumerate(statuses, 1)]


class Record:
    """The events of orders as Postgres has them, and what was reported."""

    def __init__(self) -> None:
        self.ended: list[Timeline] = []
        self.ended_some = asyncio.Event()
        self.events: dict[UUID, list[Event]] = {}
        self.reads: list[int] = []
        self.up = True

    def order_ended(self, timeline: Timeline) -> None:
        self.ended.append(timeline)
        self.ended_some.set()

    async def read(self, wanted: Sequence[tuple[UUID, int]]) -> dict[UUID, list[Event]]:
        self.reads.append(len(wanted))
        await asyncio.sleep(0)
        if not self.up:
            raise UnavailableError("Postgres does not answer")
        return {order_id: self.events[order_id] for order_id, _ in wanted}

    async def reported(self, count: int) -> None:
        """Wait until that many orders were reported."""
        while len(self.ended) < count:
            self.ended_some.clear()
            await self.ended_some.wait()


@pytest.fixture
def record() -> Record:
    return Record()


def put(orders: EndedOrders, events: Sequence[Event]) -> None:
    orders.put_committed([Outgoing(event) for event in events])


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for two orders in progress, and for two to read."""
    monkeypatch.setattr(ended_orders, "MOST_KEPT", 2)
    monkeypatch.setattr(ended_orders, "MOST_WAITING", 2)


async def test_an_order_of_one_process_is_reported_at_its_last_event_without_a_read(record: Record) -> None:
    orders = EndedOrders(record)
    events = way(uuid4())
    for event in events:
        assert record.ended == []
        put(orders, [event])
    [timeline] = record.ended
    assert (timeline.is_whole, timeline.seq, timeline.status) == (True, 3, Status.FAILED)


async def test_a_confirmed_order_has_not_ended_before_it_is_finalized(record: Record) -> None:
    orders = EndedOrders(record)
    put(orders, way(uuid4(), (Status.PENDING, Status.SUBMITTED, Status.CONFIRMED)))
    assert record.ended == []


async def test_earlier_events_of_other_processes_are_read_for_many_orders_at_once(record: Record) -> None:
    orders = EndedOrders(record)
    ids = [uuid4() for _ in range(120)]
    record.events = {order_id: way(order_id) for order_id in ids}
    put(orders, [record.events[order_id][-1] for order_id in ids])
    running = asyncio.create_task(orders.run(record.read))
    await record.reported(120)
    assert record.reads == [50, 50, 20]
    assert {timeline.order_id for timeline in record.ended} == set(ids)
    assert all(timeline.is_whole and timeline.seq == 3 for timeline in record.ended)
    running.cancel()
    await asyncio.wait([running])


async def test_an_end_is_reported_without_times_while_postgres_is_away_and_when_the_process_stops(
    record: Record,
) -> None:
    orders = EndedOrders(record)
    record.up = False
    put(orders, way(uuid4())[2:])
    running = asyncio.create_task(orders.run(record.read))
    await record.reported(1)
    assert not record.ended[0].is_whole
    running.cancel()
    await asyncio.wait([running])
    put(orders, way(uuid4())[2:])
    running = asyncio.create_task(orders.run(record.read))
    await asyncio.sleep(0)  # it reads now
    running.cancel()
    await asyncio.wait([running])
    assert len(record.ended) == 2


@pytest.mark.usefixtures("few")
async def test_memory_is_bounded_and_no_end_is_lost(record: Record) -> None:
    orders = EndedOrders(record)
    ids = [uuid4() for _ in range(5)]
    for order_id in ids:
        put(orders, way(order_id)[:2])
    for order_id in ids:
        put(orders, way(order_id)[2:])
    whole = [timeline for timeline in record.ended if timeline.is_whole]
    assert [timeline.order_id for timeline in whole] == ids[-2:], "the others were forgotten"
    assert len(record.ended) == 3, "two of these wait for their events, a third would be too many"
