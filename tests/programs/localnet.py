"""The real programs on a localnet in this process, with venues and a wallet, and time by hand."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dexexec.clock import Clock, SystemClock
from dexexec.domain.quote import Fill, Quote
from dexexec.domain.swap import FailedOnChain, Landed, NotSeen, SignedSwap, SwapStatus
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.settlement.solana.rpc import Localnet
from dexexec.settlement.solana.sealer import SolanaSealer
from dexexec.settlement.solana.wallet import Wallet
from dexexec.testing.clock import ManualClock
from dexexec.venue import AnyVenue, VenueContext
from dexexec.venues.registry import VenueClass
from tests.programs import dumps
from tests.programs.market import GivenPools, Market, fund
from tests.programs.tokens import TOKENS, ata
from tests.support.attempts import an_attempt
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.local_simulation import SimulatingLocalnet, local_simulations
from tests.support.localnet.rpc_chains import RecordingListener, open_chain
from tests.support.localnet.slot_clocks import SlotClock
from tests.support.sealers import solana_sealer

PINS = Pins({name: frozenset({program}) for name, program in dumps.PROGRAMS.items()})
PINS.combine({"split": dumps.MARKET, "hops": dumps.MARKET})
SLOTS = 3
"""Until what landed is confirmed, and the confirmed clock is the newest one's second."""
SECONDS = 60


class Time(ManualClock):
    """One clock for service and chain; a test decides when blocks come."""

    def unix(self) -> float:
        """The time for the chain's blocks, in seconds."""
        return self.unix_ms() / 1000


class SlotTime(SlotClock):
    """The same, but blocks come as time passes."""

    def unix(self) -> float:
        """The time for the chain's blocks, in seconds."""
        return self.unix_ms() / 1000


class Held(NamedTuple):
    """What a wallet holds: lamports, wrapped or not, and tokens by mint."""

    amounts: dict[str, int]

    def since(self, before: "Held") -> dict[str, int]:
        """What has changed."""
        changed = {mint: amount - before.amounts.get(mint, 0) for mint, amount in self.amounts.items()}
        return {mint: amount for mint, amount in changed.items() if amount}


@dataclass
class ProgramsLocalnet:
    """A market that is open, and a wallet that can trade in it."""

    net: InProcessLocalnet
    chain: Localnet
    clock: ManualClock
    market: Market
    sealer: SolanaSealer

    def venue(self, kind: VenueClass, clock: ManualClock | None = None, chain: Any = None, **options: Any) -> AnyVenue:
        """A venue; with another clock or chain than this one's, if need be."""
        made = kind.Options.model_validate({"cluster": "localnet", **options})
        return kind(VenueContext(clock or self.clock, TOKENS, chain or self.chain, made, cluster="localnet"))

    @property
    def compared(self) -> int:
        """How many simulations in this process were compared with the node's."""
        return self.chain.compared if isinstance(self.chain, SimulatingLocalnet) else 0

    @property
    def payer(self) -> Pubkey:
        """The wallet."""
        return Pubkey.from_string(self.sealer.payer)

    def with_wallet(self, wallet: Keypair) -> "ProgramsLocalnet":
        """The same with another wallet."""
        return ProgramsLocalnet(
            self.net, self.chain, self.clock, self.market, sealer_of(self.chain, self.clock, wallet)
        )

    def pass_slots(self, count: int = SLOTS) -> None:
        """Let blocks come, at the time that it is."""
        for _ in range(count):
            self.net.ledger.tick()

    def skip(self, seconds: float) -> None:
        """Let time pass, and its blocks be confirmed."""
        self.clock.advance(seconds)
        self.pass_slots()

    async def seal(self, venue: AnyVenue, quote: Quote) -> SignedSwap:
        """Built, simulated, looked at by the guard, signed."""
        built = await venue.build(quote, self.sealer.payer, await self.chain.blockhash())
        return (await self.sealer.seal(venue, quote, built, self.clock.monotonic() + SECONDS, an_attempt())).signed

    async def simulate(self, venue: AnyVenue, quote: Quote) -> Fill:
        """Built, simulated and looked at by the guard, as in a dry run."""
        built = await venue.build(quote, self.sealer.payer, await self.chain.blockhash())
        return await self.sealer.simulate(venue, quote, built, self.clock.monotonic() + SECONDS, an_attempt())

    async def settle(self, signed: SignedSwap) -> SwapStatus:
        """Send it, and what is then confirmed."""
        await self.chain.submit(signed)
        self.pass_slots()
        [status] = await self.chain.status([signed.signature])
        assert isinstance(status, Landed | FailedOnChain | NotSeen), status
        return status

    def held(self, owner: Pubkey | None = None) -> Held:
        """What a wallet holds in its newest state."""
        owner = owner or self.payer
        tip = self.net.ledger.blocks.tip
        amounts = {}
        for token in TOKENS:
            account = self.net.ledger.account(ata(owner, token.mint), tip)
            wrapped = token.mint == WSOL
            amounts[token.mint] = 0 if account is None else account.lamports if wrapped else amount_of(account.data)
        wallet = self.net.ledger.account(owner, tip)
        amounts[WSOL] += wallet.lamports if wallet else 0
        return Held(amounts)

    def balances(self) -> dict[str, int]:
        """The total of every token over all holders; of SOL what is wrapped in vaults and what the payer has."""
        tip, total = self.net.ledger.blocks.tip, dict(self.held().amounts)
        for pool in self.market.pools:
            for mint, vault in zip(pool.mints, pool.vaults, strict=True):
                account = self.net.ledger.account(Pubkey.from_string(vault), tip)
                assert account is not None
                total[mint] += amount_of(account.data)
        return total


