"""Webhooks over HTTP: what a key sees and changes, and what is refused with the name of the field."""

import json
from typing import Any
from uuid import UUID

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.api_key import Scope
from tests.support.fakes.keys import MemoryKeys
from tests.support.running_api import JSON, Service, document, running_service

PATH = "/api/webhooks"
HOOK = {"name": "books", "url": "https://hooks.example.com/secret-path", "statuses": ["confirmed", "failed"]}


async def send(service: Service, method: str, path: str, body: object = None, token: str = "") -> tuple[int, Any]:
    headers = {"Content-Type": JSON} | ({"Authorization": f"Bearer {token}"} if token else {})
    given = None if body is None else json.dumps(body).encode()
    answer = await service.ask(method, path, given if method in {"POST", "PATCH"} else None, headers)
    return answer.code, json.loads(answer.body)


async def test_a_webhook_is_made_with_its_secret_changed_rotated_and_removed() -> None:
    async with running_service() as service:
        code, made = await send(service, "POST", PATH, HOOK)
        assert (code, made["secret"].startswith("whsec_"), made["allOrders"]) == (201, True, True)
        path = f"{PATH}/{made['id']}"
        shown = {name: value for name, value in made.items() if name != "secret"}
        assert await send(service, "GET", path) == (200, shown)
        assert await send(service, "GET", PATH) == (200, {"webhooks": [shown]})
        code, changed = await send(service, "PATCH", path, {"enabled": False})
        assert (code, changed["enabled"], changed["url"]) == (200, False, HOOK["url"])
        assert (await send(service, "POST", f"{path}/test", {}))[1]["type"] == "/problems/webhook-disabled"
        code, changed = await send(service, "PATCH", path, {"enabled": True, "statuses": ["failed"]})
        assert (changed["enabled"], changed["statuses"]) == (True, ["failed"])
        code, rotated = await send(service, "POST", f"{path}/rotate", {"keepSeconds": 60})
        assert (code, rotated["secret"] != made["secret"]) == (200, True)
        assert rotated["formerSecretUntil"] is not None
        assert (await send(service, "POST", PATH, HOOK))[1]["type"] == "/problems/webhook-name-taken"
        assert await send(service, "DELETE", path) == (200, {"id": made["id"], "removed": True})
        for method, below in (("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/resend")):
            code, found = await send(service, method, path + below, {})
            assert (code, found["type"]) == (404, "/problems/webhook-not-found")


async def test_a_test_message_is_listed_among_the_deliveries() -> None:
    async with running_service() as service:
        _, made = await send(service, "POST", PATH, HOOK)
        path = f"{PATH}/{made['id']}"
        code, planned = await send(service, "POST", f"{path}/test")
        assert (code, planned["type"], planned["state"], planned["orderId"]) == (202, "webhook.test", "waiting", None)
        assert (await send(service, "POST", f"{path}/test"))[0] == 202
        code, page = await send(service, "GET", f"{path}/deliveries?state=waiting&limit=1")
        assert (code, len(page["deliveries"]), page["next"]) == (200, 1, page["deliveries"][0]["id"])
        _, rest = await send(service, "GET", f"{path}/deliveries?limit=1&before={page['next']}")
        assert (rest["deliveries"][0]["id"], rest["next"]) == (planned["id"], None)
        assert (await send(service, "GET", f"{path}/deliveries?state=failed"))[1] == {"deliveries": [], "next": None}
        assert await send(service, "POST", f"{path}/resend", {}) == (200, {"resent": 0})


