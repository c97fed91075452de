"""meteora: Meteora's DAMM v2 pools (the program cp-amm), settled on Solana.

The order's way through here: pools of the pair are looked up (`adapters/pools.py`); their accounts and the chain's
clock are read in one answer and priced with the program's own arithmetic, the best pool is quoted; `build` puts its
swap into instructions. Nothing is remembered that a price depends on.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import BaseModel

from adapters import meteora_layout as layout
from adapters.addresses import address_bytes
from adapters.curves import damm_v2
from adapters.curves.integers import U64_MAX
from adapters.curves.swap import ChainTime, CurveError, Refusal, SwapResult, TradeDirection
from adapters.meteora_layout import CLOCK, PoolKeys
from adapters.meteora_options import MeteoraOptions
from adapters.pools import Mints, Pools, discover, mints_of, read, together
from adapters.token_layout import check_mint, read_amount
from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.domain.solana import Account, ProgramFailure, SwapInstructions
from dexexec.domain.swap import Blockhash
from dexexec.venue import (
    BadAnswer,
    Capabilities,
    Network,
    NoRoute,
    QuoteExpired,
    Slippage,
    SolanaChain,
    Timeout,
    Unsigned,
    Unsupported,
    Venue,
    VenueContext,
    VenueError,
)

NETWORK_FEE = 5_000
"""Lamports: the base fee of one signature."""
MAX_POOLS = 16
"""Pools that are priced for one quote, the deepest ones: their accounts must fit into one answer of a node."""
FAILURES: Mapping[int, VenueError] = {
    6000: NoRoute("the amounts are more than the pool can count"),
    6002: Slippage("the price moved past the order's bound"),
    6003: NoRoute("the pool is disabled, or not open yet"),
    6006: NoRoute("the amount is too small: an amount of the swap would be zero"),
    6015: NoRoute("the swap would leave the pool's price range"),
    2006: BadAnswer("an account is not the one that the program derives"),
}
"""By the numbers of the program's `error.rs` and of Anchor. What the wallet lacks (1, of the token programs; 3012, no
account) is not among them: the engine knows the balances, and tells it by name and amount."""


class _Offer(NamedTuple):
    """A pool and what it does for a request."""

    pool: PoolKeys
    result: SwapResult[damm_v2.DammV2Pool]


class Meteora(Venue[MeteoraOptions]):
    """Quotes and builds swaps of one DAMM v2 pool each."""

    name = "meteora"
    capabilities = Capabilities(network=Network.SOLANA)
    Options = MeteoraOptions
    options_prefix = "DEXEXEC_METEORA_"

    def __init__(self, context: VenueContext[MeteoraOptions]) -> None:
        super().__init__(context)
        # Imported here, as it needs a Solana library.
        from adapters import meteora_swap  # noqa: PLC0415

        if not isinstance(context.chain, SolanaChain):
            raise TypeError("this chain has no accounts: the network solana or localnet is needed")
        self._chain: SolanaChain = context.chain
        self._swap = meteora_swap
        self._program = meteora_swap.Program.at(self.options.program)
        max_age = self.options.pool_max_age_ms / 1000
        self._pools: Pools[Mints, PoolKeys] = Pools(self._find, context.clock.monotonic, max_age)

    @classmethod
    def network_for(cls, options: BaseModel) -> str:
        """Solana, or the localnet."""
        local = isinstance(options, MeteoraOptions) and options.cluster == "localnet"
        return Network.LOCALNET if local else Network.SOLANA

    @property
    def programs(self) -> frozenset[str]:
        """The DAMM v2 program alone."""
        return frozenset({self._program.address})

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
                    raise NoRoute("there is no DAMM v2 pool for this pair")
                slot, found = await self._read(pools)
        except TimeoutError as error:
            raise Timeout(f"{self.name} was not told its accounts in time") from error
        offer = self._best(pair, pools, found, request)
        return self._quoted(offer, request, slot)

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        """The swap of the quote's pool. Raises `QuoteExpired`; `Unsupported` for another venue's quote."""
        pool = quote.raw.get("pool")
        if quote.venue != self.name or not isinstance(pool, PoolKeys):
            raise Unsupported(f"a quote of {quote.venue} cannot be built by {self.name}")
        if self.context.clock.unix_ms() >= quote.expires_at_ms:
            raise QuoteExpired("the quote is too old: ask again")
        return SwapInstructions(self._swap.swap_steps(self._program, pool, quote, payer), blockhash)

    def explain(self, failure: ProgramFailure) -> VenueError | None:
        """By the program's error number, if it is the program that failed."""
        if failure.program != self._program.address or failure.custom is None:
            return None
        meant = FAILURES.get(failure.custom)
        return type(meant)(f"{meant} ({failure.text})") if meant else None

    async def aclose(self) -> None:
        """End searches for pools."""
        await self._pools.aclose()

    async def _find(self, pair: Mints) -> Sequence[PoolKeys]:
        """The pair's deepest pools. What cannot be read is passed over, and told if nothing else is there."""
        program, options = self._program, self.options
        found: Mapping[str, Account | None]
        if options.pools:
            there = await read(self._chain, options.pools)
            found = {address: there.get(address) for address in options.pools}
        else:
            derived = [program.customizable_pool(*pair)]
            derived += [program.pool_of_config(config, *pair) for config in options.pool_configs]
            wanted = [layout.pool_filters(*mints) for mints in (pair, pair[::-1])]
            found = {**await discover(self._chain, program.address, wanted, derived)}
        states: list[layout.PoolState] = []
        refusals: list[VenueError] = []
        for address, account in found.items():
            try:
                states.append(layout.read_pool(address, account, program.address))
            except (BadAnswer, Unsupported) as error:
                refusals.append(error)
        ours = [state for state in states if sorted(map(address_bytes, state.keys.mints)) == [*pair]]
        if refusals and not ours:
            raise together(refusals)
        ours.sort(key=lambda state: (-state.depth, state.keys.address))
        return [state.keys for state in ours[:MAX_POOLS]]

    async def _read(self, pools: Sequence[PoolKeys]) -> tuple[int, dict[str, Account | None]]:
        """Everything that prices depend on, of one slot."""
        wanted = list(
            dict.fromkeys([CLOCK, *(one for pool in pools for one in (*pool.mints, pool.address, *pool.vaults))])
        )
        answer = await self._chain.accounts(wanted)
        return answer.slot, dict(zip(wanted, answer.found, strict=True))

    def _best(
        self, pair: Mints, pools: Sequence[PoolKeys], found: Mapping[str, Account | None], request: SwapRequest
    ) -> _Offer:
        now = layout.read_clock(found[CLOCK])
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
        self, pool: PoolKeys, found: Mapping[str, Account | None], request: SwapRequest, now: ChainTime
    ) -> SwapResult[damm_v2.DammV2Pool]:
        """The swap in one pool. Raises `BadAnswer`, `Unsupported`, or `NoRoute`, each naming the account."""
        state = layout.read_pool(pool.address, found[pool.address], self._program.address)
        if state.keys != pool:
            raise BadAnswer(f"the pool {pool.address} is not the one that was there before")
        held = {}
        for mint, vault, token_program in zip(pool.mints, pool.vaults, pool.token_programs, strict=True):
            check_mint(mint, found[mint], program=token_program)
            owner = self._program.pool_authority
            held[mint] = read_amount(vault, found[vault], program=token_program, mint=mint, owner=owner)
        direction = TradeDirection.A_TO_B if request.mint_in == pool.mints[0] else TradeDirection.B_TO_A
        exact_in = request.mode is Mode.EXACT_IN
        price = damm_v2.quote_exact_in if exact_in else damm_v2.quote_exact_out
        try:
            result = price(state.curve, request.amount, direction, now)
        except CurveError as error:
            kind = Unsupported if error.code is Refusal.UNSUPPORTED else NoRoute
            raise kind(f"the pool {pool.address}: {error}") from error
        if result.amount_out > held[request.mint_out]:
            raise NoRoute(f"the pool {pool.address} cannot pay {result.amount_out}: {held[request.mint_out]} are there")
        if not exact_in and max_in(result.amount_in, request.slippage_bps) > U64_MAX:
            raise NoRoute(f"the pool {pool.address}: with its slippage the input is more than 64 bits hold")
        return result

    def _quoted(self, offer: _Offer, request: SwapRequest, slot: int) -> Quote:
        exact_in, result = request.mode is Mode.EXACT_IN, offer.result
        return Quote(
            venue=self.name,
            request=request,
            amount_in=result.amount_in,
            amount_out=result.amount_out,
            min_out=min_out(result.amount_out, request.slippage_bps) if exact_in else result.amount_out,
            max_in=result.amount_in if exact_in else max_in(result.amount_in, request.slippage_bps),
            fee=result.fee_out or result.fee_in,
            fee_mint=request.mint_out if result.fee_out else request.mint_in,
            network_fee=NETWORK_FEE,
            price_impact_ppm=result.price_impact_ppm,
            expires_at_ms=self.context.clock.unix_ms() + self.options.quote_ttl_ms,
            context_slot=slot,
            route=(offer.pool.address,),
            raw={"pool": offer.pool},
        )
