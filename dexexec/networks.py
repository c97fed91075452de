"""The networks that the enabled venues settle on: a chain and a sealer for each, made when a venue needs it.

    simulated   what the mocks settle on unless told otherwise; nothing to set up
    localnet    a Solana on this machine, with free coins and a wallet of its own unless one is given
    solana      the cluster behind SOLANA_RPC_URL, with the wallet of SOLANA_WALLET_SECRET_KEY

Only the worker half asks for them, so only worker processes hold a key, and each holds one.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dexexec.clock import Clock
from dexexec.errors import StartupError
from dexexec.observe import Observer
from dexexec.settings import Settings
from dexexec.settlement.sealing import Sealer, SimulatedSealer
from dexexec.settlement.signer import SimulatedSigner
from dexexec.settlement.simulated import Ledger, SimulatedChain
from dexexec.venue import Chain, Network, VenueError

if TYPE_CHECKING:
    from dexexec.settlement.rpc import RpcChain
    from dexexec.settlement.wallet import Wallet

WALLET_FILE = "localnet-wallet.json"
EXTRA = {"solders", "httpx2"}
"""Modules that come with the extra `solana`."""
MAINNET = "mainnet-beta"
PUBLIC_CLUSTERS = {
    "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d": MAINNET,
    "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG": "devnet",
    "4uhcVJyU9pJkvQyS88uRDiswHXScCkY3zQWdtT6F2gFi": "testnet",
}
"""Genesis hashes, from the Solana documentation (clusters)."""


@dataclass(frozen=True, slots=True)
class Networks:
    """By network: where its swaps settle and who makes them ready for it; and what runs behind that."""

    chains: dict[str, Chain]
    sealers: dict[str, Sealer]
    background: list[Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=list)


@asynccontextmanager
async def open_networks(
    settings: Settings,
    needed: Iterable[str],
    *,
    ledger: Ledger,
    localnet_url: str | None,
    clock: Clock,
    observer: Observer,
) -> AsyncIterator[Networks]:
    """What the networks in `needed` are made of, closed at the end. `ledger` is the simulated chain's.

    Raises `StartupError` when an address or the wallet's key is missing or wrong.
    """
    networks = Networks({Network.SIMULATED: SimulatedChain(clock, ledger)}, {})
    networks.sealers[Network.SIMULATED] = SimulatedSealer(SimulatedSigner())
    async with AsyncExitStack() as stack:
        solana = _Solana(networks, settings, clock, observer)
        stack.push_async_callback(solana.aclose)
        try:
            if Network.LOCALNET in needed:
                await solana.localnet(localnet_url)
            if Network.SOLANA in needed:
                await solana.cluster()
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in EXTRA:
                raise
            raise StartupError("settling on Solana needs the solana extra: pip install 'dexexec[solana]'") from error
        yield networks


@dataclass(slots=True)
class _Solana:
    """Adds the networks of real transactions. Imports stand where they are needed: the simulated mocks must not wait
    for Solana's libraries, nor need them."""

    networks: Networks
    settings: Settings
    clock: Clock
    observer: Observer
    opened: "list[RpcChain]" = field(default_factory=list)

    async def localnet(self, url: str | None) -> None:
        """With the wallet that is given, or one that is made on first use: its coins are free."""
        if url is None:
            raise StartupError(
                "an enabled venue settles on a localnet: start one with `python -m dexexec localnet` and set"
                " DEXEXEC_LOCALNET_URL to its address"
            )
        from dexexec.settlement.rpc import Localnet  # noqa: PLC0415
        from dexexec.settlement.wallet import Wallet  # noqa: PLC0415

        try:
            chain = Localnet([url], self.clock, self.observer)
        except ValueError as error:
            raise StartupError(f"DEXEXEC_LOCALNET_URL: {error}") from error
        self.opened.append(chain)
        try:
            genesis = await chain.genesis_hash()
        except VenueError as error:
            raise StartupError(f"the localnet does not answer ({error}): check DEXEXEC_LOCALNET_URL") from error
        if genesis in PUBLIC_CLUSTERS:
            cluster = PUBLIC_CLUSTERS[genesis]
            raise StartupError(f"DEXEXEC_LOCALNET_URL is a node of {cluster}: mocks only settle on a localnet")
        key = self.settings.solana_wallet_secret_key
        if key is not None and self.settings.names_a_key():
            wallet = Wallet.read(key.get_secret_value())
        else:
            wallet = Wallet.kept_in(self.settings.data_dir / WALLET_FILE)
        self._add(Network.LOCALNET, chain, wallet)

    async def cluster(self) -> None:
        """Whatever cluster the nodes are of, with the wallet that is given. Mainnet only if that is allowed."""
        listed = self.settings.solana_rpc_url.get_secret_value() if self.settings.solana_rpc_url else ""
        urls = [url.strip() for url in listed.split(",") if url.strip()]
        if not urls:
            raise StartupError(
                "an enabled venue settles on Solana: set SOLANA_RPC_URL to its nodes' addresses, by comma"
            )
        key = self.settings.solana_wallet_secret_key
        if key is None:
            raise StartupError("an enabled venue settles on Solana: set SOLANA_WALLET_SECRET_KEY to the wallet's key")
        from dexexec.settlement.rpc import RpcChain  # noqa: PLC0415
        from dexexec.settlement.wallet import Wallet  # noqa: PLC0415

        wallet = Wallet.read(key.get_secret_value())
        try:
            chain = RpcChain(urls, self.clock, self.observer)
        except ValueError as error:
            raise StartupError(f"SOLANA_RPC_URL: {error}") from error
        self.opened.append(chain)
        try:
            genesis = await chain.genesis_hash()
        except VenueError as error:
            raise StartupError(f"no Solana node can be used ({error}): check SOLANA_RPC_URL") from error
        if PUBLIC_CLUSTERS.get(genesis) == MAINNET and not self.settings.allow_mainnet:
            raise StartupError(
                "SOLANA_RPC_URL is mainnet, where swaps cost real money: set DEXEXEC_ALLOW_MAINNET=1 if that is meant"
            )
        self._add(Network.SOLANA, chain, wallet)

    def _add(self, name: str, chain: "RpcChain", wallet: "Wallet") -> None:
        from dexexec.settlement.guard import GuardRules  # noqa: PLC0415
        from dexexec.settlement.solana_sealing import SolanaSealer  # noqa: PLC0415

        rules = GuardRules(self.settings.max_compute_price)
        self.networks.chains[name] = chain
        self.networks.sealers[name] = SolanaSealer(chain, wallet, rules, self.clock)
        self.networks.background.append(chain.run)

    async def aclose(self) -> None:
        """Close what was opened."""
        for chain in self.opened:
            await chain.aclose()
