"""The chain as adapters, `SwapBuilder` and `SwapChecker` use it: it answers from memory where it may, else from a node.

Three questions stand between an order and its send: accounts, blockhash, simulation. Each has its own source here;
everything else goes to the nodes. A refusal never rests on memory alone: `SwapChecker` confirms it with a node.
"""

from collections.abc import Awaitable, Callable, Sequence

from dexexec.domain.pace import Pace
from dexexec.domain.sends import SendLog
from dexexec.domain.solana import AccountFilters, Accounts, ProgramAccounts, Simulation, TokenBalance
from dexexec.domain.swap import Blockhash, SignedSwap, SubmitAnswer, SwapStatus
from dexexec.settlement.solana.message import TOKEN_PROGRAMS
from dexexec.settlement.solana.rpc.chain import Localnet, RpcChain
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.settlement.solana.warm.local_simulator import SYSVARS
from dexexec.venue import ProgramWatch

ReadAccounts = Callable[[Sequence[str]], Awaitable[Accounts]]
ReadBlockhash = Callable[[], Awaitable[Blockhash]]
Simulate = Callable[[bytes, Sequence[str]], Awaitable[Simulation]]
Expect = Callable[[Sequence[str]], None]
ReadAhead = Callable[[Sequence[str], Sequence[str], Sequence[str]], Awaitable[None]]


class WarmChain:
    """`SolanaChain` over `node`, the chain behind the nodes, which serves what `accounts`, `blockhash` or `simulate` is
    not given for."""

    def __init__(
        self,
        node: RpcChain,
        *,
        accounts: ReadAccounts | None = None,
        blockhash: ReadBlockhash | None = None,
        simulate: Simulate | None = None,
        expect: Expect | None = None,
        read_ahead: ReadAhead | None = None,
    ) -> None:
        self.node = node
        self._accounts = accounts or node.accounts
        self._blockhash = blockhash or node.blockhash
        self._simulate = simulate or node.simulate
        self._expect = expect
        self._read_ahead = read_ahead

    @property
    def pace(self) -> Pace:
        """As `PacedChain`."""
        return self.node.pace

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As `SolanaChain`."""
        return await self._accounts(addresses)

    async def accounts_now(self, addresses: Sequence[str]) -> Accounts:
        """As `ConfirmingChain`."""
        return await self.node.accounts(addresses)

    async def blockhash(self) -> Blockhash:
        """As `Chain`."""
        return await self._blockhash()

    async def simulate(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        """As `SolanaChain`. Raises `ValueError` for bytes that are not a transaction."""
        return await self._simulate(transaction, watched)

    def expect(self, wallet: str, mints: Sequence[str]) -> None:
        """As `ExpectingChain`."""
        if self._expect is not None:
            owned = [associated_token_account(wallet, mint, program) for mint in mints for program in TOKEN_PROGRAMS]
            self._expect((wallet, *owned, *mints, *SYSVARS))

    async def read_ahead(
        self, addresses: Sequence[str], along: Sequence[str] = (), written: Sequence[str] = ()
    ) -> None:
        """As `ReadingAheadChain`. Without accounts in memory nothing would keep the answer, so nothing is read."""
        if self._read_ahead is not None:
            await self._read_ahead(addresses, along, written)

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """As `Chain`."""
        return await self.node.submit(signed)

    async def broadcast(self, signed: SignedSwap, log: SendLog) -> SubmitAnswer:
        """As `BroadcastingChain`."""
        return await self.node.broadcast(signed, log)

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """As `Chain`."""
        return await self.node.status(signatures, history=history)

    async def wait_for_notification(self, signature: str, seconds: float) -> None:
        """As `NotifyingChain`."""
        await self.node.wait_for_notification(signature, seconds)

    async def program_accounts(self, program: str, filters: AccountFilters) -> ProgramAccounts:
        """As `SolanaChain`."""
        return await self.node.program_accounts(program, filters)

    def watch_program(self, program: str, filters: Sequence[AccountFilters]) -> ProgramWatch:
        """As `ProgramWatchingChain`."""
        return self.node.watch_program(program, filters)

    async def token_accounts(self, owner: str) -> list[TokenBalance]:
        """As `RpcChain`."""
        return await self.node.token_accounts(owner)

    def node_lags(self) -> dict[str, int]:
        """As `RpcChain`."""
        return self.node.node_lags()

    def budget_left(self) -> dict[str, float]:
        """As `RpcChain`."""
        return self.node.budget_left()


class WarmLocalnet(WarmChain):
    """A warm chain whose coins are free."""

    def __init__(
        self,
        node: Localnet,
        *,
        accounts: ReadAccounts | None = None,
        blockhash: ReadBlockhash | None = None,
        simulate: Simulate | None = None,
        expect: Expect | None = None,
        read_ahead: ReadAhead | None = None,
    ) -> None:
        super().__init__(
            node, accounts=accounts, blockhash=blockhash, simulate=simulate, expect=expect, read_ahead=read_ahead
        )
        self._faucet = node

    async def fund(self, owner: str, mint: str, decimals: int, amount: int) -> None:
        """As `Faucet`."""
        await self._faucet.fund(owner, mint, decimals, amount)