async def test_a_key_has_its_own_webhooks_and_only_an_admin_those_of_all() -> None:
    keys = MemoryKeys(SystemClock())
    one, two = keys.create("one"), keys.create("two")
    admin, reader = keys.create("boss", Scope.ADMIN), keys.create("reader", Scope.READ)
    async with running_service(keys=keys) as service:
        _, made = await send(service, "POST", PATH, HOOK, one)
        assert made["allOrders"] is False
        assert (await send(service, "POST", PATH, HOOK, two))[0] == 201, "names are those of a key"
        path = f"{PATH}/{made['id']}"
        assert (await send(service, "GET", path, token=two))[0] == 404
        assert (await send(service, "DELETE", path, token=two))[0] == 404
        assert (await send(service, "POST", f"{path}/rotate", {}, two))[0] == 404
        assert len((await send(service, "GET", PATH, token=admin))[1]["webhooks"]) == 2
        assert [each["id"] for each in (await send(service, "GET", PATH, token=one))[1]["webhooks"]] == [made["id"]]
        every = {**HOOK, "name": "all", "allOrders": True}
        assert (await send(service, "POST", PATH, every, one))[1]["type"] == "/problems/scope-missing"
        assert (await send(service, "POST", PATH, every, admin))[1]["allOrders"] is True
        assert (await send(service, "GET", PATH, token=reader))[1]["type"] == "/problems/scope-missing"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["name", "url"]),
        ({**HOOK, "name": "Books"}, ["name"]),
        ({**HOOK, "name": 1}, ["name"]),
        ({**HOOK, "url": "http://hooks.example.com"}, ["url"]),
        ({**HOOK, "url": "https://127.0.0.1"}, ["url"]),
        ({**HOOK, "url": "https://a:b@hooks.example.com"}, ["url"]),
        ({**HOOK, "url": ""}, ["url"]),
        ({**HOOK, "statuses": []}, ["statuses"]),
        ({**HOOK, "statuses": ["done"]}, ["statuses"]),
        ({**HOOK, "statuses": "confirmed"}, ["statuses"]),
        ({**HOOK, "allOrders": "yes"}, ["allOrders"]),
        ({**HOOK, "enabled": True}, ["enabled"]),
    ],
)
async def test_each_bad_field_of_a_new_webhook_is_named(body: object, fields: list[str]) -> None:
    async with running_service() as service:
        code, found = await send(service, "POST", PATH, body)
        assert (code, [error["field"] for error in found["errors"]]) == (422, fields)
        assert found["type"] == "/problems/invalid-webhook"
        assert all(error["expected"] for error in found["errors"])
        assert (await send(service, "GET", PATH))[1] == {"webhooks": []}
        assert "secret-path" not in str(service.log_lines())


@pytest.mark.parametrize(
    ("method", "below", "body", "field"),
    [
        ("PATCH", "", {}, ""),
        ("PATCH", "", {"name": "other"}, "name"),
        ("POST", "/resend", {"deliveries": []}, "deliveries"),
        ("POST", "/resend", {"deliveries": [1.5]}, "deliveries"),
        ("POST", "/resend", {"deliveries": ["1"]}, "deliveries"),
        ("POST", "/resend", {"deliveries": [True]}, "deliveries"),
        ("POST", "/resend", {"deliveries": [1] * 1_001}, "deliveries"),
        ("POST", "/rotate", {"keepSeconds": 604_801}, "keepSeconds"),
        ("POST", "/replay", {}, ""),
        ("POST", "/replay", {"orderId": "x"}, "orderId"),
        ("POST", "/replay", {"after": "start", "fromSeq": 2}, "fromSeq"),
        ("POST", "/replay", {"after": "no-position"}, "after"),
    ],
)
async def test_each_bad_field_of_a_change_is_named(method: str, below: str, body: object, field: str) -> None:
    async with running_service() as service:
        _, made = await send(service, "POST", PATH, HOOK)
        code, found = await send(service, method, f"{PATH}/{made['id']}{below}", body)
        assert (code, [error["field"] for error in found["errors"]]) == (422, [field])


async def test_a_replay_needs_an_order_of_the_webhook() -> None:
    async with running_service() as service:
        _, made = await send(service, "POST", PATH, HOOK)
        path = f"{PATH}/{made['id']}/replay"
        code, found = await send(service, "POST", path, {"orderId": str(UUID(int=7))})
        assert (code, found["type"]) == (404, "/problems/order-not-found")
        assert await send(service, "POST", path, {"after": "start"}) == (202, {"events": None})
        bad = await service.ask("GET", f"{PATH}/{made['id']}/deliveries?state=lost&limit=0&before=x")
        assert [error["field"] for error in document(bad, 400, "invalid-query")["errors"]] == [
            "state",
            "limit",
            "before",
        ]
        document(await service.ask("POST", PATH, b"{}", {"Content-Type": "text/plain"}), 415, "unsupported-media-type")
        document(await service.ask("POST", PATH, b"{", {"Content-Type": JSON}), 400, "malformed-body")
