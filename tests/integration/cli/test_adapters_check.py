"""`python -m dexexec adapters check` of a Solana venue: it uses a node, and only reads."""

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from solders.account import Account as SolanaAccount
from solders.pubkey import Pubkey

from dexexec.cli.adapter_report import check_adapter
from dexexec.config.settings import Settings
from dexexec.domain.solana import Account
from dexexec.domain.token import USDC
from dexexec.errors import StartupError
from dexexec.testing.contract import CHECKS
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.spl import TOKEN
from tests.support import meteora_accounts as at
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.scripted_node import scripted_node
from tests.support.meteora_accounts import chain_of
from tests.support.raydium_accounts import address, mint_account, pool_accounts
from tests.support.raydium_clmm_accounts import ClmmAccounts
from tests.support.recorded_venues import OLD

LOADER = "BPFLoaderUpgradeab1e11111111111111111111111"
PROGRAMS = {
    "raydium": "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C",
    "raydium-clmm": "CAMMCzo5YL8w4VFF8KVHrK22GGUsp5VTaW7grrKgrWqK",
    "meteora": "cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG",
}
POOLS: dict[str, Mapping[str, Account]] = {
    "raydium": {**pool_accounts(address(1), OLD), USDC: mint_account(TOKEN)},
    "raydium-clmm": ClmmAccounts().accounts(),
    "meteora": {place: one for place, one in chain_of(at.pool_of()).held.items() if place != CLOCK},
}


def put(net: InProcessLocalnet, held: Mapping[str, Account]) -> None:
    """Let the node show these accounts."""
    net.ledger.add_accounts([
        (Pubkey.from_string(place), SolanaAccount(one.lamports, one.data, Pubkey.from_string(one.owner)))
        for place, one in held.items()
    ])  # fmt: skip


def environ(name: str, cluster: str = "mainnet-beta") -> dict[str, str]:
    """A localnet's genesis hash is unknown: a setting decides which cluster it counts as."""
    return {f"DEXEXEC_{name.upper().replace('-', '_')}_CLUSTER": cluster}


async def checked(url: str, name: str, given: Mapping[str, str]) -> tuple[int, list[str]]:
    """The exit code and what was printed."""
    out = io.StringIO()
    settings = Settings(_env_file=None, solana_rpc_url=url)
    code = await asyncio.to_thread(check_adapter, name, given, settings, out)
    return code, out.getvalue().splitlines()


@pytest.mark.parametrize("name", POOLS)
async def test_the_contract_is_tried_on_a_node_that_is_only_read(tmp_path: Path, name: str) -> None:
    async with run_localnet(tmp_path) as net, scripted_node(net.url) as node:
        put(net, {**POOLS[name], PROGRAMS[name]: Account(LOADER, 1_000_000, bytes(36))})
        await net.advance(2)
        code, lines = await checked(node.url, name, environ(name))
        assert [line for line in lines if "FAIL" in line] == []
        assert code == 0
        skipped = [line for line in lines if line.startswith("  skip")]
        assert all("it settles on solana, where the checks send no swaps" in line for line in skipped)
        assert lines[-1] == f"{len(CHECKS) - 2} of {len(CHECKS)} rules kept, 0 broken, 2 not applicable"
        assert node.count("sendTransaction") == node.count("simulateTransaction") == 0
        assert node.count("getMultipleAccounts") < 10, "what was read once is not read again"


async def test_both_of_a_preset_are_checked(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        put(net, {**POOLS["meteora"], PROGRAMS["meteora"]: Account(LOADER, 1_000_000, bytes(36))})
        await net.advance(2)
        with pytest.raises(
            StartupError, match=r"raydium cannot be checked .* is not a program on devnet: set DEXEXEC_"
        ):
            await checked(net.url, "devnet", {})


async def test_without_the_program_or_a_pool_the_error_is_one_line(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net:
        with pytest.raises(StartupError, match="set DEXEXEC_RAYDIUM_PROGRAM_ID"):
            await checked(net.url, "raydium", {})
        with pytest.raises(StartupError, match="not a program on mainnet-beta: set DEXEXEC_RAYDIUM_PROGRAM_ID"):
            await checked(net.url, "raydium", environ("raydium"))
        put(net, {PROGRAMS["raydium"]: Account(LOADER, 1_000_000, bytes(36))})
        await net.advance(2)
        with pytest.raises(StartupError) as failure:
            await checked(net.url, "raydium", environ("raydium"))
        assert str(failure.value) == (
            "raydium cannot be checked with 1 SOL for USDC: no-route: there is no CPMM pool for this pair; to check"
            " another pair, set INPUT_MINT, OUTPUT_MINT and DEXEXEC_TOKENS"
        )
