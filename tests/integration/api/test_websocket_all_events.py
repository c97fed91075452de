"""The events of all orders on one WebSocket: each once, in order, and from any position on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from dexexec.domain.status import Status
from dexexec.store import Address
from tests.support.streaming import LIFE, Client, PostgresRecord, StreamSetup, open_stream_setup, postgres_record

ALL = {"events": "all"}
Heard = list[tuple[str, int]]


@asynccontextmanager
async def following(
    address: Address, redis_url: str, prefix: str, **options: object
) -> AsyncIterator[tuple[PostgresRecord, StreamSetup]]:
    """A record, and an API process that streams it."""
    async with postgres_record(address) as record, open_stream_setup(record, redis_url, prefix, **options) as setup:  # type: ignore[arg-type]
        yield record, setup


async def position(client: Client) -> str:
    """The next message, which must be a position."""
    message = await client.hear()
    assert message is not None
    assert message.keys() == {"position"}, message
    return str(message["position"])


async def events(client: Client, count: int) -> tuple[Heard, list[str]]:
    """The next events, and the positions that were sent with them, one of them behind the last event."""
    heard, positions = Heard(), list[str]()
    is_position = False
    while len(heard) < count or not is_position:
        message = await client.hear()
        assert message is not None
        is_position = "position" in message
        if is_position:
            positions.append(str(message["position"]))
        else:
            heard.append((str(message["orderId"]), int(str(message["seq"]))))
    return heard, positions


def of(order_id: UUID, *seqs: int) -> Heard:
    """Events of an order."""
    return [(str(order_id), seq) for seq in seqs]


@pytest.mark.parametrize("one_process", [False, True])
async def test_promise_32_all_orders_are_followed_from_now_on_and_from_every_position(
    database_address: Address, redis_url: str, redis_prefix: str, one_process: bool
) -> None:
    async with following(database_address, redis_url, redis_prefix, one_process=one_process) as (record, setup):
        client = await setup.api.connect()
        await client.say(ALL)
        begin = await position(client)
        orders = [await record.create() for _ in range(3)]
        for status in LIFE[1:]:
            for order_id in orders:
                await setup.step(order_id, status)
        heard, positions = await events(client, 3 * len(LIFE))
        assert sorted(heard) == sorted(event for order_id in orders for event in of(order_id, 1, 2, 3, 4, 5))
        assert all([seq for who, seq in heard if who == str(one)] == [1, 2, 3, 4, 5] for one in orders)
        for after in (begin, *positions[:-1]):
            late = await setup.api.connect()
            await late.say({**ALL, "after": after})
            assert await position(late) == after
            missed, ends = await events(late, 1)
            assert missed == heard[-len(missed) :]
            assert ends[-1] == positions[-1]


async def test_events_of_other_processes_come_also_without_their_announcement(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    async with following(database_address, redis_url, redis_prefix) as (record, setup):
        client = await setup.api.connect()
        await client.say(ALL)
        await position(client)
        order_id = await record.create()
        await setup.step(order_id, Status.ROUTING, lost=True)
        assert (await events(client, 2))[0] == of(order_id, 1, 2)


async def test_two_sockets_at_the_end_cost_one_reader_and_a_socket_that_leaves_ends_its_own_stream(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    async with following(database_address, redis_url, redis_prefix) as (record, setup):
        clients = [await setup.api.connect() for _ in range(2)]
        for client in clients:
            await client.say(ALL)
            await position(client)
        order_id = await record.create()
        for client in clients:
            assert (await events(client, 1))[0] == of(order_id, 1)
        await clients[0].say({**ALL, "action": "unsubscribe"})
        ended = await clients[0].hear()
        assert ended is not None
        assert (ended["events"], ended["unsubscribed"]) == ("all", True)
        await setup.step(order_id, Status.ROUTING)
        assert (await events(clients[1], 1))[0] == of(order_id, 2)
        await clients[0].say({**ALL, "after": ended["after"]})
        assert await position(clients[0]) == ended["after"]
        assert (await events(clients[0], 1))[0] == of(order_id, 2)


async def test_bad_positions_and_messages_are_answered_and_the_socket_goes_on(
    database_address: Address, redis_url: str, redis_prefix: str
) -> None:
    async with following(database_address, redis_url, redis_prefix) as (record, setup):
        client = await setup.api.connect()
        for message, code in (
            ({"events": "some"}, "invalid-events"),
            ({"events": ["all"]}, "invalid-events"),
            ({"events": "all", "after": 7}, "invalid-position"),
            ({"events": "all", "after": ""}, "invalid-position"),
            ({"events": "all", "after": None}, "invalid-position"),
            ({"events": "all", "afterSeq": 1}, "unknown-field"),
            ({"events": "all", "action": ["subscribe"]}, "invalid-action"),
            ({"events": "all", "action": "unsubscribe", "after": "start"}, "unknown-field"),
            ({"events": "all", "action": "unsubscribe"}, "not-subscribed"),
            ({"orderId": str(UUID(int=7)), "after": "start"}, "unknown-field"),
            ({"events": "all", "after": "77-0123456789abcdef"}, "position-unknown"),
        ):
            await client.say(message)
            assert await client.error() == code, message
        await client.say({**ALL, "after": "start"})
        assert await position(client) == "start"
        await client.say(ALL)
        assert await client.error() == "already-subscribed"
        order_id = await record.create()
        assert (await events(client, 1))[0] == of(order_id, 1)
