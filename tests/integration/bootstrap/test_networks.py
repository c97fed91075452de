"""The chain that venues settle on: a mock never uses real money, and no service trades on mainnet by accident."""

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from dexexec.bootstrap.clusters import PUBLIC_CLUSTERS
from dexexec.bootstrap.networks import Networks, Purpose, open_networks
from dexexec.bootstrap.venues import prepare_venues
from dexexec.config.settings import Settings
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.swap import Blockhash
from dexexec.domain.token import KNOWN, Tokens
from dexexec.errors import StartupError
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.simulated.chain import SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.sealer import SolanaSealer
from dexexec.settlement.solana.spending import ReservationsByChain, nothing_reserved
from dexexec.settlement.solana.version_support import FEATURE_PROGRAM, VERSION_1_FEATURE
from dexexec.testing.clock import ManualClock
from dexexec.venue import (
    Capabilities,
    Faucet,
    Network,
    NoOptions,
    SolanaChain,
    Unsigned,
    Unsupported,
    Venue,
    VenueContext,
    VenueError,
)
from tests.support.localnet.in_process import run_localnet
from tests.support.localnet.scripted_node import scripted_node

MAINNET, DEVNET, _ = PUBLIC_CLUSTERS
KEYPAIR = Keypair()
KEY, ADDRESS = json.dumps(list(bytes(KEYPAIR))), str(KEYPAIR.pubkey())
TOKEN = str(Program.TOKEN)
VALUE: dict[str, object] = {"owner": str(Program.SYSTEM), "lamports": 1, "data": ["", "base64"]}
"""A wallet's account, as a node shows it."""


def networks(
    needed: Sequence[str],
    purpose: Purpose = Purpose.TRADE,
    *,
    localnet_url: str | None = None,
    reserved: ReservationsByChain = nothing_reserved,
    **settings: Any,
) -> AbstractAsyncContextManager[Networks]:
    """These networks, open inside the block."""
    clock = ManualClock()
    return open_networks(
        Settings(_env_file=None, **settings),
        needed,
        ledger=MemoryLedger(clock),
        localnet_url=localnet_url,
        clock=clock,
        observer=Observer(make_logger("critical")),
        purpose=purpose,
        reserved=reserved,
    )


async def opened(needed: Sequence[str], **given: Any) -> dict[str, Any]:
    """The chains of these networks, by name; everything is closed again."""
    async with networks(needed, **given) as found:
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
    async with run_localnet(tmp_path / "net") as net:
        chains = await opened([Network.LOCALNET], localnet_url=net.url, data_dir=tmp_path)
    assert isinstance(chains[Network.LOCALNET], SolanaChain)
    assert isinstance(chains[Network.LOCALNET], Faucet)
    assert (tmp_path / "localnet-wallet.json").exists()


async def test_promise_16_only_what_is_reserved_on_its_own_chain_counts_for_a_wallet(tmp_path: Path) -> None:
    requests: list[tuple[str, int, str]] = []

    async def reserved(wallet: str, slot: int, genesis: str) -> Mapping[str, int]:
        requests.append((wallet, slot, genesis))
        return {}

    async with (
        run_localnet(tmp_path / "net") as net,
        networks([Network.LOCALNET], localnet_url=net.url, data_dir=tmp_path, reserved=reserved) as found,
    ):
        sealer = found.sealers[Network.LOCALNET]
        assert isinstance(sealer, SolanaSealer)
        await sealer._checker._reserved("wallet", 7)
        assert requests == [("wallet", 7, await net.rpc("getGenesisHash"))]


@pytest.mark.parametrize("genesis", PUBLIC_CLUSTERS)
async def test_mocks_never_settle_on_a_public_cluster(genesis: str, tmp_path: Path) -> None:
    async with scripted_node(getGenesisHash=lambda _: genesis) as node:
        await refused(
            [Network.LOCALNET], PUBLIC_CLUSTERS[genesis], "localnet", localnet_url=node.url, data_dir=tmp_path
        )


@asynccontextmanager
async def node_of(genesis: str, wallet: object = VALUE) -> AsyncIterator[dict[str, Any]]:
    """The settings for a node of that chain, where our wallet's account is as given."""

    def answer(request: list[Any]) -> dict[str, Any]:
        return {"context": {"slot": 1}, "value": [wallet] * len(request[0])}

    async with scripted_node(getGenesisHash=lambda _: genesis, getMultipleAccounts=answer) as node:
        yield {"solana_rpc_url": node.url, "solana_wallet_secret_key": KEY}


