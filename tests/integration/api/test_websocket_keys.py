"""Promise 18 on the socket: the three ways to show a key, nothing before it, nothing of others, and its end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from dexexec.api import websocket_handler
from dexexec.api.app import EXECUTE
from dexexec.clock import SystemClock
from dexexec.domain.api_key import Scope
from dexexec.domain.status import Status
from tests.support.fakes.keys import MemoryKeys
from tests.support.streaming import Client, MemoryRecord, StreamSetup, memory_record, open_stream_setup

OWN, OTHER = 1, 2


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not close the sockets of these tests."""
    monkeypatch.setattr(websocket_handler, "KEY_SECONDS", 60.0)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A stream whose sockets need a key: those of `own` and `other`."""

    setup: StreamSetup
    record: MemoryRecord
    keys: MemoryKeys
    own: str
    other: str

    async def connect(self, token: str = "", query: str = "") -> Client:
        return await self.setup.api.connect(query, **({"Authorization": f"Bearer {token}"} if token else {}))

    async def order(self, owner: int) -> UUID:
        order_id = await self.record.create()
        self.record.owner_of[order_id] = owner
        return order_id

    async def offering(self, *protocols: str) -> WebSocketClientConnection:
        """A socket of a browser, which can send no header but these."""
        url = f"ws://127.0.0.1:{self.setup.api.port}{EXECUTE}"
        return await websocket_connect(url, subprotocols=list(protocols))


@asynccontextmanager
async def guarded(redis_url: str, redis_prefix: str, *, one_process: bool = False) -> AsyncIterator[Guarded]:
    keys = MemoryKeys(SystemClock())
    own, other = keys.create("own"), keys.create("other")
    async with (
        memory_record() as record,
        open_stream_setup(record, redis_url, redis_prefix, one_process=one_process, keys=keys) as setup,
    ):
        yield Guarded(setup, record, keys, own, other)


def auth(token: str) -> dict[str, str]:
    return {"type": "auth", "token": token}


async def code_of(client: Client) -> object:
    """The code of the next message, which is an error."""
    heard = await client.hear()
    assert heard is not None
    error = heard["error"]
    assert isinstance(error, dict)
    return error["code"]


async def refused(client: Client) -> None:
    """The socket is closed as one without a key, and nothing else was sent."""
    assert await code_of(client) == "unauthorized"
    code, _ = await client.closed()
    assert code == 4401


async def test_the_header_the_protocol_and_the_first_message_each_show_a_key(redis_url: str, redis_prefix: str) -> None:
    async with guarded(redis_url, redis_prefix) as service:
        order_id = await service.order(OWN)
        by_header = await service.connect(service.own)
        by_message = await service.connect()
        await by_message.say(auth(service.own))
        assert await by_message.hear() == {"authenticated": True, "key": "own"}
        connection = await service.offering("dexexec.v1", f"dexexec.bearer.{service.own}")
        assert connection.selected_subprotocol == "dexexec.v1", "and never the one with the key"
        by_protocol = Client(connection)
        for client in (by_header, by_message, by_protocol):
            await client.subscribe(order_id)
            assert await client.seqs(order_id, 1) == [1]
        connection.close()


async def test_promise_18_a_handshake_with_a_wrong_key_is_refused_with_a_problem_document(
    redis_url: str, redis_prefix: str
) -> None:
    async with guarded(redis_url, redis_prefix) as service:
        unknown = MemoryKeys(service.keys.clock).create("unknown")
        for headers in (
            {"Authorization": f"Bearer {unknown}"},
            {"Authorization": f"Basic {service.own}"},
            {"Sec-WebSocket-Protocol": f"dexexec.v1, dexexec.bearer.{unknown}"},
            {"Sec-WebSocket-Protocol": "dexexec.bearer."},
        ):
            answer = await service.setup.api.refused("", **headers)
            assert (answer.code, answer.headers["Content-Type"]) == (401, "application/problem+json")
            assert json.loads(answer.body)["type"] == "/problems/unauthorized"
        answer = await service.setup.api.refused(f"?token={service.own}")
        assert json.loads(answer.body)["type"] == "/problems/key-in-url"
        assert service.setup.api.sockets == []


@pytest.mark.parametrize(
    "message",
    [
        {"orderId": str(UUID(int=1))},
        {"cancelAll": {"status": "open"}},
        {"cancel": str(UUID(int=1))},
        {"type": "auth"},
        {"type": "auth", "token": 5},
        {"type": "auth", "token": ""},
        {"type": "auth", "token": "dx_"},
        {"type": "auth", "token": "dx_000000000000_" + "0" * 43},
        {"type": "auth", "token": "dx_000000000000_" + "0" * 43, "orderId": str(UUID(int=1))},
        ["auth"],
    ],
)
async def test_promise_18_whatever_else_comes_first_closes_the_socket_and_is_not_executed(
    redis_url: str, redis_prefix: str, message: object
) -> None:
    async with guarded(redis_url, redis_prefix) as service:
        client = await service.connect(query=f"?orderId={await service.order(OWN)}")
        await client.say(message)
        await client.say({"cancelAll": {"status": "open"}})  # would fail loudly: there is nothing here that cancels
        await refused(client)
        assert service.record.statements == 0


async def test_a_socket_that_sends_no_key_in_time_is_closed(
    redis_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_handler, "KEY_SECONDS", 0.05)
    async with guarded(redis_url, redis_prefix) as service:
        await refused(await service.connect())


async def test_what_is_sent_behind_the_key_is_executed_in_order_and_so_is_the_subscription_in_the_url(
    redis_url: str, redis_prefix: str
) -> None:
    async with guarded(redis_url, redis_prefix) as service:
        first, second = await service.order(OWN), await service.order(OWN)
        client = await service.connect(query=f"?orderId={first}")
        fresh = service.keys.rotate("own", keep=3_600)  # not read yet: the check of the key takes a moment
        await client.say(auth(fresh))
        await client.subscribe(second)
        assert await client.hear() == {"authenticated": True, "key": "own"}
        heard = [await client.hear() for _ in range(2)]
        assert {str(first), str(second)} == {message and message["orderId"] for message in heard}


async def test_promise_18_an_order_of_another_key_does_not_exist_for_a_socket(
    redis_url: str, redis_prefix: str
) -> None:
    async with guarded(redis_url, redis_prefix) as service:
        order_id, unknown = await service.order(OTHER), uuid4()
        client = await service.connect(service.own)
        answers = []
        for one in (order_id, unknown):
            for after_seq in (0, 1, 7):
                await client.subscribe(one, after_seq)
                heard = await client.hear()
                answers.append(json.dumps(heard).replace(str(one), "ID"))
        assert len(set(answers)) == 1, answers
        assert '"order-not-found"' in answers[0]


@pytest.mark.parametrize("one_process", [True, False])
async def test_promise_18_no_live_event_of_another_s_order_arrives_while_its_owner_is_looked_up(
    redis_url: str, redis_prefix: str, one_process: bool
) -> None:
    async with guarded(redis_url, redis_prefix, one_process=one_process) as service:
        order_id = await service.order(OTHER)
        owner, guesser = await service.connect(service.other), await service.connect(service.own)
        await owner.subscribe(order_id)
        assert await owner.seqs(order_id, 1) == [1]
        service.record.down = True  # the lookup waits
        await guesser.subscribe(order_id, 1)
        assert await code_of(guesser) == "unavailable"
        await service.setup.step(order_id, Status.ROUTING)
        assert await owner.seqs(order_id, 1) == [2]
        service.record.down = False
        assert await code_of(guesser) == "order-not-found"


async def test_a_key_that_only_reads_cancels_nothing(redis_url: str, redis_prefix: str) -> None:
    async with guarded(redis_url, redis_prefix) as service:
        client = await service.connect(service.keys.create("reader", Scope.READ))
        for message in ({"cancel": str(uuid4())}, {"cancelAll": {"status": "open"}}):
            await client.say(message)
            assert await code_of(client) == "scope-missing"


async def test_an_admin_follows_the_orders_of_all_keys(redis_url: str, redis_prefix: str) -> None:
    async with guarded(redis_url, redis_prefix) as service:
        client = await service.connect(service.keys.create("admin", Scope.ADMIN))
        for owner in (OWN, OTHER):
            order_id = await service.order(owner)
            await client.subscribe(order_id)
            assert await client.seqs(order_id, 1) == [1]


async def test_promise_18_a_revoked_key_ends_its_open_sockets_within_a_second_and_no_other(
    redis_url: str, redis_prefix: str
) -> None:
    async with guarded(redis_url, redis_prefix) as service:
        gone = [await service.connect(service.own) for _ in range(3)]
        stays = await service.connect(service.other)
        order_id = await service.order(OTHER)
        service.keys.revoke("own")
        begun = asyncio.get_running_loop().time()
        for client in gone:
            await refused(client)
        assert asyncio.get_running_loop().time() - begun < 10, "a second, on a machine that has nothing else to do"
        await stays.subscribe(order_id)
        assert await stays.seqs(order_id, 1) == [1]


async def test_a_rotated_key_ends_the_sockets_that_did_not_take_the_new_secret(
    redis_url: str, redis_prefix: str
) -> None:
    async with guarded(redis_url, redis_prefix) as service:
        order_id = await service.order(OWN)
        changed, forgotten = await service.connect(service.own), await service.connect(service.own)
        await changed.subscribe(order_id)
        assert await changed.seqs(order_id, 1) == [1]
        latter = service.keys.rotate("own", keep=3_600)
        await changed.say(auth(latter))
        assert await changed.hear() == {"authenticated": True, "key": "own"}
        service.keys.end(service.own)
        await refused(forgotten)
        await service.setup.step(order_id, Status.ROUTING)
        assert await changed.seqs(order_id, 1) == [2], "its subscriptions go on"


async def test_a_socket_of_one_key_does_not_become_that_of_another(redis_url: str, redis_prefix: str) -> None:
    async with guarded(redis_url, redis_prefix) as service:
        client = await service.connect(service.own)
        await client.say(auth(service.other))
        await refused(client)


async def test_while_keys_cannot_be_read_a_new_one_is_not_refused(redis_url: str, redis_prefix: str) -> None:
    async with guarded(redis_url, redis_prefix) as service:
        service.keys.down = True
        client = await service.connect()
        await client.say(auth(service.keys.create("new")))
        assert await code_of(client) == "unavailable"
        assert (await client.closed())[0] == 4008
