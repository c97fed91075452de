"""Mocks that settle on a localnet: one command brings it along, and what it shows are real signed transactions."""

import json
import signal
import stat
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from dexexec.client import Client, MarketOrder, Order
from dexexec.domain.token import USDC, WSOL
from tests.support.service.command_line import needs_curl, paste, read, refuses
from tests.support.service.process import Launcher, Process
from tests.support.waiting import wait_until

ON_A_LOCALNET = {"DEXEXEC_MOCK_SETTLEMENT": "localnet", "DEXEXEC_FINALITY_SECONDS": "1"}


@pytest.fixture
def launcher(data_dir: Path) -> Iterator[Launcher]:
    with Launcher(DEXEXEC_DATA_DIR=str(data_dir), **ON_A_LOCALNET) as launcher:
        yield launcher


def post(process: Process, order: dict[str, object]) -> str:
    """The id of an order that is accepted."""
    url = f"{process.url}/api/orders/execute"
    command = ["curl", "-sS", "--fail", url, "-H", "Content-Type: application/json", "-d", json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return str(json.loads(done.stdout)["orderId"])


def ended(process: Process, order_id: str) -> dict[str, Any]:
    """The order once it has ended; empty before."""
    order: dict[str, Any] = read(f"{process.url}/api/orders/{order_id}")
    return order if order["finishedAt"] else {}


def transaction(url: str, signature: str) -> dict[str, Any]:
    """`getTransaction`, as a person would send it."""
    options = {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 0, "commitment": "finalized"}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "getTransaction", "params": [signature, options]})
    command = ["curl", "-sS", "--fail", url, "-H", "Content-Type: application/json", "-d", body]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    found: dict[str, Any] = json.loads(done.stdout)["result"]
    return found


def mints_moved(found: dict[str, Any]) -> list[str]:
    """The mints of its TransferChecked instructions, in order: accounts are source, mint, destination, authority."""
    keys = [key if isinstance(key, str) else key["pubkey"] for key in found["transaction"]["message"]["accountKeys"]]
    moved = []
    for one in found["transaction"]["message"]["instructions"]:
        if one["programId"].startswith("Tokenkeg"):
            # The amount among the parsed values is an object of its own.
            accounts = one.get("accounts") or [one for one in one["parsed"]["info"].values() if isinstance(one, str)]
            moved += [account for account in accounts if account in {WSOL, USDC}]
    assert set(moved) <= set(keys)
    return moved


def signed_by_its_client(url: str, key: Keypair) -> Order:
    """An order that is paid by a wallet which the service has no key of, once it is final."""
    with Client(url) as client:
        placed = client.place(MarketOrder("buy", "0.01", payer=str(key.pubkey())))
        waiting = client.wait(placed.order_id, "waiting", timeout=30)
        unsigned = b64decode(str(waiting.data["transaction"]))
        message = unsigned[1 + 64 * unsigned[0] :]
        signed = unsigned[:1] + bytes(key.sign_message(message)) + unsigned[65:]
        assert client.sign(placed.order_id, b64encode(signed).decode()).attempt == 1
        client.wait(placed.order_id, "confirmed", timeout=30)
        return client.get(placed.order_id)


def shows_its_wallet(url: str, key: Keypair) -> None:
    """Check what the overview shows of a localnet, with the service's only wallet."""
    with Client(url) as client:
        overview = client.overview()
    assert (overview.network["kind"], overview.network["explorer"]) == ("localnet", None)
    [node] = overview.nodes
    assert node["lagSlots"] == 0
    [wallet] = overview.wallets
    assert (wallet["name"], wallet["network"], wallet["address"]) == ("default", "localnet", str(key.pubkey()))
    balances = wallet["balances"]
    assert isinstance(balances, list)
    assert balances[0]["mint"] == "lamports", "without them nothing is sent"
    shown = {balance["mint"]: balance for balance in balances}
    for mint, symbol, decimals in (("lamports", "SOL", 9), (USDC, "USDC", 6)):
        assert (shown[mint]["symbol"], shown[mint]["decimals"]) == (symbol, decimals)
        assert int(shown[mint]["amount"]) > int(shown[mint]["reserved"])


