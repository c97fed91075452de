"""Sets up a venue for the checks of the contract, with a clock and a chain that the check controls.

A check requests a condition, and gets the venue with options for it. An adapter declares the value of an option for
each condition in the field: `Field(..., json_schema_extra={"contract": {"still": 0, "slow": 60_000}})`. Prices may only
change with the clock; an adapter with live prices is checked on recorded ones.
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
from dexexec.settlement.simulated.chain import SimulatedChain
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.testing.clock import ManualClock
from dexexec.venue import Chain, Network, Slippage, Unsigned, Unsupported, Venue, VenueContext
from dexexec.venues.registry import VenueClass, read_options

T = TypeVar("T")
PATIENCE = 5.0
"""Real seconds after which a venue counts as hanging."""
DEADLINE = 1.0
"""Seconds until the deadline of a quote."""
SLIPPAGE_BPS = 50


class Condition(StrEnum):
    """The condition for which an adapter's options are set."""

    STILL = "still"  # no failures, no delays, no price moves
    SLOW = "slow"  # still, but quotes take far longer than any deadline
    MOVING = "moving"  # still, but the price moves against the wallet between quote and landing


class RuleBroken(Exception):  # noqa: N818 - read as "the rule is broken"
    """The adapter breaks a rule. The message is what it did, and what is required."""


class NotApplicable(Exception):  # noqa: N818
    """The rule does not apply to this adapter. The message is the reason."""


@dataclass(frozen=True, kw_only=True)
class VenueSetup:
    """A venue with its clock, chain, sealer and pair. Setups share no state."""

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
        """A request to swap the pair's first token for its second."""
        return SwapRequest(
            mint_in=self.mint_in, mint_out=self.mint_out, amount=amount, mode=mode, slippage_bps=slippage_bps
        )

    async def try_quote(self, request: SwapRequest) -> Quote | BaseException:
        """The venue's quote, or the exception that it raised."""
        return await outcome(self.venue.quote(request, self.clock.monotonic() + DEADLINE))

    async def quote(self, request: SwapRequest) -> Quote:
        """The venue's quote for a request that it must answer."""
        return expect(Quote, await self.try_quote(request), f"quote for {request.amount} {request.mode}")

    async def ordinary_request(self, mode: Mode, slippage_bps: int = SLIPPAGE_BPS) -> SwapRequest:
        """A request of ordinary size: one token of the input, or the output for one token."""
        request = self.request(self.amount(), slippage_bps=slippage_bps)
        if mode is Mode.EXACT_IN:
            return request
        answer = await self.try_quote(request)
        size = answer.amount_out if isinstance(answer, Quote) else request.amount
        return self.request(size, Mode.EXACT_OUT, slippage_bps)

    async def ordinary_requests(self, slippage_bps: int = SLIPPAGE_BPS) -> list[SwapRequest]:
        """A request of ordinary size for each mode that the venue supports."""
        requests = [await self.ordinary_request(mode, slippage_bps) for mode in Mode]
        return [request for request in requests if not isinstance(await self.try_quote(request), Unsupported)]

    async def build(self, quote: Quote, blockhash: Blockhash) -> Unsigned | BaseException:
        """What the venue builds, or the exception that it raised."""
        return await outcome(self.venue.build(quote, self.sealer.payer, blockhash))

    async def sign(self, quote: Quote) -> SignedSwap:
        """Build and sign `quote`. Raises `Slippage` when the venue refuses to build it for this reason."""
        built = await self.build(quote, await self.chain.blockhash())
        if isinstance(built, Slippage):
            raise built
        if isinstance(built, BaseException):
            raise RuleBroken(f"build must return a swap, but returned {describe(built)}")
        sealed = self.sealer.seal(self.venue, quote, built, self.clock.monotonic() + DEADLINE, AttemptId(uuid4(), 1))
        return expect(Sealed, await outcome(sealed), "sealing the built swap").signed

    async def settle(self, signed: SignedSwap) -> SwapStatus:
        """Send a swap, and advance the clock until the chain has its outcome."""
        await self.chain.submit(signed)
        # 200 slots of 0.4 s: more than a blockhash is valid.
        for _ in range(200):
            [status] = await self.chain.status([signed.signature])
            if not isinstance(status, NotSeen | Unavailable):
                return status
            self.clock.advance(0.4)
        raise RuleBroken("a sent swap never appeared on the chain")

    async def land(self, quote: Quote) -> Landed:
        """Build, sign and send `quote`, which must land."""
        return expect(Landed, await self.settle(await self.sign(quote)), "sending the built swap")


