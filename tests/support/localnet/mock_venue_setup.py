"""Mock venues that settle on a localnet in this process: a real chain, sealer and wallet, and manual time."""

import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey

from dexexec.clock import SystemClock
from dexexec.domain import base58
from dexexec.domain.quote import Quote
from dexexec.domain.swap import Landed, SignedSwap
from dexexec.domain.token import KNOWN, Token, Tokens
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.rpc import Localnet
from dexexec.settlement.solana.sealer import SolanaSealer
from dexexec.settlement.solana.wallet import Wallet
from dexexec.testing.harness import ChainSetup, Condition, Harness
from dexexec.venue import Network, VenueContext
from dexexec.venues.registry import VenueClass
from dexexec_adapters.mock.venue import MockOptions
from tests.support.attempts import an_attempt
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.local_simulation import SimulatingLocalnet, simulating
from tests.support.localnet.modes import in_turn
from tests.support.localnet.rpc_chains import RecordingListener, open_chain
from tests.support.localnet.slot_clocks import SLOT_MS, SlotClock
from tests.support.sealers import solana_sealer

PEPE = Token(base58.encode(bytes([9]) * 32), "PEPE", 5)
TOKENS = Tokens((*KNOWN, PEPE))


@dataclass
class MockVenueSetup:
    """A localnet with a wallet and a sealer."""

    net: InProcessLocalnet
    chain: Localnet
    clock: SlotClock
    sealer: SolanaSealer

    def venue(self, kind: VenueClass, **options: Any) -> Any:
        """A venue without delays and price moves, unless `options` change that."""
        fixed = {"settlement": "localnet", "latency_ms": 0, "slippage_ppm": 0}
        return kind(VenueContext(self.clock, TOKENS, self.chain, MockOptions(**(fixed | options))))

    async def seal(self, venue: Any, quote: Quote) -> SignedSwap:
        """Builds, checks and signs a swap."""
        built = await venue.build(quote, self.sealer.payer, await self.chain.blockhash())
        return (await self.sealer.seal(venue, quote, built, self.clock.monotonic() + 60, an_attempt())).signed

    async def landed(self, signed: SignedSwap) -> Landed:
        """Sends a swap and makes blocks until it is confirmed."""
        await self.chain.submit(signed)
        self.clock.advance(2 * SLOT_MS / 1000)
        [status] = await self.chain.status([signed.signature])
        assert isinstance(status, Landed), status
        return status

    async def tokens(self, owner: str, mint: str) -> int:
        """Base units in the owner's associated token account, as processed; 0 if it does not exist."""
        return await self.net.token_balance(owner, mint)

    async def lamports(self, owner: str) -> int:
        """Lamports as processed."""
        return await self.net.balance(Pubkey.from_string(owner))


@asynccontextmanager
async def mock_venue_setup(folder: Path) -> AsyncIterator[MockVenueSetup]:
    """A fresh localnet, and a fresh wallet that holds nothing."""
    async with (
        run_localnet(folder, consensus=in_turn()) as net,
        open_chain(SimulatingLocalnet([net.url], SystemClock(), RecordingListener())) as chain,
        simulating(net, chain),
    ):
        clock = SlotClock(net)
        sealer = solana_sealer(chain, Wallet(secrets.token_bytes(32)), GuardRules(max_priority_fee=0), clock)
        yield MockVenueSetup(net, chain, clock, sealer)


@dataclass(frozen=True)
class LocalnetHarness(Harness):
    """The contract's harness, on a localnet: each run has its own, below `folder`."""

    folder: Path = field(default=Path())

    def options(self, condition: Condition) -> Any:
        """By default the contract runs on the simulated chain."""
        return super().options(condition).model_copy(update={"settlement": Network.LOCALNET})

    @asynccontextmanager
    async def chain_setup(self, condition: Condition) -> AsyncIterator[ChainSetup]:
        """A fresh localnet: coins are free, so swaps are sent."""
        async with mock_venue_setup(self.folder / uuid.uuid4().hex) as on:
            yield ChainSetup(clock=on.clock, chain=on.chain, sealer=on.sealer, cluster=Network.LOCALNET, settles=True)
