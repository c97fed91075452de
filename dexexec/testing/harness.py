"""What a check of the contract works on: a venue of its own, in a setup whose time and chain it controls.

A check asks for a condition, and gets the venue with its options set for it. An adapter says which value of an option
makes which condition, in the field itself: `Field(..., json_schema_extra={"contract": {"still": 0, "slow": 60_000}})`.
Prices must stand still while the clock does; an adapter with live prices is checked on recorded ones.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar
from uuid import uuid4

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.swap import Blockhash, Landed, NotSeen, SignedSwap, SwapStatus, Unavailable
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.settlement.sealing import Sealed, Sealer
from dexexec.settlement.simulated.chain import MemoryLedger, SimulatedChain
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.testing.clock import ManualClock
from dexexec.venue import Chain, Network, Slippage, Unsigned, Unsupported, Venue, VenueContext
from dexexec.venues.registry import VenueClass, read_options

T = TypeVar("T")
PATIENCE = 5.0
"""Real seconds after which a venue is taken to hang."""
DEADLINE = 1.0
"""Seconds that a quote may take."""
SLIPPAGE_BPS = 50


class Condition(StrEnum):
    """What an adapter's options are set for."""

    STILL = "still"  # no failures, no delays, no price moves
    SLOW = "slow"  # still, but quotes take far longer than any deadline
    MOVING = "moving"  # still, but the price moves against the taker between quote and landing


class RuleBroken(Exception):  # noqa: N818 - read as "the rule is broken"
    """A check's finding; its text says what was seen and what would be right."""


class NotApplicable(Exception):  # noqa: N818
    """The rule says nothing about this adapter; its text says why."""


