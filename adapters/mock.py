"""What the mock venues share: their settings, and how a priced swap becomes a quote and a transaction.

A mock venue prices with its program's exact arithmetic on a pool that follows the `Market`, and settles on the
simulated chain. The knobs add what real venues do to their callers: latency, failures, moving prices, lost sends.
"""

import random
import secrets
from abc import abstractmethod
from hashlib import blake2b
from typing import Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from adapters.curves.swap import ChainTime, CurveError, Refusal, SwapResult, TradeDirection
from adapters.market import STEP_MS, Market, Pair
from dexexec.domain import base58
from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import Blockhash, UnsignedSwap
from dexexec.venue import (
    Capabilities,
    Network,
    NoRoute,
    QuoteExpired,
    Timeout,
    Unreachable,
    Unsupported,
    Venue,
    VenueContext,
)

SLOT_MS = 400
NETWORK_FEE = 5_000
"""Lamports: the base fee of one signature."""

PoolT = TypeVar("PoolT")


class MockOptions(BaseModel):
    """Knobs of the mock venues. The contract suite reads `contract`: the value of a knob under its conditions."""

    model_config = ConfigDict(frozen=True)

    seed: int = Field(1, ge=0, le=2**63 - 1, description="prices and chances of the mock venues follow from it")
    latency_ms: int = Field(
        50,
        ge=0,
        le=600_000,
        description="how long a mock venue takes to quote (ms)",
        json_schema_extra={"contract": {"still": 0, "slow": 600_000}},
    )
    failure_rate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of quotes that fail as unreachable, 0 to 1",
        json_schema_extra={"contract": {"still": 0}},
    )
    quote_ttl_ms: int = Field(10_000, ge=1, le=600_000, description="how long a mock quote holds (ms)")
    landing_ms: int = Field(
        400,
        ge=0,
        le=600_000,
        description="time between sending and landing of a mock swap (ms)",
        json_schema_extra={"contract": {"still": 0}},
    )
    slippage_ppm: int = Field(
        500,
        ge=0,
        le=1_000_000,
        description="furthest a price moves against the taker between quote and landing (ppm)",
        json_schema_extra={"contract": {"still": 0, "moving": 20_000}},
    )
    drop_rate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of swaps whose first send is lost, 0 to 1",
        json_schema_extra={"contract": {"still": 0}},
    )
    drift_ppm: int = Field(
        20_000, ge=0, le=200_000, description="furthest a token's price wanders from its reference (ppm)"
    )
    offset_ppm: int = Field(
        1_000, ge=0, le=100_000, description="furthest a mock venue stands off the common price (ppm)"
    )


class PoolAt(NamedTuple, Generic[PoolT]):
    """A pool as it stands during one step of the market."""

    step: int
    pool: PoolT
    address: str


