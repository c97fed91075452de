"""Opens the networks that the enabled venues settle on: a chain client for each, and a sealer to sign for it.

simulated   the default network of the mocks; needs no setup
localnet    a Solana on this machine with free coins, and a wallet that is created if none is configured
solana      the cluster behind SOLANA_RPC_URL, with the wallet of SOLANA_WALLET_SECRET_KEY
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from dexexec.bootstrap.clusters import (
    MAINNET,
    PUBLIC_CLUSTERS,
    bids,
    send_options,
    send_urls,
    split_node_urls,
    startup_error,
    wallet_fault,
)
from dexexec.bootstrap.message_versions import check_version, message_compiler
from dexexec.bootstrap.wallets import Payer, WalletOpener
from dexexec.clock import Clock
from dexexec.config.settings import Settings
from dexexec.config.wallets import DEFAULT
from dexexec.domain.attempt_id import UNNAMED, AttemptId
from dexexec.errors import StartupError, install_hint
from dexexec.observe.observer import Observer
from dexexec.recovery.chain_comparison import WalletOnChain
from dexexec.settlement.sealing import ClientSignedSealer, Sealer, SwapSimulator
from dexexec.settlement.simulated.chain import SimulatedChain
from dexexec.settlement.simulated.ledger import Ledger
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.settlement.solana.spending import ReservationsByChain, nothing_reserved, reservations_on
from dexexec.settlement.wallet_sealers import WalletSealers
from dexexec.venue import Chain, Network, VenueError
from dexexec.venues.routes.venue import Fits

if TYPE_CHECKING:
    from dexexec.settlement.solana.rpc import RpcChain
    from dexexec.settlement.solana.wallet import Wallet
    from dexexec.settlement.solana.warm.account_watch import AccountWatch

WALLET_FILE = "localnet-wallet.json"
EXTRA = {"solders"}
"""Modules that come with the extra `solana`."""


class Purpose(Enum):
    """The purpose of opening networks. Only worker processes open them to trade, so only those hold a key."""

    TRADE = auto()
    """Execute orders: the wallet must be able to pay, and mainnet must be allowed."""
    LOOK = auto()
    """Read the balances of the wallet, which may be empty."""
    QUOTE = auto()
    """Get quotes from venues, without a wallet."""

    @property
    def needs_nodes(self) -> str:
        """The reason why Solana nodes are needed, for an error."""
        return {
            Purpose.TRADE: "an enabled venue settles on Solana",
            Purpose.LOOK: "a wallet's balances are on Solana",
            Purpose.QUOTE: "an enabled venue is on Solana",
        }[self]


@dataclass(frozen=True, slots=True)
class NamedOnNetworks:
    """A named wallet on each network, as the fields of `Networks` are for the default one."""

    sealers: dict[str, Sealer] = field(default_factory=dict)
    simulators: dict[str, SwapSimulator] = field(default_factory=dict)
    wallets: dict[str, str] = field(default_factory=dict)

    def for_settlement(self) -> WalletSealers:
        """The wallet for `Settlement`."""
        return WalletSealers(sealers=self.sealers, simulators=self.simulators)


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The open networks, each dict by network. Sealers, simulators and wallets are those of the default wallet."""

    chains: dict[str, Chain]
    nodes: dict[str, Chain]
    """The same chains, without what is kept in memory: what these answer, a node has answered now."""
    sealers: dict[str, Sealer]
    """They sign transactions; only with `Purpose.TRADE`, and not where all orders run dry."""
    simulators: dict[str, SwapSimulator] = field(default_factory=dict)
    """They simulate swaps for dry runs, without a key; only with `Purpose.TRADE`."""
    wallets: dict[str, str] = field(default_factory=dict)
    """Addresses of the default wallet."""
    named: dict[str, NamedOnNetworks] = field(default_factory=dict)
    """The same three of the wallets that have a name, by name."""
    clusters: dict[str, str] = field(default_factory=dict)
    """Names of clusters, as in `VenueContext.cluster`."""
    genesis: dict[str, str] = field(default_factory=dict)
    """Genesis hashes; the simulated chain has none."""
    background: list[Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=list)
    fits: dict[str, Fits] = field(default_factory=dict)
    watches: "dict[str, AccountWatch]" = field(default_factory=dict)
    """The accounts in memory; only with `Purpose.TRADE` and real transactions."""
    payers: list[WalletOnChain] = field(default_factory=list)
    """Wallets that pay for swaps, with their transaction history; only with `Purpose.TRADE` and real transactions."""
    clients: dict[str, Callable[[str], ClientSignedSealer]] = field(default_factory=dict)
    """They make the sealer of a client's own wallet; only with `Purpose.TRADE` and real transactions."""

    def of(self, wallet: str | None) -> "NamedOnNetworks | Networks":
        """The sealers, simulators and addresses of a wallet, to be filled; None: the default one."""
        return self if wallet is None else self.named.setdefault(wallet, NamedOnNetworks())

    def client_sealers(self, address: str) -> Mapping[str, ClientSignedSealer]:
        """The sealers of a client's own wallet, by network."""
        return {network: make(address) for network, make in self.clients.items()}


