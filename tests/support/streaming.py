"""What the tests of the stream share: records to read from, an API process with nothing but the socket, and clients."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Protocol, cast
from uuid import UUID, uuid4

import pytest
import redis.asyncio
import tornado.web
from psycopg.types.json import Jsonb
from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.netutil import bind_sockets
from tornado.websocket import WebSocketClientConnection, websocket_connect

from dexexec.access.key_ring import KeyRing
from dexexec.api.app import EXECUTE, make_server
from dexexec.api.authentication import Authentication
from dexexec.api.cross_site_check import SiteCheck
from dexexec.api.event_stream_handlers import AllEventsHandler, OrderEventsHandler
from dexexec.api.event_streams import EventStreams
from dexexec.api.handler import Api as HandlerApi
from dexexec.api.handler import OrderIntake
from dexexec.api.key_limits import KeyLimits
from dexexec.api.websocket_handler import SocketHandler
from dexexec.api.websocket_registry import SocketRegistry
from dexexec.clock import SystemClock
from dexexec.config.settings import Settings
from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.errors import UnavailableError
from dexexec.feed.all_events import AllEvents
from dexexec.feed.feed import Feed, History
from dexexec.feed.followed_orders import FollowedOrders
from dexexec.feed.publisher import Outgoing, Publisher
from dexexec.intake.order_body import BodyReader
from dexexec.observe.observer import Observer, make_logger
from dexexec.store import Address, Database, EventReader, Store
from tests.support.answer_checks import check_message
from tests.support.fakes.keys import MemoryKeys
from tests.support.parts import new_order, open_database, open_redis, running

LIFE = (Status.PENDING, Status.ROUTING, Status.BUILDING, Status.SUBMITTED, Status.CONFIRMED)


class Record(History, Protocol):
    """The record of events: what the feed reads, and a way to write them that announces nothing."""

    async def create(self) -> UUID:
        """A new order, with its first event."""

    async def step(self, order_id: UUID, status: Status, **detail: object) -> Event:
        """Its next event."""


OpenRecord = Callable[[], AbstractAsyncContextManager[Record]]


class MemoryRecord:
    """The record without Postgres. While `down`, nothing can be read."""

    def __init__(self) -> None:
        self.events: dict[UUID, list[Event]] = {}
        self.owner_of: dict[UUID, int] = {}
        self.down = False
        self.rows_read = 0
        self.statements = 0

    async def create(self) -> UUID:
        order_id = uuid4()
        self.events[order_id] = []
        await self.step(order_id, Status.PENDING)
        return order_id

    async def step(self, order_id: UUID, status: Status, **detail: object) -> Event:
        events = self.events[order_id]
        events.append(Event(order_id=order_id, seq=len(events) + 1, status=status, at=datetime.now(UTC), detail=detail))
        return events[-1]

    async def events_after(self, wanted: Sequence[tuple[UUID, int]]) -> dict[UUID, list[Event]]:
        self.statements += 1
        assert len({order_id for order_id, _ in wanted}) == len(wanted), "an order is asked for once per statement"
        found = {order_id: self.events[order_id][after:] for order_id, after in wanted if order_id in self.events}
        self.rows_read += sum(map(len, found.values()))
        await asyncio.sleep(0)  # what is announced from here on is not among the rows
        if self.down:
            raise UnavailableError("down")
        return found

    async def versions(self, order_ids: Sequence[UUID]) -> dict[UUID, int]:
        found = {order_id: len(self.events[order_id]) for order_id in order_ids if order_id in self.events}
        await asyncio.sleep(0)
        if self.down:
            raise UnavailableError("down")
        return found

    async def owners(self, order_ids: Sequence[UUID]) -> dict[UUID, int | None]:
        return {order_id: self.owner_of.get(order_id) for order_id in order_ids if order_id in self.events}


class PostgresRecord(Store):
    """The real store, with steps written past its claims."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, lambda _: None, SystemClock())
        self._connect = database.connection
        self.reader = EventReader(database)

    async def create(self) -> UUID:  # type: ignore[override]  # the stream's tests do not care what is ordered
        return (await super().create(new_order())).order_id

    async def store_for(self, owner: int) -> UUID:
        """A new order of a key."""
        return (await super().create(replace(new_order(), owner=owner))).order_id

    async def step(self, order_id: UUID, status: Status, **detail: object) -> Event:
        async with self._connect() as connection, connection.transaction():
            cursor = await connection.execute(
                """
                WITH o AS (UPDATE orders SET version = version + 1, status = %s WHERE id = %s RETURNING id, version)
                INSERT INTO order_events (order_id, seq, status, detail) SELECT id, version, %s, %s FROM o
                RETURNING seq, at
                """,
                (status.value, order_id, status.value, Jsonb(detail)),
            )
            row = await cursor.fetchone()
        assert row is not None
        return Event(order_id=order_id, seq=row[0], status=status, at=row[1], detail=detail)


