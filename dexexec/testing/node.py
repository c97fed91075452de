"""The contract's harness for a venue whose prices come from a real chain. It reads from a node, and sends nothing.

Prices must not change while a check runs, so the node's first answers are cached and returned again.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dexexec.domain.solana import Account, AccountFilters, Accounts, ProgramAccounts, Simulation
from dexexec.domain.swap import Blockhash, SignedSwap, SubmitAnswer, SwapStatus, Unavailable, Unknown
from dexexec.errors import StartupError
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.testing.clock import ManualClock
from dexexec.testing.harness import ChainSetup, Condition, Harness
from dexexec.venue import SolanaChain, VenueError

FIRST_QUOTE_SECONDS = 30.0
"""How long the first quote may take. It searches pools; later quotes use the cache."""


class CachedChain:
    """Returns a chain's first answers again. Its slot is the oldest of them. It sends nothing."""

    def __init__(self, chain: SolanaChain) -> None:
        self._chain = chain
        self._slot: int | None = None
        self._blockhash: Blockhash | None = None
        self._accounts: dict[str, Account | None] = {}
        self._searches: dict[tuple[str, AccountFilters], ProgramAccounts | VenueError] = {}

    async def blockhash(self) -> Blockhash:
        """As `Chain`."""
        if self._blockhash is None:
            self._blockhash = await self._chain.blockhash()
        return self._blockhash

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """Send nothing."""
        return Unknown("the contract is checked without sending anything to this chain")

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """No status, because nothing was sent."""
        return [Unavailable("nothing is looked up here") for _ in signatures]

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As `SolanaChain`."""
        new = [address for address in dict.fromkeys(addresses) if address not in self._accounts]
        if new or self._slot is None:
            answer = await self._chain.accounts(new)
            self._accounts |= zip(new, answer.found, strict=True)
            # The oldest slot: a later one would make the accounts look newer than they are.
            self._slot = answer.slot if self._slot is None else min(self._slot, answer.slot)
        return Accounts(self._slot, tuple(self._accounts[address] for address in addresses))

    async def program_accounts(self, program: str, filters: AccountFilters) -> ProgramAccounts:
        """As `SolanaChain`. An error is cached, too."""
        search = program, filters
        if search not in self._searches:
            try:
                self._searches[search] = await self._chain.program_accounts(program, filters)
            except VenueError as error:
                self._searches[search] = error
        cached = self._searches[search]
        # A new error for each call: a raised one collects the tracebacks of all callers.
        if isinstance(cached, VenueError):
            raise type(cached)(str(cached), shared=cached.shared)
        return cached

    async def simulate(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        """As `SolanaChain`."""
        return await self._chain.simulate(transaction, watched)


@dataclass(frozen=True)
class NodeHarness(Harness):
    """All setups share `chain`, of the cluster `cluster`. Each clock starts at the real time, and is then manual."""

    chain: CachedChain = field(kw_only=True)
    cluster: str = ""

    @asynccontextmanager
    async def chain_setup(self, condition: Condition) -> AsyncIterator[ChainSetup]:
        """The cached node."""
        clock = ManualClock(time.time_ns() // 1_000_000)
        yield ChainSetup(clock=clock, chain=self.chain, sealer=SimulatedSealer(SimulatedSigner()), cluster=self.cluster)

    async def ready(self) -> None:
        """Prepare a venue and quote once, so that everything the checks need is cached.

        Raises `StartupError` with the venue's reason.
        """
        try:
            async with self.venue_setup() as setup:
                await setup.venue.prepare()
                await setup.venue.quote(setup.request(setup.amount()), setup.clock.monotonic() + FIRST_QUOTE_SECONDS)
                await setup.chain.blockhash()
        except VenueError as error:
            tokens = [self.tokens.get(mint) for mint in self.pair or self.default_pair()]
            pair = " for ".join(token.symbol if token else "?" for token in tokens)
            raise StartupError(
                f"{self.venue_class.name} cannot be checked with 1 {pair}: {error.code}: {error}; to check another"
                " pair, set INPUT_MINT, OUTPUT_MINT and DEXEXEC_TOKENS"
            ) from error