@asynccontextmanager
async def open_networks(
    settings: Settings,
    needed: Iterable[str],
    *,
    ledger: Ledger,
    localnet_url: str | None,
    clock: Clock,
    observer: Observer,
    purpose: Purpose = Purpose.TRADE,
    reserved: ReservationsByChain = nothing_reserved,
    record: str = UNNAMED,
    co_signer_secret: bytes = b"",
    pins: Pins | None = None,
) -> AsyncIterator[Networks]:
    """Open the networks in `needed` for the block. `ledger` is that of the simulated chain, and `record` the name of
    the database that holds the orders. To trade, `reserved` returns the funds that open attempts may spend, and `pins`
    are the programs that transactions may call. With `co_signer_secret`, clients may sign for wallets of their own.

    Raises `StartupError` when a URL or the wallet's key is missing or invalid, or the wallet cannot pay.
    """
    simulated = SimulatedChain(ledger)
    networks = Networks(chains={Network.SIMULATED: simulated}, nodes={Network.SIMULATED: simulated}, sealers={})
    if purpose is Purpose.TRADE:
        _add_simulated(networks, settings)
    async with AsyncExitStack() as stack:
        solana = _Solana(
            networks=networks,
            settings=settings,
            clock=clock,
            observer=observer,
            purpose=purpose,
            reserved=reserved,
            record=record,
            co_signer_secret=co_signer_secret,
            pins=pins or Pins(),
        )
        stack.push_async_callback(solana.aclose)
        try:
            if Network.LOCALNET in needed:
                await solana.localnet(localnet_url)
            if Network.SOLANA in needed:
                await solana.cluster()
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in EXTRA:
                raise
            raise StartupError(f"settling on Solana needs the solana extra: {install_hint('solana')}") from error
        yield networks


def _add_simulated(networks: Networks, settings: Settings) -> None:
    """Add the wallets of the simulated chain: one for each name, with a key that is not secret."""
    for name in (None, *sorted(settings.named_wallets().keys() - {DEFAULT})):
        of = networks.of(name)
        sealer = SimulatedSealer(SimulatedSigner() if name is None else SimulatedSigner.named(name))
        of.simulators[Network.SIMULATED] = sealer
        if not settings.dry_run:
            of.sealers[Network.SIMULATED] = sealer


