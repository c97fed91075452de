"""A wallet, a pool that builds scripted swaps, and a sealer between them, on the localnet."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from dexexec.clock import SystemClock
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.solana import Instruction, Simulation, SwapInstructions
from dexexec.domain.swap import Accepted, Blockhash, ProgramFailure, SignedSwap
from dexexec.domain.token import Tokens
from dexexec.localnet.blocks import LAMPORTS_PER_BYTE
from dexexec.settlement.solana.bids import NO_BIDS, Bids
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.rpc.chain import RpcChain
from dexexec.settlement.solana.sealer import SolanaSealer
from dexexec.settlement.solana.transaction import assemble, associated_token_account, compile_message, parse_message
from dexexec.settlement.solana.wallet import Wallet
from dexexec.venue import (
    NoOptions,
    Unsigned,
    Venue,
    VenueContext,
    VenueError,
)
from tests.support.attempts import an_attempt
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.local_simulation import SimulatingChain, simulating
from tests.support.localnet.modes import in_turn
from tests.support.localnet.rpc_chains import RecordingListener
from tests.support.localnet.spl_tokens import make_mint, mint_tokens
from tests.support.sealers import solana_sealer
from tests.support.swap_transactions import MAX_IN, MIN_OUT, call, fixed, message_of, open_account, transfer
from tests.support.swap_transactions import quote as allowed

PROGRAM = str(Pubkey.new_unique())
STRANGER = str(Pubkey.new_unique())
HELD = 1_000
VAULT = 500
OUT = MIN_OUT + 1
ANY_VERSION = {"commitment": "confirmed", "maxSupportedTransactionVersion": 1}
FEE = 5_000
"""Lamports per signature."""
SIGNATURES = 2 * FEE


class ScriptedVenue(Venue[NoOptions]):
    """A venue that builds scripted swaps, and co-signs in a scripted way."""

    name = "pool"
    steps: tuple[Instruction, ...] = ()
    means: VenueError | None = None
    failures: tuple[ProgramFailure, ...] = ()
    cosign_requests: tuple[bytes, ...] = ()
    instead: Mapping[str, bytes] | None = None

    def __init__(self, chain: RpcChain, key: Keypair) -> None:
        super().__init__(VenueContext(SystemClock(), Tokens(()), chain, NoOptions()))
        self.key = key

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        raise AssertionError("sealing asks for no quote")

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        return SwapInstructions(self.steps, blockhash, (str(self.key.pubkey()),))

    async def cosign(self, message: bytes) -> Mapping[str, bytes]:
        self.cosign_requests += (message,)
        if self.instead is not None:
            return self.instead
        return {str(self.key.pubkey()): bytes(self.key.sign_message(message))}

    def explain(self, failure: ProgramFailure) -> VenueError | None:
        self.failures += (failure,)
        return self.means

    @property
    def programs(self) -> frozenset[str]:
        return frozenset({PROGRAM})


class NoWaitClock(SystemClock):
    """Does not wait for slots that do not come by themselves here."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class InjectingChain(SimulatingChain):
    """The chain, where the venue's program does `inside` instead of being called: what a program that is given our
    accounts and our signature can really do to them. While a transaction is simulated, `meanwhile` happens."""

    inside: tuple[Instruction, ...] = ()
    meanwhile: tuple[Callable[[], Awaitable[None]], ...] = ()
    simulated = 0

    async def simulate(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        self.simulated += 1
        if self.meanwhile:
            first, *self.meanwhile = self.meanwhile  # type: ignore[assignment]
            await first()
        if not self.inside:
            return await super().simulate(transaction, watched)
        message = message_of(transaction)
        steps = (*(one for one in message.instructions if one.program != PROGRAM), *self.inside)
        compiled = compile_message(message.payer, steps, message.blockhash)
        signers = parse_message(compiled).signers
        found = await super().simulate(assemble(compiled, signers, {}), watched)
        payer = found.after.get(message.payer)
        if payer is None:
            return found
        # A signer of the injected instructions only is an account of the program. In reality it costs no fee.
        saved = FEE * (len(signers) - len(message.signers))
        after = {**found.after, message.payer: replace(payer, lamports=payer.lamports + saved)}
        return replace(found, after=after)


@dataclass(frozen=True, kw_only=True)
class SealingSetup:
    """Our wallet holds 1,000 of `mint_in` and of `other`, the venue's vaults 500 of each mint; the honest swap pays 100
    for 50 of `mint_out`, for which our wallet has no account yet."""

    net: InProcessLocalnet
    chain: InjectingChain
    venue: ScriptedVenue
    key: Keypair
    mint_in: str
    mint_out: str
    other: str

    @property
    def wallet(self) -> str:
        return str(self.key.pubkey())

    @property
    def vault(self) -> str:
        return str(self.venue.key.pubkey())

    def own_account(self, mint: str) -> str:
        return associated_token_account(self.wallet, mint)

    def venue_account(self, mint: str) -> str:
        return associated_token_account(self.vault, mint)

    def pays(self, amount: int = MAX_IN, mint: str = "") -> Instruction:
        mint = mint or self.mint_in
        return transfer(self.own_account(mint), self.venue_account(mint), self.wallet, amount)

    def gets(self, amount: int = OUT) -> Instruction:
        return transfer(self.venue_account(self.mint_out), self.own_account(self.mint_out), self.vault, amount)

    def opens(self) -> Instruction:
        return open_account(self.wallet, self.wallet, self.mint_out)

    def honest(self) -> tuple[Instruction, ...]:
        return (self.opens(), self.pays(), self.gets())

    def calls(self, *others: str) -> tuple[Instruction, ...]:
        """A call of the venue's program, which is given all that a swap needs, and more of its own."""
        given: tuple[str, ...] = (
            self.wallet,
            self.vault,
            self.own_account(self.mint_in),
            self.own_account(self.mint_out),
            *others,
        )
        given += tuple(self.venue_account(one) for one in (self.mint_in, self.mint_out, self.other))
        return (self.opens(), call(PROGRAM, b"swap", *given, signers=[self.wallet, self.vault]))

    def quote(self, mint_in: str = "", mint_out: str = "") -> Quote:
        return replace(allowed(mint_in or self.mint_in, mint_out or self.mint_out), venue="pool")

    def sealer(self, priority_fee: int = 0, max_priority_fee: int = 1_000_000, bids: Bids = NO_BIDS) -> SolanaSealer:
        rules = GuardRules(max_priority_fee, pins=Pins({"pool": frozenset({PROGRAM})}), bids=bids)
        wallet = Wallet(self.key.secret())
        return solana_sealer(self.chain, wallet, rules, NoWaitClock(), price=fixed(priority_fee), rent=self.chain.rent)

    async def build(self, *steps: Instruction, signers: tuple[str, ...] | None = None) -> SwapInstructions:
        latest = (await self.net.rpc("getLatestBlockhash", {"commitment": "confirmed"}))["value"]
        blockhash = Blockhash(latest["blockhash"], latest["lastValidBlockHeight"])
        return SwapInstructions(steps, blockhash, (self.vault,) if signers is None else signers)

    async def seal(self, *steps: Instruction, quote: Quote | None = None) -> SignedSwap:
        unsigned = await self.build(*steps)
        until = SystemClock().monotonic() + 60
        return (await self.sealer().seal(self.venue, quote or self.quote(), unsigned, until, an_attempt())).signed

    async def amount(self, address: str) -> int:
        shown = await self.net.client.get_token_account_balance(Pubkey.from_string(address))
        return int(shown.value.amount)

    async def lands(self, signed: SignedSwap) -> None:
        """Sends a swap, which lands successfully."""
        assert await self.chain.submit(signed) == Accepted()
        status = await self.net.status(Signature.from_string(signed.signature))
        assert status["err"] is None


@asynccontextmanager
async def sealing_setup(folder: Path, *, lamports_per_byte: int = LAMPORTS_PER_BYTE) -> AsyncIterator[SealingSetup]:
    """A setup whose accounts and balances are confirmed."""
    async with run_localnet(folder, consensus=in_turn(), lamports_per_byte=lamports_per_byte) as net:
        key, vault = await net.funded(), await net.funded()
        mint_in, mint_out, other = [await make_mint(net, vault) for _ in range(3)]
        for mint in (mint_in, mint_out, other):
            await mint_tokens(net, vault, mint, VAULT)
        for mint in (mint_in, other):
            await mint_tokens(net, vault, mint, HELD, owner=key.pubkey())
        await net.advance(2)
        listener = RecordingListener()
        chain = InjectingChain([net.url], SystemClock(), listener)
        try:
            async with simulating(net, chain):
                yield SealingSetup(
                    net=net,
                    chain=chain,
                    venue=ScriptedVenue(chain, vault),
                    key=key,
                    mint_in=str(mint_in),
                    mint_out=str(mint_out),
                    other=str(other),
                )
        finally:
            await chain.aclose()
        assert listener.lines == [], "the node worked all the time"


def close_account(account: str, owner: str) -> Instruction:
    """CloseAccount, to its owner."""
    return call(Program.TOKEN, b"\x09", account, owner, owner, signers=[owner])
