"""While not even the line for the queue has room, posted orders are refused before they are parsed."""

import pytest

from dexexec.api.app import EXECUTE
from dexexec.intake import queue_gate
from tests.support.running_api import GOOD, HEAD, problem, running_service

POST = HEAD + f"Content-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD
EMPTY = f"POST {EXECUTE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()
ALIVE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_gate, "MAX_WAITING", 0)


@pytest.mark.usefixtures("no_room")
async def test_refused_orders_and_other_requests_share_a_connection() -> None:
    async with running_service() as service, service.raw() as raw:
        for request in (POST, ALIVE, EMPTY, POST, ALIVE):
            await raw.send(request)
            status, headers, body = await raw.answer()
            if request is ALIVE:
                assert status == 200
            else:
                problem(headers, body, status, "queue-full")
                assert (status, headers["Retry-After"]) == (503, "1")
        assert service.store.created == []


@pytest.mark.usefixtures("no_room")
async def test_requests_that_are_sent_ahead_are_answered_in_their_order() -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(POST * 300 + ALIVE + POST)
        statuses = [(await raw.answer())[0] for _ in range(302)]
        assert statuses == [503] * 300 + [200, 503]


@pytest.mark.usefixtures("no_room")
async def test_a_body_that_comes_late_is_read_and_dropped() -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(POST[: -len(GOOD)])
        await raw.send(GOOD[:5])
        await raw.send(GOOD[5:] + ALIVE)
        assert [(await raw.answer())[0] for _ in range(2)] == [503, 200]


@pytest.mark.usefixtures("no_room")
async def test_a_client_that_leaves_within_a_body_ends_its_connection() -> None:
    async with running_service() as service:
        async with service.raw() as raw:
            await raw.send(POST[:-1])
        async with service.raw() as raw:
            await raw.send(POST)
            assert (await raw.answer())[0] == 503


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("header", ["X-Request-Id: mine", "Connection: close", "Expect: 100-continue"])
async def test_a_request_in_a_special_form_is_refused_at_the_end_of_its_usual_way(header: str) -> None:
    async with running_service() as service, service.raw() as raw:
        await raw.send(POST.replace(b"\r\n\r\n", f"\r\n{header}\r\n\r\n".encode(), 1))
        status, headers, body = await raw.answer()
        if status == 100:
            status, headers, body = await raw.answer()
        problem(headers, body, status, "queue-full")
        if "mine" in header:
            assert headers["X-Request-Id"] == "mine"


async def test_as_soon_as_there_is_room_an_order_is_taken_on_the_same_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_service() as service, service.raw() as raw:
        with monkeypatch.context() as patch:
            patch.setattr(queue_gate, "MAX_WAITING", 0)
            await raw.send(POST)
            assert (await raw.answer())[0] == 503
        await raw.send(POST)
        assert (await raw.answer())[0] == 202
        assert len(service.store.created) == 1