@dataclass(slots=True, kw_only=True)
class _Solana:
    """Adds the networks with real transactions. It imports Solana's libraries on use, since the mocks need none."""

    networks: Networks
    settings: Settings
    clock: Clock
    observer: Observer
    purpose: Purpose
    reserved: ReservationsByChain
    record: str
    co_signer_secret: bytes = field(repr=False)
    pins: Pins
    opened: "list[RpcChain]" = field(default_factory=list)
    named: list[Payer] | None = None
    """The wallets of DEXEXEC_WALLETS, once they are opened: a wallet is the same on all networks."""

    async def localnet(self, url: str | None) -> None:
        """Add the localnet at `url`, with the configured wallet or one that is created on first use."""
        if url is None:
            raise StartupError(
                "an enabled venue settles on a localnet: start one with `python -m dexexec localnet` and set"
                " DEXEXEC_LOCALNET_URL to its address"
            )
        from dexexec.settlement.solana.rpc import Localnet  # noqa: PLC0415
        from dexexec.settlement.solana.wallet import Wallet  # noqa: PLC0415

        try:
            chain = Localnet(
                split_node_urls(url),
                self.clock,
                self.observer,
                meter=self.observer.metrics,
                sends=send_options(self.settings),
            )
        except ValueError as error:
            raise StartupError(f"DEXEXEC_LOCALNET_URL: {error}") from error
        self.opened.append(chain)
        try:
            genesis = await chain.genesis_hash()
            if self.purpose is Purpose.TRADE:
                await check_version(self.settings, chain, self.clock)
        except VenueError as error:
            hint = "start one with `python -m dexexec localnet`, or check DEXEXEC_LOCALNET_URL"
            raise startup_error(error)(f"the localnet does not answer ({error}): {hint}") from error
        if genesis in PUBLIC_CLUSTERS:
            cluster = PUBLIC_CLUSTERS[genesis]
            raise StartupError(f"DEXEXEC_LOCALNET_URL is a node of {cluster}: mocks only settle on a localnet")

        def read() -> Wallet:
            key = self.settings.solana_wallet_secret_key
            if key is not None and self.settings.has_wallet_key():
                return Wallet.read(key.get_secret_value())
            return Wallet.kept_in(self.settings.data_folder() / WALLET_FILE)

        await chain.learn_finality()
        self._add(Network.LOCALNET, chain, self._payers(read), Network.LOCALNET, genesis)

    async def cluster(self) -> None:
        """Add the cluster of SOLANA_RPC_URL, with the configured wallet. Mainnet must be allowed to trade on it."""
        listed = self.settings.solana_rpc_url.get_secret_value() if self.settings.solana_rpc_url else ""
        urls = split_node_urls(listed)
        if not urls:
            raise StartupError(
                f"{self.purpose.needs_nodes}: set SOLANA_RPC_URL to the addresses of its nodes, by comma"
            )
        from dexexec.settlement.solana.rpc import RpcChain  # noqa: PLC0415
        from dexexec.settlement.solana.wallet import Wallet  # noqa: PLC0415

        def read() -> Wallet:
            key = self.settings.solana_wallet_secret_key
            if key is None:
                dry = ", or DEXEXEC_DRY_RUN_WALLET to its address" if self.settings.dry_run else ""
                raise StartupError(
                    f"{self.purpose.needs_nodes}: set SOLANA_WALLET_SECRET_KEY to the wallet's key, or describe it in"
                    f" the table default of DEXEXEC_WALLETS{dry}"
                )
            return Wallet.read(key.get_secret_value())

        payers = self._payers(read)
        only_sends = send_urls(self.settings, trades=self.purpose is Purpose.TRADE)
        try:
            chain = RpcChain(
                urls,
                self.clock,
                self.observer,
                requests_per_second=self.settings.rpc_requests_per_second,
                meter=self.observer.metrics,
                sends=send_options(self.settings, only_sends),
            )
        except ValueError as error:
            raise StartupError(f"SOLANA_RPC_URL: {error}") from error
        self.opened.append(chain)
        try:
            genesis = await chain.genesis_hash()
            cluster = PUBLIC_CLUSTERS.get(genesis, "")
            if payers and cluster and self.purpose is Purpose.TRADE:
                self._may_trade(cluster)
                await self._check_payers(chain, payers, cluster)
            if self.purpose is Purpose.TRADE:
                await check_version(self.settings, chain, self.clock)
        except VenueError as error:
            raise startup_error(error)(f"no Solana node can be used ({error}): check SOLANA_RPC_URL") from error
        await chain.learn_finality()
        self._add(Network.SOLANA, chain, payers, cluster, genesis)

    def _payers(self, read: "Callable[[], Wallet]") -> list[Payer]:
        """The wallets of the purpose, the default one first; `read` returns that one with its key, unless
        DEXEXEC_WALLETS has a table for it."""
        if self.purpose is Purpose.QUOTE:
            return []
        # Where all orders run dry, no part of the process gets a key.
        signs = self.purpose is Purpose.TRADE and not self.settings.dry_run
        opener = WalletOpener(signs=signs, clock=self.clock, observer=self.observer)
        if self.named is None:
            self.named = opener.named(self.settings.named_wallets())
        payers = {payer.name: payer for payer in self.named}
        if self.settings.dry_run_wallet is not None:
            default = Payer(name=None, address=self.settings.dry_run_wallet)
        else:
            default = payers.get(None) or opener.default(read)
        return [default, *(payer for name, payer in payers.items() if name is not None)]

    async def _check_payers(self, chain: "RpcChain", payers: Sequence[Payer], cluster: str) -> None:
        accounts = (await chain.accounts([payer.address for payer in payers])).found
        for payer, account in zip(payers, accounts, strict=True):
            fault = wallet_fault(account, cluster)
            if fault and payer.name is None:
                raise StartupError(f"the wallet {payer.address} {fault}")
            # One empty wallet must not stop the orders of all others.
            if fault:
                self.observer.wallet_cannot_pay(payer.label, payer.address, fault)

    def _may_trade(self, cluster: str) -> None:
        if cluster == MAINNET and not self.settings.allow_mainnet and not self.settings.dry_run:
            raise StartupError(
                "SOLANA_RPC_URL is mainnet, where swaps cost real money: set DEXEXEC_ALLOW_MAINNET=1 to allow that, or"
                " DEXEXEC_DRY_RUN=1 to simulate them only"
            )

    def _add(self, name: str, chain: "RpcChain", payers: Sequence[Payer], cluster: str, genesis: str) -> None:
        from dexexec.bootstrap.warm_state import warm_state  # noqa: PLC0415
        from dexexec.recovery.own_transactions import read_own  # noqa: PLC0415
        from dexexec.settlement.solana.checker import SwapChecker, no_co_signer  # noqa: PLC0415
        from dexexec.settlement.solana.client_sealer import ClientSealer  # noqa: PLC0415
        from dexexec.settlement.solana.co_signer import CoSigner  # noqa: PLC0415
        from dexexec.settlement.solana.guard.message_rules import GuardRules  # noqa: PLC0415
        from dexexec.settlement.solana.priority_fee import PriorityFeeEstimator  # noqa: PLC0415
        from dexexec.settlement.solana.sealer import SolanaSealer  # noqa: PLC0415
        from dexexec.settlement.solana.signature_fee import SignatureFee  # noqa: PLC0415

        networks = self.networks
        settings = self.settings
        networks.chains[name] = chain
        networks.nodes[name] = chain
        networks.clusters[name] = cluster
        networks.genesis[name] = genesis
        networks.background.append(chain.run)
        networks.background.append(chain.follow_finality)
        for payer in payers:
            networks.of(payer.name).wallets[name] = payer.address
        # Only a process that trades keeps state in memory: the others look once, and then nothing would use it.
        if self.purpose is not Purpose.TRADE:
            return
        floor = settings.min_compute_price
        cap = settings.max_compute_price
        price = PriorityFeeEstimator(chain.recent_priority_fees, floor, cap, self.clock, self.observer)
        networks.background.append(price.run)
        warm = warm_state(chain, settings, self.clock, self.observer, price)
        networks.chains[name] = warm.chain
        networks.background.extend(warm.background)
        if warm.watch is not None:
            networks.watches[name] = warm.watch
        compiler = message_compiler(settings, chain, self.clock, networks.background)
        networks.fits[name] = compiler.fits
        signature_fee = SignatureFee(chain, self.clock)
        networks.background.append(signature_fee.run)
        rules = GuardRules(cap, pins=self.pins, spend_wrapped=settings.spend_wrapped_sol, bids=bids(settings, name))

        def checker_for(address: str, co_signer: "Callable[[AttemptId], str]" = no_co_signer) -> SwapChecker:
            return SwapChecker(
                warm.chain,
                address,
                rules,
                self.clock,
                node=chain,
                rent=warm.rent,
                price=price,
                tokens=settings.token_list(),
                reserved=reservations_on(self.reserved, genesis),
                record=self.record,
                co_signer=co_signer,
                compiler=compiler,
                signature_fee=signature_fee,
            )

        # Made on demand: any address may pay for an order, and most pay for one only.
        if self.co_signer_secret:
            co_signer = CoSigner(self.co_signer_secret)
            networks.clients[name] = lambda address: ClientSealer(checker_for(address, co_signer.address), co_signer)
        for payer in payers:
            checker = checker_for(payer.address)
            of = networks.of(payer.name)
            of.simulators[name] = checker
            if payer.signer is not None:
                of.sealers[name] = SolanaSealer(checker, payer.signer)
            networks.payers.append(
                WalletOnChain(genesis=genesis, address=payer.address, chain=chain, read_own=read_own, name=payer.name)
            )

    async def aclose(self) -> None:
        """Close the clients of all opened chains, and the signers of the named wallets."""
        for chain in self.opened:
            await chain.aclose()
        for payer in self.named or ():
            if payer.signer is not None:
                await payer.signer.aclose()
