"""What the mock venues share: their settings, and how a priced swap becomes a quote and a transaction.

A mock venue prices with its program's exact arithmetic. By default its pool follows the `Market` and it settles on the
simulated chain; with `settlement` `localnet` its pool is two vaults there, whose real balances are the price, and a
swap is a real transaction (`adapters/mock/vaults.py`). The knobs add what real venues do to their callers: latency,
failures, moving prices, lost sends.
"""

import asyncio
import random
import secrets
from abc import abstractmethod
from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from dexexec.domain import base58
from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.solana import SwapInstructions
from dexexec.domain.swap import Blockhash, UnsignedSwap
from dexexec.venue import (
    Capabilities,
    Network,
    NoRoute,
    QuoteExpired,
    Slippage,
    Timeout,
    Unreachable,
    Unsigned,
    Unsupported,
    Venue,
    VenueContext,
)
from dexexec_adapters.curves.swap import ChainTime, CurveError, Refusal, SwapResult, TradeDirection
from dexexec_adapters.mock.market import PPM, STEP_MS, Market, Pair

if TYPE_CHECKING:
    from dexexec_adapters.mock.vaults import Vaults

SLOT_MS = 400
NETWORK_FEE = 5_000
"""Lamports: the base fee of one signature."""

PoolT = TypeVar("PoolT")


class MockOptions(BaseModel):
    """Knobs of the mock venues. The contract suite reads `contract`: the value of a knob under its conditions."""

    model_config = ConfigDict(frozen=True)

    settlement: Literal["simulated", "localnet"] = Field(
        "simulated",
        description="where mock swaps settle: `simulated`, or with real transactions on a `localnet`",
        json_schema_extra={"contract": {"still": "simulated"}},
    )
    seed: int = Field(1, ge=0, le=2**63 - 1, description="seed of the mock venues' prices and chances")
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
        description="share of quotes that fail as `unreachable`, 0 to 1",
        json_schema_extra={"contract": {"still": 0}},
    )
    quote_ttl_ms: int = Field(10_000, ge=1, le=600_000, description="how long a mock quote holds (ms)")
    landing_ms: int = Field(
        400,
        ge=0,
        le=600_000,
        description="time between sending and landing of a mock swap (ms); not on a localnet",
        json_schema_extra={"contract": {"still": 0}},
    )
    slippage_ppm: int = Field(
        500,
        ge=0,
        le=1_000_000,
        description="most that a price moves against the order between quote and landing (ppm)",
        json_schema_extra={"contract": {"still": 0, "moving": 20_000}},
    )
    drop_rate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of swaps whose first send is lost, 0 to 1; not on a localnet",
        json_schema_extra={"contract": {"still": 0}},
    )
    drift_ppm: int = Field(
        20_000,
        ge=0,
        le=200_000,
        description="largest distance of a token's price from its reference (ppm); not on a localnet",
    )
    offset_ppm: int = Field(
        1_000,
        ge=0,
        le=100_000,
        description="largest distance of a mock venue's price from the common price (ppm); not on a localnet",
    )


class Stand(NamedTuple, Generic[PoolT]):
    """A simulated pool for as long as prices stand still."""

    step: int
    pool: PoolT
    address: str


class PoolAt(NamedTuple, Generic[PoolT]):
    """A pool as it stands in a slot."""

    slot: int
    pool: PoolT
    address: str