async def test_mainnet_must_be_allowed_by_name() -> None:
    async with node_of(MAINNET) as given:
        await refused([Network.SOLANA], "DEXEXEC_ALLOW_MAINNET=1", **given)
        assert Network.SOLANA in await opened([Network.SOLANA], allow_mainnet=True, **given)


async def test_other_clusters_need_no_leave() -> None:
    async with node_of(DEVNET) as given:
        assert Network.SOLANA in await opened([Network.SOLANA], **given)


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (None, ("does not exist on devnet", "send SOL", "faucet")),
        (VALUE | {"lamports": 0}, ("does not exist on devnet", "send SOL")),
        (VALUE | {"owner": TOKEN}, (f"is an account of the program {TOKEN}", "devnet")),
        (VALUE | {"data": ["AAAA", "base64"]}, ("not a wallet", "SOLANA_WALLET_SECRET_KEY")),
    ],
)
async def test_a_wallet_that_cannot_pay_on_a_public_cluster_is_an_error_at_start(
    account: object, words: Sequence[str]
) -> None:
    async with node_of(DEVNET, account) as given:
        await refused([Network.SOLANA], ADDRESS, *words, **given)


@pytest.mark.parametrize("data", ["AQEAAAAAAAAA", "AAAAAAAAAAAA", None], ids=["active", "requested", "unknown"])
async def test_version_1_is_built_only_where_the_cluster_executes_it(data: str | None) -> None:
    def accounts(params: Any) -> Any:
        is_feature = params[0] == [VERSION_1_FEATURE]
        feature = data and {**VALUE, "owner": FEATURE_PROGRAM, "data": [data, "base64"]}
        return {"context": {"slot": 1}, "value": [feature if is_feature else VALUE for _ in params[0]]}

    async with scripted_node(getGenesisHash=lambda _: "private", getMultipleAccounts=accounts) as node:
        given = {"solana_rpc_url": node.url, "solana_wallet_secret_key": KEY, "transaction_version": "1"}
        if data == "AQEAAAAAAAAA":
            assert Network.SOLANA in await opened([Network.SOLANA], **given)
        else:
            await refused([Network.SOLANA], "DEXEXEC_TRANSACTION_VERSION", "auto", **given)


async def test_a_wallet_is_not_checked_where_its_coins_may_come_later() -> None:
    async with node_of("4" * 44, None) as given:
        assert Network.SOLANA in await opened([Network.SOLANA], **given)


async def test_reading_alone_needs_no_permission_and_no_coins() -> None:
    async with node_of(MAINNET, None) as given, networks([Network.SOLANA], Purpose.LOOK, **given) as found:
        assert (found.wallets, found.sealers) == ({Network.SOLANA: ADDRESS}, {})


async def test_promise_19_where_all_orders_run_dry_nothing_gets_the_key(tmp_path: Path) -> None:
    async with node_of(MAINNET) as given, run_localnet(tmp_path / "net") as net:
        needed = [Network.SOLANA, Network.LOCALNET]
        given |= {"data_dir": tmp_path, "dry_run": True}
        async with networks(needed, localnet_url=net.url, **given) as found:
            assert found.sealers == {}, "mainnet needs no permission, since nothing can be signed"
            assert set(found.simulators) == {Network.SIMULATED, *needed}
            assert found.simulators[Network.SOLANA].payer == ADDRESS
        given |= {"solana_wallet_secret_key": "not a key", "dry_run_wallet": ADDRESS}
        async with networks(needed, localnet_url=net.url, **given) as found:
            assert found.sealers == {}
            assert {found.simulators[name].payer for name in needed} == {ADDRESS}


async def test_a_dry_run_names_what_it_needs_instead_of_a_key() -> None:
    await refused([Network.SOLANA], "DEXEXEC_DRY_RUN_WALLET", solana_rpc_url="http://127.0.0.1:9", dry_run=True)


