"""Checking an order without posting it: the answer is that of posting, and nothing is stored."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dexexec.api.app import EXECUTE
from dexexec.clock import SystemClock
from dexexec.domain.api_key import Scope
from dexexec.domain.halt import EVERYBODY, Halt
from dexexec.domain.policy import Policy
from dexexec.domain.terms import OrderType
from dexexec.store.orders import first_detail
from tests.support.fakes.keys import MemoryKeys
from tests.support.halting import watched
from tests.support.running_api import JSON, ORDER, Service, document, running_service

CHECK = "/api/orders/check"


async def check(service: Service, body: bytes, **headers: str) -> dict[str, Any]:
    answer = await service.ask("POST", CHECK, body, {"Content-Type": JSON} | headers)
    assert answer.code == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


@pytest.mark.parametrize(
    "order",
    [
        ORDER,
        {**ORDER, "type": "limit", "limitPrice": "151.25", "tag": "a"},
        {**ORDER, "triggerPrice": "120", "triggerWhen": "below", "ocoGroup": "g"},
        {"type": "recurring", "side": "buy", "amount": "12", "slices": 12, "every": "PT5M"},
        {**ORDER, "dryRun": True, "minOut": "1"},
    ],
)
async def test_a_good_order_is_shown_as_it_would_be_stored_and_is_not(order: dict[str, Any]) -> None:
    async with running_service() as service:
        found = await check(service, json.dumps(order).encode())
        assert service.store.created == []
        assert await service.queue.depth() == 0
        assert (await service.post(order, X_Request_Id="one")).code == 202
        detail = json.loads(json.dumps(first_detail(service.store.created[0])))
        assert detail.pop("requestId") == "one"
        assert found == {"ok": True, "order": detail}
        assert found["order"].keys() >= {"side", "amount", "inputMint", "slippageBps"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"side": "hold", "amount": "1e3", "nonsense": 1}',
        b'{"side": "buy", "amount": "0.0000000001"}',
        b'{"side": "buy", "amount": "1", "type": "limit"}',
        b'{"side": "buy", "amount": NaN}',
    ],
)
async def test_a_bad_order_gets_the_document_that_posting_it_answers(body: bytes) -> None:
    async with running_service() as service:
        found = await check(service, body)
        refused = await service.ask("POST", EXECUTE, body, {"Content-Type": JSON})
        posted = json.loads(refused.body)
        assert refused.code == posted["status"] >= 400
        assert found == {"ok": False, "problem": {**posted, "instance": found["problem"]["instance"]}}


async def test_halts_and_policies_refuse_as_they_would_refuse_the_order() -> None:
    halt = Halt(EVERYBODY, datetime(2026, 1, 2, tzinfo=UTC), "prices look wrong")
    async with running_service(halts=await watched(halt)) as service:
        found = await check(service, json.dumps(ORDER).encode())
        assert (found["problem"]["type"], found["problem"]["detail"]) == ("/problems/halted", halt.detail)
        assert (await check(service, json.dumps({**ORDER, "dryRun": True}).encode()))["ok"] is True
    keys = MemoryKeys(SystemClock())
    token = keys.create("limited", policy=Policy(kinds=frozenset({OrderType.LIMIT})))
    async with running_service(keys=keys) as service:
        found = await check(service, json.dumps(ORDER).encode(), Authorization=f"Bearer {token}")
        assert (found["problem"]["status"], found["problem"]["policy"]) == (403, "kinds")


async def test_it_needs_a_key_that_may_trade() -> None:
    keys = MemoryKeys(SystemClock())
    reader = keys.create("reader", Scope.READ)
    async with running_service(keys=keys) as service:
        body = json.dumps(ORDER).encode()
        headers = {"Content-Type": JSON, "Authorization": f"Bearer {reader}"}
        document(await service.ask("POST", CHECK, body, headers), 403, "scope-missing")
        document(await service.ask("POST", CHECK, body, {"Content-Type": JSON}), 401, "unauthorized")
