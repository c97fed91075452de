"""`python -m dexexec wallet`: whose wallet, where, what it holds and lacks, and never its key."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from dexexec.bootstrap.clusters import PUBLIC_CLUSTERS
from dexexec.cli.wallet_report import run
from dexexec.clock import SystemClock
from dexexec.config.settings import Settings
from dexexec.domain import base58
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import StartupError
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.solana.rpc import Localnet
from tests.support.localnet.in_process import SOL, run_localnet
from tests.support.localnet.rpc_chains import RecordingListener
from tests.support.localnet.scripted_node import scripted_node

_, DEVNET, _ = PUBLIC_CLUSTERS
RENT = 650_240
"""Lamports of an account without data: 5,080 for each of 128 bytes."""
NEEDED = 5_000 + (128 + 165) * 5_080 + RENT
BONK = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
KEY = Keypair()
SECRET, ADDRESS = json.dumps(list(bytes(KEY))), str(KEY.pubkey())
ON_A_LOCALNET = {"DEXEXEC_MOCK_SETTLEMENT": "localnet"}
SHAPES = (SECRET, base58.encode(bytes(KEY)), base58.encode(KEY.secret()), bytes(KEY).hex(), KEY.secret().hex())


async def shown(environ: dict[str, str] | None = None, *, as_json: bool = False, **settings: Any) -> tuple[int, str]:
    """The exit code and what was written."""
    out, observer = io.StringIO(), Observer(make_logger("critical"))
    code = await run(Settings(_env_file=None, **settings), environ or {}, observer, out, as_json=as_json)
    assert not any(shape in out.getvalue() for shape in SHAPES)
    return code, out.getvalue()


@asynccontextmanager
async def devnet(lamports: int, *balances: tuple[str, int, int], **account: object) -> AsyncIterator[dict[str, Any]]:
    """The settings for a devnet where our wallet holds lamports and tokens (mint, amount, decimals)."""
    shape = {"owner": "1" * 32, "lamports": lamports, "data": ["", "base64"], **account}

    def held(params: Any) -> dict[str, Any]:
        program = params[1]["programId"]
        accounts = balances if program.startswith("Tokenkeg") else ()
        return {"context": {"slot": 1}, "value": [entry(program, *account) for account in accounts]}

    async with scripted_node(
        getGenesisHash=lambda _: DEVNET,
        getMinimumBalanceForRentExemption=lambda _: RENT,
        getMultipleAccounts=lambda _: {"context": {"slot": 1}, "value": [shape if lamports else None]},
        getTokenAccountsByOwner=held,
    ) as node:
        yield {"solana_rpc_url": node.url, "solana_wallet_secret_key": SECRET}


def entry(program: str, mint: str, amount: int, decimals: int) -> dict[str, Any]:
    info = {"mint": mint, "owner": ADDRESS, "tokenAmount": {"amount": str(amount), "decimals": decimals}}
    data = {"parsed": {"type": "account", "info": info}, "program": "spl-token", "space": 165}
    account = {"owner": program, "lamports": 2_039_280, "data": data}
    return {"pubkey": str(Keypair().pubkey()), "account": account}


async def test_a_wallet_is_shown_with_its_cluster_its_tokens_and_their_sums() -> None:
    async with devnet(2 * SOL, (USDC, 1_500_000, 6), (BONK, 7, 5), (WSOL, SOL // 2, 9), (USDC, 1, 6)) as given:
        code, text = await shown(**given)
        _, document = await shown(as_json=True, **given)
    lines = [line.split() for line in text.splitlines()]
    assert code == 0
    assert lines[:3] == [["Wallet", ADDRESS], ["Cluster", "devnet"], ["SOL", "2"]]
    sums = lines[lines.index(["IN", "ALL", "AMOUNT"]) + 1 :]
    assert {tuple(line) for line in sums[:3]} == {("SOL", "2.5"), ("USDC", "1.500001"), (BONK, "0.00007")}
    assert text.endswith("Lacks nothing to trade.\n")
    [wallet] = json.loads(document)["wallets"]
    assert (wallet["address"], wallet["cluster"], wallet["lamports"]) == (ADDRESS, "devnet", str(2 * SOL))
    assert {(one["symbol"], one["amount"]) for one in wallet["totals"]} == {
        ("SOL", "2500000000"), ("USDC", "1500001"), (None, "7")
    }  # fmt: skip
    assert len(wallet["tokenAccounts"]) == 4
    assert wallet["lacking"] == []


async def test_what_is_lacking_to_trade_is_shown() -> None:
    async with devnet(NEEDED - 1) as given:
        code, text = await shown(**given)
    assert code == 1
    assert "Lacking  At least 0.00214368 SOL" in text
    assert "Lacking  USDC: what `sell` orders spend" in text
    async with devnet(NEEDED) as given:
        assert (await shown(**given))[0] == 0


@pytest.mark.parametrize(
    ("lamports", "owner", "words"),
    [(0, "", "does not exist on devnet: send SOL to it"), (1, USDC, f"is an account of the program {USDC} on devnet")],
)
async def test_a_wallet_that_can_pay_for_nothing_is_shown_with_why(lamports: int, owner: str, words: str) -> None:
    async with devnet(lamports, owner=owner) as given:
        code, text = await shown(**given)
    assert (code, text.splitlines()[0].split()) == (1, ["Wallet", ADDRESS])
    assert words in " ".join(text.split())


async def test_the_wallet_that_is_kept_for_a_localnet_is_shown_and_filled_by_the_faucet(tmp_path: Path) -> None:
    async with run_localnet(tmp_path / "net") as net:
        given: dict[str, Any] = {"localnet_url": net.url, "data_dir": tmp_path}
        code, text = await shown(ON_A_LOCALNET, **given)
        assert code == 0
        assert "the mocks fund it" in text
        address = text.split()[1]
        chain = Localnet([net.url], SystemClock(), RecordingListener())
        await chain.fund(address, "", 9, SOL)
        await chain.fund(address, USDC, 6, 42)
        await chain.aclose()
        await net.advance(2)
        code, text = await shown(ON_A_LOCALNET, **given)
        kept = (tmp_path / "localnet-wallet.json").read_text()
    assert code == 0
    assert [line.split() for line in text.splitlines()[:3]] == [
        ["Wallet", address],
        ["Cluster", "localnet"],
        ["SOL", "1"],
    ]
    assert "0.000042" in text
    assert kept[1:40] not in text


async def test_without_a_wallet_the_error_names_the_setting() -> None:
    with pytest.raises(StartupError, match="settle on a simulated chain, which needs no wallet"):
        await shown()
    for key in ("not a key", SECRET[:-9] + "]", "x" * 88):
        with pytest.raises(StartupError) as caught:
            await shown(solana_rpc_url="http://127.0.0.1:9", solana_wallet_secret_key=key)
        assert key not in str(caught.value)
    with pytest.raises(StartupError, match="check SOLANA_RPC_URL") as caught:
        await shown(solana_rpc_url="http://127.0.0.1:9", solana_wallet_secret_key=SECRET)
    assert not any(shape in str(caught.value) for shape in SHAPES)


async def test_all_wallets_are_listed_each_with_its_name(tmp_path: Path) -> None:
    other = str(Keypair().pubkey())
    path = tmp_path / "wallets.toml"
    path.write_text(f'[desk-2]\nkeychain = "vault"\naddress = "{other}"\n')
    shape = {"owner": "1" * 32, "lamports": NEEDED, "data": ["", "base64"]}

    def held(request: Any) -> dict[str, Any]:
        values = [shape if address == ADDRESS else None for address in request[0]]
        return {"context": {"slot": 1}, "value": values}

    async with scripted_node(
        getGenesisHash=lambda _: DEVNET,
        getMinimumBalanceForRentExemption=lambda _: RENT,
        getMultipleAccounts=held,
        getTokenAccountsByOwner=lambda _: {"context": {"slot": 1}, "value": []},
    ) as node:
        given: dict[str, Any] = {"solana_rpc_url": node.url, "solana_wallet_secret_key": SECRET, "wallets": path}
        code, text = await shown(**given)
        _, answer = await shown(as_json=True, **given)
    assert code == 1, "one of them cannot pay"
    lines = [line.split() for line in text.splitlines() if line]
    assert ["Name", "default"] in lines
    assert ["Name", "desk-2"] in lines
    assert "The wallet does not exist on devnet" in text
    listed = [(wallet["name"], wallet["address"]) for wallet in json.loads(answer)["wallets"]]
    assert listed == [("default", ADDRESS), ("desk-2", other)]
