"""The HTTP API on a real server: orders that are read back, health, and what holds for every path."""

import gzip
import json
import re
from typing import Any
from uuid import UUID

import pytest
from tornado.websocket import websocket_connect

from dexexec.api.app import EXECUTE, ROUTES
from dexexec.domain.status import Status
from dexexec.store.orders import first_detail
from tests.support.running_api import GOOD, JSON, document, running_service

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


async def test_a_client_that_has_an_order_as_it_is_gets_304_until_anything_of_it_changes() -> None:
    async with running_service() as service:
        location = (await service.post()).headers["Location"]
        answer = await service.ask("GET", location)
        tag = answer.headers["ETag"]
        assert re.fullmatch(r'"1-[0-9a-f]{12}"', tag)
        assert (await service.ask("HEAD", location)).headers["ETag"] == tag
        for given in (tag, f"W/{tag}", f'"0", {tag}', "*"):
            for method in ("GET", "HEAD"):
                again = await service.ask(method, location, headers={"If-None-Match": given})
                assert (again.code, again.body, again.headers["ETag"]) == (304, b"", tag)
                assert "Content-Type" not in again.headers
        assert (await service.ask("GET", location, headers={"If-None-Match": '"1"'})).code == 200
        waits = {"reason": "node", "detail": "no node answers", "since": "2026-01-01T00:00:00.000Z"}
        service.store.waiting_for = waits
        again = await service.ask("GET", location, headers={"If-None-Match": tag})
        assert (again.code, json.loads(again.body)["waitingFor"]) == (200, waits)
        assert again.headers["ETag"] != tag, "what it waits for changes within a version"


async def test_a_large_answer_is_compressed_for_a_client_that_accepts_it() -> None:
    async with running_service() as service:
        location = (await service.post()).headers["Location"]
        since = "2026-01-01T00:00:00.000Z"
        service.store.waiting_for = {"reason": "node", "detail": "no node answers " * 100, "since": since}
        plain = await service.ask("GET", location)
        packed = await service.ask("GET", location, headers={"Accept-Encoding": "br, gzip;q=0.5"})
        assert (plain.headers["Vary"], packed.headers["Vary"]) == ("Accept-Encoding", "Accept-Encoding")
        assert (plain.headers.get("Content-Encoding"), packed.headers["Content-Encoding"]) == (None, "gzip")
        assert int(packed.headers["Content-Length"]) == len(packed.body) < len(plain.body) // 3
        assert gzip.decompress(packed.body) == plain.body
        assert packed.headers["ETag"] == plain.headers["ETag"][:-1] + '-gzip"', "another encoding, another strong tag"
        for tag, encoding, code in ((packed, "gzip", 304), (packed, "identity", 200), (plain, "gzip", 200)):
            headers = {"Accept-Encoding": encoding, "If-None-Match": tag.headers["ETag"]}
            again = await service.ask("GET", location, headers=headers)
            assert (again.code, again.headers["Vary"]) == (code, "Accept-Encoding")
        head = await service.ask("HEAD", location, headers={"Accept-Encoding": "gzip"})
        assert (head.headers["Content-Length"], head.body) == (packed.headers["Content-Length"], b"")


async def test_a_small_answer_is_never_compressed() -> None:
    async with running_service() as service:
        answer = await service.ask("GET", "/healthz", headers={"Accept-Encoding": "gzip"})
        assert json.loads(answer.body) == {"status": "alive"}
        assert not {"Vary", "Content-Encoding"} & set(answer.headers)


@pytest.mark.parametrize("name", [str(UUID(int=7)), "7", "%7B00000000-0000-0000-0000-000000000007%7D", "x" * 2_000])
async def test_an_id_of_no_order_is_404_in_any_form(name: str) -> None:
    async with running_service() as service:
        document(await service.ask("GET", f"/api/orders/{name}"), 404, "order-not-found")


async def test_a_dry_run_is_named_in_the_answer_and_in_the_first_event() -> None:
    async with running_service() as service:
        answer = json.loads((await service.post({"side": "buy", "amount": "0.01", "dryRun": True})).body)
        [stored] = service.store.created
        assert answer == {"orderId": str(stored.id), "dryRun": True}
        assert first_detail(stored)["dryRun"] is True
        assert json.loads((await service.post()).body).keys() == {"orderId"}


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
            assert all("_cursor" not in order for order in page["orders"])
            link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("Link", ""))
            assert (link is None) is (page["next"] is None)
            path = link[1] if link else None
            assert path is None or f"cursor={page['next']}" in path
        assert pages == [ids[6:3:-1], ids[3:0:-1], ids[0:1]]


