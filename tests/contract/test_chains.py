"""The rules of `chain_suite` on the chains there are: the simulated one, and a localnet through JSON-RPC."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dexexec.clock import SystemClock
from dexexec.domain.swap import SignedSwap, UnsignedSwap
from dexexec.domain.token import USDC, WSOL
from dexexec.localnet.blocks import Consensus
from dexexec.settlement.simulated.chain import SLOT_MS, SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.settlement.solana.warm.warm_chain import WarmChain
from dexexec.testing.clock import ManualClock
from tests.support.chain_suite import ChainRules, Harness
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.rpc_chains import RecordingListener, open_chain, signed_transfer
from tests.support.localnet.warm_setup import warm_setup
from tests.support.simulated_swaps import simulated_swap

SIGNER = SimulatedSigner()


@dataclass
class SimulatedHarness:
    """A ledger in memory and a clock by hand."""

    clock: ManualClock
    ledger: MemoryLedger
    chain: SimulatedChain
    moves: Mapping[str, int] = field(default_factory=lambda: {WSOL: -(10**9), USDC: 150_000_000})
    fee: int = 5_000
    swaps: int = 0

    async def swap(self, *, good: bool = True) -> SignedSwap:
        blockhash = await self.chain.blockhash()
        self.swaps += 1
        swap = simulated_swap(
            payer=SIGNER.payer,
            blockhash=blockhash.hash,
            nonce=str(self.swaps),
            fee=self.fee,
            move_ppm=0 if good else 100_000,
        )
        return SIGNER.sign(UnsignedSwap(swap.encode(), blockhash))

    async def pass_blocks(self, count: int) -> None:
        self.clock.advance(count * SLOT_MS / 1000)

    async def executions(self) -> int:
        return len(self.ledger)


@dataclass
class RpcHarness:
    """A localnet; the wallet gives away lamports, or more than it has."""

    net: InProcessLocalnet
    chain: RpcChain | WarmChain
    wallet: Keypair
    moves: Mapping[str, int] = field(default_factory=lambda: {WSOL: -(10**6)})
    fee: int = 5_000

    async def swap(self, *, good: bool = True) -> SignedSwap:
        return await signed_transfer(self.chain, self.wallet, Pubkey.new_unique(), 10**6 if good else 10**12)

    async def pass_blocks(self, count: int) -> None:
        await self.net.advance(count)

    async def executions(self) -> int:
        return int(await self.net.rpc("getTransactionCount"))


class TestSimulatedChain(ChainRules):
    def open(self, folder: Path) -> AbstractAsyncContextManager[Harness]:
        return simulated()


class TestRpcChain(ChainRules):
    def open(self, folder: Path) -> AbstractAsyncContextManager[Harness]:
        return on_localnet(folder, Consensus.TOWER)


class TestRpcChainWithImmediateFinality(ChainRules):
    def open(self, folder: Path) -> AbstractAsyncContextManager[Harness]:
        return on_localnet(folder, Consensus.ALPENGLOW)


class TestWarmChain(ChainRules):
    def open(self, folder: Path) -> AbstractAsyncContextManager[Harness]:
        return warm_on_localnet(folder)


@asynccontextmanager
async def simulated() -> AsyncIterator[Harness]:
    clock = ManualClock()
    ledger = MemoryLedger(clock)
    yield SimulatedHarness(clock, ledger, SimulatedChain(ledger))


@asynccontextmanager
async def on_localnet(folder: Path, consensus: Consensus) -> AsyncIterator[Harness]:
    async with (
        run_localnet(folder, consensus=consensus) as net,
        open_chain(RpcChain([net.url], SystemClock(), RecordingListener())) as chain,
    ):
        wallet = await net.funded()
        await net.advance(2)
        await chain.learn_finality()
        yield RpcHarness(net, chain, wallet)


@asynccontextmanager
async def warm_on_localnet(folder: Path) -> AsyncIterator[Harness]:
    """The chain with accounts in memory, whose wallet is warm."""
    async with warm_setup(folder, consensus=Consensus.TOWER) as setup:
        chain = WarmChain(setup.chain, accounts=setup.watch.accounts)
        yield RpcHarness(setup.net, chain, setup.payer)