@asynccontextmanager
async def programs_localnet(
    folder: Path, seed: int, only: Sequence[str] = (), more: GivenPools | None = None
) -> AsyncIterator[ProgramsLocalnet]:
    """A localnet with the programs and a market by `seed` (`only`: few pools, of one pair of mints), and `more` pools
    of other venues; blocks come when a test decides it. Swaps are simulated here, and each simulation is compared with
    the node's."""
    clock = Time()
    async with (
        run_localnet(folder, now=clock.unix) as net,
        open_chain(SimulatingLocalnet([net.url], SystemClock(), RecordingListener())) as chain,
        local_simulations(net, chain) as chain.local,
    ):
        yield await _market(net, chain, clock, seed, only, more)


@asynccontextmanager
async def flowing(
    folder: Path,
    seed: int,
    only: Sequence[str],
    chain_class: type[Localnet] = Localnet,
    more: GivenPools | None = None,
) -> AsyncIterator[ProgramsLocalnet]:
    """The same, with few pools of one pair of mints, and `more` of other venues, where blocks come with time."""
    clocks: list[Time | SlotTime] = [Time()]

    def now() -> float:
        return clocks[-1].unix()

    async with run_localnet(folder, now=now) as net:
        clock = SlotTime(net)
        clocks.append(clock)
        async with open_chain(chain_class([net.url], SystemClock(), RecordingListener())) as chain:
            yield await _market(net, chain, clock, seed, only, more)


async def _market(
    net: InProcessLocalnet,
    chain: Localnet,
    clock: ManualClock,
    seed: int,
    only: Sequence[str],
    more: GivenPools | None = None,
) -> ProgramsLocalnet:
    market = Market(seed, clock.unix_ms() // 1000, only, more)
    programs = dumps.programs(*dict.fromkeys(pool.venue for pool in market.pools))
    net.ledger.add_programs([(Pubkey.from_string(one), elf) for one, elf in programs.items()])
    assert not net.ledger.add_accounts(market.accounts)
    await market.open_on(net.url)
    wallet = Keypair()
    await fund(net.url, wallet.pubkey())
    found = ProgramsLocalnet(net, chain, clock, market, sealer_of(chain, clock, wallet))
    found.skip(2)  # a pool of Raydium's opens one second after it was made
    return found


def sealer_of(chain: Localnet, clock: Clock, wallet: Keypair) -> SolanaSealer:
    """Seals for a wallet, without a price for compute units."""
    rules = GuardRules(max_priority_fee=0, pins=PINS)
    return solana_sealer(chain, Wallet(bytes(wallet)[:32]), rules, clock)


def amount_of(data: bytes) -> int:
    """The amount in a token account."""
    return int.from_bytes(data[64:72], "little")
