"""The common part of the mock venues: their settings, quotes and swaps.

A mock venue prices with its program's exact arithmetic. By default its pool follows the `Market`, and swaps settle on
the simulated chain. With `settlement` `localnet` its pool consists of two vaults, whose balances are the price, and a
swap is a real transaction (`adapters/mock/vaults.py`). The options add latency, failures, moving prices and lost sends.
"""

import asyncio
import random
import secrets
from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from dexexec.domain.launch import NewPool
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
from dexexec_adapters.mock.launched_pools import SLOT_MS, LaunchedPools, pool_address
from dexexec_adapters.mock.launches import LaunchSchedule
from dexexec_adapters.mock.market import PPM, STEP_MS, Market, Pair, depth
from dexexec_adapters.mock.price_multiple import PriceMultiple

if TYPE_CHECKING:
    from dexexec_adapters.mock.vaults import Vaults

NETWORK_FEE = 5_000
"""Lamports: the base fee of one signature."""

PoolT = TypeVar("PoolT")


class MockOptions(BaseModel):
    """Settings of the mock venues. The contract suite reads `contract`: the value of an option for each condition."""

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
    price_file: str = Field(
        "",
        description="file with a number by which all mock prices are multiplied; not on a localnet",
    )
    launches: int = Field(
        30,
        ge=0,
        le=86_400,
        description="seconds in which a mock venue launches one pool for each mint that is not configured; 0: none",
    )


class CachedPool(NamedTuple, Generic[PoolT]):
    """A simulated pool, valid for one step of the market at one multiple of its prices."""

    step: int
    multiple_ppm: int
    pool: PoolT
    address: str


class PoolSnapshot(NamedTuple, Generic[PoolT]):
    """The state of a pool in a slot."""

    slot: int
    pool: PoolT
    address: str


