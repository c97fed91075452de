"""Late and repeated replies to subscriptions of accounts: none may end a subscription that is used."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from dexexec.domain.solana import Account
from dexexec.settlement.solana.rpc import account_subscriptions as module
from dexexec.settlement.solana.rpc.account_subscriptions import REPLY_SECONDS, AccountSubscriptions
from dexexec.testing.clock import ManualClock
from tests.support.raydium_accounts import address

ADDRESS = address(1)
CHANGE = {
    "context": {"slot": 5},
    "value": {
        "data": ["", "base64"],
        "executable": False,
        "lamports": 1,
        "owner": address(2),
        "rentEpoch": 0,
        "space": 0,
    },
}


@dataclass
class Node:
    """An open connection, as what was sent over it."""

    sent: list[dict[str, Any]] = field(default_factory=list)

    def send(self, message: str) -> None:
        self.sent.append(json.loads(message))

    def close(self) -> None:
        pass

    def requests(self, method: str) -> list[dict[str, Any]]:
        return [one for one in self.sent if one["method"] == method]


@dataclass
class Heard:
    """What the listener received."""

    changed_slots: list[int] = field(default_factory=list)
    subscribed_addresses: list[str] = field(default_factory=list)

    def connected(self) -> None: ...

    def disconnected(self) -> None: ...

    def subscribed(self, address: str) -> None:
        self.subscribed_addresses.append(address)

    def refused(self, address: str, why: str) -> None: ...

    def changed(self, address: str, slot: int, account: Account | None) -> None:
        self.changed_slots.append(slot)


def connection() -> tuple[AccountSubscriptions, Node, Heard, ManualClock]:
    clock, node, heard = ManualClock(), Node(), Heard()
    subscriptions = AccountSubscriptions(heard, clock, lambda: "confirmed")
    subscriptions.connected(cast("Any", node))
    return subscriptions, node, heard, clock


def replies(subscriptions: AccountSubscriptions, request: dict[str, Any], number: int) -> None:
    subscriptions.receive(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": number}))


def changes(subscriptions: AccountSubscriptions, number: int) -> None:
    params = {"subscription": number, "result": CHANGE}
    subscriptions.receive(json.dumps({"jsonrpc": "2.0", "method": "accountNotification", "params": params}))


@pytest.mark.parametrize("second", [7, 8])
def test_a_late_reply_and_the_one_to_the_repeated_request_leave_one_subscription(second: int) -> None:
    subscriptions, node, heard, clock = connection()
    subscriptions.watch([ADDRESS])
    clock.advance(REPLY_SECONDS + 1)
    subscriptions.send_due()
    first, repeated = node.requests("accountSubscribe")
    replies(subscriptions, first, 7)
    replies(subscriptions, repeated, second)
    assert heard.subscribed_addresses == [ADDRESS]
    # A node gives equal subscriptions of a connection the same number, or one to each.
    assert [one["params"] for one in node.requests("accountUnsubscribe")] == ([] if second == 7 else [[8]])
    changes(subscriptions, 7)
    assert heard.changed_slots == [5]


def test_an_account_that_is_watched_again_before_the_reply_stays_subscribed() -> None:
    subscriptions, node, heard, _ = connection()
    subscriptions.watch([ADDRESS])
    subscriptions.unwatch([ADDRESS])
    subscriptions.watch([ADDRESS])
    for request in node.requests("accountSubscribe"):
        replies(subscriptions, request, 7)
    assert node.requests("accountUnsubscribe") == []
    changes(subscriptions, 7)
    assert heard.changed_slots == [5]


def test_an_account_that_was_dropped_before_the_reply_is_unsubscribed() -> None:
    subscriptions, node, _, clock = connection()
    subscriptions.watch([ADDRESS])
    clock.advance(REPLY_SECONDS + 1)
    subscriptions.send_due()
    subscriptions.unwatch([ADDRESS])
    first, _ = node.requests("accountSubscribe")
    replies(subscriptions, first, 7)
    assert [one["params"] for one in node.requests("accountUnsubscribe")] == [[7]]


def test_requests_without_a_reply_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LATE", 2)
    subscriptions, node, heard, clock = connection()
    subscriptions.watch([ADDRESS])
    for _ in range(4):
        clock.advance(REPLY_SECONDS + 1)
        subscriptions.send_due()
    forgotten, *_ = node.requests("accountSubscribe")
    replies(subscriptions, forgotten, 7)
    assert heard.subscribed_addresses == []
