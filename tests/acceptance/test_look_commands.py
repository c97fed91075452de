"""`quote` and `wallet` as a person runs them: processes of their own, with neither Postgres nor Redis."""

import json
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from solders.keypair import Keypair

from tests.support.service.command_line import refuses
from tests.support.service.embedded_servers import servers_running
from tests.support.service.process import Launcher, Process


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    with tempfile.TemporaryDirectory(prefix="dxk") as folder:
        with Launcher(DEXEXEC_DATA_DIR=folder) as launcher:
            yield launcher
        assert servers_running(Path(folder)) == []


def localnet(launcher: Launcher) -> str:
    """The address of a localnet of its own."""
    return launcher.start("localnet", "--port", "0").address("RPC")


def test_quote_shows_every_venue_and_its_exit_code_whether_one_can(launcher: Launcher) -> None:
    able, document = (
        launcher.start("quote", "SOL", "USDC", "0.01"),
        launcher.start("quote", "SOL", "USDC", "0.01", "--json"),
    )
    assert (able.wait(), document.wait()) == (0, 0), able.err
    assert {line.split()[0] for line in able.out.splitlines()[2:]} == {"mock-raydium", "mock-meteora"}
    found = json.loads(document.out)
    assert found["best"] == found["quotes"][0]["venue"]
    unable = launcher.start("quote", "USDC", "SOL", "5", "--exact-out", DEXEXEC_MOCK_FAILURE_RATE="1")
    assert unable.wait() == 1
    assert "unreachable" in unable.out
    refuses(launcher.start("quote", "SOL", "DOGE", "1"), "BUY 'DOGE'", "SOL, USDC")
    assert launcher.start("quote", "SOL", "USDC", "1", "--slippage-bps", "5001").wait() == 2
    assert not (Path(launcher.environment["DEXEXEC_DATA_DIR"]) / "postgres").exists(), "no server was started"


def test_quote_and_wallet_work_on_a_localnet(launcher: Launcher) -> None:
    on = {"DEXEXEC_LOCALNET_URL": localnet(launcher), "DEXEXEC_MOCK_SETTLEMENT": "localnet"}
    quote = launcher.start("quote", "USDC", "SOL", "100", **on)
    assert quote.wait() == 0, quote.err
    assert quote.out.count(" localnet ") == 2
    wallet = launcher.start("wallet", **on)
    assert wallet.wait() == 0, wallet.err
    [shown] = json.loads(finished(launcher.start("wallet", "--json", **on)).out)["wallets"]
    assert (shown["cluster"], shown["address"]) == ("localnet", wallet.out.split()[1])
    kept = next(Path(launcher.environment["DEXEXEC_DATA_DIR"]).glob("*wallet.json")).read_text()
    for process in launcher.processes:
        assert kept[1:40] not in process.out + process.err


def test_promise_14_wallet_new_keeps_a_key_in_the_data_folder_and_shows_its_address_alone(launcher: Launcher) -> None:
    made = finished(launcher.start("wallet", "new"))
    lines = dict(line.split(maxsplit=1) for line in made.out.splitlines())
    path = Path(lines["File"])
    assert path.parent == Path(launcher.environment["DEXEXEC_DATA_DIR"])
    assert (stat.S_IMODE(path.stat().st_mode), made.err) == (0o600, "")
    key = path.read_text()
    assert lines["Wallet"] == str(Keypair.from_json(key).pubkey())
    assert key[1:40] not in made.out
    refuses(launcher.start("wallet", "new"), str(path), "already")
    name, _, value = lines["Setting"].partition("=")
    on = {"DEXEXEC_LOCALNET_URL": localnet(launcher), "DEXEXEC_MOCK_SETTLEMENT": "localnet", name: value}
    assert finished(launcher.start("wallet", **on)).out.split()[1] == lines["Wallet"]


@pytest.mark.parametrize("key", ["x" * 88, "[1, 2, 3]" + " " * 80, "file:/nowhere/hunter2.json"])
def test_wallet_never_repeats_a_key_that_it_cannot_use(launcher: Launcher, key: str) -> None:
    on = {"DEXEXEC_LOCALNET_URL": localnet(launcher), "DEXEXEC_MOCK_SETTLEMENT": "localnet"}
    process = launcher.start("wallet", SOLANA_WALLET_SECRET_KEY=key, **on)
    refuses(process, "SOLANA_WALLET_SECRET_KEY")
    assert key.strip() not in process.err


def test_a_venue_whose_program_is_not_there_ends_the_start_and_a_quote_with_its_name(launcher: Launcher) -> None:
    key = json.dumps(list(bytes(Keypair())))
    on = {"DEXEXEC_ADAPTERS": "raydium", "DEXEXEC_RAYDIUM_CLUSTER": "devnet", "SOLANA_RPC_URL": localnet(launcher)}
    refuses(launcher.start("quote", "SOL", "USDC", "1", **on), "raydium: ", "is not a program")
    refuses(launcher.start(SOLANA_WALLET_SECRET_KEY=key, **on), "raydium: ", "is not a program")


def finished(process: Process) -> Process:
    """Once it has succeeded."""
    assert process.wait() == 0, process.err
    return process
