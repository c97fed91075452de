"""Assembles what `GET /api/overview` shows: from Postgres, and from the networks of this process' worker."""

from collections.abc import Mapping, Sequence

from dexexec.api.service_state import WalletBalance, WalletState
from dexexec.bootstrap.clusters import MAINNET
from dexexec.bootstrap.shared import Shared
from dexexec.bootstrap.wallet_facts import LAMPORTS, MeasuredChain, read_balances
from dexexec.bootstrap.worker_half import WorkerHalf
from dexexec.config.environment import environment
from dexexec.config.wallets import DEFAULT
from dexexec.domain.halt import Halt
from dexexec.domain.program_version import Quarantine
from dexexec.domain.token import WSOL
from dexexec.store.measurements import OpenOrders, read_open_orders, read_reserved
from dexexec.store.operator_lists import ListedWorker, list_workers
from dexexec.venue import Network
from dexexec.venues import registry

KINDS = {MAINNET: "mainnet", "devnet": "devnet", "testnet": "testnet"}
SOL_DECIMALS = 9


class SharedState:
    """The state of the service as one process sees it; `half` is its worker, if it has one."""

    def __init__(self, shared: Shared, half: WorkerHalf | None) -> None:
        self._shared = shared
        self._half = half
        self._database = shared.read_pool or shared.database
        networks = registry.networks(registry.load(shared.settings.adapters), environment())
        # From the adapters and not from open networks: a process without a worker opens none.
        real = sorted(set(networks) - {Network.SIMULATED})
        self._network = real[0] if real else Network.SIMULATED

    @property
    def network(self) -> tuple[str, str]:
        """The network that orders settle on: its name, and its kind."""
        if self._network != Network.SOLANA:
            return self._network, self._network
        # An API process knows no cluster: it opens no node before the first quote.
        cluster = self._half.networks.clusters.get(self._network, "") if self._half else ""
        return cluster or self._network, KINDS.get(cluster, "other")

    def halts(self) -> Sequence[Halt]:
        """All halts."""
        return list(self._shared.halts.all())

    def quarantines(self) -> Sequence[Quarantine]:
        """The quarantined venues."""
        return self._shared.quarantines.all()

    def nodes(self) -> Mapping[str, int] | None:
        """How many slots each node is behind, by its name; None in a process without a worker."""
        if self._half is None:
            return None
        chains = self._half.networks.chains.values()
        return {
            name: lag for chain in chains if isinstance(chain, MeasuredChain) for name, lag in chain.node_lags().items()
        }

    async def open_orders(self, owner: int | None) -> OpenOrders:
        """Orders of `owner` (None: of all) that have not ended."""
        return await read_open_orders(self._database, owner)

    async def workers(self) -> Sequence[ListedWorker]:
        """All workers."""
        return await list_workers(self._database)

    async def wallets(self) -> Sequence[WalletState]:
        """The wallets of this process' worker; none without a worker, or on the simulated chain."""
        if self._half is None:
            return ()
        networks = self._half.networks
        # Before the balances: a reservation that ends in between makes less look free, not more.
        reserved = await read_reserved(self._database)
        states = []
        addresses = {DEFAULT: networks.wallets, **{name: each.wallets for name, each in sorted(networks.named.items())}}
        for name, by_network in addresses.items():
            for network, address in by_network.items():
                chain = networks.chains[network]
                # The simulated chain has no balances.
                if isinstance(chain, MeasuredChain):
                    amounts = await read_balances(chain, network, address, self._half.mints)
                    balances = self._balances(network, address, amounts, reserved)
                    states.append(WalletState(name=name, network=network, address=address, balances=balances))
        return states

    def _balances(
        self,
        network: str,
        address: str,
        amounts: Mapping[tuple[str, ...], float],
        reserved: Mapping[tuple[str, ...], int],
    ) -> list[WalletBalance]:
        tokens = self._shared.settings.token_list()
        # Lamports first: without them nothing is sent, whatever else the wallet has.
        mints = sorted({mint for _, _, mint in amounts}, key=lambda mint: (mint != LAMPORTS, mint))
        balances = []
        for mint in mints:
            token = tokens.get(mint)
            symbol = token.symbol if token else mint
            # A wallet has both: lamports, which pay for transactions, and a token account of this mint.
            if mint == WSOL:
                symbol = "wrapped SOL"
            balances.append(
                WalletBalance(
                    mint=mint,
                    symbol="SOL" if mint == LAMPORTS else symbol,
                    decimals=token.decimals if token else SOL_DECIMALS if mint == LAMPORTS else 0,
                    amount=int(amounts[network, address, mint]),
                    reserved=reserved.get((network, address, mint), 0),
                )
            )
        return balances
