"""Requests of the client against a server that loses answers, has no room, hangs, or is another one."""

import asyncio
import json
import logging
from uuid import UUID

import pytest

from dexexec.client import AsyncClient, MalformedAnswerError, MarketOrder, NoAnswerError, ProblemError
from dexexec.client.problems import (
    GatewayError,
    HaltedError,
    IdempotencyKeyReusedError,
    InvalidOrderError,
    QueueFullError,
    TooManyOrdersError,
    UnauthorizedError,
    VersionMismatchError,
)
from tests.integration.client.scripted_http import (
    ORDER_ID,
    Treat,
    accepts,
    answers,
    cuts,
    cuts_in_the_middle,
    hangs,
    scripted,
)
from tests.support.ports import free_port
from tests.support.waiting import until

KEY = "dx_abcdefghijkl_" + "s" * 43
ORDER = MarketOrder("buy", "0.01")


def refuses(status: int, code: str, **members: object) -> dict[str, object]:
    return {"type": f"/problems/{code}", "title": "A title", "status": status, "detail": "why", **members}


BUSY = answers(503, refuses(503, "queue-full", retryAfterMs=10))
IN_FLIGHT = answers(409, refuses(409, "idempotency-key-in-flight", retryAfterMs=10))
LIMITED = answers(429, refuses(429, "too-many-orders"), Retry_After="0")
BAD_GATEWAY = answers(502, b"<html>")


@pytest.mark.parametrize("trouble", [cuts, cuts_in_the_middle, BUSY, IN_FLIGHT, LIMITED, BAD_GATEWAY])
async def test_an_order_is_sent_again_with_the_same_key_and_body_until_it_is_answered(trouble: Treat) -> None:
    reasons: list[str] = []
    async with (
        scripted(trouble, trouble, accepts(replayed=True)) as server,
        AsyncClient(server.url, on_retry=lambda reason, _: reasons.append(reason)) as client,
    ):
        placed = await client.place(ORDER)
    assert (placed.order_id, placed.replayed) == (ORDER_ID, True)
    assert server.keys == [placed.idempotency_key] * 3
    assert UUID(placed.idempotency_key)
    assert {one.body for one in server.received} == {b'{"type":"market","side":"buy","amount":"0.01"}'}
    assert len(reasons) == 2


async def test_a_refusal_is_not_sent_again() -> None:
    field = {"field": "amount", "problem": "is negative", "expected": "a positive number"}
    async with (
        scripted(answers(422, refuses(422, "invalid-order", errors=[field]))) as server,
        AsyncClient(server.url) as client,
    ):
        with pytest.raises(InvalidOrderError, match="amount is negative") as caught:
            await client.place(ORDER, key="my key")
    assert len(server.received) == 1
    assert (caught.value.uncertain, caught.value.idempotency_key) == (False, "my key")


async def test_a_webhook_whose_secret_was_lost_with_the_answer_is_not_made_again() -> None:
    async with scripted(BUSY, cuts, accepts()) as server, AsyncClient(server.url) as client:
        with pytest.raises(NoAnswerError) as caught:
            await client.webhooks.add("books", "https://hooks.example/")
    assert caught.value.uncertain
    assert len(server.received) == 2, "again after a refusal, and not after a lost answer"


async def test_a_refusal_after_a_lost_answer_is_uncertain() -> None:
    async with (
        scripted(cuts, answers(422, refuses(422, "idempotency-key-reused"))) as server,
        AsyncClient(server.url) as client,
    ):
        with pytest.raises(IdempotencyKeyReusedError) as caught:
            await client.place(ORDER)
    assert caught.value.uncertain


async def test_a_halt_is_not_waited_for() -> None:
    async with (
        scripted(answers(503, refuses(503, "halted", retryAfterMs=1))) as server,
        AsyncClient(server.url) as client,
    ):
        with pytest.raises(HaltedError):
            await client.place(ORDER)
    assert len(server.received) == 1


async def test_a_service_that_stays_full_is_given_up_at_the_deadline() -> None:
    for_long = answers(503, refuses(503, "queue-full", retryAfterMs=60_000))
    async with scripted(BUSY, BUSY, for_long) as server, AsyncClient(server.url) as client:
        with pytest.raises(QueueFullError) as caught:
            await client.place(ORDER)
    assert len(server.received) == 3
    assert not caught.value.uncertain, "the service refuses before it stores anything"
    assert caught.value.idempotency_key == server.keys[0]


async def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    async with (
        scripted(answers(429, refuses(429, "too-many-orders"), Retry_After="60")) as server,
        AsyncClient(server.url) as client,
    ):
        with pytest.raises(TooManyOrdersError) as caught:
            await client.place(ORDER)
    assert (len(server.received), caught.value.retry_after) == (1, 60.0)


async def test_a_server_that_never_answers_is_an_error_in_time_and_uncertain() -> None:
    async with scripted(hangs) as server, AsyncClient(server.url) as client:
        with pytest.raises(NoAnswerError, match="did not answer within") as caught:
            await client.place(ORDER, timeout=1.5)
    assert caught.value.uncertain