async def test_the_list_has_twenty_orders_by_default_and_its_last_page_has_no_cursor() -> None:
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
        (
            "%0A=1",
            "\\n",
            "is not a parameter of this list",
            "only status, limit, cursor, from, to, venue, pair, inputMint, outputMint, reason, type, dryRun, tag, "
            "parent, ocoGroup, wallet, key, totals, fields",
        ),
    ],
)
async def test_a_bad_query_parameter_is_named(query: str, field: str, wrong: str, expected: str) -> None:
    async with running_service() as service:
        found = document(await service.ask("GET", f"/api/orders?{query}"), 400, "invalid-query")
        assert found["errors"] == [{"field": field, "problem": wrong, "expected": expected}]


# Health


async def test_alive_answers_even_when_all_else_is_down() -> None:
    async with running_service() as service:
        service.store.switch.up = service.queue.depth_switch.up = False
        answer = await service.ask("GET", "/healthz")
        assert (answer.code, json.loads(answer.body)) == (200, {"status": "alive"})


async def test_ready_is_200_when_everything_is_there() -> None:
    async with running_service() as service:
        answer = await service.ask("GET", "/readyz")
        checks = {"postgres": True, "redis": True, "worker": True}
        expected = {"status": "ready", "checks": checks, "missing": [], "causes": {}, "ageMs": 0}
        assert (answer.code, json.loads(answer.body) | {"ageMs": 0}) == (200, expected)


@pytest.mark.parametrize(
    ("broken", "missing"),
    [
        ("postgres", ["postgres", "worker"]),
        ("redis", ["redis"]),
        ("worker", ["worker"]),
        ("comparison", ["chain-comparison"]),
    ],
)
async def test_ready_names_what_is_missing(broken: str, missing: list[str]) -> None:
    """Whether a worker was seen is known only from Postgres."""
    async with running_service() as service:
        service.store.switch.up = broken != "postgres"
        service.queue.depth_switch.up = broken != "redis"
        service.store.worker = broken != "worker"
        service.store.stopped = broken == "comparison"
        answer = await service.ask("GET", "/readyz")
        found = json.loads(answer.body)
        assert (answer.code, answer.headers["Retry-After"]) == (503, "1")
        assert (found["status"], found["missing"], list(found["causes"])) == ("not ready", missing, missing)
        assert [name for name, there in found["checks"].items() if not there] == missing


@pytest.mark.parametrize(
    ("trouble", "causes"),
    [
        ("node: no node of solana answers", {"node": "no node of solana answers"}),
        ("venues: every venue is skipped", {"venues": "every venue is skipped"}),
        ("no node answers", {"node": "no node answers"}),  # as a worker of an earlier version writes it
    ],
)
async def test_without_nodes_or_venues_it_is_degraded_and_still_gets_requests(
    trouble: str, causes: dict[str, str]
) -> None:
    async with running_service() as service:
        service.store.trouble = trouble
        answer = await service.ask("GET", "/readyz")
        found = json.loads(answer.body)
        assert (answer.code, found["status"], found["missing"], found["causes"]) == (200, "degraded", [], causes)


async def test_a_process_that_stops_is_not_ready_at_once_and_serves_its_clients_until_then() -> None:
    async with running_service() as service:
        assert (await service.ask("GET", "/readyz")).code == 200
        service.api.readiness.stop()
        answer = await service.ask("GET", "/readyz")
        assert (answer.code, json.loads(answer.body)["missing"]) == (503, ["stopping"])
        posted = await service.post()
        assert (posted.code, posted.headers["Connection"]) == (202, "close")


# Paths, methods, headers


@pytest.mark.parametrize(
    "path", ["/api", "/api/orders//", "/api/orders/execute//", "/api/orders/a/b", "/problems", "//"]
)
async def test_an_unknown_path_is_404_for_every_method(path: str) -> None:
    async with running_service() as service:
        for method in ("GET", "POST", "OPTIONS", "DELETE"):
            answer = await service.ask(method, path, b"" if method == "POST" else None)
            document(answer, 404, "not-found")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
async def test_every_path_may_end_with_a_slash(route: Any) -> None:
    path = route.path.replace("{id}", str(UUID(int=7))).replace("{code}", "internal").rstrip("/") + "/"
    async with running_service() as service:
        answers = [await service.ask("OPTIONS", one) for one in (path, route.path)]
        assert [(one.code, one.headers["Allow"]) for one in answers] == [(204, ALLOWED[route.path])] * 2


async def test_an_order_can_be_posted_and_followed_with_a_slash_at_the_end_of_the_path() -> None:
    async with running_service() as service:
        answer = await service.ask("POST", f"{EXECUTE}/", GOOD, {"Content-Type": JSON})
        assert answer.code == 202
        assert (await service.ask("GET", answer.headers["Location"] + "/")).code == 200
        socket = await websocket_connect(f"ws://127.0.0.1:{service.port}{EXECUTE}/")
        await socket.write_message("hello")
        assert await socket.read_message() == "hello"
        socket.close()


