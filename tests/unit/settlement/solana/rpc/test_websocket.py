"""The address of a node's WebSocket, and the decoding of its messages."""

import json
from typing import Any

import httpx2
import pytest

from dexexec.domain.solana import Account, AccountFilters
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.rpc.websocket import (
    AccountChange,
    AccountNotification,
    Notification,
    SubscriptionReply,
    read_message,
    subscribe_message,
    subscribe_program_message,
    unsubscribe_message,
    unsubscribe_program_message,
    websocket_urls,
)


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("https://node.example/v2/KEY?api-key=K", ["wss://node.example/v2/KEY?api-key=K"]),
        ("https://node.example:8443/", ["wss://node.example:8443/"]),
        ("http://node.example/", ["ws://node.example/"]),
        ("http://127.0.0.1:8899/", ["ws://127.0.0.1:8899/", "ws://127.0.0.1:8900/"]),
        ("http://[::1]:8899/nodes/a", ["ws://[::1]:8899/nodes/a", "ws://[::1]:8900/nodes/a"]),
        ("http://127.0.0.1:65535/", ["ws://127.0.0.1:65535/"]),
    ],
)
def test_a_websocket_is_at_the_nodes_own_address_or_one_port_above(url: str, addresses: list[str]) -> None:
    assert [str(one) for one in websocket_urls(httpx2.URL(url))] == addresses


def test_a_signature_is_subscribed_at_a_commitment() -> None:
    assert json.loads(subscribe_message(7, "signature", "finalized")) == {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "signatureSubscribe",
        "params": ["signature", {"commitment": "finalized"}],
    }
    assert json.loads(unsubscribe_message(8, 5))["params"] == [5]


def test_a_program_is_subscribed_at_a_commitment_with_its_filters_and_without_data() -> None:
    filters = AccountFilters(637, ((8, b"\0\1"),))
    assert json.loads(subscribe_program_message(7, "program", filters, "confirmed")) == {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "programSubscribe",
        "params": [
            "program",
            {
                "commitment": "confirmed",
                "encoding": "base64",
                "filters": [{"dataSize": 637}, {"memcmp": {"offset": 8, "bytes": "12"}}],
                "dataSlice": {"offset": 0, "length": 0},
            },
        ],
    }
    assert json.loads(unsubscribe_program_message(8, 5))["params"] == [5]


def account_message(value: Any, slot: Any = 5) -> Any:
    """An accountNotification."""
    params = {"result": {"context": {"slot": slot}, "value": value}, "subscription": 7}
    return {"jsonrpc": "2.0", "method": "accountNotification", "params": params}


@pytest.mark.parametrize(
    ("message", "read"),
    [
        ({"jsonrpc": "2.0", "result": 0, "id": 1}, SubscriptionReply(1, 0)),
        (
            {"jsonrpc": "2.0", "error": {"code": -32601, "message": "no"}, "id": 2},
            SubscriptionReply(2, None, "no (-32601)"),
        ),
        ({"error": "nonsense", "id": 2}, SubscriptionReply(2, None, "an error")),
        ({"jsonrpc": "2.0", "result": True, "id": 3}, None),
        (
            {
                "jsonrpc": "2.0",
                "method": "signatureNotification",
                "params": {"result": {"context": {"slot": 5}, "value": {"err": None}}, "subscription": 24006},
            },
            Notification(24006),
        ),
        (
            {
                "jsonrpc": "2.0",
                "method": "programNotification",
                "params": {
                    "result": {"context": {"slot": 5}, "value": {"pubkey": WSOL, "account": {"data": ["", "base64"]}}},
                    "subscription": 7,
                },
            },
            AccountNotification(7, WSOL),
        ),
        (
            account_message({"lamports": 9, "owner": WSOL, "data": ["AQI=", "base64"]}),
            AccountChange(7, 5, Account(WSOL, 9, b"\x01\x02")),
        ),
        (account_message({"lamports": 0, "owner": WSOL, "data": ["", "base64"]}), AccountChange(7, 5, None)),
        (account_message(None), AccountChange(7, 5, None)),
        (account_message({"lamports": -1, "owner": WSOL, "data": ["", "base64"]}), None),
        (account_message({"lamports": 1, "owner": WSOL, "data": ["?", "base64"]}), None),
        (account_message({"lamports": 1, "owner": WSOL, "data": {"parsed": {}}}), None),
        (account_message(None, slot="5"), None),
        ({"method": "programNotification", "params": {"result": {"value": {"pubkey": "?"}}, "subscription": 7}}, None),
        ({"method": "programNotification", "params": {"result": None, "subscription": 7}}, None),
        ({"method": "signatureNotification", "params": {"subscription": "7"}}, None),
        ({"method": "signatureNotification", "params": []}, None),
        ({"method": "slotNotification", "params": {"subscription": 7}}, None),
        ({"id": None, "error": {}}, None),
        ({"id": [], "result": 1}, None),
        ({"id": 1, "result": -1}, None),
        ([], None),
        (None, None),
        (7, None),
    ],
)
def test_only_answers_and_notifications_are_read(message: Any, read: Any) -> None:
    assert read_message(json.dumps(message)) == read
    assert read_message(json.dumps(message).encode()) == read


@pytest.mark.parametrize("text", ["", "garbage", b"\xff\xfe", "[" * 100_000])
def test_invalid_message_bytes_are_refused(text: str | bytes) -> None:
    assert read_message(text) is None