class MockVenue(Venue[MockOptions], Generic[PoolT]):
    """A venue of one pool per pair. Subclasses bring the pool and its arithmetic.

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
        self._pools: dict[Pair, Stand[PoolT]] = {}
        self._vaults: Vaults | None = None
        if options.settlement == Network.LOCALNET:
            self.capabilities = Capabilities(network=Network.LOCALNET)
            self._vaults = _open_vaults(context, self.name)

    @classmethod
    def network_for(cls, options: BaseModel) -> str:
        """The network that it settles on with these options."""
        return options.settlement if isinstance(options, MockOptions) else super().network_for(options)

    @abstractmethod
    def pool(self, pair: Pair, step: int) -> PoolT:
        """The simulated pool at `step`; raises `NoRoute` when there can be none. Called once per pair and step."""

    @abstractmethod
    def reserves(self, pair: Pair) -> tuple[int, int]:
        """What the vaults (base, quote) are filled with on first use: as deep as the simulated pool, at the reference
        price. Raises `NoRoute` when there can be no pool."""

    @abstractmethod
    def pool_of(self, base: int, quote: int, direction: TradeDirection) -> PoolT:
        """The pool of two vaults that hold this much, rounded against who trades in `direction`. What it gives the
        vaults can pay. Raises `NoRoute`."""

    @abstractmethod
    def swap(self, pool: PoolT, request: SwapRequest, direction: TradeDirection, now: ChainTime) -> SwapResult[PoolT]:
        """Price `request`; A is the pair's base. Raises `CurveError`."""

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """The pool's price at this moment. Raises `Unsupported`, `NoRoute`, `Timeout` or `Unreachable`, and on a
        localnet what its node raises."""
        pair = self.market.pair(request)
        await self._answer(deadline)
        at = await self._pool_at(pair, request, deadline)
        priced = self._priced(at, pair, request)
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
            network_fee=NETWORK_FEE if self._vaults is None else 2 * NETWORK_FEE,
            price_impact_ppm=priced.price_impact_ppm,
            expires_at_ms=self.context.clock.unix_ms() + self.options.quote_ttl_ms,
            context_slot=at.slot,
            route=(at.address,),
            raw={"slot": at.slot},
        )

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        """A swap that carries the quote's bounds. Raises `QuoteExpired`, and on a localnet, where it is priced again,
        `Slippage` and what its node raises."""
        if quote.venue != self.name:
            raise Unsupported(f"a quote of {quote.venue} cannot be built by {self.name}")
        if self.context.clock.unix_ms() >= quote.expires_at_ms:
            raise QuoteExpired("the quote is too old: ask again")
        move_ppm = self._rng.randint(0, self.options.slippage_ppm)
        if self._vaults is None:
            return self._simulated(quote, payer, blockhash, move_ppm)
        return await self._transfers(self._vaults, quote, payer, blockhash, move_ppm)

    async def cosign(self, message: bytes) -> Mapping[str, bytes]:
        """The signature of the vaults' authority, for what was built. Raises `BadAnswer` or `QuoteExpired`."""
        return self._vaults.cosign(message) if self._vaults else {}

    def _simulated(self, quote: Quote, payer: str, blockhash: Blockhash, move_ppm: int) -> UnsignedSwap:
        """A simulated swap, and what will become of it."""
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
            move_ppm=move_ppm,
            dropped=self._rng.random() < options.drop_rate,
        )
        return UnsignedSwap(message.encode(), blockhash)

    async def _transfers(
        self, vaults: "Vaults", quote: Quote, payer: str, blockhash: Blockhash, move_ppm: int
    ) -> SwapInstructions:
        """The swap at the price that the vaults give now, `move_ppm` worse: its amounts are final, so what lands is
        within the bounds."""
        request = quote.request
        pair = self.market.pair(request)
        pool = vaults.pool(pair)
        held = await vaults.ready(pool, self.reserves(pair), payer)
        direction = _direction(pair, request)
        at = PoolAt(held.slot, self.pool_of(held.base, held.quote, direction), pool.address)
        priced = self._priced(at, pair, request)
        amount_in, amount_out = priced.amount_in, priced.amount_out
        if request.mode is Mode.EXACT_IN:
            amount_out = amount_out * (PPM - move_ppm) // PPM
        else:
            amount_in = -(-amount_in * (PPM + move_ppm) // PPM)
        if amount_out < max(quote.min_out, 1) or amount_in > quote.max_in:
            raise Slippage(f"the price moved past the order's bound: {amount_out} for {amount_in}")
        return vaults.swap(pool, quote, payer, blockhash, (amount_in, amount_out))

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

    async def _pool_at(self, pair: Pair, request: SwapRequest, deadline: float) -> PoolAt[PoolT]:
        """The pool now: as the market has it, or as the vaults have it."""
        vaults, clock = self._vaults, self.context.clock
        if vaults is None:
            now_ms = clock.unix_ms()
            step = now_ms // STEP_MS
            known = self._pools.get(pair)
            if known is None or known.step != step:
                known = self._pools[pair] = Stand(step, self.pool(pair, step), self._address(pair))
            return PoolAt(now_ms // SLOT_MS, known.pool, known.address)
        there = vaults.pool(pair)
        try:
            async with asyncio.timeout(max(deadline - clock.monotonic(), 0)):
                held = await vaults.balances(there, self.reserves(pair))
        except TimeoutError as error:
            raise Timeout(f"{self.name} was not told its balances in time", shared=True) from error
        return PoolAt(held.slot, self.pool_of(held.base, held.quote, _direction(pair, request)), there.address)

    def _priced(self, at: PoolAt[PoolT], pair: Pair, request: SwapRequest) -> SwapResult[PoolT]:
        now = ChainTime(at.slot, self.context.clock.unix_ms() // 1000)
        try:
            return self.swap(at.pool, request, _direction(pair, request), now)
        except CurveError as error:
            kind = Unsupported if error.code is Refusal.UNSUPPORTED else NoRoute
            raise kind(str(error)) from error

    def _address(self, pair: Pair) -> str:
        """A name for the pool in the shape of an account's address."""
        key = f"{self.name}:{pair.base.mint}:{pair.quote.mint}"
        return base58.encode(blake2b(key.encode(), digest_size=32).digest())


def _direction(pair: Pair, request: SwapRequest) -> TradeDirection:
    return TradeDirection.A_TO_B if request.mint_in == pair.base.mint else TradeDirection.B_TO_A


def _open_vaults(context: VenueContext[MockOptions], name: str) -> "Vaults":
    """Imported here, as it needs a Solana library. Raises `ValueError` when that is missing, `TypeError` for a chain
    that cannot do."""
    try:
        from dexexec_adapters.mock.vaults import Vaults  # noqa: PLC0415
    except ImportError as error:
        raise ValueError(f"settlement on a localnet needs the extra `solana` ({error})") from error
    return Vaults(context, name, context.options.seed)