@asynccontextmanager
async def memory_record() -> AsyncIterator[MemoryRecord]:
    yield MemoryRecord()


@asynccontextmanager
async def postgres_record(address: Address) -> AsyncIterator[PostgresRecord]:
    async with open_database(address) as database:
        record = PostgresRecord(database)
        async with running(record.run()):
            yield record


@dataclass(frozen=True, slots=True)
class Api:
    """A process that has sockets. Events that `publisher` announces were committed by this process."""

    publisher: Publisher
    feed: Feed
    registry: SocketRegistry
    port: int
    sockets: list[SocketHandler]
    """Every socket that was ever opened, also those that are gone."""
    clients: list["Client"]

    async def connect(self, query: str = "", **headers: str) -> "Client":
        """A client that reads only when the test calls it."""
        url = f"ws://127.0.0.1:{self.port}{EXECUTE}{query}"
        client = Client(await websocket_connect(HTTPRequest(url, headers=headers, request_timeout=30)))
        self.clients.append(client)
        return client

    async def refused(self, query: str = "", **headers: str) -> HTTPResponse:
        """The answer to a handshake that is refused."""
        with pytest.raises(HTTPClientError) as caught:
            await self.connect(query, **headers)
        assert caught.value.response is not None
        return caught.value.response


@asynccontextmanager
async def open_api(
    record: History,
    client: redis.asyncio.Redis,
    channel: str,
    poll_seconds: float = 3_600,
    keys: MemoryKeys | None = None,
    limits: KeyLimits | None = None,
    **settings: object,
) -> AsyncIterator[Api]:
    """Serve the socket. It needs one of `keys`, if there are any. Without `poll_seconds`, the poll that finds lost
    messages happens on connecting only."""
    clock, observer = SystemClock(), Observer(make_logger("error"))
    nobody: Any = None  # no orders are posted or read here, and the record in memory has no stream of all events
    followed = FollowedOrders()
    all_events = AllEvents(record.reader if isinstance(record, PostgresRecord) else nobody, clock, observe=observer)

    def committed(events: Sequence[Outgoing]) -> None:
        followed.put_committed(events)
        all_events.wake()

    publisher = Publisher(client, channel, listener=committed)
    feed = Feed(record, client, publisher, followed, observe=observer, poll_seconds=poll_seconds, heard=all_events.wake)
    registry = SocketRegistry()
    sockets: list[SocketHandler] = []
    clients: list[Client] = []

    class Noted(SocketHandler):
        def open(self) -> None:
            sockets.append(self)
            super().open()

    configured = Settings(**settings)  # type: ignore[arg-type]
    ring = KeyRing(keys or MemoryKeys(clock), clock, observer, lambda: registry.close_invalid(ring.is_valid))
    await ring.read()
    serving: Any = SimpleNamespace(stopping=False)
    handlers = HandlerApi(
        settings=configured,
        reader=BodyReader(configured),
        intake=cast("OrderIntake", SimpleNamespace(check_capacity=lambda: None)),
        history=nobody,
        cancelling=record if isinstance(record, Store) else nobody,
        amending=nobody,
        signing=nobody,
        readiness=serving,
        clock=clock,
        observer=observer,
        sites=SiteCheck(configured),
        venues=nobody,
        overviews=nobody,
        webhooks=nobody,
        streams=EventStreams(feed=feed, all_events=all_events, registry=registry),
        access=Authentication(ring, required=keys is not None),
        limits=limits,
    )
    routes = [
        (EXECUTE, Noted, {"api": handlers}),
        ("/api/orders/([^/]+)/events", OrderEventsHandler, {"api": handlers}),
        ("/api/events", AllEventsHandler, {"api": handlers}),
    ]
    server = make_server(tornado.web.Application(routes), handlers)
    listening = bind_sockets(0, "127.0.0.1", backlog=2_048)
    server.add_sockets(listening)
    try:
        async with running(publisher.run(), feed.run(), all_events.run(), *([ring.run()] if keys is not None else [])):
            await asyncio.wait_for(feed.listening.wait(), 10)
            yield Api(publisher, feed, registry, listening[0].getsockname()[1], sockets, clients)
            await registry.close_all()
    finally:
        for opened in clients:
            opened.connection.close()
        server.stop()
        await server.close_all_connections()


