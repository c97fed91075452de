"""What venues made of pools on chain have in common; `raydium/venue.py` and `meteora/venue.py` say what differs.

The order's way through here: pools of the pair are looked up (`pools/search.py`), their accounts read in one answer
and priced with the program's own arithmetic, the best one quoted; `build` puts that pool's swap into instructions.
Nothing is remembered that a price depends on.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, cast

from pydantic import BaseModel

from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.domain.solana import Account, AccountFilters, Instruction, SwapInstructions
from dexexec.domain.swap import Blockhash, ProgramFailure
from dexexec.venue import (
    BadAnswer,
    Capabilities,
    Network,
    NoRoute,
    QuoteExpired,
    SolanaChain,
    Timeout,
    Unsigned,
    Unsupported,
    Venue,
    VenueContext,
    VenueError,
)
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.swap import ChainTime, CurveError, Refusal, SwapResult, TradeDirection
from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.pools.search import Mints, PoolKeys, Pools, discover, mints_of, read, together
from dexexec_adapters.pools.startup import check_named, check_program, deployed
from dexexec_adapters.solana.addresses import address_bytes
from dexexec_adapters.solana.clusters import Deployment
from dexexec_adapters.solana.token_accounts import check_mint, read_amount

NETWORK_FEE = 5_000
"""Lamports: the base fee of one signature."""
MAX_POOLS = 16
"""Pools that are priced for one quote, the deepest ones: their accounts must fit into one answer of a node."""

KeysT = TypeVar("KeysT", bound=PoolKeys)
CurveT = TypeVar("CurveT")


class PoolState(Protocol):
    """A pool account as a value. `depth` orders pools: nobody makes it large without putting much in."""

    @property
    def keys(self) -> Any:
        """What never changes about it: the venue's own kind of `PoolKeys`."""

    @property
    def depth(self) -> int:
        """More is deeper; only compared among pools of one pair and venue."""


StateT = TypeVar("StateT", bound=PoolState)


class _Offer(NamedTuple):
    """A pool and what it does for a request."""

    pool: PoolKeys
    result: SwapResult[Any]


