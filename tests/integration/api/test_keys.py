"""Promise 18: without a valid key a stranger gets nothing but problem documents, and no key sees another's orders."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from tornado.httpclient import HTTPResponse

from dexexec.api.app import EXECUTE, MAX_BODY_BYTES, ROUTES
from dexexec.api.handler import METHODS
from dexexec.clock import SystemClock
from dexexec.domain.api_key import Scope
from dexexec.domain.api_token import parse_token
from tests.support.fakes.keys import MemoryKeys
from tests.support.running_api import GOOD, JSON, Service, document, problem, running_service
from tests.support.waiting import until

ID = str(UUID(int=7))
PATHS = [route.path.replace("{id}", ID).replace("{code}", "internal") for route in ROUTES]
ELSEWHERE = ["/no/such/path", "/metrics", "//", "/api/orders/", "/api/orders/../orders", "/%2e%2e/etc/passwd"]
ODD = [*METHODS, "PURGE", "TRACE", "PROPFIND"]
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def trading(token: str) -> dict[str, str]:
    return {**bearer(token), "Content-Type": JSON}


@asynccontextmanager
async def guarded(**settings: Any) -> AsyncIterator[tuple[Service, MemoryKeys]]:
    """A service that requires keys."""
    keys = MemoryKeys(SystemClock())
    async with running_service(keys=keys, **settings) as service:
        yield service, keys


def wrong_credentials(keys: MemoryKeys) -> list[dict[str, str]]:
    """Headers that hold no valid key, among them almost everything that could be taken for one."""
    good, revoked, expired = keys.create("good"), keys.create("revoked"), keys.create("expired", expires_in=0)
    keys.revoke("revoked")
    unknown = MemoryKeys(keys.clock).create("unknown")
    swapped = good[:16] + unknown[16:]
    return [
        {},
        bearer("dx_"),
        bearer(revoked),
        bearer(expired),
        bearer(unknown),
        bearer(swapped),
        bearer(good[:-1]),
        bearer(f"{good}a"),
        bearer(f"{good} {good}"),
        bearer(f"{good},{good}"),
        {"Authorization": good},
        {"Authorization": f"Basic {good}"},
        {"X-Api-Key": good},
        {"Cookie": f"Authorization=Bearer {good}; key={good}"},
        {"Proxy-Authorization": f"Bearer {good}"},
    ]


async def test_promise_18_a_stranger_gets_problem_documents_only_on_every_path_with_every_method() -> None:
    async with guarded() as (service, _):
        for path in PATHS + ELSEWHERE:
            for method in ODD:
                body = GOOD if method in {"POST", "PUT", "PATCH"} else None
                answer = await service.ask(method, path, body, {"Content-Type": JSON})
                if method == "HEAD":
                    assert (answer.code, answer.body) == (401, b"")
                elif method in METHODS:
                    document(answer, 401, "unauthorized")
                    assert answer.headers["WWW-Authenticate"] == "Bearer"
                else:
                    document(answer, 405, "method-not-allowed")
        assert (service.store.asked, service.store.listed, service.store.cancels) == (0, 0, [])


async def test_promise_18_every_kind_of_wrong_key_gets_the_same_answer() -> None:
    async with guarded() as (service, keys):
        answers = set()
        for headers in wrong_credentials(keys):
            for method, path, body in (("GET", "/api/orders", None), ("POST", EXECUTE, GOOD)):
                answer = await service.ask(method, path, body, {"Content-Type": JSON, "X-Request-Id": "r", **headers})
                document(answer, 401, "unauthorized")
                answers.add(answer.body)
        assert len(answers) == 1
        assert service.store.asked == 0
        reasons = {(line["why"], line["key"]) for line in service.log_lines()}
        assert ("the key is revoked", "revoked") in reasons
        assert ("the key has expired", "expired") in reasons
        assert ("the secret is wrong", "good") in reasons
        assert ("the key is unknown", "") in reasons


async def test_two_keys_in_one_request_are_none() -> None:
    async with guarded() as (service, keys), service.raw() as raw:
        line = f"Authorization: Bearer {keys.create('good')}\r\n"
        await raw.send(f"GET /api/orders HTTP/1.1\r\nHost: localhost\r\n{line}{line}\r\n".encode())
        status, headers, body = await raw.answer()
        problem(headers, body, status, "unauthorized")


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "bad-request"),
        (b"GET / HTTP/1.1\r\n\r\n", "bad-request"),
        (b"junk\r\n\r\n", "bad-request"),
        (b"GET  /  HTTP/1.1\r\nHost: localhost\r\n\r\n", "bad-request"),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", "bad-request"),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
        (b"GET /api/orders/%ff HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: 1\r\n\r\n", "bad-request"),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "host-not-allowed"),
        (b"GET / HTTP/1.0\r\n\r\n", "unauthorized"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n", "origin-not-allowed"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", "target-too-long"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 17_000 + b"\r\n\r\n", "headers-too-large"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\n\r\n", "expectation-failed"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n", "body-too-large"),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "bad-request",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: 3\r\n\r\n%ff",
            "",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=a\r\n"
            b"Content-Length: 3\r\n\r\n--a",
            "",
        ),
    ],
)
async def test_promise_18_a_stranger_s_malformed_requests_get_problem_documents_only(
    request_bytes: bytes, code: str
) -> None:
    async with guarded() as (service, _), service.raw() as raw:
        await raw.send(request_bytes)
        status, headers, body = await raw.answer()
        problem(headers, body, status, code or json.loads(body)["type"].rpartition("/")[2])
        assert 400 <= status < 500


async def test_promise_18_a_stranger_s_handshakes_get_problem_documents_only() -> None:
    """Of a socket without any key, `test_websocket_keys.py` has the rest."""
    async with guarded() as (service, _):
        for path in [*(path for path in PATHS if path != EXECUTE), *ELSEWHERE]:
            answer = await service.ask("GET", path, None, HANDSHAKE)
            document(answer, 401, "unauthorized")


async def test_promise_18_only_the_preflight_of_an_allowed_page_needs_no_key() -> None:
    page = "https://app.example"
    asked = {"Access-Control-Request-Method": "POST"}
    async with guarded(allowed_origins=page) as (service, _):
        assert (await service.ask("OPTIONS", EXECUTE, None, {"Origin": page, **asked})).code == 204
        refused = await service.ask("OPTIONS", EXECUTE, None, {"Origin": page})
        document(refused, 401, "unauthorized")
        assert refused.headers["Access-Control-Allow-Origin"] == page, "the page must be able to read why"
        document(await service.ask("OPTIONS", EXECUTE, None, asked), 401, "unauthorized")
        foreign = await service.ask("OPTIONS", EXECUTE, None, {"Origin": "https://evil.example", **asked})
        document(foreign, 403, "origin-not-allowed")


@pytest.mark.parametrize("path", ["/api/orders?key={}", "/{}", "/api/orders/{}", "/readyz?a=b&x%64y={}", "/?{}"])
async def test_promise_18_a_key_in_the_url_is_refused_although_it_is_valid(path: str) -> None:
    async with guarded() as (service, keys):
        token = keys.create("good")
        for text in (token, token.replace("dx_", "%64x%5F")):
            answer = await service.ask("GET", path.format(text), None, bearer(token))
            assert "Authorization" in document(answer, 400, "key-in-url")["detail"]
            assert token not in answer.body.decode()
    async with running_service() as service:  # it is in somebody's log as well
        document(await service.ask("GET", path.format(token)), 400, "key-in-url")


async def test_scopes_read_trade_and_admin_allow_what_they_name() -> None:
    async with guarded() as (service, keys):
        tokens = {scope: keys.create(scope.value, scope) for scope in Scope}
        for scope, token in tokens.items():
            assert (await service.ask("GET", "/api/orders", None, bearer(token))).code == 200
            posted = await service.ask("POST", EXECUTE, GOOD, trading(token))
            if scope is Scope.READ:
                assert "trade" in document(posted, 403, "scope-missing")["detail"]
            else:
                assert posted.code == 202
        for method, path in (("DELETE", f"/api/orders/{ID}"), ("DELETE", "/api/orders?status=open"), ("PUT", "/")):
            document(await service.ask(method, path, None, bearer(tokens[Scope.READ])), 403, "scope-missing")
        assert [order.owner for order in service.store.created] == [2, 3]


async def answers_about(service: Service, token: str, order_id: str) -> list[HTTPResponse]:
    """Of everything that names an order, with the same request id each time."""
    headers = {**bearer(token), "X-Request-Id": "r"}
    path = f"/api/orders/{order_id}"
    amend = {**headers, "If-Match": "*", "Content-Type": "application/json"}
    return [
        await service.ask("GET", path, None, headers),
        await service.ask("HEAD", path, None, headers),
        await service.ask("GET", f"{path}/explain", None, headers),
        await service.ask("DELETE", path, None, headers),
        await service.ask("PATCH", path, b'{"amount": "1"}', amend),
    ]


def headers_of(answer: HTTPResponse) -> list[tuple[str, str]]:
    """All but the time of day."""
    return sorted((name, value) for name, value in answer.headers.get_all() if name != "Date")


async def test_promise_18_an_order_of_another_key_is_answered_like_one_that_does_not_exist() -> None:
    async with guarded() as (service, keys):
        own, other, admin = keys.create("own"), keys.create("other"), keys.create("admin", Scope.ADMIN)
        order_id = json.loads((await service.ask("POST", EXECUTE, GOOD, trading(own))).body)["orderId"]
        assert (await service.ask("GET", f"/api/orders/{order_id}", None, bearer(own))).code == 200
        assert (await service.ask("GET", f"/api/orders/{order_id}", None, bearer(admin))).code == 200
        guessed, unknown = [await answers_about(service, other, name) for name in (order_id, ID)]
        for one, another in zip(guessed, unknown, strict=True):
            assert one.code == another.code == 404
            assert one.body == another.body
            assert headers_of(one) == headers_of(another)


async def test_promise_18_an_idempotency_key_is_a_name_within_one_key() -> None:
    async with guarded() as (service, keys):
        ids = []
        for token in (keys.create("one"), keys.create("two")):
            for replayed in (None, "true"):
                answer = await service.ask("POST", EXECUTE, GOOD, {**trading(token), "Idempotency-Key": "mine"})
                assert (answer.code, answer.headers.get("Idempotent-Replayed")) == (202, replayed)
                ids.append(json.loads(answer.body)["orderId"])
        assert ids[0] == ids[1] != ids[2] == ids[3]


async def refused(service: Service, token: str) -> bool:
    """Whether a key is refused by now."""
    answer = await service.ask("GET", "/readyz", None, bearer(token))
    if answer.code != 200:
        document(answer, 401, "unauthorized")
    return answer.code == 401


async def test_promise_18_a_group_is_a_name_within_one_key() -> None:
    posted = {"side": "buy", "amount": "0.01", "type": "limit", "limitPrice": "1", "ocoGroup": "pair"}
    body = json.dumps(posted).encode()
    async with guarded() as (service, keys):
        for token in (keys.create("one"), keys.create("two")):
            assert (await service.ask("POST", EXECUTE, body, trading(token))).code == 202
        assert [order.oco_group for order in service.store.created] == ["1/pair", "2/pair"]
    async with running_service() as service:
        assert (await service.post(posted)).code == 202
        assert [order.oco_group for order in service.store.created] == ["pair"], "without keys as ever"


async def test_a_key_works_at_once_and_ends_within_a_second_and_its_rotation_costs_no_request() -> None:
    async with guarded() as (service, keys):
        token = keys.create("desk")
        statuses = [(await service.ask("GET", "/readyz", None, bearer(token))).code]
        latter = keys.rotate("desk", keep=3_600)
        statuses += [(await service.ask("GET", "/readyz", None, bearer(one))).code for one in (token, latter) * 5]
        assert set(statuses) == {200}
        keys.revoke("desk")
        for one in (token, latter):
            await until(partial(refused, service, one))
        log = json.dumps(service.log_lines())
        for one in (token, latter):
            parsed = parse_token(one)
            assert parsed is not None
            assert parsed.secret not in log


async def test_while_keys_cannot_be_read_known_ones_work_and_unknown_ones_are_not_refused() -> None:
    async with guarded() as (service, keys):
        token = keys.create("desk")
        assert (await service.ask("GET", "/readyz", None, bearer(token))).code == 200
        keys.down = True
        assert (await service.ask("GET", "/readyz", None, bearer(token))).code == 200
        unknown = MemoryKeys(keys.clock).create("unknown")
        document(await service.ask("GET", "/readyz", None, bearer(unknown)), 503, "unavailable")


async def test_without_required_keys_a_key_is_taken_and_the_credentials_of_a_proxy_are_ignored() -> None:
    keys = MemoryKeys(SystemClock())
    async with running_service(keys=keys, keys_required=False) as service:
        token = keys.create("desk")
        for headers in (
            {},
            {"Authorization": "Basic bWU6c2VjcmV0"},
            bearer("eyJhbGciOiJIUzI1NiJ9.e30.x"),
            bearer(token),
        ):
            assert (await service.ask("POST", EXECUTE, GOOD, {"Content-Type": JSON, **headers})).code == 202
        assert [order.owner for order in service.store.created] == [None, None, None, 1]
        keys.revoke("desk")
        await until(partial(refused, service, token))


async def test_a_body_over_the_limit_is_refused_before_the_key_is_looked_at() -> None:
    async with guarded() as (service, _):
        answer = await service.ask("POST", EXECUTE, b" " * (MAX_BODY_BYTES + 1), {"Content-Type": JSON})
        document(answer, 413, "body-too-large")
