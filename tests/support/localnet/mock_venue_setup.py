"""Mock venues that settle on a localnet in this process: real chain, real sealer, real wallet, and time by hand."""

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
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.settlement.solana.wallet import Wallet
from dexexec.testing.clock import ManualClock
from dexexec.testing.harness import ChainSetup, Condition, Harness
from dexexec.venue import Network, VenueContext
from dexexec.venues.registry import VenueClass
from dexexec_adapters.mock.venue import MockOptions
from tests.support.attempts import an_attempt
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.rpc_nodes import RecordingListener, open_chain

PEPE = Token(base58.encode(bytes([9]) * 32), "PEPE", 5)
TOKENS = Tokens((*KNOWN, PEPE))
SLOT_MS = 400


class SlotClock(ManualClock):
    """Time by hand with which the localnet's blocks come."""

    def __init__(self, net: InProcessLocalnet) -> None:
        super().__init__()
        self._net, self._blocks = net, self.unix_ms() // SLOT_MS

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        super().advance(seconds)
        self._catch_up()

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass, and everything that falls due meanwhile happen first."""
        await super().sleep(seconds)
        self._catch_up()

    def _catch_up(self) -> None:
        while self._blocks < self.unix_ms() // SLOT_MS:
            self._net.ledger.tick()
            self._blocks += 1


@dataclass
class MockVenueSetup:
    """A localnet with a wallet, on which venues are opened."""

    net: InProcessLocalnet
    chain: Localnet
    clock: SlotClock
    sealer: SolanaSealer

    def venue(self, kind: VenueClass, **options: Any) -> Any:
        """A venue without delays and price moves, unless `options` change that."""
        still = {"settlement": "localnet", "latency_ms": 0, "slippage_ppm": 0}
        return kind(VenueContext(self.clock, TOKENS, self.chain, MockOptions(**(still | options))))

    async def seal(self, venue: Any, quote: Quote) -> SignedSwap:
        """Built, looked at by the guard, signed by both."""
        built = await venue.build(quote, self.sealer.payer, await self.chain.blockhash())
        return (await self.sealer.seal(venue, quote, built, self.clock.monotonic() + 60, an_attempt())).signed

    async def landed(self, signed: SignedSwap) -> Landed:
        """Send it and let it be confirmed."""
        await self.chain.submit(signed)
        self.clock.advance(2 * SLOT_MS / 1000)
        [status] = await self.chain.status([signed.signature])
        assert isinstance(status, Landed), status
        return status

    async def tokens(self, owner: str, mint: str) -> int:
        """What an owner's associated token account holds, in base units, as processed; 0 if it does not exist."""
        options = {"encoding": "jsonParsed", "commitment": "processed"}
        found = (await self.net.rpc("getAccountInfo", associated_token_account(owner, mint), options))["value"]
        return int(found["data"]["parsed"]["info"]["tokenAmount"]["amount"]) if found else 0

    async def lamports(self, owner: str) -> int:
        """Lamports as processed."""
        return await self.net.balance(Pubkey.from_string(owner))


@asynccontextmanager
async def mock_venue_setup(folder: Path) -> AsyncIterator[MockVenueSetup]:
    """A fresh localnet, and a fresh wallet that holds nothing."""
    async with (
        run_localnet(folder) as net,
        open_chain(Localnet([net.url], SystemClock(), RecordingListener())) as chain,
    ):
        clock = SlotClock(net)
        sealer = SolanaSealer(chain, Wallet(secrets.token_bytes(32)), GuardRules(max_priority_fee=0), clock)
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