class PoolVenue(Venue[PoolOptions], Generic[KeysT, StateT, CurveT]):
    """Quotes and builds swaps of one pool each. A subclass says what its program's accounts, prices and instructions
    are, and opens its program at `program_id`, which is known once this class is initialized."""

    capabilities = Capabilities(network=Network.SOLANA)
    kind: ClassVar[str]
    """What its pools are called."""
    deployments: ClassVar[Mapping[str, Deployment]]
    """Where its program is, by cluster."""
    failures: ClassVar[Mapping[int, VenueError]]
    """What the numbers of the program's errors mean."""

    def __init__(self, context: VenueContext[PoolOptions]) -> None:
        super().__init__(context)
        if not isinstance(context.chain, SolanaChain):
            raise TypeError("this chain has no accounts: the network solana or localnet is needed")
        self._chain: SolanaChain = context.chain
        self.capabilities = Capabilities(network=self.network_for(self.options))
        self._told = {"kind": self.kind, "prefix": self.options_prefix}
        found = deployed(self.options, context.cluster, self.deployments, **self._told)
        self.program_id, self.configs = found.program, found.configs
        max_age = self.options.pool_max_age_ms / 1000
        self._pools: Pools[Mints, KeysT] = Pools(self._find, context.clock.monotonic, max_age)

    # ---- what differs ----

    @property
    @abstractmethod
    def vault_owner(self) -> str:
        """Whom the vaults of all pools belong to."""

    @abstractmethod
    def filters(self, pair: Mints) -> Sequence[AccountFilters]:
        """What the program's pools of a pair are searched by."""

    @abstractmethod
    def derived_pools(self, pair: Mints) -> Sequence[str]:
        """Where pools of a pair are likely to be, for nodes that do not search."""

    @abstractmethod
    def read_pool(self, address: str, account: Account | None) -> StateT:
        """The pool at an address. Raises `BadAnswer` for what is none, `Unsupported` for one of an unknown kind."""

    @abstractmethod
    def check_config(self, address: str, account: Account | None) -> None:
        """Raises `BadAnswer` for what is no config of the program."""

    @abstractmethod
    def accounts_of(self, pool: KeysT) -> Sequence[str]:
        """All that the price of a pool depends on. A mint that is among them is looked at for extensions."""

    @abstractmethod
    def curve(self, state: StateT, held: tuple[int, int], found: Mapping[str, Account | None]) -> CurveT:
        """What is priced: a pool whose vaults hold so many base units. Raises `BadAnswer` or `Unsupported`."""

    @abstractmethod
    def price(
        self, curve: CurveT, request: SwapRequest, direction: TradeDirection, now: ChainTime
    ) -> SwapResult[CurveT]:
        """The swap by the program's arithmetic. Raises `CurveError`."""

    @abstractmethod
    def fee(self, result: SwapResult[CurveT], request: SwapRequest) -> tuple[int, str]:
        """All that the venue keeps, in one token: base units and the mint."""

    @abstractmethod
    def steps(self, pool: KeysT, quote: Quote, payer: str) -> Sequence[Instruction]:
        """What executes a quote of a pool."""

    def shared_accounts(self) -> Sequence[str]:
        """Accounts that the prices of all pools depend on."""
        return ()

    def now(self, found: Mapping[str, Account | None], slot: int) -> ChainTime:
        """The time that pools go by. Raises `BadAnswer`."""
        return ChainTime(slot, self.context.clock.unix_ms() // 1000)

    # ---- the venue ----

    @classmethod
    def network_for(cls, options: BaseModel) -> str:
        """Solana, or the localnet."""
        local = isinstance(options, PoolOptions) and options.cluster == "localnet"
        return Network.LOCALNET if local else Network.SOLANA

    @property
    def programs(self) -> frozenset[str]:
        """The pools' program alone."""
        return frozenset({self.program_id})

    async def prepare(self) -> None:
        """Look whether the program is deployed on the node, and whether what the options name is its own. Raises
        `Unsupported` or `BadAnswer`, each naming the variable to set, and what the node raises."""
        configs, pools = self.options.pool_configs, self.options.pools
        found = await read(self._chain, list(dict.fromkeys([self.program_id, *configs, *pools])))
        cluster = self.options.cluster or self.context.cluster
        check_program(self.program_id, found.get(self.program_id), cluster, **self._told)
        prefix = self.options_prefix
        check_named(f"{prefix}{self.options.configs_field.upper()}", configs, found, self.check_config)
        check_named(f"{prefix}POOLS", pools, found, self.read_pool)

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """The best of the pair's pools as they are in one slot. Raises `NoRoute`, `Unsupported` or `BadAnswer` with the
        pools' reasons when none of them would do the swap, and what the node raises."""
        pair = mints_of(request)
        left = deadline - self.context.clock.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            async with asyncio.timeout(left):
                pools = await self._pools.of(pair)
                if not pools:
                    raise NoRoute(f"there is no {self.kind} pool for this pair")
                slot, found = await self._read(pools)
        except TimeoutError as error:
            raise Timeout(f"{self.name} was not told its accounts in time", shared=True) from error
        offer = self._best(pair, pools, found, request, slot)
        return self._quoted(offer, request, slot)

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        """The swap of the quote's pool. Raises `QuoteExpired`; `Unsupported` for another venue's quote."""
        pool = quote.raw.get("pool")
        if quote.venue != self.name or not isinstance(pool, PoolKeys):
            raise Unsupported(f"a quote of {quote.venue} cannot be built by {self.name}")
        if self.context.clock.unix_ms() >= quote.expires_at_ms:
            raise QuoteExpired("the quote is too old: ask again")
        behind = blockhash.slot - quote.context_slot
        if blockhash.slot and quote.context_slot and behind > self.options.quote_max_slots:
            raise QuoteExpired(
                f"the quote is of slot {quote.context_slot}, {behind} slots before the blockhash, where"
                f" {self.options.quote_max_slots} are allowed: ask again"
            )
        return SwapInstructions(tuple(self.steps(cast("KeysT", pool), quote, payer)), blockhash)

    def explain(self, failure: ProgramFailure) -> VenueError | None:
        """By the program's error number, if it is the program that failed."""
        if failure.program != self.program_id or failure.custom is None:
            return None
        meant = self.failures.get(failure.custom)
        return type(meant)(f"{meant} ({failure.text})") if meant else None

    async def aclose(self) -> None:
        """End searches for pools."""
        await self._pools.aclose()

    # ---- inside ----

    async def _find(self, pair: Mints) -> Sequence[KeysT]:
        """The pair's deepest pools. What cannot be read is passed over, and told if nothing else is there."""
        found: Mapping[str, Account | None]
        if self.options.pools:
            there = await read(self._chain, self.options.pools)
            found = {address: there.get(address) for address in self.options.pools}
        else:
            found = {**await discover(self._chain, self.program_id, self.filters(pair), self.derived_pools(pair))}
        states: list[StateT] = []
        refusals: list[VenueError] = []
        for address, account in found.items():
            try:
                states.append(self.read_pool(address, account))
            except (BadAnswer, Unsupported) as error:
                refusals.append(error)
        ours = [state for state in states if sorted(map(address_bytes, state.keys.mints)) == [*pair]]
        if refusals and not ours:
            raise together(refusals)
        ours.sort(key=lambda state: (-state.depth, state.keys.address))
        return [state.keys for state in ours[:MAX_POOLS]]

    async def _read(self, pools: Sequence[KeysT]) -> tuple[int, dict[str, Account | None]]:
        """Everything that prices depend on, of one slot."""
        wanted = [*self.shared_accounts(), *(address for pool in pools for address in self.accounts_of(pool))]
        wanted = list(dict.fromkeys(wanted))
        answer = await self._chain.accounts(wanted)
        return answer.slot, dict(zip(wanted, answer.found, strict=True))

    def _best(
        self, pair: Mints, pools: Sequence[KeysT], found: Mapping[str, Account | None], request: SwapRequest, slot: int
    ) -> _Offer:
        now = self.now(found, slot)
        offers: list[_Offer] = []
        refusals: list[VenueError] = []
        for pool in pools:
            try:
                offers.append(_Offer(pool, self._priced(pool, found, request, now)))
            except BadAnswer as error:
                self._pools.forget(pair)
                refusals.append(error)
            except (NoRoute, Unsupported) as error:
                refusals.append(error)
        if not offers:
            raise together(refusals)
        return max(offers, key=lambda offer: (offer.result.amount_out, -offer.result.amount_in))

    def _priced(
        self, pool: KeysT, found: Mapping[str, Account | None], request: SwapRequest, now: ChainTime
    ) -> SwapResult[CurveT]:
        """The swap in one pool. Raises `BadAnswer`, `Unsupported`, or `NoRoute`, each naming the account."""
        state = self.read_pool(pool.address, found[pool.address])
        if state.keys != pool:
            raise BadAnswer(f"the pool {pool.address} is not the one that was there before")
        held = self._held(pool, found)
        direction = TradeDirection.A_TO_B if request.mint_in == pool.mints[0] else TradeDirection.B_TO_A
        try:
            result = self.price(self.curve(state, held, found), request, direction, now)
        except CurveError as error:
            kind = Unsupported if error.code is Refusal.UNSUPPORTED else NoRoute
            raise kind(f"the pool {pool.address}: {error}") from error
        there = held[1] if direction is TradeDirection.A_TO_B else held[0]
        if result.amount_out > there:
            raise NoRoute(f"the pool {pool.address} cannot pay {result.amount_out}: {there} are there")
        if request.mode is Mode.EXACT_OUT and max_in(result.amount_in, request.slippage_bps) > U64_MAX:
            raise NoRoute(f"the pool {pool.address}: with its slippage the input is more than 64 bits hold")
        return result

    def _held(self, pool: KeysT, found: Mapping[str, Account | None]) -> tuple[int, int]:
        """What the vaults hold. Raises `BadAnswer`; `Unsupported` for tokens that do not simply move."""
        amounts, asked = [], self.accounts_of(pool)
        for mint, vault, program in zip(pool.mints, pool.vaults, pool.token_programs, strict=True):
            if mint in asked:
                check_mint(mint, found[mint], program=program)
            amounts.append(read_amount(vault, found[vault], program=program, mint=mint, owner=self.vault_owner))
        first, second = amounts
        return first, second

    def _quoted(self, offer: _Offer, request: SwapRequest, slot: int) -> Quote:
        exact_in, result = request.mode is Mode.EXACT_IN, offer.result
        fee, fee_mint = self.fee(result, request)
        return Quote(
            venue=self.name,
            request=request,
            amount_in=result.amount_in,
            amount_out=result.amount_out,
            min_out=min_out(result.amount_out, request.slippage_bps) if exact_in else result.amount_out,
            max_in=result.amount_in if exact_in else max_in(result.amount_in, request.slippage_bps),
            fee=fee,
            fee_mint=fee_mint,
            network_fee=NETWORK_FEE,
            price_impact_ppm=result.price_impact_ppm,
            expires_at_ms=self.context.clock.unix_ms() + self.options.quote_ttl_ms,
            context_slot=slot,
            route=(offer.pool.address,),
            raw={"pool": offer.pool},
        )