async def test_a_server_that_is_not_there_has_done_nothing() -> None:
    async with AsyncClient(f"http://127.0.0.1:{free_port()}", timeout=2.0) as client:
        with pytest.raises(NoAnswerError, match="cannot be connected to") as caught:
            await client.place(ORDER)
    assert not caught.value.uncertain
    assert caught.value.idempotency_key


async def test_a_request_that_is_cancelled_closes_its_connection() -> None:
    async with scripted(hangs) as server, AsyncClient(server.url) as client:
        asking = asyncio.create_task(client.get(ORDER_ID))
        await until(lambda: len(server.received) == 1)
        asking.cancel()
        await until(lambda: server.gone == 1)
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_a_change_that_is_repeated_names_the_same_version() -> None:
    answer = answers(200, {"orderId": ORDER_ID, "seq": 3, "changed": {}}, Idempotent_Replayed="true")
    async with scripted(cuts, answer) as server, AsyncClient(server.url) as client:
        amended = await client.amend(ORDER_ID, version=2, limit_price="150", expires_at=None)
        assert (amended.seq, amended.replayed) == (3, True)
        assert [one.headers["if-match"] for one in server.received] == ['"2"', '"2"']
        assert json.loads(server.received[0].body) == {"limitPrice": "150", "expiresAt": None}


async def test_a_change_of_another_version_is_refused_with_the_current_one() -> None:
    async with (
        scripted(answers(412, refuses(412, "version-mismatch", seq=9))) as server,
        AsyncClient(server.url) as client,
    ):
        with pytest.raises(VersionMismatchError) as caught:
            await client.amend(ORDER_ID, version=None, amount="1")
    assert caught.value.about["seq"] == 9
    assert server.received[0].headers["if-match"] == "*"


async def test_cancelling_all_adds_up_what_interrupted_tries_have_cancelled() -> None:
    partly = answers(503, refuses(503, "partly-cancelled", cancelled=500, retryAfterMs=1))
    async with (
        scripted(partly, partly, answers(200, {"cancelled": 7, "tooLate": 1})) as server,
        AsyncClient(server.url) as client,
    ):
        done = await client.cancel_all("open", pair="SOL/USDC")
    assert (done.cancelled, done.too_late) == (1_007, 1)
    assert server.received[0].line.startswith("DELETE /api/orders?status=open&pair=SOL%2FUSDC ")


async def test_a_redirect_is_not_followed_and_the_key_stays_here() -> None:
    async with (
        scripted(accepts()) as elsewhere,
        scripted(answers(307, b"", Location=elsewhere.url)) as server,
        AsyncClient(server.url, token=KEY) as client,
    ):
        with pytest.raises(ProblemError) as caught:
            await client.place(ORDER)
        with pytest.raises(ProblemError) as on_socket:
            await client.wait(ORDER_ID)
    assert (caught.value.http_status, on_socket.value.http_status) == (307, 307)
    assert elsewhere.received == []
    assert [one.headers["authorization"] for one in server.received] == [f"Bearer {KEY}"] * 2


async def test_the_key_is_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    echo = answers(401, refuses(401, "unauthorized", detail=f"Bearer {KEY} is not valid"))
    with caplog.at_level(logging.DEBUG):
        async with scripted(echo) as server, AsyncClient(server.url, token=KEY) as client:
            with pytest.raises(UnauthorizedError, match=r"Bearer \*\*\* is not valid") as caught:
                await client.place(ORDER)
            with pytest.raises(UnauthorizedError, match=r"Bearer \*\*\* is not valid") as on_socket:
                await client.wait(ORDER_ID)
        async with AsyncClient(f"http://127.0.0.1:{free_port()}", token=KEY, timeout=0.2) as client:
            with pytest.raises(NoAnswerError) as lost:
                await client.place(ORDER)
    for error in (caught.value, on_socket.value, lost.value):
        assert error.__context__ is None, "an error of the library has the request and its headers"
        assert KEY not in repr(error.__dict__)
    assert KEY not in caplog.text
    assert len(server.received) == 2


@pytest.mark.parametrize("body", [b"hello", b"[1]", b'{"orders": 3}', b"{}"])
async def test_another_server_is_recognised(body: bytes) -> None:
    async with scripted(answers(200, body)) as server, AsyncClient(server.url) as client:
        with pytest.raises(MalformedAnswerError):
            await client.get(ORDER_ID)


async def test_an_id_is_one_part_of_the_path() -> None:
    async with scripted(answers(404, refuses(404, "order-not-found"))) as server, AsyncClient(server.url) as client:
        with pytest.raises(ProblemError):
            await client.cancel("../orders?status=open")
    assert server.received[0].line == "DELETE /api/orders/..%2Forders%3Fstatus%3Dopen HTTP/1.1"


async def test_a_closed_client_refuses_to_go_on() -> None:
    async with scripted(answers(502, b"<html>", Retry_After="60")) as server:
        client = AsyncClient(server.url)
        with pytest.raises(GatewayError):
            await client.venues()
        await client.aclose()
        await client.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await client.venues()
        with pytest.raises(RuntimeError, match="closed"):
            client.events(ORDER_ID)
