"""The overview of the service: what is in it, and what a key without the scope `admin` does not see."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dexexec.api.service_state import WalletBalance, WalletState
from dexexec.clock import SystemClock
from dexexec.domain.api_key import Scope
from dexexec.domain.halt import EVERYBODY, Halt
from dexexec.domain.policy import Policy
from dexexec.domain.program_version import Quarantine
from dexexec.store.measurements import OpenOrders
from dexexec.store.operator_lists import ListedWorker
from tests.support.fakes.keys import MemoryKeys
from tests.support.fakes.service_state import MemoryState
from tests.support.running_api import Service, document, running_service

AT = datetime(2026, 1, 2, tzinfo=UTC)
QUARANTINE = Quarantine(genesis="g", venue="acme", program="PROGRAM", sha256="new", slot=20, since=AT)
WORKER = ListedWorker(
    id=1,
    name="w",
    started_at=AT,
    lease_until=AT,
    trouble="",
    alive=True,
    age_seconds=1.0,
    lease_seconds=2.0,
    orders=3,
    oldest=None,
)
SOL = WalletBalance(mint="lamports", symbol="SOL", decimals=9, amount=10, reserved=4)
WALLET = WalletState(name="default", network="solana", address="A", balances=[SOL])
ADMIN_ONLY = {"workers", "nodes", "wallets"}


async def overview(service: Service, token: str = "") -> dict[str, Any]:
    answer = await service.ask("GET", "/api/overview", None, {"Authorization": f"Bearer {token}"} if token else {})
    assert answer.code == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


async def test_it_has_the_whole_state_where_no_keys_are_required() -> None:
    state = MemoryState(
        network=("devnet", "devnet"),
        all_halts=[Halt(EVERYBODY, AT, "prices"), Halt(7, AT)],
        all_quarantines=[QUARANTINE],
        node_lags={"b": 0, "a": 2},
        orders=OpenOrders({("pending", "market"): 2, ("waiting", "limit"): 1}, 9.0, 1.5, 2),
        listed=[WORKER],
        wallet_states=[WALLET],
    )
    async with running_service(state=state, slippage_bps=70) as service:
        found = await overview(service)
    assert found["network"] == {
        "name": "devnet",
        "kind": "devnet",
        "explorer": "https://explorer.solana.com/tx/{signature}?cluster=devnet",
    }
    assert (found["keysRequired"], found["scopes"]) == (False, ["read", "trade", "admin"])
    assert [(halt["key"], halt["reason"]) for halt in found["halts"]] == [(None, "prices"), (7, "")]
    [quarantine] = found["quarantines"]
    assert (quarantine["venue"], quarantine["program"]) == ("acme", "PROGRAM")
    assert quarantine["detail"].startswith("its program PROGRAM was upgraded in slot 20")
    assert found["queue"] == {"length": 2, "oldestMs": 1500, "open": 3}
    assert [token["symbol"] for token in found["tokens"]] == ["SOL", "USDC"]
    assert (found["defaults"]["slippageBps"], found["walletNames"]) == (70, ["default"])
    assert [worker["name"] for worker in found["workers"]] == ["w"]
    assert found["nodes"] == [{"name": "a", "lagSlots": 2}, {"name": "b", "lagSlots": 0}]
    assert found["wallets"][0]["balances"] == [
        {"mint": "lamports", "symbol": "SOL", "decimals": 9, "amount": "10", "reserved": "4"}
    ]


async def test_a_key_sees_its_own_halts_and_limits_and_nothing_of_others() -> None:
    keys = MemoryKeys(SystemClock())
    trader = keys.create("trader", policy=Policy(max_slippage_bps=10))
    admin = keys.create("boss", Scope.ADMIN)
    reader = keys.create("reader", Scope.READ)
    state = MemoryState(
        all_halts=[Halt(1, AT, "own"), Halt(2, AT, "another"), Halt(EVERYBODY, AT)],
        orders=OpenOrders({("pending", "market"): 7}, 3.0, 2.0, 7),
        orders_of={1: OpenOrders({("pending", "market"): 2}, 1.0, 0.5, 1)},
    )
    async with running_service(state=state, keys=keys) as service:
        found = await overview(service, trader)
        assert not ADMIN_ONLY & found.keys()
        assert (found["keysRequired"], found["scopes"]) == (True, ["read", "trade"])
        assert [halt["key"] for halt in found["halts"]] == [1, None]
        assert found["defaults"]["slippageBps"] == 10
        assert found["webhooks"] == {"failed": 0}
        assert found["queue"] == {"length": 1, "oldestMs": 500, "open": 2}
        seen_by_reader = await overview(service, reader)
        assert (seen_by_reader["scopes"], "webhooks" in seen_by_reader) == (["read"], False)
        assert seen_by_reader["queue"] == {"length": 0, "oldestMs": None, "open": 0}
        seen_by_admin = await overview(service, admin)
        assert seen_by_admin.keys() >= ADMIN_ONLY
        assert seen_by_admin["queue"]["open"] == 7
        document(await service.ask("GET", "/api/overview"), 401, "unauthorized")


async def test_what_cannot_be_read_is_null_and_the_rest_is_shown() -> None:
    state = MemoryState(down=True)
    async with running_service(state=state) as service:
        found = await overview(service)
        assert (found["queue"], found["workers"], found["nodes"], found["wallets"]) == (None, None, None, None)
        assert found["network"]["explorer"] is None
        for _ in range(3):
            await overview(service)
        assert state.reads < 12, "a server that is away is not asked by every request"


@pytest.mark.parametrize("query", ["?x=1", "?minutes=15"])
async def test_a_parameter_is_refused(query: str) -> None:
    async with running_service() as service:
        document(await service.ask("GET", f"/api/overview{query}"), 400, "invalid-query")
