"""Arrays around a pool's price are read with it, as of one slot, and more of them where a swap reaches farther."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, Accounts
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import NoRoute, VenueContext
from dexexec_adapters.curves.swap import ChainTime, MissingArray, SwapResult, TradeDirection
from dexexec_adapters.pools import needed
from dexexec_adapters.pools.needed import KEPT_SECONDS, MAX_ARRAYS, KnownArrays, MoreNeeded
from dexexec_adapters.pools.pricing import MAX_ROUNDS
from dexexec_adapters.pools.quoted import arrays_of
from dexexec_adapters.raydium.layout import POOL as LAYOUT
from dexexec_adapters.raydium.layout import PoolKeys, PoolState
from dexexec_adapters.raydium.venue import Raydium, RaydiumOptions
from dexexec_adapters.solana.spl import TOKEN
from tests.support.raydium_accounts import PROGRAM, RecordedChain, address, patched, pool_accounts, pool_of

ACTIVE_AT = LAYOUT.offset("lp_supply")
STEP = 1_000_000
"""A swap passes through one more array for each of these units."""


def array(pool: str, index: int) -> str:
    return address(200 + index) if pool == address(1) else f"array {index} of {pool}"


class Stepped(Raydium):
    """Pools whose price depends on arrays. The supply of the recorded pool is the index of the one at its price."""

    asked_at_once = 2

    def arrays_of(self, state: PoolState) -> Sequence[str]:
        """The array at the price, and the next one."""
        return [array(state.keys.address, state.lp_supply + step) for step in range(2)]

    def array_at(self, pool: PoolKeys, index: int) -> str:
        """As everywhere here."""
        return array(pool.address, index)

    def curve(self, state: PoolState, held: tuple[int, int], accounts: Mapping[str, Account | None]) -> Any:
        """The pool, and what was read."""
        return state, super().curve(state, held, accounts), accounts

    def price(self, curve: Any, request: SwapRequest, direction: TradeDirection, now: ChainTime) -> SwapResult[Any]:
        """The recorded price, once all arrays on the way were read."""
        state, pool, accounts = curve
        way = range(state.lp_supply, state.lp_supply + request.amount // STEP + 1)
        missing = [index for index in way if array(state.keys.address, index) not in accounts]
        if missing:
            raise MissingArray(missing[: self.asked_at_once])
        return replace(super().price(pool, request, direction, now), arrays=tuple(way))


@dataclass
class Slots(RecordedChain):
    """Each answer is of another slot, and the pools may change between two."""

    changes: Sequence[Mapping[str, Account]] = ()

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As held, one slot later."""
        self.slot += 1
        answer = await super().accounts(addresses)
        if self.changes:
            self.held = {**self.held, **self.changes[0]}
            self.changes = self.changes[1:]
        return answer


def pool(number: int = 1, active: int = 1) -> bytes:
    return pool_of((WSOL, USDC), number, (373, 1), (ACTIVE_AT, active))


def venue_of(chain: RecordedChain, clock: ManualClock | None = None, kind: type[Stepped] = Stepped) -> Stepped:
    return kind(VenueContext(clock or ManualClock(), Tokens(KNOWN), chain, RaydiumOptions(), "mainnet-beta"))


def chain_of(*active: int) -> Slots:
    held: dict[str, Account] = {}
    for number, index in enumerate(active, 1):
        held |= pool_accounts(address(number), pool(number, index))
    return Slots(held)


async def quoted(venue: Stepped, amount: int = STEP // 2) -> Quote:
    request = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=amount, mode=Mode.EXACT_IN, slippage_bps=50)
    return await venue.quote(request, venue.context.clock.monotonic() + 1)


def arrays(*indexes: int) -> set[str]:
    return {array(address(1), index) for index in indexes}


def read_of(chain: RecordedChain) -> list[set[str]]:
    """The arrays that each answer with the pool had."""
    every = arrays(*range(55))
    return [{*addresses} & every for addresses in chain.read if address(1) in addresses]


async def test_the_arrays_at_the_price_are_read_in_the_answer_with_the_pool() -> None:
    chain = chain_of(1)
    venue = venue_of(chain)
    quote = await quoted(venue)
    assert read_of(chain) == [arrays(1, 2)], "known from the search"
    assert quote.context_slot == chain.slot
    assert arrays_of(quote) == (1,)
    await quoted(venue)
    assert read_of(chain)[1:] == [arrays(1, 2)]
    assert {*venue.pool_accounts()[address(1)]} >= arrays(1, 2), "so that they stay in memory"
    await venue.aclose()


async def test_arrays_follow_the_price() -> None:
    chain = chain_of(1)
    venue = venue_of(chain)
    await quoted(venue)
    chain.held = {**chain.held, **pool_accounts(address(1), pool(1, 8))}
    assert arrays_of(await quoted(venue)) == (8,)
    assert read_of(chain)[1:] == [arrays(1, 2), arrays(8, 9)]
    assert not {*venue.pool_accounts()[address(1)]} & arrays(1, 2)
    await venue.aclose()


async def test_a_swap_that_reaches_farther_reads_more_with_the_pool_again_in_one_slot() -> None:
    chain = chain_of(1)
    venue = venue_of(chain)
    quote = await quoted(venue, 5 * STEP)
    assert read_of(chain) == [arrays(1, 2), arrays(1, 2, 3, 4), arrays(1, 2, 3, 4, 5, 6)]
    assert arrays_of(quote) == (1, 2, 3, 4, 5, 6)
    assert quote.context_slot == chain.slot
    assert (quote.amount_in, quote.route) == (5 * STEP, (address(1),))
    await venue.aclose()


