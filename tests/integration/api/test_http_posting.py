"""Posting orders to a real server: what is taken, and what is refused with which answer."""

import asyncio
import json
import time
from uuid import UUID

import pytest

from dexexec.api.app import EXECUTE
from dexexec.api.request_pacer import Pacer
from dexexec.errors import QueueFullError
from dexexec.intake.queue_gate import MAX_WAITING
from tests.support.parts import new_order
from tests.support.running_api import GOOD, HEAD, JSON, document, problem, running_service
from tests.support.waiting import until

# Posting


async def test_a_posted_order_is_stored_and_its_id_answered_with_the_place_to_look_it_up() -> None:
    async with running_service() as service:
        answer = await service.post()
        order_id = json.loads(answer.body)["orderId"]
        assert (answer.code, json.loads(answer.body)) == (202, {"orderId": order_id})
        assert answer.headers["Content-Type"] == JSON
        assert answer.headers["Location"] == f"/api/orders/{order_id}"
        assert [str(order.id) for order in service.store.created] == [order_id]
        assert UUID(order_id).version == 7
        await service.intake.close()
        assert service.queue.ids == [UUID(order_id)]
        assert service.log_lines() == []


async def test_bad_fields_are_listed_with_what_would_be_right() -> None:
    async with running_service() as service:
        found = document(await service.post({"side": "hold", "amount": "1e400"}), 422, "invalid-order")
        assert found["errors"] == [
            {"field": "side", "problem": "is not a known side", "expected": '"buy" or "sell"'},
            {
                "field": "amount",
                "problem": "is written with an exponent",
                "expected": 'a positive decimal string such as "0.01"',
            },
        ]
        assert service.store.created == []


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{", JSON, 400, "malformed-body"),
        (b"", JSON, 400, "malformed-body"),
        (b"[" * 60_000, JSON, 400, "malformed-body"),
        (b'{"side": "\xff"}', JSON, 400, "malformed-body"),
        (GOOD, "", 415, "unsupported-media-type"),
        (GOOD, "text/plain", 415, "unsupported-media-type"),
        (GOOD, "application/json; charset=latin1", 415, "unsupported-media-type"),
        (b"side=buy&amount=1", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        (b"side=buy&amount=1", "multipart/form-data", 415, "unsupported-media-type"),
        (b"&" * 60_000, "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
    ],
)
async def test_what_is_not_a_json_object_is_refused_by_its_cause(
    body: bytes, content_type: str, status: int, code: str
) -> None:
    async with running_service() as service:
        headers = {"Content-Type": content_type} if content_type else {}
        document(await service.ask("POST", EXECUTE, body, headers), status, code)
        assert service.store.created == []


async def test_the_same_key_and_body_is_the_same_order_and_another_body_is_refused() -> None:
    async with running_service() as service:
        first = await service.post(Idempotency_Key="a key")
        again = await service.post({"amount": 0.01, "side": "buy"}, Idempotency_Key="a key")
        assert (again.code, again.body) == (202, first.body)
        assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
        other = await service.post({"side": "sell", "amount": "0.01"}, Idempotency_Key="a key")
        document(other, 422, "idempotency-key-reused")
        assert len(service.store.created) == 1


@pytest.mark.parametrize(
    ("key", "wrong"), [("", "is empty"), ("x" * 256, "is too long"), ("clé", "holds other characters")]
)
async def test_an_idempotency_key_that_cannot_be_used_is_refused(key: str, wrong: str) -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(HEAD + b"Idempotency-Key: %s\r\nContent-Length: %d\r\n\r\n" % (key.encode(), len(GOOD)) + GOOD)
        status, headers, body = await raw.answer()
        assert status == 400
        (error,) = problem(headers, body, 400, "invalid-idempotency-key")["errors"]
        assert (error["field"], error["problem"]) == ("Idempotency-Key", wrong)
        assert service.store.created == []


async def test_an_idempotency_key_of_255_characters_is_taken_and_two_keys_are_not() -> None:
    async with running_service() as service, service.raw() as raw:
        assert (await service.post(Idempotency_Key="k" * 255)).code == 202
        await raw.send(
            HEAD + b"Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD
        )
        status, headers, body = await raw.answer()
        assert "more than once" in problem(headers, body, status, "invalid-idempotency-key")["detail"]


# Time, and clients that go


async def test_an_orders_time_counts_from_the_last_byte_of_its_body() -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD[:-1])
        before = time.monotonic()
        await raw.send(GOOD[-1:])
        assert (await raw.answer())[0] == 202
        assert before <= service.store.read_at <= time.monotonic()


async def test_the_order_of_a_client_that_goes_before_it_is_stored_is_dropped() -> None:
    async with running_service(log_level="debug") as service:
        service.store.switch.hang()
        async with service.raw() as raw:
            await raw.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
            await until(lambda: service.store.asked == 1)
        await until(lambda: service.store.cancelled == 1)
        service.store.switch.go_on.set()
        order_id = json.loads((await service.post()).body)["orderId"]
        assert [str(order.id) for order in service.store.created] == [order_id]
        assert service.log_lines() == []
        statuses = [call.kwargs["status"] for call in service.log.calls if "status" in call.kwargs]
        assert statuses == [499, 202]


