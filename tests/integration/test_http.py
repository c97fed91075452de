"""The HTTP API on a real server: what it answers, and what it does with clients that do not behave."""

import json
import re
from typing import Any
from uuid import UUID

import pytest
from tornado.httpclient import HTTPResponse
from tornado.websocket import websocket_connect

from dexexec.api.app import EXECUTE, ROUTES
from dexexec.domain.status import Status
from tests.integration.service import GOOD, HEAD, JSON, problem, running_service


def document(answer: HTTPResponse, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, after checking what all of them have in common."""
    assert answer.code == status
    return problem(answer.headers, answer.body, status, code)


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
        assert service.told() == []


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


# Refusals that pass


async def test_a_client_over_its_limit_gets_429_and_when_to_come_back() -> None:
    async with running_service(client_orders_per_minute=1) as service:
        await service.post()
        answer = await service.post()
        assert document(answer, 429, "too-many-orders")["retryAfterMs"] == 12_300
        assert answer.headers["Retry-After"] == "13"


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
async def test_an_ipv6_client_is_its_network_and_nonsense_is_nobody(forwarded: str, client: str) -> None:
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
        assert {line["level"] for line in service.told()} == {"error"}


async def test_an_order_whose_fate_is_unknown_is_named_so_that_the_client_can_look() -> None:
    async with running_service(request_timeout_ms=100) as service:
        service.store.switch.hang()
        UUID(document(await service.post(), 503, "unavailable")["orderId"])
        service.store.switch.go_on.set()


# Reading


async def test_an_order_can_be_read_back_by_its_location() -> None:
    async with running_service() as service:
        location = (await service.post()).headers["Location"]
        answer = await service.ask("GET", location)
        assert (answer.code, answer.headers["Content-Type"]) == (200, JSON)
        assert json.loads(answer.body)["orderId"] == location.rpartition("/")[2]
        assert (await service.ask("GET", location.upper().replace("/API/ORDERS", "/api/orders"))).code == 200
        head = await service.ask("HEAD", location)
        assert (head.code, head.body) == (200, b"")
        assert head.headers["Content-Length"] == answer.headers["Content-Length"]


@pytest.mark.parametrize("name", [str(UUID(int=7)), "7", "%7B00000000-0000-0000-0000-000000000007%7D", "x" * 2_000])
async def test_an_id_of_no_order_is_404_whatever_it_looks_like(name: str) -> None:
    async with running_service() as service:
        document(await service.ask("GET", f"/api/orders/{name}"), 404, "order-not-found")


async def test_the_list_is_walked_to_its_end_by_following_its_links() -> None:
    async with running_service() as service:
        ids = [json.loads((await service.post()).body)["orderId"] for _ in range(7)]
        path: str | None = "/api/orders?limit=3&status=pending"
        pages: list[list[str]] = []
        while path:
            answer = await service.ask("GET", path)
            page = json.loads(answer.body)
            assert set(page) == {"orders", "next"}
            pages.append([order["orderId"] for order in page["orders"]])
            assert all(set(order) == {"orderId"} for order in page["orders"])
            link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("Link", ""))
            assert (link is None) is (page["next"] is None)
            path = link[1] if link else None
            assert path is None or f"cursor={page['next']}" in path
        assert pages == [ids[6:3:-1], ids[3:0:-1], ids[0:1]]


async def test_the_list_has_twenty_orders_by_default_and_its_last_page_says_so() -> None:
    async with running_service() as service:
        for _ in range(21):
            await service.post()
        page = json.loads((await service.ask("GET", "/api/orders")).body)
        assert len(page["orders"]) == 20
        rest = json.loads((await service.ask("GET", f"/api/orders?cursor={page['next']}")).body)
        assert (len(rest["orders"]), rest["next"]) == (1, None)
        assert json.loads((await service.ask("GET", "/api/orders?status=failed")).body) == {"orders": [], "next": None}


@pytest.mark.parametrize(
    ("query", "field", "wrong", "expected"),
    [
        ("limit=0", "limit", "is not a usable limit", "an integer from 1 to 100"),
        ("limit=101", "limit", "is not a usable limit", "an integer from 1 to 100"),
        ("limit=ten", "limit", "is not a usable limit", "an integer from 1 to 100"),
        ("limit=%EF%BC%91", "limit", "is not a usable limit", "an integer from 1 to 100"),
        ("limit=", "limit", "is not a usable limit", "an integer from 1 to 100"),
        ("limit=1&limit=2", "limit", "is given more than once", "each parameter once"),
        ("status=done", "status", "is not a status", "one of " + ", ".join(Status)),
        ("cursor=nonsense", "cursor", "is not a cursor of this list", "`next` of an answer, unchanged"),
        ("cursor=", "cursor", "is not a cursor of this list", "`next` of an answer, unchanged"),
        ("cursor=%FF%FE", "cursor", "is not a cursor of this list", "`next` of an answer, unchanged"),
        ("cursor=" + "A" * 28, "cursor", "is not a cursor of this list", "`next` of an answer, unchanged"),
        ("cursor=f" + "_" * 31, "cursor", "is not a cursor of this list", "`next` of an answer, unchanged"),
        ("stat=failed", "stat", "is not a parameter of this list", "did you mean status?"),
        ("%0A=1", "\\n", "is not a parameter of this list", "only status, limit, cursor"),
    ],
)
async def test_a_bad_query_parameter_is_named(query: str, field: str, wrong: str, expected: str) -> None:
    async with running_service() as service:
        found = document(await service.ask("GET", f"/api/orders?{query}"), 400, "invalid-query")
        assert found["errors"] == [{"field": field, "problem": wrong, "expected": expected}]


# Health


async def test_alive_says_so_even_when_all_else_is_down() -> None:
    async with running_service() as service:
        service.store.switch.up = service.queue.depth_switch.up = False
        answer = await service.ask("GET", "/healthz")
        assert (answer.code, json.loads(answer.body)) == (200, {"status": "alive"})


async def test_ready_says_so_when_everything_is_there() -> None:
    async with running_service() as service:
        answer = await service.ask("GET", "/readyz")
        checks = {"postgres": True, "redis": True, "worker": True}
        assert (answer.code, json.loads(answer.body)) == (200, {"status": "ready", "checks": checks, "missing": []})


@pytest.mark.parametrize(
    ("broken", "missing"),
    [("postgres", ["postgres", "worker"]), ("redis", ["redis"]), ("worker", ["worker"])],
)
async def test_ready_names_what_is_missing(broken: str, missing: list[str]) -> None:
    """Whether a worker was seen is known only from Postgres."""
    async with running_service() as service:
        service.store.switch.up = broken != "postgres"
        service.queue.depth_switch.up = broken != "redis"
        service.store.worker = broken != "worker"
        answer = await service.ask("GET", "/readyz")
        found = json.loads(answer.body)
        assert (answer.code, answer.headers["Retry-After"]) == (503, "1")
        assert (found["status"], found["missing"]) == ("not ready", missing)


# Paths, methods, headers


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/orders/", "/api/orders/execute/", "/api/orders/a/b", "/problems", "//"]
)
async def test_an_unknown_path_is_404_for_every_method(path: str) -> None:
    async with running_service() as service:
        for method in ("GET", "POST", "OPTIONS", "DELETE"):
            answer = await service.ask(method, path, b"" if method == "POST" else None)
            document(answer, 404, "not-found")


ALLOWED = {
    "/api/orders/execute": "POST, OPTIONS",
    "/api/orders/{id}": "GET, HEAD, OPTIONS",
    "/api/orders": "GET, HEAD, OPTIONS",
    "/healthz": "GET, HEAD, OPTIONS",
    "/readyz": "GET, HEAD, OPTIONS",
    "/problems/{code}": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
async def test_a_wrong_method_is_405_and_lists_the_right_ones_as_options_does(route: Any) -> None:
    path, allowed = route.path.replace("{id}", str(UUID(int=7))).replace("{code}", "internal"), ALLOWED[route.path]
    async with running_service() as service:
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW"} - set(allowed.split(", ")):
            answer = await service.ask(method, path, b"" if method in {"POST", "PUT", "PATCH"} else None)
            assert (answer.code, answer.headers["Allow"]) == (405, allowed)
            if method != "HEAD":
                document(answer, 405, "method-not-allowed")
        options = await service.ask("OPTIONS", path)
        assert (options.code, options.headers["Allow"], options.body) == (204, allowed, b"")


async def test_a_get_on_the_posting_path_is_the_websocket_only_with_its_handshake() -> None:
    async with running_service() as service:
        found = document(await service.ask("GET", EXECUTE), 405, "method-not-allowed")
        assert "Upgrade: websocket" in found["detail"]
        socket = await websocket_connect(f"ws://127.0.0.1:{service.port}{EXECUTE}?orderId=x")
        await socket.write_message("hello")
        assert await socket.read_message() == "hello"
        socket.close()
        assert (await service.post(Upgrade="websocket", Connection="upgrade")).code == 202


async def test_a_problem_s_type_can_be_asked_for() -> None:
    async with running_service() as service:
        refused = document(await service.post({"side": "hold"}), 422, "invalid-order")
        answer = await service.ask("GET", refused["type"])
        assert answer.code == 200
        assert json.loads(answer.body)["title"] == refused["title"]
        document(await service.ask("GET", "/problems/nothing"), 404, "not-found")


@pytest.mark.parametrize(
    ("sent", "echoed"), [("abc-123_~.Z", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("a:b", False)]
)
async def test_a_sane_request_id_is_echoed_and_any_other_replaced(sent: str, echoed: bool) -> None:
    async with running_service() as service:
        for answer in (
            await service.post(X_Request_Id=sent),
            await service.ask("GET", "/no", None, {"X-Request-Id": sent}),
        ):
            assert (answer.headers["X-Request-Id"] == sent) is echoed
            assert re.fullmatch(r"[A-Za-z0-9._~-]{1,64}", answer.headers["X-Request-Id"])


async def test_answers_say_nothing_about_versions_and_are_not_to_be_stored() -> None:
    async with running_service() as service:
        for answer in (await service.post(), await service.ask("GET", "/healthz"), await service.ask("GET", "/no")):
            assert (answer.headers["Server"], answer.headers["Cache-Control"]) == ("dexexec", "no-store")
            assert "Etag" not in answer.headers


async def test_a_fault_of_ours_is_logged_with_its_traceback_and_answered_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_service() as service:

        async def broken(*_: object) -> None:
            raise RuntimeError("secret-in-an-exception")

        monkeypatch.setattr(service.store, "order", broken)
        answer = await service.ask("GET", f"/api/orders/{UUID(int=7)}")
        found = document(answer, 500, "internal")
        assert b"secret" not in answer.body
        crashed, refused = service.told()
        assert (crashed["event"], crashed["request_id"]) == ("request crashed", found["instance"])
        assert "secret-in-an-exception" in str(crashed["exc_info"])
        assert (refused["level"], refused["problem"], refused["request_id"]) == ("error", "internal", found["instance"])


async def test_a_refusal_is_one_log_line_with_field_names_and_without_values() -> None:
    async with running_service() as service:
        answer = await service.ask(
            "POST", f"{EXECUTE}?key=hunter2", b'{"side": "hunter2", "amount": "1", "a\\nb": 1}', {"Content-Type": JSON}
        )
        document(answer, 422, "invalid-order")
        (line,) = service.told()
        assert line.pop("ms") >= 0
        assert line == {
            "level": "info",
            "event": "request refused",
            "status": 422,
            "problem": "invalid-order",
            "fields": ["a\\nb", "side"],
            "method": "POST",
            "path": EXECUTE,
            "client": "127.0.0.1",
            "request_id": answer.headers["X-Request-Id"],
        }
