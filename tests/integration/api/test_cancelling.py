"""Cancelling over HTTP and on a WebSocket: what is answered, and what a client can tell from it."""

import json
from uuid import UUID, uuid4

import pytest

from dexexec.domain.cancellation import Cancelled, CancelledAll, Pair, Selection, TooLate
from dexexec.domain.status import Status
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import PartlyCancelledError
from tests.support.running_api import document, running_service

ATTEMPT = {"attempt": 1, "venue": "a", "txHash": "5kK", "outcome": "open"}


async def test_an_order_is_cancelled_and_repeating_it_gives_the_same_answer() -> None:
    async with running_service() as service:
        order_id = uuid4()
        service.store.cancel_answer = Cancelled(order_id=order_id, seq=3)
        answer = await service.ask("DELETE", f"/api/orders/{order_id}")
        assert (answer.code, json.loads(answer.body)) == (
            200, {"orderId": str(order_id), "status": "cancelled", "seq": 3},
        )  # fmt: skip
        assert "Idempotent-Replayed" not in answer.headers
        service.store.cancel_answer = Cancelled(order_id=order_id, seq=3, repeated=True)
        again = await service.ask("DELETE", f"/api/orders/{str(order_id).upper()}")
        assert (again.code, again.body) == (200, answer.body)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert service.store.cancels == [order_id, order_id]


async def test_an_order_with_a_signed_attempt_is_a_conflict_that_shows_the_attempt() -> None:
    async with running_service() as service:
        order_id = uuid4()
        service.store.cancel_answer = TooLate(order_id=order_id, status=Status.SUBMITTED, ended=False, attempt=ATTEMPT)
        found = document(await service.ask("DELETE", f"/api/orders/{order_id}"), 409, "too-late")
        assert (found["orderId"], found["orderStatus"], found["attempt"]) == (str(order_id), "submitted", ATTEMPT)
        assert found["detail"] == "attempt 1 is signed (open): the order goes on"


async def test_an_order_that_has_ended_is_a_conflict_with_its_status() -> None:
    async with running_service() as service:
        order_id = uuid4()
        service.store.cancel_answer = TooLate(order_id=order_id, status=Status.EXPIRED, ended=True)
        found = document(await service.ask("DELETE", f"/api/orders/{order_id}"), 409, "too-late")
        assert (found["detail"], "attempt" in found) == ("the order has ended: it is expired", False)


async def test_an_order_that_ended_after_an_attempt_does_not_go_on() -> None:
    async with running_service() as service:
        order_id = uuid4()
        landed = {**ATTEMPT, "outcome": "landed"}
        service.store.cancel_answer = TooLate(order_id=order_id, status=Status.CONFIRMED, ended=True, attempt=landed)
        found = document(await service.ask("DELETE", f"/api/orders/{order_id}"), 409, "too-late")
        assert (found["detail"], found["attempt"]) == ("the order has ended: it is confirmed", landed)


@pytest.mark.parametrize("name", ["42", str(UUID(int=7)), "execute", f"{UUID(int=7)}x"])
async def test_an_unknown_order_is_not_found(name: str) -> None:
    async with running_service() as service:
        answer = await service.ask("DELETE", f"/api/orders/{name}")
        if name == "execute":
            document(answer, 405, "method-not-allowed")
        else:
            document(answer, 404, "order-not-found")


async def test_nothing_is_cancelled_below_an_order() -> None:
    async with running_service() as service:
        document(await service.ask("DELETE", f"/api/orders/{uuid4()}/explain"), 405, "method-not-allowed")
        assert service.store.cancels == []


async def test_an_outage_of_postgres_is_503() -> None:
    async with running_service() as service:
        service.store.switch.up = False
        found = document(await service.ask("DELETE", f"/api/orders/{uuid4()}"), 503, "unavailable")
        assert found["detail"].startswith("the order may be cancelled: repeat the request (")


async def test_all_orders_of_a_selection_are_cancelled_and_counted() -> None:
    async with running_service() as service:
        service.store.cancel_all_answer = CancelledAll(cancelled=1_234, too_late=5)
        answer = await service.ask("DELETE", "/api/orders?status=waiting&pair=SOL/USDC&tag=grid")
        assert (answer.code, json.loads(answer.body)) == (200, {"cancelled": 1_234, "tooLate": 5})
        assert service.store.selections == [Selection(pair=Pair(WSOL, USDC), tag="grid")]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", ["status"]),
        ("?pair=SOL/USDC", ["status"]),
        ("?status=all", ["status"]),
        ("?status=waiting&status=open", ["status"]),
        ("?status=waiting&pair=SOLUSDC&limit=3", ["limit", "pair"]),
    ],
)
async def test_nothing_is_cancelled_by_a_query_that_does_not_say_what(query: str, fields: list[str]) -> None:
    async with running_service() as service:
        found = document(await service.ask("DELETE", f"/api/orders{query}"), 400, "invalid-query")
        assert [error["field"] for error in found["errors"]] == fields
        assert service.store.selections == []


async def test_an_outage_in_the_middle_answers_how_many_are_cancelled_and_that_repeating_is_safe() -> None:
    async with running_service() as service:
        service.store.cancel_all_answer = PartlyCancelledError(500, "Postgres does not answer")
        answer = await service.ask("DELETE", "/api/orders?status=open")
        found = document(answer, 503, "partly-cancelled")
        assert (found["cancelled"], answer.headers["Retry-After"]) == (500, "1")
        assert found["detail"] == (
            "500 orders are cancelled, and more may be: repeat the request (Postgres does not answer)"
        )


async def test_cancelling_needs_neither_redis_nor_a_worker() -> None:
    async with running_service() as service:
        service.queue.depth_switch.up = service.queue.enqueue_switch.up = False
        service.store.worker = False
        service.store.cancel_all_answer = CancelledAll(cancelled=3, too_late=0)
        order_id = uuid4()
        service.store.cancel_answer = Cancelled(order_id=order_id, seq=3)
        assert (await service.ask("GET", "/readyz")).code == 503
        assert (await service.ask("DELETE", "/api/orders?status=open")).code == 200
        assert (await service.ask("DELETE", f"/api/orders/{order_id}")).code == 200
