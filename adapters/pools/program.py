"""What is specific to each program with pools on chain: its accounts, prices and instructions.

`adapters/pools/venue.py` makes a venue of it, and `adapters/pools/pricing.py` reads and prices its pools.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from dexexec.domain.depth import Stretch
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.solana import Account, AccountFilters, Instruction
from dexexec.venue import BadAnswer, VenueError
from dexexec_adapters.curves.integers import ceil_div
from dexexec_adapters.curves.swap import ChainTime, SwapResult, TradeDirection
from dexexec_adapters.pools.search import Mints, PoolKeys, PoolState
from dexexec_adapters.solana.chain_clock import CLOCK, read_clock
from dexexec_adapters.solana.clusters import Deployment

KeysT = TypeVar("KeysT", bound=PoolKeys)
CurveT = TypeVar("CurveT")
StateT = TypeVar("StateT", bound=PoolState)


class PoolProgram(ABC, Generic[KeysT, StateT, CurveT]):
    """A program and its pools: `KeysT` are the constant addresses of one, `StateT` is its parsed account, and `CurveT`
    is what is priced."""

    kind: ClassVar[str]
    """The name of its pools, for messages."""
    deployments: ClassVar[Mapping[str, Deployment]]
    """Its program and configs, by cluster."""
    failures: ClassVar[Mapping[int, VenueError]]
    """The meaning of the program's error numbers."""
    depth_in_vaults: ClassVar[bool] = False
    """Whether the account of a pool does not show its depth. Then its vaults do, where a pair has many pools."""

    # ---- its pools ----

    @abstractmethod
    def filters(self, pair: Mints) -> Sequence[AccountFilters]:
        """The searches for the program's pools of a pair."""

    @abstractmethod
    def derived_pools(self, pair: Mints) -> Sequence[str]:
        """Addresses at which pools of a pair are likely to be, for nodes that cannot search."""

    async def learn(self, pair: Mints) -> None:
        """Read what pools of a pair do not show themselves, before they are parsed. Raises `VenueError`."""
        return

    @abstractmethod
    def read_pool(self, address: str, account: Account | None) -> StateT:
        """The pool at an address. Raises `BadAnswer` for another account, `Unsupported` for an unknown kind of pool."""

    def check_config(self, address: str, account: Account | None) -> None:
        """Raises `BadAnswer` for an account that is not a config of the program."""
        raise BadAnswer(f"{self.kind} pools have no configs")

    @abstractmethod
    def vault_owner(self, pool: KeysT) -> str:
        """The address that owns the vaults of a pool."""

    @abstractmethod
    def reserves(self, state: StateT, held: tuple[int, int]) -> tuple[int, int]:
        """What the pool can trade of each token, in base units. `held` are the balances of the vaults."""

    @abstractmethod
    def launched_at_ms(self, state: StateT, now: ChainTime) -> int:
        """Since when, or from when on, the pool allows swaps (Unix time)."""

    # ---- what a price depends on ----

    def shared_accounts(self) -> Sequence[str]:
        """Accounts that the prices of all pools depend on: the chain's clock."""
        return [CLOCK]

    @abstractmethod
    def accounts_of(self, pool: KeysT) -> Sequence[str]:
        """All accounts of fixed addresses that the price of a pool depends on. Mints among them are checked for
        extensions."""

    def arrays_of(self, state: StateT) -> Sequence[str]:
        """The accounts that depend on the pool's price and that most swaps need: bins or ticks around it. They are read
        in the same answer as the pool, and need not exist."""
        return ()

    def array_at(self, pool: KeysT, index: int) -> str:
        """The address of the array that a curve's `MissingArray` names by its index."""
        raise NotImplementedError

    def now(self, accounts: Mapping[str, Account | None], slot: int) -> ChainTime:
        """The time that the program uses. Raises `BadAnswer`."""
        return read_clock(accounts[CLOCK])

    # ---- prices ----

    @abstractmethod
    def curve(self, state: StateT, held: tuple[int, int], accounts: Mapping[str, Account | None]) -> CurveT:
        """The state that is priced. `held` are the balances of the vaults, and `accounts` are those that were read,
        None for one that does not exist. Raises `BadAnswer`, `Unsupported`, or `MoreNeeded`."""

    @abstractmethod
    def price(
        self, curve: CurveT, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[CurveT]:
        """Price the swap with the program's arithmetic. Raises `CurveError`: with `MissingArray` the arrays are read
        and the swap is priced again; or `MoreNeeded` with addresses."""

    def stretches(self, curve: CurveT, direction: TradeDirection, now: ChainTime) -> Sequence[Stretch]:
        """How the price moves with the size of a swap, so that one can be divided over pools. Empty: none is divided.
        Raises `CurveError`."""
        return ()

    def fee(self, result: SwapResult[CurveT], request: SwapRequest) -> tuple[int, str]:
        """The venue's whole fee in one token, even if the pool takes it from both sides: base units and the mint."""
        if not result.fee_out:
            return result.fee_in, request.mint_in
        # The part from the input counts as the output that it would have bought at the swap's rate, rounded up.
        bought = ceil_div(result.fee_in * (result.amount_out + result.fee_out), result.amount_in - result.fee_in)
        return result.fee_out + bought, request.mint_out

    # ---- swaps ----

    @abstractmethod
    def swap(self, pool: KeysT, quote: Quote, payer: str, accounts: tuple[str, str]) -> Instruction:
        """The program's instruction that executes a quote of a pool, with its bounds, from the first to the second of
        the payer's token accounts."""

    def swap_accounts(self) -> Sequence[str]:
        """What swaps of all pools read besides: no programs, and none of the wallet's accounts."""
        return ()

    def likely_accounts(self, pool: str, pair: Mints) -> Sequence[str]:
        """The derived addresses of what swaps write to of a pool that may exist at an address."""
        return ()