async def test_a_price_that_moves_while_more_is_read_is_priced_where_it_is_then() -> None:
    chain = chain_of(1)
    chain.changes = [pool_accounts(address(1), pool(1, 2))]
    venue = venue_of(chain)
    assert arrays_of(await quoted(venue, 3 * STEP)) == (2, 3, 4, 5)
    await venue.aclose()


async def test_what_a_large_swap_needed_is_read_again_for_a_while() -> None:
    chain = chain_of(1)
    clock = ManualClock()
    venue = venue_of(chain, clock)
    await quoted(venue, 3 * STEP)
    for seconds, known in ((KEPT_SECONDS / 2, arrays(1, 2, 3, 4)), (KEPT_SECONDS, arrays(1, 2))):
        chain.read.clear()
        clock.advance(seconds)
        await quoted(venue)
        assert read_of(chain) == [known]
    await venue.aclose()


async def test_a_swap_that_reaches_too_far_is_refused_after_a_few_reads() -> None:
    for asked_at_once in (1, 2, 2 * MAX_ARRAYS):

        class Asking(Stepped):
            pass

        Asking.asked_at_once = asked_at_once
        chain = chain_of(1)
        venue = venue_of(chain, kind=Asking)
        with pytest.raises(NoRoute, match=f"the pool {address(1)}: the swap reaches too far from its price"):
            await quoted(venue, 40 * STEP)
        assert len(read_of(chain)) <= 1 + MAX_ROUNDS
        assert all(len(found) <= MAX_ARRAYS for found in read_of(chain))
        assert (await quoted(venue)).route == (address(1),), "a smaller one is not"
        await venue.aclose()


async def test_addresses_that_a_price_names_itself_are_read_too() -> None:
    class Naming(Stepped):
        def curve(self, state: PoolState, held: tuple[int, int], accounts: Mapping[str, Account | None]) -> Any:
            if address(250) not in accounts:
                raise MoreNeeded([address(250)])
            return super().curve(state, held, accounts)

    chain = chain_of(1)
    venue = venue_of(chain, kind=Naming)
    assert (await quoted(venue)).route == (address(1),)
    assert [address(250) in addresses for addresses in chain.read] == [False, True]
    await venue.aclose()


async def test_another_pool_is_taken_where_one_needs_too_much() -> None:
    class OneDeep(Stepped):
        def price(self, curve: Any, request: SwapRequest, direction: TradeDirection, now: ChainTime) -> SwapResult[Any]:
            if curve[0].keys.address == address(1):
                raise MissingArray([999])
            return super().price(curve, request, direction, now)

        def array_at(self, pool: PoolKeys, index: int) -> str:
            return address(240) if index == 999 else super().array_at(pool, index)

    chain = chain_of(1, 1)
    venue = venue_of(chain, kind=OneDeep)
    assert (await quoted(venue)).route == (address(2),)
    assert len(chain.read) == 1 + MAX_ROUNDS, "and a price that never has enough ends"
    await venue.aclose()


async def test_the_deepest_pools_that_fit_into_one_answer_are_priced() -> None:
    class Wide(Stepped):
        def arrays_of(self, state: PoolState) -> Sequence[str]:
            return [array(state.keys.address, state.lp_supply + step) for step in range(12)]

    depths = [*range(1, 13)]
    chain = chain_of(*depths)
    venue = venue_of(chain, kind=Wide)
    quote = await quoted(venue)
    # 12 arrays, the pool, its vaults and the clock, the config shared: six pools fit, the deepest first.
    assert [number for number in depths if address(number) in chain.read[-1]] == depths[-6:]
    assert quote.route[0] in {address(number) for number in depths[-6:]}
    await venue.aclose()


async def test_a_pool_is_parsed_again_only_when_its_account_has_changed() -> None:
    class Counting(Stepped):
        parsed = 0

        def read_pool(self, address: str, account: Account | None) -> PoolState:
            self.parsed += 1
            return super().read_pool(address, account)

    chain = chain_of(1)
    venue: Any = venue_of(chain, kind=Counting)
    await quoted(venue)
    parsed = venue.parsed
    for _ in range(3):
        await quoted(venue)
    assert venue.parsed == parsed
    data = patched(chain.held[address(1)].data, (ACTIVE_AT, 2))
    chain.held = {**chain.held, address(1): Account(PROGRAM, 1, data)}
    assert arrays_of(await quoted(venue)) == (2,)
    chain.held = {**chain.held, address(1): Account(TOKEN, 1, data)}
    with pytest.raises(Exception, match="belongs to"):
        await quoted(venue)
    await venue.aclose()


# ---- what is remembered ----------------------------------------------------------------------------------------------


def test_arrays_that_are_far_from_the_price_make_room_for_new_ones() -> None:
    clock = ManualClock()
    known = KnownArrays(clock.monotonic)
    assert known.move("pool", ["a", "b"])
    assert not known.move("pool", ["b", "a"])
    assert known.add("pool", map(str, range(MAX_ARRAYS - 2)))
    assert len(known.of("pool")) == MAX_ARRAYS
    assert known.add("pool", ["0"]), "known already, perhaps by another quote"
    assert known.add("pool", ["new"])
    assert known.of("pool") == ("b", "a", "new")
    assert not known.add("pool", map(str, range(MAX_ARRAYS)))
    assert known.of("other") == ()


def test_only_so_many_pools_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needed, "MOST_POOLS", 2)
    known = KnownArrays(ManualClock().monotonic)
    for name in ("one", "two", "one", "three"):
        known.move(name, ["a"])
        known.add(name, ["b"])
    assert [name for name in ("one", "two", "three") if known.of(name)] == ["one", "three"]