class MockVenue(Venue[MockOptions], Generic[PoolT]):
    """A venue that settles on the simulated chain. Subclasses bring the pool and its arithmetic.

    `rng` decides failures, lost sends and price moves; without one it is seeded by the options and the venue's name.
    """

    capabilities = Capabilities(network=Network.SIMULATED, needs_wallet=False)
    Options = MockOptions
    options_prefix = "DEXEXEC_MOCK_"

    def __init__(self, context: VenueContext[MockOptions], rng: random.Random | None = None) -> None:
        super().__init__(context)
        options = context.options
        self._rng = rng or random.Random(f"{options.seed}:{self.name}")
        self.market = Market(options.seed, self.name, context.tokens, options.drift_ppm, options.offset_ppm)
        self._pools: dict[Pair, PoolAt[PoolT]] = {}

    @abstractmethod
    def pool(self, pair: Pair, step: int) -> PoolT:
        """The pool at `step`; raises `NoRoute` when there can be none. Called once per pair and step."""

    @abstractmethod
    def swap(self, pool: PoolT, request: SwapRequest, direction: TradeDirection, now: ChainTime) -> SwapResult[PoolT]:
        """Price `request`; A is the pair's base. Raises `CurveError`."""

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """The pool's price at this moment. Raises `Unsupported`, `NoRoute`, `Timeout` or `Unreachable`."""
        pair = self.market.pair(request)
        await self._answer(deadline)
        now_ms = self.context.clock.unix_ms()
        at = self._pool_at(pair, now_ms // STEP_MS)
        direction = TradeDirection.A_TO_B if request.mint_in == pair.base.mint else TradeDirection.B_TO_A
        slot = now_ms // SLOT_MS
        try:
            priced = self.swap(at.pool, request, direction, ChainTime(slot, now_ms // 1000))
        except CurveError as error:
            kind = Unsupported if error.code is Refusal.UNSUPPORTED else NoRoute
            raise kind(str(error)) from error
        exact_in = request.mode is Mode.EXACT_IN
        amount_in, amount_out = priced.amount_in, priced.amount_out
        return Quote(
            venue=self.name,
            request=request,
            amount_in=amount_in,
            amount_out=amount_out,
            min_out=min_out(amount_out, request.slippage_bps) if exact_in else amount_out,
            max_in=amount_in if exact_in else max_in(amount_in, request.slippage_bps),
            fee=priced.fee_out or priced.fee_in,
            fee_mint=request.mint_out if priced.fee_out else request.mint_in,
            network_fee=NETWORK_FEE,
            price_impact_ppm=priced.price_impact_ppm,
            expires_at_ms=now_ms + self.options.quote_ttl_ms,
            context_slot=slot,
            route=(at.address,),
            raw={"step": at.step},
        )

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> UnsignedSwap:
        """A simulated swap that carries the quote's bounds, and what will become of it. Raises `QuoteExpired`."""
        if quote.venue != self.name:
            raise Unsupported(f"a quote of {quote.venue} cannot be built by {self.name}")
        if self.context.clock.unix_ms() >= quote.expires_at_ms:
            raise QuoteExpired("the quote is too old: ask again")
        options = self.options
        message = SimulatedSwap(
            venue=self.name,
            mint_in=quote.request.mint_in,
            mint_out=quote.request.mint_out,
            amount_in=quote.amount_in,
            amount_out=quote.amount_out,
            min_out=quote.min_out,
            max_in=quote.max_in,
            exact_in=quote.request.mode is Mode.EXACT_IN,
            payer=payer,
            blockhash=blockhash.hash,
            # Never from the seed: two workers with one seed would sign the same bytes for two orders.
            nonce=secrets.token_hex(8),
            fee=quote.network_fee,
            landing_ms=options.landing_ms,
            move_ppm=self._rng.randint(0, options.slippage_ppm),
            dropped=self._rng.random() < options.drop_rate,
        )
        return UnsignedSwap(message.encode(), blockhash)

    async def _answer(self, deadline: float) -> None:
        """Take the time and the chance of failure that the knobs ask for."""
        clock, latency = self.context.clock, self.options.latency_ms / 1000
        left = deadline - clock.monotonic()
        if left <= 0 or latency > left:
            await clock.sleep(max(left, 0))
            raise Timeout(f"{self.name} did not answer in time")
        if latency:
            await clock.sleep(latency)
        if self._rng.random() < self.options.failure_rate:
            raise Unreachable(f"{self.name} cannot be reached")

    def _pool_at(self, pair: Pair, step: int) -> PoolAt[PoolT]:
        at = self._pools.get(pair)
        if at is None or at.step != step:
            at = self._pools[pair] = PoolAt(step, self.pool(pair, step), self._address(pair))
        return at

    def _address(self, pair: Pair) -> str:
        """A name for the pool in the shape of an account's address."""
        key = f"{self.name}:{pair.base.mint}:{pair.quote.mint}"
        return base58.encode(blake2b(key.encode(), digest_size=32).digest())
