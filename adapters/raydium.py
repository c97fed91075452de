"""raydium: Raydium's CPMM pools (the program raydium-cp-swap), settled on Solana.

The order's way through here: pools of the pair are looked up (`adapters/pools.py`), their accounts read in one answer
and priced with the program's own arithmetic, the best one quoted; `build` puts that pool's swap into instructions.
Nothing is remembered that a price depends on.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from pydantic import BaseModel

from adapters import raydium_layout as layout
from adapters.addresses import address_bytes
from adapters.curves import cpmm
from adapters.curves.integers import U64_MAX, ceil_div
from adapters.curves.swap import ChainTime, CurveError, Refusal, SwapResult, TradeDirection
from adapters.pools import Mints, Pools, discover, mints_of, read, together
from adapters.raydium_layout import PoolKeys
from adapters.raydium_options import RaydiumOptions
from adapters.spl import TOKEN_2022
from adapters.token_layout import check_mint, read_amount
from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.domain.solana import Account, ProgramFailure, SwapInstructions
from dexexec.domain.swap import Blockhash
from dexexec.venue import (
    BadAnswer,
    Capabilities,
    InsufficientFunds,
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
    6000: NoRoute("the pool is closed, or not open yet"),
    6005: Slippage("the price moved past the order's bound"),
    6006: NoRoute("the amount is too small: after fees and rounding nothing comes out"),
    6008: BadAnswer("these are not the pool's vaults"),
    6011: NoRoute("the amounts are more than the pool can count"),
    6012: NoRoute("the pool does not hold that much"),
    2006: BadAnswer("an account is not the one that the program derives"),
    2505: NoRoute("an amount would be zero"),
    3012: InsufficientFunds("the wallet has no account for the token that it pays with"),
}
"""By the numbers of the program's `error.rs` and of Anchor. Whose tokens are short (1, of the token program) is told by
the balances, which the engine knows."""


class _Offer(NamedTuple):
    """A pool and what it does for a request."""

    pool: PoolKeys
    result: SwapResult[cpmm.CpmmPool]


class Raydium(Venue[RaydiumOptions]):
    """Quotes and builds swaps of one CPMM pool each."""

    name = "raydium"
    capabilities = Capabilities(network=Network.SOLANA)
    Options = RaydiumOptions
    options_prefix = "DEXEXEC_RAYDIUM_"

    def __init__(self, context: VenueContext[RaydiumOptions]) -> None:
        super().__init__(context)
        # Imported here, as it needs a Solana library.
        from adapters import raydium_swap  # noqa: PLC0415

        if not isinstance(context.chain, SolanaChain):
            raise TypeError("this chain has no accounts: the network solana or localnet is needed")
        self._chain: SolanaChain = context.chain
        self._swap = raydium_swap
        self._program = raydium_swap.Program.at(self.options.program)
        max_age = self.options.pool_max_age_ms / 1000
        self._pools: Pools[Mints, PoolKeys] = Pools(self._find, context.clock.monotonic, max_age)

    @classmethod
    def network_for(cls, options: BaseModel) -> str:
        """Solana, or the localnet."""
        local = isinstance(options, RaydiumOptions) and options.cluster == "localnet"
        return Network.LOCALNET if local else Network.SOLANA

    @property
    def programs(self) -> frozenset[str]:
        """The CPMM program alone."""
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
                    raise NoRoute("there is no CPMM pool for this pair")
                slot, found = await self._read(pools)
        except TimeoutError as error:
            raise Timeout(f"{self.name} was not told its accounts in time") from error
        offer = self._best(pair, pools, found, request, slot)
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
        """The pair's deepest pools. What cannot be read is left out, unless it was named: then `BadAnswer` says so."""
        program, options = self._program.address, self.options
        if options.pools:
            there = await read(self._chain, options.pools)
            states = [layout.read_pool(address, there.get(address), program) for address in options.pools]
        else:
            derived = [self._program.pool_of_config(config, *pair) for config in options.configs]
            found = await discover(self._chain, program, [layout.pool_filters(*pair)], derived)
            states = _readable(found, program)
        ours = [state for state in states if tuple(map(address_bytes, state.keys.mints)) == pair]
        # Liquidity shares are about sqrt(x * y): nobody has many of them without having put as much in.
        ours.sort(key=lambda state: (-state.lp_supply, state.keys.address))
        return [state.keys for state in ours[:MAX_POOLS]]

    async def _read(self, pools: Sequence[PoolKeys]) -> tuple[int, dict[str, Account | None]]:
        """Everything that prices depend on, of one slot."""
        wanted = list(dict.fromkeys(address for pool in pools for address in _accounts_of(pool)))
        answer = await self._chain.accounts(wanted)
        return answer.slot, dict(zip(wanted, answer.found, strict=True))

    def _best(
        self,
        pair: Mints,
        pools: Sequence[PoolKeys],
        found: Mapping[str, Account | None],
        request: SwapRequest,
        slot: int,
    ) -> _Offer:
        now = ChainTime(slot, self.context.clock.unix_ms() // 1000)
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
    ) -> SwapResult[cpmm.CpmmPool]:
        """The swap in one pool. Raises `BadAnswer`, `Unsupported`, or `NoRoute`, each naming the pool."""
        program = self._program.address
        state = layout.read_pool(pool.address, found[pool.address], program)
        if state.keys != pool:
            raise BadAnswer(f"the pool {pool.address} is not the one that was there before")
        config = layout.read_config(pool.amm_config, found[pool.amm_config], program)
        for mint, token_program in zip(pool.mints, pool.token_programs, strict=True):
            if token_program == TOKEN_2022:
                check_mint(mint, found[mint], program=token_program)
        owner = self._program.authority
        held = [
            read_amount(vault, found[vault], program=token_program, mint=mint, owner=owner)
            for vault, mint, token_program in zip(pool.vaults, pool.mints, pool.token_programs, strict=True)
        ]
        direction = TradeDirection.A_TO_B if request.mint_in == pool.mints[0] else TradeDirection.B_TO_A
        price = cpmm.quote_exact_in if request.mode is Mode.EXACT_IN else cpmm.quote_exact_out
        try:
            result = price(layout.cpmm_pool(state, config, held[0], held[1]), request.amount, direction, now)
        except CurveError as error:
            kind = Unsupported if error.code is Refusal.UNSUPPORTED else NoRoute
            raise kind(f"the pool {pool.address}: {error}") from error
        if max_in(result.amount_in, request.slippage_bps) > U64_MAX and request.mode is Mode.EXACT_OUT:
            raise NoRoute(f"the pool {pool.address}: with its slippage the input is more than 64 bits hold")
        return result

    def _quoted(self, offer: _Offer, request: SwapRequest, slot: int) -> Quote:
        exact_in = request.mode is Mode.EXACT_IN
        result = offer.result
        fee, fee_mint = _fee(result, request)
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


def _readable(found: Mapping[str, Account], program: str) -> list[layout.PoolState]:
    """Those that are pools as they are known here. One that is not must not hide the others."""
    states = []
    for address, account in found.items():
        with suppress(BadAnswer):
            states.append(layout.read_pool(address, account, program))
    return states


def _accounts_of(pool: PoolKeys) -> list[str]:
    """At most six: a mint matters only where its transfers may not move what they say."""
    programs = zip(pool.mints, pool.token_programs, strict=True)
    return [
        pool.address,
        pool.amm_config,
        *pool.vaults,
        *(mint for mint, token_program in programs if token_program == TOKEN_2022),
    ]


def _fee(result: SwapResult[Any], request: SwapRequest) -> tuple[int, str]:
    """All that the venue keeps, in one token: with a fee from the output, what is taken from the input counts as what
    it would have bought at the swap's own rate, rounded up."""
    if not result.fee_out:
        return result.fee_in, request.mint_in
    bought = ceil_div(result.fee_in * (result.amount_out + result.fee_out), result.amount_in - result.fee_in)
    return result.fee_out + bought, request.mint_out
