"""The state of a service without servers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dexexec.api.service_state import WalletState
from dexexec.domain.halt import Halt
from dexexec.domain.program_version import Quarantine
from dexexec.errors import UnavailableError
from dexexec.store.measurements import OpenOrders
from dexexec.store.operator_lists import ListedWorker


@dataclass
class MemoryState:
    """A `ServiceState`. While `down`, what Postgres has cannot be read. `reads` counts those reads."""

    network: tuple[str, str] = ("simulated", "simulated")
    all_halts: Sequence[Halt] = ()
    all_quarantines: Sequence[Quarantine] = ()
    node_lags: Mapping[str, int] | None = None
    orders: OpenOrders = field(default_factory=lambda: OpenOrders({}, 0.0, 0.0, 0))
    orders_of: Mapping[int, OpenOrders] = field(default_factory=dict)
    listed: Sequence[ListedWorker] = ()
    wallet_states: Sequence[WalletState] = ()
    down: bool = False
    reads: int = 0

    def halts(self) -> Sequence[Halt]:
        return self.all_halts

    def quarantines(self) -> Sequence[Quarantine]:
        return self.all_quarantines

    def nodes(self) -> Mapping[str, int] | None:
        return self.node_lags

    async def open_orders(self, owner: int | None) -> OpenOrders:
        self._read()
        return self.orders if owner is None else self.orders_of.get(owner, OpenOrders({}, 0.0, 0.0, 0))

    async def workers(self) -> Sequence[ListedWorker]:
        self._read()
        return self.listed

    async def wallets(self) -> Sequence[WalletState]:
        self._read()
        return self.wallet_states

    def _read(self) -> None:
        self.reads += 1
        if self.down:
            raise UnavailableError("down")
