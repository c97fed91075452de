"""Changing an order over HTTP: the version that a change is made under, and its refusals."""

import json
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.amendment import AmendableOrder
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.token import USDC, WSOL
from tests.support.running_api import JSON, Service, document, running_service

ID = UUID("01a20375-9296-7c99-b5c0-eef1ea8717b4")
POSTED = {
    "type": "limit",
    "side": "buy",
    "mode": "exactIn",
    "inputMint": WSOL,
    "outputMint": USDC,
    "amount": "2",
    "timeInForce": "GTC",
    "limitPrice": "151.25",
}


def resting(**changes: Any) -> AmendableOrder:
    about: dict[str, Any] = {
        "id": ID,
        "version": 2,
        "status": Status.WAITING,
        "type": OrderType.LIMIT,
        "resting": True,
        "ended": False,
        "triggered": False,
        "posted": POSTED,
        "last": {},
    }
    return AmendableOrder(**{**about, **changes})


async def patch(service: Service, body: object, **headers: str) -> Any:
    sent = {"Content-Type": JSON, "If-Match": '"2"'} | {name.replace("_", "-"): text for name, text in headers.items()}
    sent = {name: text for name, text in sent.items() if text}
    return await service.ask("PATCH", f"/api/orders/{str(ID).upper()}", json.dumps(body).encode(), sent)


async def test_a_change_is_answered_with_the_new_version_and_what_was_changed() -> None:
    async with running_service() as service:
        service.store.amendable_order = resting()
        answer = await patch(service, {"limitPrice": "150"})
        assert (answer.code, answer.headers["ETag"]) == (200, '"3"')
        assert json.loads(answer.body) == {
            "orderId": str(ID),
            "status": "waiting",
            "seq": 3,
            "changed": {"limitPrice": {"from": "151.25", "to": "150"}},
        }
        assert "Idempotent-Replayed" not in answer.headers
        assert len(service.store.amendments) == 1


async def test_a_repeated_change_is_answered_again_and_marked() -> None:
    changes = {"limitPrice": {"from": "151.25", "to": "150"}}
    async with running_service() as service:
        posted = {**POSTED, "limitPrice": "150"}
        service.store.amendable_order = resting(version=3, posted=posted, last={"amended": changes})
        answer = await patch(service, {"limitPrice": "150"})
        assert (answer.code, answer.headers["ETag"], answer.headers["Idempotent-Replayed"]) == (200, '"3"', "true")
        assert json.loads(answer.body)["changed"] == changes
        assert service.store.amendments == []


async def test_a_change_without_a_version_is_refused_and_the_order_is_not_read() -> None:
    async with running_service() as service:
        document(await patch(service, {"limitPrice": "150"}, If_Match=""), 428, "precondition-required")
        assert not service.store.switch.asked.is_set()


@pytest.mark.parametrize("tag", ["2", 'W/"2"', '"two"', '"2', '"2" "3"', '""', '"2",'])
async def test_an_invalid_version_is_named(tag: str) -> None:
    async with running_service() as service:
        found = document(await patch(service, {"limitPrice": "150"}, If_Match=tag), 400, "invalid-if-match")
        assert found["errors"] == [
            {"field": "If-Match", "problem": "is not an ETag of an order", "expected": 'the version in quotes: "7"'}
        ]


@pytest.mark.parametrize("tag", ["*", '"1", "2"'])
async def test_several_versions_or_any_may_be_named(tag: str) -> None:
    async with running_service() as service:
        service.store.amendable_order = resting()
        assert (await patch(service, {"limitPrice": "150"}, If_Match=tag)).code == 200


async def test_another_version_answers_the_current_one() -> None:
    async with running_service() as service:
        service.store.amendable_order = resting(version=4)
        found = document(await patch(service, {"limitPrice": "150"}), 412, "version-mismatch")
        assert (found["seq"], found["orderStatus"], found["orderId"]) == (4, "waiting", str(ID))


async def test_an_order_that_does_not_rest_is_a_conflict_with_its_state() -> None:
    async with running_service() as service:
        service.store.amendable_order = resting(version=5, status=Status.SUBMITTED, resting=False)
        found = document(await patch(service, {"limitPrice": "150"}), 409, "not-resting")
        assert (found["seq"], found["orderStatus"]) == (5, "submitted")


async def test_bad_fields_are_all_named() -> None:
    async with running_service() as service:
        service.store.amendable_order = resting()
        found = document(await patch(service, {"limitPrice": "x", "amount": "0"}), 422, "invalid-order")
        assert {error["field"] for error in found["errors"]} == {"limitPrice", "amount"}
        assert service.store.amendments == []


async def test_a_body_that_cannot_be_read_is_refused() -> None:
    async with running_service() as service:
        service.store.amendable_order = resting()
        document(await patch(service, [1]), 400, "malformed-body")
        document(await patch(service, {"amount": "1"}, Content_Type="text/plain"), 415, "unsupported-media-type")


async def test_an_unknown_order_is_not_found() -> None:
    async with running_service() as service:
        document(await patch(service, {"limitPrice": "150"}), 404, "order-not-found")
        sent = {"Content-Type": JSON, "If-Match": "*"}
        document(await service.ask("PATCH", "/api/orders/42", b"{}", sent), 404, "order-not-found")


async def test_an_outage_says_that_the_order_may_be_changed() -> None:
    async with running_service() as service:
        service.store.amendable_order = resting()
        service.store.write_switch.up = False
        found = document(await patch(service, {"limitPrice": "150"}), 503, "unavailable")
        assert found["detail"].startswith("the order may be changed: repeat the request (")