class MockVenue(Venue[MockOptions], Generic[PoolT]):
    """A venue with one pool per pair. Subclasses add the pool and its arithmetic.

    `rng` decides failures, lost sends and price moves. By default it is seeded with the options' seed and the venue's
    name.
    """

    capabilities = Capabilities(network=Network.SIMULATED, needs_wallet=False)
    Options = MockOptions
    options_prefix = "DEXEXEC_MOCK_"

    def __init__(self, context: VenueContext[MockOptions], rng: random.Random | None = None) -> None:
        super().__init__(context)
        options = context.options
        self._rng = rng or random.Random(f"{options.seed}:{self.name}")
        schedule = LaunchSchedule(options.seed, self.name, context.tokens, options.launches * 1000)
        self.market = Market(options.seed, self.name, schedule.token, options.drift_ppm, options.offset_ppm)
        self._multiple = PriceMultiple(options.price_file)
        self._pools: dict[Pair, CachedPool[PoolT]] = {}
        self._vaults: Vaults | None = None
        if options.settlement == Network.LOCALNET:
            self.capabilities = Capabilities(network=Network.LOCALNET)
            self._vaults = _open_vaults(context, self.name)
        self._launched = LaunchedPools(self.name, schedule, self.market, self._vaults, context)

    @classmethod
    def network_for(cls, options: BaseModel) -> str:
        """The network on which the venue settles with these options."""
        return options.settlement if isinstance(options, MockOptions) else super().network_for(options)

    @abstractmethod
    def pool(self, pair: Pair, step: int) -> PoolT:
        """The simulated pool at `step`. Raises `NoRoute` if no pool is possible. Called once per pair and step."""

    @abstractmethod
    def reserves(self, pair: Pair) -> tuple[int, int]:
        """The first balances of the vaults (base, quote): as deep as the simulated pool, at the reference price.

        Raises `NoRoute` if no pool is possible.
        """

    @abstractmethod
    def pool_of(self, base: int, quote: int, direction: TradeDirection) -> PoolT:
        """The pool of two vaults with these balances, rounded against the trader in `direction`.

        The vaults can pay everything that it gives. Raises `NoRoute`.
        """

    @abstractmethod
    def swap(self, pool: PoolT, request: SwapRequest, direction: TradeDirection, now: ChainTime) -> SwapResult[PoolT]:
        """Price `request`. Token A is the pair's base. Raises `CurveError`."""

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """The pool's price now. Raises `Unsupported`, `NoRoute`, `Timeout` or `Unreachable`, and on a localnet the
        node's errors."""
        pair = self.market.pair((request.mint_in, request.mint_out))
        await self._simulate_delay(deadline)
        at = await self._pool_at(pair, request, deadline)
        priced = self._priced(at, pair, request)
        exact_in = request.mode is Mode.EXACT_IN
        amount_in = priced.amount_in
        amount_out = priced.amount_out
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
        """A swap with the quote's bounds. Raises `QuoteExpired`; on a localnet, where the swap is priced again, also
        `Slippage` and the node's errors."""
        if quote.venue != self.name:
            raise Unsupported(f"a quote of {quote.venue} cannot be built by {self.name}")
        if self.context.clock.unix_ms() >= quote.expires_at_ms:
            raise QuoteExpired("the quote has expired: request a new one")
        move_ppm = self._rng.randint(0, self.options.slippage_ppm)
        if self._vaults is None:
            return self._simulated(quote, payer, blockhash, move_ppm)
        return await self._transfers(self._vaults, quote, payer, blockhash, move_ppm)

    def watch_pools(self, pair: tuple[str, str]) -> AsyncGenerator[NewPool, None] | None:
        """The pool of each launch of the pair. None for a pair that always has its pool."""
        return self._launched.follow(pair)

    async def warm(self, pair: tuple[str, str]) -> None:
        """On a localnet: read the vaults of the pair, which are funded if they do not exist."""
        known = self.market.pair(pair)
        if self._vaults is not None and self._launched.launch(known, self.context.clock.unix_ms()) is None:
            await self._vaults.balances(self._vaults.pool(known), self._first_reserves(known))

    def pool_accounts(self, pair: tuple[str, str] | None = None) -> Mapping[str, Sequence[str]]:
        """On a localnet: the vaults of each pool. Raises `Unsupported` for an unknown token."""
        if self._vaults is None:
            return {}
        return self._vaults.accounts(self.market.pair(pair) if pair else None)

    async def cosign(self, message: bytes) -> Mapping[str, bytes]:
        """The signature of the vaults' authority for a swap that was built here. Raises `BadAnswer` or
        `QuoteExpired`."""
        return self._vaults.cosign(message) if self._vaults else {}

    def _first_reserves(self, pair: Pair) -> tuple[int, int]:
        """What the vaults of a pair are funded with (base, quote). Raises `NoRoute`."""
        launch = self._launched.launch(pair, self.context.clock.unix_ms())
        return self.reserves(pair) if launch is None else depth(pair, launch.dollars)

    def _simulated(self, quote: Quote, payer: str, blockhash: Blockhash, move_ppm: int) -> UnsignedSwap:
        """A simulated swap. Its message also has the outcome: when it lands, at which price, or that it is lost."""
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
            # Not from the seed: two workers with the same seed would sign the same bytes for two orders.
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
        """The swap at the vaults' current price, `move_ppm` worse."""
        # The amounts of the transfers are fixed here, so what lands is always within the bounds that are checked below.
        request = quote.request
        pair = self.market.pair((request.mint_in, request.mint_out))
        pool = vaults.pool(pair)
        held = await vaults.ready(pool, self._first_reserves(pair), payer)
        direction = _direction(pair, request)
        at = PoolSnapshot(held.slot, self.pool_of(held.base, held.quote, direction), pool.address)
        priced = self._priced(at, pair, request)
        amount_in = priced.amount_in
        amount_out = priced.amount_out
        if request.mode is Mode.EXACT_IN:
            amount_out = amount_out * (PPM - move_ppm) // PPM
        else:
            amount_in = -(-amount_in * (PPM + move_ppm) // PPM)
        if amount_out < max(quote.min_out, 1) or amount_in > quote.max_in:
            raise Slippage(f"the price moved past the order's bound: {amount_out} for {amount_in}")
        return vaults.swap(pool, quote, payer, blockhash, (amount_in, amount_out))

    async def _simulate_delay(self, deadline: float) -> None:
        """Wait for the latency of the options, and fail with their failure rate."""
        clock = self.context.clock
        latency = self.options.latency_ms / 1000
        left = deadline - clock.monotonic()
        if left <= 0 or latency > left:
            await clock.sleep(max(left, 0))
            raise Timeout(f"{self.name} did not answer in time")
        if latency:
            await clock.sleep(latency)
        if self._rng.random() < self.options.failure_rate:
            raise Unreachable(f"{self.name} cannot be reached")

    async def _pool_at(self, pair: Pair, request: SwapRequest, deadline: float) -> PoolSnapshot[PoolT]:
        """The pool now, from the market or from the vaults. Raises `NoRoute` before its launch."""
        vaults = self._vaults
        clock = self.context.clock
        now_ms = clock.unix_ms()
        launch = self._launched.launch(pair, now_ms)
        if launch is not None and now_ms < launch.opens_at_ms:
            raise NoRoute(f"there is no pool of {pair.base.mint} and {pair.quote.mint} yet")
        if vaults is None and launch is not None:
            base, quote = self._launched.reserves(pair, launch, now_ms)
            launched = self.pool_of(base, quote, _direction(pair, request))
            return PoolSnapshot(now_ms // SLOT_MS, launched, pool_address(self.name, pair, launch))
        if vaults is None:
            step = now_ms // STEP_MS
            multiple_ppm = self.market.multiple_ppm = self._multiple.read_ppm()
            cached = self._pools.get(pair)
            if cached is None or (cached.step, cached.multiple_ppm) != (step, multiple_ppm):
                address = pool_address(self.name, pair)
                cached = self._pools[pair] = CachedPool(step, multiple_ppm, self.pool(pair, step), address)
            return PoolSnapshot(now_ms // SLOT_MS, cached.pool, cached.address)
        pool = vaults.pool(pair)
        try:
            async with asyncio.timeout(max(deadline - clock.monotonic(), 0)):
                held = await vaults.balances(pool, self._first_reserves(pair))
        except TimeoutError as error:
            raise Timeout(f"{self.name} did not receive its balances in time", shared=True) from error
        return PoolSnapshot(held.slot, self.pool_of(held.base, held.quote, _direction(pair, request)), pool.address)

    def _priced(self, at: PoolSnapshot[PoolT], pair: Pair, request: SwapRequest) -> SwapResult[PoolT]:
        now = ChainTime(at.slot, self.context.clock.unix_ms() // 1000)
        try:
            return self.swap(at.pool, request, _direction(pair, request), now)
        except CurveError as error:
            kind = Unsupported if error.code is Refusal.UNSUPPORTED else NoRoute
            raise kind(str(error)) from error


def _direction(pair: Pair, request: SwapRequest) -> TradeDirection:
    return TradeDirection.A_TO_B if request.mint_in == pair.base.mint else TradeDirection.B_TO_A


def _open_vaults(context: VenueContext[MockOptions], name: str) -> "Vaults":
    """Raises `ValueError` if no Solana library is installed, and `TypeError` for a chain without accounts or faucet."""
    # Imported here, so that the mocks on the simulated chain work without a Solana library.
    try:
        from dexexec_adapters.mock.vaults import Vaults  # noqa: PLC0415
    except ImportError as error:
        raise ValueError(f"settlement on a localnet needs the extra `solana` ({error})") from error
    return Vaults(context, name, context.options.seed)