@dataclass(frozen=True, kw_only=True)
class ChainSetup:
    """A clock, a chain of the cluster `cluster` (as `VenueContext.cluster`), and a sealer for its swaps.

    `settles`: swaps may be sent to the chain.
    """

    clock: ManualClock
    chain: Chain
    sealer: Sealer
    cluster: str = ""
    settles: bool = False


@dataclass(frozen=True)
class Harness:
    """Creates a venue for each check. Override `chain_setup` to use another chain than the simulated one.

    `environ` has the venue's options as environment variables. `pair` is swapped, by default the first pair of the
    venue's capabilities, or SOL for USDC.
    """

    venue_class: VenueClass
    environ: Mapping[str, str] = field(default_factory=dict)
    tokens: Tokens = field(default_factory=lambda: Tokens(KNOWN))
    pair: tuple[str, str] | None = None

    @asynccontextmanager
    async def chain_setup(self, condition: Condition) -> AsyncIterator[ChainSetup]:
        """A new chain for `condition`."""
        # Only venues of the simulated chain send swaps: others would spend real money.
        clock = ManualClock()
        settles = self.venue_class.capabilities.network == Network.SIMULATED
        sealer = SimulatedSealer(SimulatedSigner(), guarded=False)
        yield ChainSetup(clock=clock, chain=SimulatedChain(MemoryLedger(clock)), sealer=sealer, settles=settles)

    @asynccontextmanager
    async def venue_setup(self, condition: Condition = Condition.STILL) -> AsyncIterator[VenueSetup]:
        """A new venue under `condition`."""
        async with self._open_venue(condition, settling=False) as setup:
            yield setup

    @asynccontextmanager
    async def settling_venue_setup(self, condition: Condition = Condition.STILL) -> AsyncIterator[VenueSetup]:
        """A new venue for a check that sends swaps. Raises `NotApplicable` where none may be sent."""
        async with self._open_venue(condition, settling=True) as setup:
            yield setup

    @asynccontextmanager
    async def _open_venue(self, condition: Condition, *, settling: bool) -> AsyncIterator[VenueSetup]:
        async with self.chain_setup(condition) as on:
            if settling and not on.settles:
                network = self.venue_class.capabilities.network
                raise NotApplicable(f"it settles on {network}, where the checks send no swaps")
            venue = self.venue_class(VenueContext(on.clock, self.tokens, on.chain, self.options(condition), on.cluster))
            mint_in, mint_out = self.pair or self.default_pair()
            # Not prepared: checks also run on chains where the venue's program does not exist.
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
        """Whether an option of the adapter sets `condition`."""
        return any(condition in values for values in self._contract().values())

    def options(self, condition: Condition) -> Any:
        """The venue's options, set for a condition."""
        # The check's conditions override the user's values, or a user's latency would look like a slow venue.
        given = read_options(self.venue_class, self.environ)
        wanted = {
            name: values.get(condition, values.get(Condition.STILL))
            for name, values in self._contract().items()
            if condition in values or Condition.STILL in values
        }
        return self.venue_class.Options.model_validate(given.model_dump() | wanted)

    def _contract(self) -> dict[str, dict[str, Any]]:
        """Option -> condition -> value."""
        values = {}
        for name, info in self.venue_class.Options.model_fields.items():
            extra = info.json_schema_extra
            contract = extra.get("contract") if isinstance(extra, dict) else None
            if isinstance(contract, dict):
                values[name] = contract
        return values

    def default_pair(self) -> tuple[str, str]:
        """The first pair of the venue's capabilities, or SOL and USDC."""
        pairs = self.venue_class.capabilities.pairs
        if not pairs:
            return WSOL, USDC
        first, second = min(sorted(pair) for pair in pairs)
        return first, second


async def outcome(call: Awaitable[T]) -> T | BaseException:
    """The result of `call`, or the exception that it raised: a `TimeoutError` when it hangs."""
    # In real seconds: a venue that hangs does not sleep on the manual clock.
    [result] = await asyncio.gather(asyncio.wait_for(call, PATIENCE), return_exceptions=True)
    return result


def expect(kind: type[T], value: object, what: str) -> T:
    """`value`, which must be a `kind`."""
    if isinstance(value, kind):
        return value
    raise RuleBroken(f"{what} must give {kind.__name__}, but gave {describe(value)}")


def describe(value: object) -> str:
    """`value` as a short text."""
    if isinstance(value, TimeoutError):
        return f"no answer for {PATIENCE:g} s"
    text = f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
