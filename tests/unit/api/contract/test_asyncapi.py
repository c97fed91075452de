"""The AsyncAPI document: its messages are those that the socket takes and sends. `.ci/contracts` runs its own tool."""

import json
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest

from dexexec.api import websocket_messages
from dexexec.api.contract.asyncapi import CLOSE_CODES, ERRORS, asyncapi, client_messages, server_messages
from dexexec.api.websocket_messages import FIELDS, BadMessageError
from dexexec.api.websocket_registry import CloseCode
from dexexec.domain.stream_error import StreamErrorCode

DOCUMENT: dict[str, Any] = json.loads(json.dumps(asyncapi()))
ID = "01a20375-9296-7c99-b5c0-eef1ea8717b4"


def validator(message: str) -> jsonschema_rs.Draft202012Validator:
    payload = DOCUMENT["components"]["messages"][message]["payload"]
    return jsonschema_rs.Draft202012Validator({**payload, "components": DOCUMENT["components"]})


CLIENT = {name: validator(name) for name in client_messages()}
SERVER = {name: validator(name) for name in server_messages()}


@pytest.mark.parametrize("name", [*CLIENT, *SERVER])
def test_the_examples_of_a_message_are_valid_and_of_no_other_one(name: str) -> None:
    siblings = CLIENT if name in CLIENT else SERVER
    for example in DOCUMENT["components"]["messages"][name]["examples"]:
        assert [other for other, valid in siblings.items() if valid.is_valid(example["payload"])] == [name]


@pytest.mark.parametrize("name", CLIENT)
def test_the_examples_of_a_client_are_understood(name: str) -> None:
    for example in DOCUMENT["components"]["messages"][name]["examples"]:
        websocket_messages.parse(json.dumps(example["payload"]))


@pytest.mark.parametrize(
    "message",
    [
        {},
        [],
        "orderId",
        {"orderId": ID},
        {"orderId": ID.upper()},
        {"orderId": ID.replace("-", "")},
        {"orderId": f"{{{ID}}}"},
        {"orderId": 7},
        {"orderId": ID, "afterSeq": 0},
        {"orderId": ID, "afterSeq": 2**31 - 1},
        {"orderId": ID, "afterSeq": 2**31},
        {"orderId": ID, "afterSeq": -1},
        {"orderId": ID, "afterSeq": "1"},
        {"orderId": ID, "afterSeq": True},
        {"orderId": ID, "action": "subscribe"},
        {"orderId": ID, "action": "unsubscribe"},
        {"orderId": ID, "action": "unsubscribe", "afterSeq": 1},
        {"orderId": ID, "action": "stop"},
        {"orderId": ID, "order": 1},
        {"cancel": ID},
        {"cancel": ID, "orderId": ID},
        {"cancel": None},
        {"cancelAll": {"status": "open"}},
        {"cancelAll": {"status": "open"}, "cancel": ID},
        {"cancelAll": "open"},
    ],
    ids=json.dumps,
)
def test_schema_and_parser_judge_a_message_alike(message: Any) -> None:
    valid = any(one.is_valid(message) for one in CLIENT.values())
    try:
        websocket_messages.parse(json.dumps(message))
    except BadMessageError:
        assert not valid
    else:
        assert valid


def test_every_field_of_a_client_is_in_it() -> None:
    messages = DOCUMENT["components"]["messages"]
    assert {field for name in CLIENT for field in messages[name]["payload"]["properties"]} == set(FIELDS)


def test_what_the_socket_sends_is_valid() -> None:
    sent = {
        "unsubscribed": websocket_messages.unsubscribed(UUID(ID), 5),
        "cancelled": websocket_messages.cancelled(UUID(ID), 2),
        "cancelledAll": websocket_messages.cancelled_all({"cancelled": 1, "tooLate": 0}),
        "error": websocket_messages.error(StreamErrorCode.NOT_SUBSCRIBED, "it does not", UUID(ID)),
    }
    for name, message in sent.items():
        SERVER[name].validate(json.loads(message))


def test_every_error_and_close_code_is_in_it() -> None:
    assert set(ERRORS) == set(StreamErrorCode)
    assert set(CloseCode) <= set(CLOSE_CODES)
    assert all(f"{int(code)}: " in DOCUMENT["info"]["description"] for code in CLOSE_CODES)