ALLOWED = {
    "/": "GET, HEAD, OPTIONS",
    "/api/orders/execute": "POST, OPTIONS",
    "/api/orders/check": "POST, OPTIONS",
    "/api/orders/{id}": "GET, HEAD, PATCH, DELETE, OPTIONS",
    "/api/orders/{id}/explain": "GET, HEAD, OPTIONS",
    "/api/orders/{id}/events": "GET, HEAD, OPTIONS",
    "/api/orders/{id}/signed": "POST, OPTIONS",
    "/api/events": "GET, HEAD, OPTIONS",
    "/api/costs": "GET, HEAD, OPTIONS",
    "/api/overview": "GET, HEAD, OPTIONS",
    "/api/quote": "GET, HEAD, OPTIONS",
    "/api/venues": "GET, HEAD, OPTIONS",
    "/api/orders": "GET, HEAD, DELETE, OPTIONS",
    "/api/stats": "GET, HEAD, OPTIONS",
    "/api/webhooks": "GET, HEAD, POST, OPTIONS",
    "/api/webhooks/{id}": "GET, HEAD, PATCH, DELETE, OPTIONS",
    "/api/webhooks/{id}/deliveries": "GET, HEAD, OPTIONS",
    "/api/webhooks/{id}/resend": "POST, OPTIONS",
    "/api/webhooks/{id}/replay": "POST, OPTIONS",
    "/api/webhooks/{id}/test": "POST, OPTIONS",
    "/api/webhooks/{id}/rotate": "POST, OPTIONS",
    "/healthz": "GET, HEAD, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
    "/asyncapi.json": "GET, HEAD, OPTIONS",
    "/docs": "GET, HEAD, OPTIONS",
    "/readyz": "GET, HEAD, OPTIONS",
    "/metrics": "GET, HEAD, OPTIONS",
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


async def test_a_problem_s_type_can_be_requested() -> None:
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


async def test_an_accepted_order_keeps_the_id_of_its_request_in_the_record_and_in_the_log() -> None:
    async with running_service(log_level="debug") as service:
        answers = [await service.post(X_Request_Id="from-the-bot.7"), await service.post()]
        ids = [answer.headers["X-Request-Id"] for answer in answers]
        assert ids[0] == "from-the-bot.7"
        assert [first_detail(order)["requestId"] for order in service.store.created] == ids
        lines = [call.kwargs for call in service.log.calls if call.args == ("order accepted",)]
        assert [(line["order"], line["request_id"]) for line in lines] == [
            (json.loads(answer.body)["orderId"], name) for answer, name in zip(answers, ids, strict=True)
        ]


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER, True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("text/html;q=0.5, application/json", False),
        ("application/json;q=0.1, text/html;q=0.2", True),
        ("text/html;q=nan", False),
    ],
)
async def test_the_front_page_is_a_page_for_people_and_json_for_programs(accept: str, is_page: bool) -> None:
    async with running_service() as service:
        answer = await service.ask("GET", "/", None, {"Accept": accept})
        assert (answer.code, answer.headers["Vary"].split(",")[0]) == (200, "Accept")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        if is_page:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            links = re.findall('(?:src|href)="(/assets/[^"]+)"', answer.body.decode())
            assert len(links) >= 2
        else:
            links = [path for path in json.loads(answer.body).values() if path.startswith("/") and path != EXECUTE]
            assert len(links) == 6
        for link in links:
            assert (await service.ask("GET", link)).code == 200


async def test_answers_contain_no_versions_and_are_not_to_be_stored() -> None:
    async with running_service() as service:
        for answer in (await service.post(), await service.ask("GET", "/healthz"), await service.ask("GET", "/no")):
            assert (answer.headers["Server"], answer.headers["Cache-Control"]) == ("dexexec", "no-store")
            assert "Etag" not in answer.headers


async def test_an_internal_error_is_logged_with_its_traceback_and_answered_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_service() as service:

        async def broken(*_: object) -> None:
            raise RuntimeError("secret-in-an-exception")

        monkeypatch.setattr(service.store, "order", broken)
        answer = await service.ask("GET", f"/api/orders/{UUID(int=7)}")
        found = document(answer, 500, "internal")
        assert b"secret" not in answer.body
        crashed, refused = service.log_lines()
        assert (crashed["event"], crashed["request_id"]) == ("request crashed", found["instance"])
        assert "secret-in-an-exception" in str(crashed["exc_info"])
        assert (refused["level"], refused["problem"], refused["request_id"]) == ("error", "internal", found["instance"])


async def test_a_refusal_is_one_log_line_with_field_names_and_without_values() -> None:
    async with running_service() as service:
        answer = await service.ask(
            "POST", f"{EXECUTE}?key=hunter2", b'{"side": "hunter2", "amount": "1", "a\\nb": 1}', {"Content-Type": JSON}
        )
        document(answer, 422, "invalid-order")
        (line,) = service.log_lines()
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