async def test_a_quote_needs_no_wallet_and_reads_no_key(tmp_path: Path) -> None:
    async with node_of(MAINNET, None) as given, run_localnet(tmp_path / "net") as net:
        given |= {"solana_wallet_secret_key": "not a key", "data_dir": tmp_path}
        needed = [Network.SOLANA, Network.LOCALNET]
        async with networks(needed, Purpose.QUOTE, localnet_url=net.url, **given) as found:
            assert set(found.chains) == {Network.SIMULATED, *needed}
            assert (found.wallets, found.sealers) == ({}, {})
    assert not (tmp_path / "localnet-wallet.json").exists()


DESK = Keypair()
AT_VAULT = str(Keypair.from_seed(bytes(range(32))).pubkey())


def wallets_file(folder: Path, *, default: bool = False) -> Path:
    """A file with a wallet whose key is here, and one whose key is in a Vault that does not answer."""
    for name in ("desk", "token"):
        (folder / name).write_text(json.dumps(list(bytes(DESK))) if name == "desk" else "a token")
        (folder / name).chmod(0o600)
    path = folder / "wallets.toml"
    text = f"""
    [{"default" if default else "desk-1"}]
    key = "file:{folder / "desk"}"
    [desk-2]
    keychain = "vault"
    address = "{AT_VAULT}"
    api_base_url = "https://127.0.0.1:9"
    key_name = "desk"
    token = "file:{folder / "token"}"
    """
    path.write_text(text)
    return path


async def test_every_wallet_has_a_sealer_and_a_history_on_every_network(tmp_path: Path) -> None:
    async with node_of(DEVNET) as given, run_localnet(tmp_path / "net") as net:
        needed = [Network.SOLANA, Network.LOCALNET]
        given |= {"data_dir": tmp_path, "wallets": wallets_file(tmp_path)}
        async with networks(needed, localnet_url=net.url, **given) as found:
            addresses = {None: ADDRESS, "desk-1": str(DESK.pubkey()), "desk-2": AT_VAULT}
            for name, address in addresses.items():
                of = found.of(name)
                assert of.wallets == dict.fromkeys(needed, address)
                assert set(of.sealers) == set(of.simulators) == {Network.SIMULATED, *needed}
                assert {of.sealers[network].payer for network in needed} == {address}
            assert {(payer.name, payer.address) for payer in found.payers} == set(addresses.items())
            assert len(found.payers) == len(needed) * len(addresses)
            simulated = {found.of(name).sealers[Network.SIMULATED].payer for name in addresses}
            assert len(simulated) == len(addresses), "the simulated chain has a wallet for each name too"


async def test_promise_19_where_all_orders_run_dry_no_named_wallet_gets_a_key(tmp_path: Path) -> None:
    async with node_of(DEVNET) as given:
        given |= {"dry_run": True, "wallets": wallets_file(tmp_path)}
        async with networks([Network.SOLANA], **given) as found:
            assert [found.of(name).sealers for name in (None, "desk-1", "desk-2")] == [{}, {}, {}]
            assert found.of("desk-2").simulators[Network.SOLANA].payer == AT_VAULT


async def test_the_table_default_is_the_wallet_of_orders_that_name_none(tmp_path: Path) -> None:
    async with node_of(DEVNET) as given:
        del given["solana_wallet_secret_key"]
        given["wallets"] = wallets_file(tmp_path, default=True)
        async with networks([Network.SOLANA], **given) as found:
            assert found.wallets[Network.SOLANA] == str(DESK.pubkey())
            assert set(found.named) == {"desk-2"}


async def test_an_empty_named_wallet_does_not_stop_the_others(tmp_path: Path) -> None:
    def shown(request: list[Any]) -> dict[str, Any]:
        values = [VALUE if address == ADDRESS else None for address in request[0]]
        return {"context": {"slot": 1}, "value": values}

    async with scripted_node(getGenesisHash=lambda _: DEVNET, getMultipleAccounts=shown) as node:
        given: dict[str, Any] = {"solana_rpc_url": node.url, "solana_wallet_secret_key": KEY}
        given["wallets"] = wallets_file(tmp_path)
        async with networks([Network.SOLANA], **given) as found:
            assert set(found.named) == {"desk-1", "desk-2"}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('key = "file:{folder}/nowhere"', "key of [desk] in DEXEXEC_WALLETS names a file that does not exist"),
        ('key = "env:NOT_SET_ANYWHERE"', "key of [desk] in DEXEXEC_WALLETS: its secret is empty"),
        (f'key = "file:{{folder}}/desk"\naddress = "{AT_VAULT}"', "the key of [desk] is not that of its address"),
        (f'keychain = "vualt"\naddress = "{AT_VAULT}"', "[desk]: did you mean vault?"),
        (f'keychain = "crossmint"\naddress = "{AT_VAULT}"', "it sends the transactions that it signs"),
        (f'keychain = "vault"\naddress = "{AT_VAULT}"', "[desk]: api_base_url and token and key_name must be set"),
    ],
)
async def test_a_named_wallet_that_cannot_be_opened_is_an_error_at_start(
    tmp_path: Path, table: str, words: str
) -> None:
    wallets_file(tmp_path)
    path = tmp_path / "wrong.toml"
    path.write_text(f"[desk]\n{table.format(folder=tmp_path)}")
    async with node_of(DEVNET) as given:
        await refused([Network.SOLANA], words, wallets=path, **given)