@needs_curl
def test_the_all_in_one_start_brings_a_localnet_on_which_orders_really_settle(
    launcher: Launcher, data_dir: Path
) -> None:
    first = launcher.start()
    first.ready()
    url = first.address("Localnet")
    order_id = paste(first)

    def final() -> dict[str, Any] | None:
        order: dict[str, Any] = read(f"{first.url}/api/orders/{order_id}")
        return order if order["finalizedAt"] else None

    order = wait_until(final, 30, "the pasted order to be finalized")
    assert order is not None
    assert [event["status"] for event in order["events"]][3:] == ["submitted", "confirmed"], "final at once"
    found = transaction(url, order["txHash"])
    assert found["meta"]["err"] is None
    assert mints_moved(found) == [WSOL, USDC], "two transfers, there and back"
    assert order["feesPaid"] == str(found["meta"]["fee"])
    share = post(first, {"side": "sell", "amount": "0.01%", "closeAccount": False})
    sold = wait_until(lambda: ended(first, share), 30, "the share to be sold")
    routed = [event for event in sold["events"] if "amountBase" in event][-1]
    assert sold["amountIn"] == routed["amountBase"] == str(int(routed["spendable"]["balance"]) // 10_000)
    assert sold["amount"] == "0.01%"
    own = signed_by_its_client(first.url, Keypair())
    assert (own.status, own.data["wallet"]) == ("confirmed", None)
    wallet = data_dir / "localnet-wallet.json"
    shows_its_wallet(first.url, Keypair.from_json(wallet.read_text()))
    assert stat.S_IMODE(wallet.stat().st_mode) == 0o600
    secret = wallet.read_text()[:40]
    assert first.stop() == 0

    second = launcher.start()
    second.ready()
    assert transaction(second.address("Localnet"), order["txHash"]) == found
    second.send(signal.SIGINT)
    assert second.wait() == 0
    for process in (first, second):
        assert secret not in process.out + process.err


ELSEWHERE = """
from dexexec.venue import Capabilities, Network, NoOptions, NoRoute, Venue

class Elsewhere(Venue[NoOptions]):
    name = "elsewhere"
    capabilities = Capabilities(network=Network.LOCALNET)
    programs = frozenset({"AMM1111111111111111111111111111111111111111"})

    async def quote(self, request, deadline):
        raise NoRoute

    async def build(self, quote, payer, blockhash):
        raise NoRoute
"""


def test_an_adapter_from_elsewhere_does_not_start_before_its_programs_are_pinned(launcher: Launcher) -> None:
    (launcher.home / "elsewhere.py").write_text(ELSEWHERE)
    process = launcher.start(PYTHONPATH=str(launcher.home), DEXEXEC_ADAPTERS="elsewhere:Elsewhere")
    refuses(process, "elsewhere calls AMM1", "DEXEXEC_VENUE_PROGRAMS=elsewhere=AMM1")


def test_a_worker_without_a_localnet_fails_with_the_way_to_start_one(launcher: Launcher) -> None:
    refuses(launcher.start("worker"), "python -m dexexec localnet", "DEXEXEC_LOCALNET_URL")


def test_a_localnet_that_does_not_answer_is_named_by_its_setting(launcher: Launcher) -> None:
    process = launcher.start("worker", DEXEXEC_LOCALNET_URL="http://127.0.0.1:9")
    refuses(process, "127.0.0.1:9", "DEXEXEC_LOCALNET_URL")


@pytest.mark.parametrize("key", ["x" * 88, "[1, 2, 3]" + " " * 80, "file:/nowhere/hunter2.json"])
def test_an_invalid_wallet_is_refused_without_repeating_it(launcher: Launcher, key: str) -> None:
    process = launcher.start(SOLANA_WALLET_SECRET_KEY=key)
    refuses(process, "SOLANA_WALLET_SECRET_KEY")
    assert key.strip() not in process.err
