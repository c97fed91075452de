"""Which chain venues settle on, and what keeps a mock from real money and a service from a mainnet nobody meant."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from dexexec.errors import StartupError
from dexexec.networks import PUBLIC_CLUSTERS, open_networks
from dexexec.observe import Observer, make_logger
from dexexec.settings import Settings
from dexexec.settlement.simulated import MemoryLedger
from dexexec.testing.clock import ManualClock
from dexexec.venue import Faucet, Network, SolanaChain
from tests.integration.localnet import running
from tests.integration.rpc_nodes import scripted

MAINNET, DEVNET, _ = PUBLIC_CLUSTERS
KEY = json.dumps(list(bytes(Keypair())))


async def opened(needed: Sequence[str], *, localnet_url: str | None = None, **settings: Any) -> dict[str, Any]:
    """The chains of these networks, by name; everything is closed again."""
    clock = ManualClock()
    networks = open_networks(
        Settings(_env_file=None, **settings),
        needed,
        ledger=MemoryLedger(clock),
        localnet_url=localnet_url,
        clock=clock,
        observer=Observer(make_logger("critical")),
    )
    async with networks as found:
        assert set(found.chains) == set(found.sealers)
        return dict(found.chains)


async def refused(needed: Sequence[str], *words: str, **settings: Any) -> None:
    with pytest.raises(StartupError) as caught:
        await opened(needed, **settings)
    for word in words:
        assert word in str(caught.value)
    assert KEY not in str(caught.value)


async def test_the_simulated_chain_needs_nothing() -> None:
    assert set(await opened([Network.SIMULATED])) == {Network.SIMULATED}


async def test_a_localnet_is_solana_with_free_coins_and_a_wallet_of_its_own(tmp_path: Path) -> None:
    async with running(tmp_path / "net") as net:
        chains = await opened([Network.LOCALNET], localnet_url=net.url, data_dir=tmp_path)
    assert isinstance(chains[Network.LOCALNET], SolanaChain)
    assert isinstance(chains[Network.LOCALNET], Faucet)
    assert (tmp_path / "localnet-wallet.json").exists()


@pytest.mark.parametrize("genesis", PUBLIC_CLUSTERS)
async def test_mocks_never_settle_on_a_public_cluster(genesis: str, tmp_path: Path) -> None:
    async with scripted(getGenesisHash=lambda _: genesis) as node:
        await refused(
            [Network.LOCALNET], PUBLIC_CLUSTERS[genesis], "localnet", localnet_url=node.url, data_dir=tmp_path
        )


async def test_mainnet_must_be_allowed_by_name() -> None:
    async with scripted(getGenesisHash=lambda _: MAINNET) as node:
        given = {"solana_rpc_url": node.url, "solana_wallet_secret_key": KEY}
        await refused([Network.SOLANA], "DEXEXEC_ALLOW_MAINNET=1", **given)
        assert Network.SOLANA in await opened([Network.SOLANA], allow_mainnet=True, **given)


async def test_other_clusters_need_no_leave() -> None:
    async with scripted(getGenesisHash=lambda _: DEVNET) as node:
        assert Network.SOLANA in await opened([Network.SOLANA], solana_rpc_url=node.url, solana_wallet_secret_key=KEY)


async def test_nodes_of_different_chains_are_refused() -> None:
    async with (
        scripted(getGenesisHash=lambda _: DEVNET) as one,
        scripted(getGenesisHash=lambda _: MAINNET) as other,
    ):
        urls = f"{one.url}, {other.url}"
        await refused([Network.SOLANA], "different chains", solana_rpc_url=urls, solana_wallet_secret_key=KEY)


async def test_what_is_missing_is_named() -> None:
    await refused([Network.SOLANA], "SOLANA_RPC_URL")
    await refused([Network.SOLANA], "SOLANA_WALLET_SECRET_KEY", solana_rpc_url="http://127.0.0.1:9")
    await refused([Network.SOLANA], "SOLANA_RPC_URL", solana_rpc_url="nonsense", solana_wallet_secret_key=KEY)
    await refused(
        [Network.SOLANA], "check SOLANA_RPC_URL", solana_rpc_url="http://127.0.0.1:9", solana_wallet_secret_key=KEY
    )
    await refused([Network.LOCALNET], "python -m dexexec localnet", localnet_url=None)
