"""The venue that quotes from pools on chain. `raydium/venue.py` and others add what is specific to them.

A quote finds the pair's pools (`pools/search.py`), reads their accounts in one answer, prices them with the program's
arithmetic (`pools/pricing.py`) and takes the best one. `build` returns the instructions of that pool's swap.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from functools import lru_cache, partial
from typing import cast

from pydantic import BaseModel

from dexexec.domain import base58
from dexexec.domain.depth import PoolDepth
from dexexec.domain.launch import NewPool
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.reading_ahead import ReadingAheadChain
from dexexec.domain.solana import Account, Instruction, SwapInstructions
from dexexec.domain.swap import Blockhash, ProgramFailure
from dexexec.venue import (
    BadAnswer,
    Capabilities,
    Network,
    NoRoute,
    SolanaChain,
    Timeout,
    Unsigned,
    Unsupported,
    Venue,
    VenueContext,
    VenueError,
    pace_of,
)
from dexexec_adapters.pools.depths import FEW_POOLS, depths_by_vaults
from dexexec_adapters.pools.keeper import PoolKeeper
from dexexec_adapters.pools.launch_reader import LaunchReader
from dexexec_adapters.pools.launches import PairSearch, follow_pools
from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.pools.partial_quotes import depths_of
from dexexec_adapters.pools.pricing import PoolPricing
from dexexec_adapters.pools.program import CurveT, KeysT, PoolProgram, StateT
from dexexec_adapters.pools.quoted import Offer, check_age, quote_of, ttl_ms
from dexexec_adapters.pools.search import (
    Mints,
    PoolCache,
    PoolKeys,
    combined,
    discover,
    mints_of,
    read_existing,
    sorted_mints,
)
from dexexec_adapters.pools.startup import check_named, check_program, find_deployment
from dexexec_adapters.solana.addresses import address_bytes
from dexexec_adapters.solana.spl import between_accounts

MAX_POOLS = 16
"""How many pools are priced for one quote, the deepest ones. Their accounts must fit into one answer of a node."""


MOST_DERIVED = 8_192
"""Derived addresses that are kept. One costs as much as a quote."""


class PoolVenue(Venue[PoolOptions], PoolProgram[KeysT, StateT, CurveT]):
    """Quotes and builds swaps, each with one pool. A subclass adds its program's accounts, prices and instructions.

    `program_id`, `configs` and `derived` are set by `__init__`: `derived` returns the address that the program derives
    from seeds.
    """

    capabilities = Capabilities(network=Network.SOLANA)

    def __init__(self, context: VenueContext[PoolOptions]) -> None:
        super().__init__(context)
        if not isinstance(context.chain, SolanaChain):
            raise TypeError("this chain has no accounts: the network solana or localnet is needed")
        self.chain: SolanaChain = context.chain
        self.capabilities = replace(self.capabilities, network=self.network_for(self.options))
        # Imported here because it needs a Solana library, which an installation without Solana lacks.
        from dexexec_adapters.solana import keys  # noqa: PLC0415

        self._token_account = keys.token_account
        self._names = {"kind": self.kind, "prefix": self.options_prefix}
        deployment = find_deployment(self.options, context.cluster, self.deployments, **self._names)
        self.program_id = deployment.program
        self.derived: Callable[..., str] = lru_cache(maxsize=MOST_DERIVED)(partial(keys.derived, self.program_id))
        self.configs = deployment.configs
        max_age = self.options.pool_max_age_ms / 1000
        self._pricing: PoolPricing[KeysT, StateT, CurveT] = PoolPricing(self, context.chain, context.clock.monotonic)
        self._keeper = PoolKeeper(context, self.program_id, filters=self.filters, is_new=self._is_new, max_age=max_age)
        self._pools: PoolCache[Mints, KeysT] = PoolCache(
            self._find, context.clock.monotonic, max_age, is_new=self._is_new, followed=self._keeper.follows
        )

    # ---- the venue ----

    @classmethod
    def network_for(cls, options: BaseModel) -> str:
        """Solana, or the localnet."""
        local = isinstance(options, PoolOptions) and options.cluster == "localnet"
        return Network.LOCALNET if local else Network.SOLANA

    @property
    def programs(self) -> frozenset[str]:
        """The program of the pools."""
        return frozenset({self.program_id})

    async def prepare(self) -> None:
        """Check that the program is deployed on the node, and that the configs and pools of the options are its own.

        Raises `Unsupported` or `BadAnswer`, which name the variable to set, and the node's errors.
        """
        configs = self.options.pool_configs
        pools = self.options.pools
        accounts = await read_existing(self.chain, list(dict.fromkeys([self.program_id, *configs, *pools])))
        cluster = self.options.cluster or self.context.cluster
        check_program(self.program_id, accounts.get(self.program_id), cluster, **self._names)
        prefix = self.options_prefix
        check_named(f"{prefix}{self.options.configs_field.upper()}", configs, accounts, self.check_config)
        check_named(f"{prefix}POOLS", pools, accounts, self.read_pool)

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """A quote of the best of the pair's pools, all read in one slot. Raises `NoRoute`, `Unsupported` or `BadAnswer`
        with the pools' reasons if no pool can do the swap, and the node's errors."""
        pair = mints_of(request)
        async with self._in_time(deadline):
            pools = await self._pools_of(pair)
            offer = await self._pricing.best(pools, request, outdated=lambda: self._pools.forget(pair))
        return self._quote_of(offer, request)

    async def depths(self, request: SwapRequest, deadline: float) -> Sequence[PoolDepth]:
        """The pair's pools, as a swap over several of them needs them. Raises `NoRoute` and the node's errors."""
        async with self._in_time(deadline):
            pools = await self._pools_of(mints_of(request))
            return await depths_of(self, self._pricing, pools, request, venue=self.name, quote=self._quote_of)

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        """The instructions of the quote's swap. Raises `QuoteExpired`, or `Unsupported` for another venue's quote."""
        pool = quote.raw.get("pool")
        if quote.venue != self.name or not isinstance(pool, PoolKeys):
            raise Unsupported(f"a quote of {quote.venue} cannot be built by {self.name}")
        check_age(quote, blockhash, self.options.quote_max_slots, self.context.clock.unix_ms())
        return SwapInstructions(tuple(self.steps(cast("KeysT", pool), quote, payer)), blockhash)

    def steps(self, pool: KeysT, quote: Quote, payer: str) -> Sequence[Instruction]:
        """The swap of a quote, with the instructions that open, fill and close the payer's accounts around it."""
        mints = (quote.request.mint_in, quote.request.mint_out)
        source, target = (self._token_account(payer, mint, pool.token_program(mint)) for mint in mints)
        swap = self.swap(pool, quote, payer, (source.address, target.address))
        return between_accounts(payer, source, target, quote.max_in, (swap,))

    async def watch_pools(self, pair: tuple[str, str]) -> AsyncGenerator[NewPool, None]:
        """The program's pools of the pair. A new one is quoted from then on."""
        mints = sorted_mints(pair)
        search = PairSearch(
            chain=self.chain, program=self.program_id, filters=self.filters(mints), derived=self.derived_pools(mints)
        )
        seen: set[str] = set()
        # Closed with this iterator, or its subscription would last until the next garbage collection.
        async with aclosing(follow_pools(search, LaunchReader(self, mints).read, self.context)) as pools:
            async for pool in pools:
                if pool.address not in seen:
                    seen.add(pool.address)
                    self._keeper.remember(mints, pool.address)
                    self._pools.forget(mints)
                yield pool

    async def warm(self, pair: tuple[str, str]) -> None:
        """Find the pools of the pair and keep them known, and read their accounts."""
        self._keeper.start(self._pools)
        mints = sorted_mints(pair)
        self._keeper.use(mints)
        if pools := await self._pools.get(mints):
            await self._pricing.read(pools)

    def pool_accounts(self, pair: tuple[str, str] | None = None) -> Mapping[str, Sequence[str]]:
        """The known pools, with the accounts that their prices depend on."""
        pools = self._pools.known(sorted_mints(pair) if pair else None)
        return {pool.address: self._pricing.accounts_of(pool) for pool in pools}

    def explain(self, failure: ProgramFailure) -> VenueError | None:
        """The meaning of the error number, if the failed instruction is the program's."""
        if failure.program != self.program_id or failure.custom is None:
            return None
        meaning = self.failures.get(failure.custom)
        return type(meaning)(f"{meaning} ({failure.text})") if meaning else None

    async def aclose(self) -> None:
        """Cancel searches for pools."""
        await self._keeper.aclose()
        await self._pools.aclose()

    # ---- internal ----

    @asynccontextmanager
    async def _in_time(self, deadline: float) -> AsyncIterator[None]:
        """Raises `Timeout` for what takes longer."""
        left = deadline - self.context.clock.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            async with asyncio.timeout(left):
                yield
        except TimeoutError as error:
            # Shared: a slow node delays all venues of the network, so no venue's breaker may count it.
            raise Timeout(f"{self.name} did not receive its accounts in time", shared=True) from error

    async def _pools_of(self, pair: Mints) -> Sequence[KeysT]:
        self._keeper.use(pair)
        pools = await self._known_pools(pair)
        if not pools:
            raise NoRoute(f"there is no {self.kind} pool for this pair")
        return pools

    def _quote_of(self, offer: Offer, request: SwapRequest) -> Quote:
        expires_at_ms = self.context.clock.unix_ms() + ttl_ms(self.options, pace_of(self.chain))
        fee = self.fee(offer.result, request)
        return quote_of(offer, request, venue=self.name, fee=fee, expires_at_ms=expires_at_ms)

    def _is_new(self, pair: Mints) -> bool:
        """Whether a token of the pair is not configured: then an order waits for its launch."""
        return any(self.context.tokens.get(base58.encode(mint)) is None for mint in pair)

    async def _known_pools(self, pair: Mints) -> Sequence[KeysT]:
        """The pair's pools. While they are searched, what they are likely to need is read."""
        if self._pools.has(pair):
            return await self._pools.get(pair)
        reading = asyncio.create_task(self._read_likely(pair))
        try:
            if pools := await self._pools.get(pair):
                await reading
            return pools
        finally:
            reading.cancel()

    async def _read_likely(self, pair: Mints) -> None:
        if isinstance(self.chain, ReadingAheadChain):
            pools = self.options.pools or [*self._keeper.reported(pair), *self.derived_pools(pair)]
            written = [address for pool in pools for address in (pool, *self.likely_accounts(pool, pair))]
            wanted = [*self.shared_accounts(), *pools, *map(base58.encode, pair)]
            # It is only a guess: without an answer, the accounts are read once the pools are known.
            with suppress(VenueError):
                await self.chain.read_ahead(wanted, [*self.swap_accounts(), *written], written)

    async def _find(self, pair: Mints) -> Sequence[KeysT]:
        """The pair's deepest pools. Unreadable pools are skipped; if there are no others, their errors are raised."""
        candidates, _ = await asyncio.gather(self._candidates(pair), self.learn(pair))
        self._keeper.searched(pair, candidates)
        states: list[StateT] = []
        refusals: list[VenueError] = []
        for address, account in candidates.items():
            try:
                states.append(self.read_pool(address, account))
            except (BadAnswer, Unsupported) as error:
                refusals.append(error)
        # A node may return anything, and the pools of the options may be of other pairs.
        matching = [state for state in states if sorted(map(address_bytes, state.keys.mints)) == [*pair]]
        if refusals and not matching:
            raise combined(refusals)
        if self.depth_in_vaults and len(matching) > FEW_POOLS:
            pools = [state.keys for state in matching]
            depths = await depths_by_vaults(self.chain, pools, self.vault_owner)
        else:
            depths = {state.keys.address: state.depth for state in matching}
        matching.sort(key=lambda state: (-depths[state.keys.address], state.keys.address))
        for state in matching[:MAX_POOLS]:
            self._pricing.found(state)
        return [state.keys for state in matching[:MAX_POOLS]]

    async def _candidates(self, pair: Mints) -> Mapping[str, Account | None]:
        """The accounts that may be pools of the pair. Raises the node's errors."""
        if self.options.pools:
            existing = await read_existing(self.chain, self.options.pools)
            return {address: existing.get(address) for address in self.options.pools}
        likely = [*self.derived_pools(pair), *self._keeper.reported(pair)]
        return {**await discover(self.chain, self.program_id, self.filters(pair), likely)}