@dataclass(frozen=True)
class VenueSetup:
    """One venue with everything around it. Nothing is shared with another setup."""

    venue: Venue[Any]
    clock: ManualClock
    chain: Chain
    sealer: Sealer
    tokens: Tokens
    mint_in: str
    mint_out: str

    def amount(self, tokens: int = 1, over: int = 1) -> int:
        """`tokens / over` of the input token in base units, at least one unit."""
        token = self.tokens.get(self.mint_in)
        unit: int = 10 ** (token.decimals if token else 6)
        return max(1, tokens * unit // over)

    def request(self, amount: int, mode: Mode = Mode.EXACT_IN, slippage_bps: int = SLIPPAGE_BPS) -> SwapRequest:
        """Spend the pair's first token for its second."""
        return SwapRequest(
            mint_in=self.mint_in, mint_out=self.mint_out, amount=amount, mode=mode, slippage_bps=slippage_bps
        )

    async def try_quote(self, request: SwapRequest) -> Quote | BaseException:
        """The venue's quote, or whatever it raised."""
        return await outcome(self.venue.quote(request, self.clock.monotonic() + DEADLINE))

    async def quote(self, request: SwapRequest) -> Quote:
        """The venue's quote for a request that it has to answer."""
        return expect(Quote, await self.try_quote(request), f"quote for {request.amount} {request.mode}")

    async def ordinary_request(self, mode: Mode, slippage_bps: int = SLIPPAGE_BPS) -> SwapRequest:
        """A request of ordinary size: one token of the input, or what the venue gives for that."""
        request = self.request(self.amount(), slippage_bps=slippage_bps)
        if mode is Mode.EXACT_IN:
            return request
        answer = await self.try_quote(request)
        size = answer.amount_out if isinstance(answer, Quote) else request.amount
        return self.request(size, Mode.EXACT_OUT, slippage_bps)

    async def ordinary_requests(self, slippage_bps: int = SLIPPAGE_BPS) -> list[SwapRequest]:
        """One request of ordinary size for each mode that the venue really does."""
        found = [await self.ordinary_request(mode, slippage_bps) for mode in Mode]
        return [request for request in found if not isinstance(await self.try_quote(request), Unsupported)]

    async def build(self, quote: Quote, blockhash: Blockhash) -> Unsigned | BaseException:
        """What the venue builds, or whatever it raised."""
        return await outcome(self.venue.build(quote, self.sealer.payer, blockhash))

    async def sign(self, quote: Quote) -> SignedSwap:
        """`quote`, built and signed, not yet sent. Raises `Slippage` when the venue will not build it for that."""
        built = await self.build(quote, await self.chain.blockhash())
        if isinstance(built, Slippage):
            raise built
        if isinstance(built, BaseException):
            raise RuleBroken(f"build should give a swap, and gave {describe(built)}")
        sealed = self.sealer.seal(self.venue, quote, built, self.clock.monotonic() + DEADLINE, AttemptId(uuid4(), 1))
        return expect(Sealed, await outcome(sealed), "what was built, sealed,").signed

    async def settle(self, signed: SignedSwap) -> SwapStatus:
        """Send, and let time pass until the chain shows what became of it."""
        await self.chain.submit(signed)
        for _ in range(200):
            [status] = await self.chain.status([signed.signature])
            if not isinstance(status, NotSeen | Unavailable):
                return status
            self.clock.advance(0.4)
        raise RuleBroken("a swap that was sent was never seen again")

    async def land(self, quote: Quote) -> Landed:
        """Build, sign and send `quote`, which has to land."""
        return expect(Landed, await self.settle(await self.sign(quote)), "what was built, sent,")


@dataclass(frozen=True)
class ChainSetup:
    """What a venue is put on: the time, a chain of the cluster `cluster` (as `VenueContext.cluster`), and who makes
    swaps ready for it. `settles`: swaps may be sent there."""

    clock: ManualClock
    chain: Chain
    sealer: Sealer
    cluster: str = ""
    settles: bool = False


@dataclass(frozen=True)
class Harness:
    """How to make a venue, and what to ask it. `environ` holds its options as the environment would; `pair` is what is
    swapped, by default one that the venue names or SOL for USDC.

    Venues are put on the simulated chain. For another one, override `chain_setup`.
    """

    venue_class: VenueClass
    environ: Mapping[str, str] = field(default_factory=dict)
    tokens: Tokens = field(default_factory=lambda: Tokens(KNOWN))
    pair: tuple[str, str] | None = None

    @asynccontextmanager
    async def chain_setup(self, condition: Condition) -> AsyncIterator[ChainSetup]:
        """A fresh chain, on which prices are as `condition` says, as far as it is the chain that makes them. Only a
        venue of the simulated chain settles there: others would lose real money."""
        clock = ManualClock()
        settles = self.venue_class.capabilities.network == Network.SIMULATED
        sealer = SimulatedSealer(SimulatedSigner(), guarded=False)
        yield ChainSetup(clock=clock, chain=SimulatedChain(MemoryLedger(clock)), sealer=sealer, settles=settles)

    @asynccontextmanager
    async def venue_setup(self, condition: Condition = Condition.STILL) -> AsyncIterator[VenueSetup]:
        """A fresh venue under `condition`."""
        async with self._open_venue(condition, settling=False) as setup:
            yield setup

    @asynccontextmanager
    async def settling_venue_setup(self, condition: Condition = Condition.STILL) -> AsyncIterator[VenueSetup]:
        """The same, for what sends swaps. Raises `NotApplicable` where none may be sent."""
        async with self._open_venue(condition, settling=True) as setup:
            yield setup

    @asynccontextmanager
    async def _open_venue(self, condition: Condition, *, settling: bool) -> AsyncIterator[VenueSetup]:
        async with self.chain_setup(condition) as on:
            if settling and not on.settles:
                network = self.venue_class.capabilities.network
                raise NotApplicable(f"settles on {network}, swaps are not tried there")
            venue = self.venue_class(VenueContext(on.clock, self.tokens, on.chain, self.options(condition), on.cluster))
            mint_in, mint_out = self.pair or self.default_pair()
            try:
                yield VenueSetup(
                    venue=venue,
                    clock=on.clock,
                    chain=on.chain,
                    sealer=on.sealer,
                    tokens=self.tokens,
                    mint_in=mint_in,
                    mint_out=mint_out,
                )
            finally:
                await venue.aclose()

    def can_set(self, condition: Condition) -> bool:
        """Whether an option of the adapter makes `condition`."""
        return any(condition in found for found in self._contract().values())

    def options(self, condition: Condition) -> Any:
        """The venue's options, set for a condition."""
        given = read_options(self.venue_class, self.environ)
        wanted = {
            name: found.get(condition, found.get(Condition.STILL))
            for name, found in self._contract().items()
            if condition in found or Condition.STILL in found
        }
        return self.venue_class.Options.model_validate(given.model_dump() | wanted)

    def _contract(self) -> dict[str, dict[str, Any]]:
        """option -> condition -> value."""
        found = {}
        for name, info in self.venue_class.Options.model_fields.items():
            extra = info.json_schema_extra
            contract = extra.get("contract") if isinstance(extra, dict) else None
            if isinstance(contract, dict):
                found[name] = contract
        return found

    def default_pair(self) -> tuple[str, str]:
        """A pair that the venue names, or SOL and USDC."""
        pairs = self.venue_class.capabilities.pairs
        if not pairs:
            return WSOL, USDC
        first, second = min(sorted(pair) for pair in pairs)
        return first, second


async def outcome(call: Awaitable[T]) -> T | BaseException:
    """The result of `call`, or what it raised; a `TimeoutError` when it hangs."""
    [result] = await asyncio.gather(asyncio.wait_for(call, PATIENCE), return_exceptions=True)
    return result


def expect(kind: type[T], found: object, what: str) -> T:
    """`found`, which has to be a `kind`."""
    if isinstance(found, kind):
        return found
    raise RuleBroken(f"{what} should give {kind.__name__}, and gave {describe(found)}")


def describe(found: object) -> str:
    """`found` in a few words."""
    if isinstance(found, TimeoutError):
        return f"nothing for {PATIENCE:g} s"
    text = f"{type(found).__name__}: {found}" if isinstance(found, BaseException) else repr(found)
    return text if len(text) <= 200 else f"{text[:200]}…"