@dataclass(frozen=True, slots=True)
class StreamSetup:
    """A record, a Redis and one API process. By default, steps are committed and announced by a separate worker
    process, otherwise by the API process, as when it is both."""

    record: Record
    redis: redis.asyncio.Redis
    channel: str
    publisher: Publisher
    """That of the process that commits the steps."""
    api: Api

    async def step(self, order_id: UUID, status: Status, *, lost: bool = False, **detail: object) -> Event:
        """The order's next event; if `lost`, no process receives its announcement. A confirmed one is final."""
        if status is Status.CONFIRMED:
            detail["finalized"] = True
        event = await self.record.step(order_id, status, **detail)
        if not lost:
            self.publisher.announce([event])
        return event

    async def live(self, order_id: UUID, count: int = len(LIFE)) -> None:
        """The rest of an order's life, up to `count` events in all."""
        known = (await self.record.versions([order_id]))[order_id]
        for status in LIFE[known:count]:
            await self.step(order_id, status)


@asynccontextmanager
async def open_stream_setup(
    record: Record, redis_url: str, prefix: str, *, one_process: bool = False, **options: object
) -> AsyncIterator[StreamSetup]:
    """In `one_process`, what has the sockets also commits the steps."""
    channel = f"{prefix}:events"
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_redis(redis_url))
        worker = Publisher(client, channel)
        await stack.enter_async_context(running(worker.run()))
        api = await stack.enter_async_context(open_api(record, client, channel, **options))  # type: ignore[arg-type]
        yield StreamSetup(record, client, channel, api.publisher if one_process else worker, api)


class Client:
    """A well-behaved client."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self.connection = connection

    async def say(self, message: object) -> None:
        await self.connection.write_message(json.dumps(message))

    async def subscribe(self, order_id: UUID, after_seq: int | None = None) -> None:
        after = {} if after_seq is None else {"afterSeq": after_seq}
        await self.say({"orderId": str(order_id), **after})

    async def hear(self) -> dict[str, object] | None:
        """The next message; None when the socket is closed."""
        async with asyncio.timeout(20):
            message = await self.connection.read_message()
        if message is None:
            return None
        assert isinstance(message, str)
        value = json.loads(message)
        assert isinstance(value, dict)
        check_message(value)
        return value

    async def seqs(self, order_id: UUID, count: int) -> list[object]:
        """The `seq` of the next `count` messages, all of which must be events of this order."""
        heard = [await self.hear() for _ in range(count)]
        assert {event and event.get("orderId") for event in heard} <= {str(order_id)}, heard
        return [event and event.get("seq") for event in heard]

    async def error(self) -> str:
        """The code of the next message, which must be an error."""
        message = await self.hear()
        assert message is not None
        error = message.get("error")
        assert isinstance(error, dict), message
        assert error["message"]
        assert set(error) <= {"code", "message", "orderId"}
        return str(error["code"])

    async def closed(self) -> tuple[int | None, str | None]:
        """Read to the end; the code and the reason of the close."""
        while await self.hear() is not None:
            pass
        return self.connection.close_code, self.connection.close_reason