# Refusals that pass


async def test_a_client_over_its_limit_gets_429_and_when_to_come_back() -> None:
    async with running_service(client_orders_per_minute=1) as service:
        await service.post()
        answer = await service.post()
        assert document(answer, 429, "too-many-orders")["retryAfterMs"] == 12_300
        assert answer.headers["Retry-After"] == "13"


@pytest.mark.parametrize(
    ("proxies", "addresses"),
    [
        # No proxy: what the client writes is not read.
        ("10.1.0.0/16", ["", "6.6.6.1", "6.6.6.2, 6.6.6.3", "10.1.0.1", "127.0.0.1"]),
        # A proxy appends the address that it sees to what the client wrote.
        (
            "127.0.0.1",
            ["198.51.100.7", "6.6.6.1, 198.51.100.7", "6.6.6.2,127.0.0.1, 198.51.100.7", "x, 198.51.100.7:9"],
        ),
    ],
)
async def test_a_client_that_makes_up_addresses_does_not_evade_its_limit(proxies: str, addresses: list[str]) -> None:
    async with running_service(client_orders_per_minute=1, trusted_proxies=proxies) as service:
        codes = [(await service.post(X_Forwarded_For=address, X_Real_Ip=address)).code for address in addresses]
        assert codes == [202] + [429] * (len(addresses) - 1)
        other = await service.post(X_Forwarded_For="198.51.100.8")
        assert other.code == (202 if proxies == "127.0.0.1" else 429)


@pytest.mark.parametrize(
    ("trusted", "client"), [(False, "127.0.0.1"), (True, "10.1.2.3")], ids=["not trusted", "trusted"]
)
async def test_the_clients_address_is_the_proxys_word_only_when_the_proxy_is_trusted(
    trusted: bool, client: str
) -> None:
    async with running_service(trust_proxy=trusted) as service:
        await service.post(X_Forwarded_For="6.6.6.6, 10.1.2.3", X_Real_Ip="7.7.7.7")
        assert [order.client for order in service.store.created] == [client]


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.9", "10.0.0.9"),
        ("nonsense", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
async def test_an_ipv6_client_is_its_network_and_an_invalid_address_is_empty(forwarded: str, client: str) -> None:
    async with running_service(trust_proxy=True) as service:
        await service.post(X_Forwarded_For=forwarded)
        assert [order.client for order in service.store.created] == [client]


async def test_a_full_queue_is_503_with_retry_after() -> None:
    async with running_service(max_queue=1) as service:
        await service.post()
        answer = await service.post()
        document(answer, 503, "queue-full")
        assert answer.headers["Retry-After"] == "1"
        assert len(service.store.created) == 1


async def test_while_not_even_the_line_has_room_an_order_is_refused_unread() -> None:
    async with running_service(max_queue=1) as service:
        await service.post()
        line = [asyncio.create_task(service.intake.accept(new_order())) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        document(await service.post({"side": "hold"}), 503, "queue-full")
        assert isinstance((await asyncio.gather(*line, return_exceptions=True))[-1], QueueFullError)
        document(await service.post({"side": "hold"}), 422, "invalid-order")


async def test_redis_down_is_503_and_nothing_is_half_accepted() -> None:
    async with running_service() as service:
        service.queue.depth_switch.up = False
        answer = await service.post()
        assert "orderId" not in document(answer, 503, "unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert service.store.created == []


async def test_postgres_down_is_503_for_every_route_that_needs_it() -> None:
    async with running_service() as service:
        service.store.switch.up = False
        document(await service.post(), 503, "unavailable")
        document(await service.ask("GET", f"/api/orders/{UUID(int=7)}"), 503, "unavailable")
        document(await service.ask("GET", "/api/orders"), 503, "unavailable")
        assert {line["level"] for line in service.log_lines()} == {"error"}


async def test_an_order_whose_outcome_is_unknown_is_named_so_that_the_client_can_look() -> None:
    async with running_service(request_timeout_ms=100) as service:
        service.store.switch.hang()
        UUID(document(await service.post(), 503, "unavailable")["orderId"])
        service.store.switch.go_on.set()


async def test_a_refused_order_waits_for_a_turn_and_a_good_one_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many clients that send nonsense take no more of the event loop than one."""
    turns: list[str] = []
    turn = Pacer.turn

    def noted(pacer: Pacer, client: str) -> asyncio.Future[None] | None:
        turns.append(client)
        return turn(pacer, client)

    monkeypatch.setattr(Pacer, "turn", noted)
    async with running_service() as service:
        assert (await service.post()).code == 202
        assert turns == []
        answers = await asyncio.gather(*(service.post({"side": "hold"}) for _ in range(5)))
        assert [answer.code for answer in answers] == [422] * 5
        assert turns == ["127.0.0.1"] * 5
