"""A localnet as a process beside the service, with funds, and the settings of a service that settles on it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from solders.keypair import Keypair

from dexexec.localnet.blocks import Consensus
from tests.support.localnet.in_process import rpc
from tests.support.service.process import Launcher, Process

SLOT_MS = 40
"""So that it takes 7.3 s and not 73 until a transaction is proven expired: 150 blocks, and 32 on top of the last."""
Funds = Mapping[str, tuple[int, int]]
"""By mint, "" for lamports: its decimals, and the balance in base units."""


async def start_localnet(
    launcher: Launcher, folder: Path, *options: str, consensus: Consensus = Consensus.TOWER
) -> tuple[Process, str]:
    """Start a localnet that keeps its ledger in `folder`, or goes on with the one there; returns it and its URL."""
    ports = ("--port", "0", "--ws-port", "0")
    mode = ("--slot-ms", str(SLOT_MS), "--consensus", consensus, "--allow-faults")
    process = launcher.start("localnet", *ports, *mode, "--data-dir", str(folder), *options)
    return process, await asyncio.to_thread(process.address, "RPC")


async def fund(url: str, owner: str, funds: Funds) -> None:
    """Raise the balances of `owner` to at least these."""
    for mint, (decimals, amount) in funds.items():
        await rpc(url, "localnet_fund", owner, mint, decimals, amount)


def settings_on(url: str, wallet: Keypair) -> dict[str, str]:
    """What makes a process settle on the localnet at `url`, and sign with `wallet`."""
    return {
        "DEXEXEC_MOCK_SETTLEMENT": "localnet",
        "DEXEXEC_LOCALNET_URL": url,
        "DEXEXEC_FINALITY_SECONDS": "0.2",
        "SOLANA_WALLET_SECRET_KEY": str(wallet),
    }