async def test_a_wallet_in_a_service_needs_the_extra_and_the_others_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("keychain_config", "keychain_signer"):
        monkeypatch.delitem(sys.modules, f"dexexec.settlement.solana.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "solana_keychain", None)
    async with node_of(DEVNET) as given:
        await refused([Network.SOLANA], "[desk-2] needs the keychain extra", wallets=wallets_file(tmp_path), **given)
        async with networks([Network.SOLANA], **given) as found:
            assert found.sealers[Network.SOLANA].payer == ADDRESS


@pytest.mark.parametrize(("genesis", "name"), [*PUBLIC_CLUSTERS.items(), ("4" * 44, "")])
async def test_a_cluster_is_known_by_its_genesis_hash(genesis: str, name: str, tmp_path: Path) -> None:
    async with node_of(genesis) as given, run_localnet(tmp_path / "net") as net:
        needed = [Network.SOLANA, Network.LOCALNET]
        given |= {"allow_mainnet": True, "data_dir": tmp_path}
        async with networks(needed, localnet_url=net.url, **given) as found:
            assert found.clusters == {Network.SOLANA: name, Network.LOCALNET: "localnet"}


class Picky(Venue[NoOptions]):
    """A venue that finds out at the start what it needs."""

    name = "picky"
    capabilities = Capabilities()
    problem: VenueError | None = None
    prepared = 0

    async def prepare(self) -> None:
        self.prepared += 1
        if self.problem:
            raise self.problem

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        raise AssertionError("not used here")

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        raise AssertionError("not used here")


async def test_each_venue_gets_ready_and_one_that_cannot_ends_the_start_with_its_words() -> None:
    clock = ManualClock()
    chain = SimulatedChain(MemoryLedger(clock))
    venues = [Picky(VenueContext(clock, Tokens(KNOWN), chain, NoOptions())) for _ in range(2)]
    await prepare_venues(venues)
    assert [venue.prepared for venue in venues] == [1, 1]
    venues[1].problem = Unsupported("its program is not on devnet")
    with pytest.raises(StartupError, match=r"^picky: its program is not on devnet$"):
        await prepare_venues(venues)


async def test_nodes_of_different_chains_are_refused() -> None:
    async with (
        scripted_node(getGenesisHash=lambda _: DEVNET) as one,
        scripted_node(getGenesisHash=lambda _: MAINNET) as other,
    ):
        urls = f"{one.url}, {other.url}"
        await refused([Network.SOLANA], "different chains", solana_rpc_url=urls, solana_wallet_secret_key=KEY)


async def test_what_is_missing_is_named() -> None:
    await refused([Network.SOLANA], "SOLANA_RPC_URL")
    await refused([Network.SOLANA], "SOLANA_WALLET_SECRET_KEY", solana_rpc_url="http://127.0.0.1:9")
    await refused([Network.SOLANA], "SOLANA_RPC_URL", solana_rpc_url="nonsense", solana_wallet_secret_key=KEY)
    await refused(
        [Network.SOLANA],
        "DEXEXEC_SEND_URLS",
        "node 2",
        solana_rpc_url="http://127.0.0.1:9",
        solana_wallet_secret_key=KEY,
        send_urls=f"https://a.example/{KEY},{KEY}",
    )
    await refused(
        [Network.SOLANA], "check SOLANA_RPC_URL", solana_rpc_url="http://127.0.0.1:9", solana_wallet_secret_key=KEY
    )
    await refused([Network.LOCALNET], "python -m dexexec localnet", localnet_url=None)
