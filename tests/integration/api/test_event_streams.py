"""Server-sent events over real connections: what the WebSocket sends, for clients that have only HTTP."""

import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest

import dexexec.feed.all_events
import dexexec.feed.event_tail
from dexexec.api.event_stream_connection import EventStreamConnection
from dexexec.api.key_limits import KeyLimits
from dexexec.clock import SystemClock
from dexexec.domain.api_key import Scope
from dexexec.domain.halt import Halt
from dexexec.domain.policy import Policy
from dexexec.domain.status import Status
from dexexec.store import Address, ArchiveSession, Database
from tests.support.event_source import EventSource, event_source
from tests.support.fakes.keys import MemoryKeys
from tests.support.parts import open_database
from tests.support.streaming import LIFE, Api, PostgresRecord, StreamSetup, open_stream_setup, postgres_record
from tests.support.waiting import until


@asynccontextmanager
async def source(api: Api, path: str, method: str = "GET", **headers: str) -> AsyncIterator[EventSource]:
    """A client of a path. Header names have `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with event_source(api.port, path, method, **named) as client:
        yield client


async def problem(client: EventSource) -> dict[str, Any]:
    """The problem document of a refusal."""
    assert client.headers["Content-Type"] == "application/problem+json"
    body = await client.reader.readexactly(int(client.headers["Content-Length"]))
    found = json.loads(body)
    assert isinstance(found, dict)
    return found


@asynccontextmanager
async def streaming(
    address: Address, redis_url: str, prefix: str, **options: object
) -> AsyncIterator[tuple[PostgresRecord, StreamSetup]]:
    """A record, and an API process that streams it."""
    async with postgres_record(address) as record, open_stream_setup(record, redis_url, prefix, **options) as setup:  # type: ignore[arg-type]
        yield record, setup


def of(order_id: UUID, *seqs: int) -> list[tuple[str, int]]:
    """Events of an order."""
    return [(str(order_id), seq) for seq in seqs]


class OneAtATime:
    """The leases of a key that may have one socket."""

    def __init__(self) -> None:
        self.open_now = 0

    async def open(self, _owner: int, limit: int) -> str | None:
        """Count one more socket; None if as many as `limit` are open."""
        if self.open_now >= limit:
            return None
        self.open_now += 1
        return "lease"

    async def close(self, _name: str) -> None:
        """The socket has ended."""
        self.open_now -= 1


# One order


async def test_promise_32_an_order_is_streamed_to_its_end_and_a_client_that_has_it_gets_204(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    async with streaming(database_address, redis_url, redis_prefix) as (record, setup):
        order_id = await record.create()
        path = f"/api/orders/{order_id}/events"
        async with source(setup.api, path) as client:
            assert client.status == 200
            assert client.headers["Content-Type"] == "text/event-stream"
            assert client.headers["Cache-Control"] == "no-store"
            assert client.headers["X-Accel-Buffering"] == "no"
            assert await client.events(1) == of(order_id, 1)
            await setup.live(order_id)
            assert await client.events(4) == of(order_id, 2, 3, 4, 5)
            await client.end()
            assert client.last_id == "5"
        await until(lambda: len(setup.api.feed) == 0 and not setup.api.registry.counts()[1])
        for again in (source(setup.api, path, Last_Event_ID="5"), source(setup.api, f"{path}?afterSeq=5")):
            async with again as ended:
                assert (ended.status, ended.headers.get("Content-Type")) == (204, None)


@pytest.mark.parametrize("after", range(len(LIFE)))
async def test_an_order_is_resumed_behind_the_last_event_id_which_goes_before_the_url(
    database_address: Address, redis_url: str, redis_prefix: str, after: int
) -> None:
    async with streaming(database_address, redis_url, redis_prefix) as (record, setup):
        order_id = await record.create()
        await setup.live(order_id, 4)
        async with source(
            setup.api, f"/api/orders/{order_id}/events?afterSeq=0", Last_Event_ID=str(after), Accept="text/event-stream"
        ) as client:
            await setup.live(order_id)
            assert await client.events(5 - after) == of(order_id, *range(after + 1, 6))
            await client.end()


async def test_the_data_are_the_bytes_of_the_websocket(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    async with streaming(database_address, redis_url, redis_prefix) as (record, setup):
        order_id = await record.create()
        event = await setup.step(order_id, Status.ROUTING, detail="a\nb\u2028c", quotes=[{"venue": "a"}])
        async with source(setup.api, f"/api/orders/{order_id}/events", Last_Event_ID="1") as client:
            one = await client.next()
            assert one is not None
            assert one.data.encode() == event.encode()
        async with source(setup.api, "/api/events?after=start") as client:
            assert await client.events(1) == of(order_id, 1)
            other = await client.next()
            assert other is not None
            assert other.data.encode() == event.encode()


# All orders


async def test_promise_32_all_orders_are_streamed_and_resumed_at_every_id(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    async with streaming(database_address, redis_url, redis_prefix) as (record, setup):
        async with source(setup.api, "/api/events") as client:
            assert client.status == 200
            first = await client.block()
            while first is not None and not first.id:
                first = await client.block()
            ids = [client.last_id]
            orders = [await record.create() for _ in range(3)]
            for status in LIFE[1:3]:
                for order_id in orders:
                    await setup.step(order_id, status)
            heard = []
            for _ in range(9):
                heard += await client.events(1)
                ids.append(client.last_id)
        assert sorted(heard) == sorted(event for order_id in orders for event in of(order_id, 1, 2, 3))
        for number, last_id in enumerate(ids[:-1]):
            async with source(setup.api, "/api/events?after=start", Last_Event_ID=last_id) as client:
                assert await client.events(9 - number) == heard[number:]


async def test_while_nothing_happens_a_heartbeat_keeps_the_connection_and_the_position(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    async with streaming(database_address, redis_url, redis_prefix, ping_seconds=0.1) as (record, setup):
        order_id = await record.create()
        async with (
            source(setup.api, "/api/events") as all_orders,
            source(setup.api, f"/api/orders/{order_id}/events") as one,
        ):
            assert await one.events(1) == of(order_id, 1)
            while all_orders.comments < 4 or one.comments < 3:
                beat = await all_orders.block()
                assert beat is not None
                assert not beat.data
                await one.block()
            assert all_orders.last_id
            assert one.last_id == "1"


# Refusals


@pytest.mark.parametrize(
    ("path", "headers", "status", "code", "named"),
    [
        ("/api/events", {"Last_Event_ID": "x"}, 400, "invalid-query", "Last-Event-ID"),
        ("/api/events", {"Last_Event_ID": "12"}, 400, "invalid-query", "Last-Event-ID"),
        ("/api/events?after=", {}, 400, "invalid-query", "after"),
        ("/api/events?after=start&after=start", {}, 400, "invalid-query", "after"),
        ("/api/events?afterSeq=1", {}, 400, "invalid-query", "afterSeq"),
        ("/api/events", {"Last_Event_ID": "12-0123456789abcdef"}, 410, "position-unknown", ""),
        ("/api/events", {"Accept": "application/json"}, 406, "not-acceptable", ""),
        ("{order}", {"Accept": "text/html, application/xml;q=0.9"}, 406, "not-acceptable", ""),
        ("{order}", {"Last_Event_ID": "2"}, 400, "invalid-query", "Last-Event-ID"),
        ("{order}", {"Last_Event_ID": "-1"}, 400, "invalid-query", "Last-Event-ID"),
        ("{order}", {"Last_Event_ID": "1.0"}, 400, "invalid-query", "Last-Event-ID"),
        ("{order}", {"Last_Event_ID": "2147483648"}, 400, "invalid-query", "Last-Event-ID"),
        ("{order}?afterSeq=2", {}, 400, "invalid-query", "afterSeq"),
        ("{order}?afterSeq=two", {}, 400, "invalid-query", "afterSeq"),
        ("{order}?after=start", {}, 400, "invalid-query", "after"),
        (f"/api/orders/{UUID(int=7)}/events", {}, 404, "order-not-found", ""),
        ("/api/orders/x/events", {}, 404, "order-not-found", ""),
    ],
)
async def test_a_refusal_is_a_problem_document_that_names_what_is_wrong(
    database_address: Address,
    redis_url: str,
    redis_prefix: str,
    path: str,
    headers: dict[str, str],
    status: int,
    code: str,
    named: str,
) -> None:
    async with streaming(database_address, redis_url, redis_prefix) as (record, setup):
        order_id = await record.create()
        async with source(setup.api, path.format(order=f"/api/orders/{order_id}/events"), **headers) as client:
            found = await problem(client)
            assert (client.status, found["type"]) == (status, f"/problems/{code}")
            assert [one["field"] for one in found.get("errors", [])] == ([named] if named else [])


async def test_whatever_a_client_sends_as_its_position_is_served_or_refused(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - to repeat a failure
    chance = random.Random(seed)
    async with streaming(database_address, redis_url, redis_prefix) as (record, setup):
        order_id = await record.create()
        async with source(setup.api, "/api/events?after=start") as client:
            await client.events(1)
        pieces = [
            client.last_id,
            "start",
            "0",
            "1",
            "-",
            "a" * 15,
            "f" * 16,
            "00",
            "%00",
            "%ff",
            "&",
            "=",
            ";",
            "'",
            "\xe9",
            "\t",
        ]
        seen = set[int]()
        for _ in range(150):
            text = "".join(chance.choices(pieces, k=chance.randint(0, 3))) or client.last_id
            path = chance.choice(["/api/events", f"/api/orders/{order_id}/events"])
            parameter = chance.choice(["after", "afterSeq"])
            in_url = chance.random() < 0.5
            sent = f"{path}?{parameter}={quote(text, safe='%&=;')}" if in_url else path
            async with source(setup.api, sent, **({} if in_url else {"Last_Event_ID": text})) as one:
                seen.add(one.status)
                assert one.status in {200, 400, 410}, (sent, text, one.status)
                if one.status != 200:
                    assert (await problem(one))["status"] == one.status
        assert seen >= {200, 400}
        await until(lambda: setup.api.registry.counts() == (0, 0))


async def test_a_head_has_the_headers_of_the_stream_and_ends(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    async with streaming(database_address, redis_url, redis_prefix) as (record, setup):
        order_id = await record.create()
        for path in ("/api/events", f"/api/orders/{order_id}/events"):
            async with source(setup.api, path, "HEAD") as client:
                assert (client.status, client.headers["Content-Type"]) == (200, "text/event-stream")
        async with source(setup.api, f"/api/orders/{uuid4()}/events", "HEAD") as client:
            assert client.status == 404
        assert setup.api.registry.counts() == (0, 0)


# Ends


async def test_a_stop_ends_streams_with_a_time_to_connect_again(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    async with streaming(database_address, redis_url, redis_prefix) as (record, setup):
        order_id = await record.create()
        async with source(setup.api, "/api/events?after=start") as client:
            assert await client.events(1) == of(order_id, 1)
            await setup.api.registry.close_all()
            await client.end()
            assert len(client.retries) == 2
            assert 100 <= int(client.retries[1]) <= 1_000
        async with source(setup.api, "/api/events", Last_Event_ID=client.last_id) as late:
            await late.end()
            assert len(late.retries) == 2


async def test_a_halt_is_a_notice(database_address: Address, redis_url: str, redis_prefix: str) -> None:
    async with streaming(database_address, redis_url, redis_prefix) as (record, setup):
        order_id = await record.create()
        async with source(setup.api, "/api/events?after=start") as client:
            assert await client.events(1) == of(order_id, 1)
            event = await record.step(order_id, Status.ROUTING)
            setup.api.registry.report_halt(Halt(0, event.at, "maintenance"), began=True)
            found = {}
            for _ in range(2):
                one = await client.next()
                assert one is not None
                found[one.event] = one.message
            assert found["notice"]["notice"]["code"] == "halted"
            assert found[""]["seq"] == 2


async def test_a_client_that_does_not_read_is_cut_and_holds_up_nobody(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    # The stuck one is cut after two heartbeats. They are so far apart that a busy machine does not delay the other one
    # for so long.
    async with streaming(database_address, redis_url, redis_prefix, ping_seconds=1, socket_buffer_bytes=16_384) as (
        record,
        setup,
    ):
        order_id = await record.create()
        large = "x" * 100_000
        async with (
            source(setup.api, "/api/events?after=start") as stuck,
            source(setup.api, "/api/events?after=start") as client,
        ):
            stuck.reader._transport.pause_reading()  # type: ignore[attr-defined]  # the kernel's buffers fill
            sent = 1
            assert await client.events(1) == of(order_id, 1)
            while setup.api.registry.counts()[1] == 2:
                await setup.step(order_id, Status.ROUTING, detail=large)
                sent += 1
                assert await client.events(1) == of(order_id, sent)


async def archived(database: Database) -> int:
    """Move all orders into the archive, as if they had ended long ago; returns how many."""
    async with database.connection() as connection:
        await connection.execute("UPDATE orders SET status = 'failed', finished_at = clock_timestamp()")
    async with ArchiveSession.begin(database, 30) as session:
        assert session is not None
        return len(await session.archive(rest=timedelta()))


async def test_the_archive_ends_a_stream_that_it_has_overtaken_and_no_other(
    database_address: Address, redis_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dexexec.feed.all_events, "PAGE", 10)
    monkeypatch.setattr(dexexec.feed.event_tail, "MOST_BYTES", 1 << 20)
    async with (
        streaming(database_address, redis_url, redis_prefix) as (record, setup),
        open_database(database_address) as database,
        source(setup.api, "/api/events?after=start") as client,
        source(setup.api, "/api/events?after=start") as behind,
    ):
        order_id = await record.create()
        assert await client.events(1) == of(order_id, 1)
        assert await behind.events(1) == of(order_id, 1)
        behind.reader._transport.pause_reading()  # type: ignore[attr-defined]
        # More than the buffers of both sides and the memory of the process take, so it has not got near the end.
        for _ in range(12):
            for _ in range(10):
                await record.step(order_id, Status.ROUTING, detail="x" * 100_000)
            setup.api.publisher.announce([await record.step(order_id, Status.ROUTING)])
        sent = 1 + 12 * 11
        assert await client.events(sent - 1) == of(order_id, *range(2, sent + 1))
        assert await archived(database) == 1
        fresh = await record.create()
        assert await client.events(1) == of(fresh, 1), "it has everything that was moved"
        behind.reader._transport.resume_reading()  # type: ignore[attr-defined]
        heard = [("", 1)]
        while (one := await behind.next()) is not None and not one.event:
            heard.append(("", int(one.message["seq"])))
        assert one is not None
        assert (one.event, one.message["error"]["code"]) == ("problem", "position-unknown")
        assert [seq for _, seq in heard] == list(range(1, len(heard) + 1)), "nothing is left out before that"
        assert len(heard) < sent
        await behind.end()
        async with source(setup.api, "/api/events", Last_Event_ID=behind.last_id) as again:
            assert (again.status, (await problem(again))["type"]) == (410, "/problems/position-unknown")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has this option")
async def test_the_kernel_gives_up_a_peer_that_has_vanished_after_two_pings(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    async with (
        streaming(database_address, redis_url, redis_prefix, ping_seconds=7) as (_, setup),
        source(setup.api, "/api/events") as client,
    ):
        assert client.status == 200
        [connection] = setup.api.registry._open
        assert isinstance(connection, EventStreamConnection)
        option = connection._stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert option == 14_000


# Keys

OWN, OTHER = 1, 2


def bearer(token: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {token}"}


async def test_promise_18_a_stream_has_the_orders_of_its_key_only_and_the_admin_s_has_all(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    keys = MemoryKeys(SystemClock())
    own, other, reader = keys.create("own"), keys.create("other"), keys.create("reader", Scope.READ)
    admin = keys.create("admin", Scope.ADMIN)
    async with streaming(database_address, redis_url, redis_prefix, keys=keys) as (record, setup):
        mine, theirs = [(await record.store_for(owner)) for owner in (OWN, OTHER)]
        for path in ("/api/events", f"/api/orders/{mine}/events"):
            async with source(setup.api, path) as client:
                assert client.status == 401
        async with source(setup.api, f"/api/orders/{theirs}/events", **bearer(own)) as client:
            assert client.status == 404
        async with source(setup.api, "/api/events?after=start", **bearer(own)) as client:
            assert await client.events(1) == of(mine, 1)
            await setup.step(theirs, Status.ROUTING)
            await setup.step(mine, Status.ROUTING)
            assert await client.events(1) == of(mine, 2)
        async with source(setup.api, "/api/events", Last_Event_ID=client.last_id, **bearer(other)) as client:
            # Its position is one of the record, whoever received it, and shows nothing of the other key.
            await setup.step(theirs, Status.BUILDING)
            assert await client.events(1) == of(theirs, 3)
        async with source(setup.api, "/api/events?after=start", **bearer(admin)) as client:
            assert sorted(await client.events(5)) == sorted([*of(mine, 1, 2), *of(theirs, 1, 2, 3)])
        async with source(setup.api, "/api/events?after=start", **bearer(reader)) as client:
            assert client.status == 200
        socket = await setup.api.connect(**bearer(own))
        await socket.say({"events": "all", "after": "start"})
        heard = [await socket.hear() for _ in range(3)]
        assert [one and one.get("orderId") for one in heard] == [None, str(mine), str(mine)]


async def test_a_stream_ends_with_its_key_and_counts_among_the_sockets_of_its_key(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    keys = MemoryKeys(SystemClock())
    token = keys.create("own", policy=Policy(sockets=1))
    no_windows: Any = None  # the key has no limit of requests
    async with streaming(
        database_address,
        redis_url,
        redis_prefix,
        keys=keys,
        limits=KeyLimits(no_windows, OneAtATime(), SystemClock()),
    ) as (record, setup):
        order_id = await record.store_for(OWN)
        async with source(setup.api, "/api/events?after=start", **bearer(token)) as client:
            assert await client.events(1) == of(order_id, 1)
            async with source(setup.api, "/api/events", **bearer(token)) as second:
                assert (second.status, (await problem(second))["type"]) == (403, "/problems/policy")
            keys.revoke("own")
            one = await client.next()
            assert one is not None
            assert (one.event, one.message["error"]["code"]) == ("problem", "unauthorized")
            await client.end()
        async with source(setup.api, "/api/events", Last_Event_ID=client.last_id, **bearer(token)) as late:
            assert late.status == 401
