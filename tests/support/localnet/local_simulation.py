"""Chains of tests that simulate in this process instead of at their node, on exactly what the node has confirmed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from solders.pubkey import Pubkey

from dexexec.clock import SystemClock
from dexexec.domain.solana import Account, Accounts, Simulation
from dexexec.localnet.blocks import Commitment
from dexexec.localnet.ledger import Ledger
from dexexec.settlement.solana.rpc import Localnet, RpcChain
from dexexec.settlement.solana.warm.local_simulations import LocalRun, LocalSimulations
from dexexec.settlement.solana.warm.local_simulator import NotLocalError, Obstacle
from dexexec.settlement.solana.warm.program_library import ProgramLibrary
from dexexec.settlement.solana.warm.spot_check import difference
from tests.support.localnet.in_process import InProcessLocalnet
from tests.support.parts import running

PATIENCE_SECONDS = 20.0


class Way(StrEnum):
    """Where the chains of a test simulate."""

    NODE = "node"
    LOCAL = "local"


way = Way.NODE
"""Set by the fixture `both_ways`."""


@dataclass
class LedgerMemory:
    """What is confirmed on a localnet in this process, instead of what was notified: always warm."""

    ledger: Ledger

    def recall(self, addresses: Sequence[str]) -> Accounts | None:
        """All accounts, as of the confirmed block."""
        view = self.ledger.blocks.at(Commitment.CONFIRMED)
        return Accounts(view.slot, tuple(self._account(address) for address in addresses))

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """The same."""
        raise AssertionError("nothing is cold")

    def _account(self, address: str) -> Account | None:
        found = self.ledger.account(Pubkey.from_string(address), self.ledger.blocks.at(Commitment.CONFIRMED))
        if found is None or not found.lamports:
            return None
        return Account(str(found.owner), found.lamports, bytes(found.data))


@dataclass
class ProgramLog:
    """Records what an operator would see of programs and comparisons."""

    lines: list[tuple[str, ...]] = field(default_factory=list)

    def program_read(self, program: str, sha256: str, size: int) -> None:
        self.lines.append(("read", program))

    def program_upgraded(self, program: str) -> None:
        self.lines.append(("upgraded", program))

    def program_unusable(self, program: str, why: str) -> None:
        self.lines.append(("unusable", program, why))

    def simulation_checked(self, outcome: str) -> None:
        self.lines.append(("checked", outcome))

    def simulation_differs(self, programs: str, difference: str) -> None:
        self.lines.append(("differs", programs, difference))

    def simulated(self, where: str, why: str) -> None:
        self.lines.append(("simulated", where, why))

    def kinds(self, kind: str) -> list[tuple[str, ...]]:
        """The lines of one kind, without it."""
        return [rest for first, *others in self.lines if first == kind for rest in (tuple(others),)]


class SimulatingChain(RpcChain):
    """A chain that simulates here once `local` is set. The node simulates as well, and must show the same."""

    local: LocalSimulations | None = None
    compared = 0

    async def simulate(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        """As `SolanaChain`."""
        if self.local is None:
            return await super().simulate(transaction, watched)
        found = (await simulate_locally(self.local, transaction, watched)).simulation
        node = await super().simulate(transaction, watched)
        # Slots may pass between the two.
        if node.slot == found.slot:
            assert difference(found, node) == ""
            self.compared += 1
        return found


class SimulatingLocalnet(SimulatingChain, Localnet):
    """The same of a localnet."""


@asynccontextmanager
async def local_simulations(net: InProcessLocalnet, chain: RpcChain) -> AsyncIterator[LocalSimulations]:
    """Local simulations over a localnet, with the programs that it has."""
    clock = SystemClock()
    library = ProgramLibrary(chain, clock, ProgramLog())
    local = LocalSimulations(LedgerMemory(net.ledger), library, chain, clock)
    async with running(library.run(), local.run()):
        yield local


@asynccontextmanager
async def simulating(net: InProcessLocalnet, chain: SimulatingChain) -> AsyncIterator[None]:
    """Simulates here in the block, if the test runs that way."""
    if way is Way.NODE:
        yield
        return
    async with local_simulations(net, chain) as chain.local:
        yield


async def simulate_locally(local: LocalSimulations, transaction: bytes, watched: Sequence[str]) -> LocalRun:
    """Simulates as soon as features and programs have been read."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return local.simulate(transaction, watched)
            except NotLocalError as error:
                if error.obstacle not in {Obstacle.PROGRAM, Obstacle.COLD}:
                    raise
                await asyncio.sleep(0.005)
