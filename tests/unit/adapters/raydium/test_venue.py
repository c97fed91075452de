"""Raydium quotes what the program does, from the best of the pools that it finds."""

import asyncio
from base64 import b64decode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain import base58
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Account
from dexexec.domain.token import USDC, WSOL
from dexexec.testing.clock import ManualClock
from dexexec.venue import NoRoute, Unreachable
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.pools.venue import MAX_POOLS
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.spl import TOKEN_2022
from tests.support.meteora_accounts import clock_account
from tests.support.raydium_accounts import (
    AUTHORITY,
    CONFIG,
    CONFIG_DATA,
    MINT_0,
    MINT_1,
    OPEN_MS,
    POOL,
    POOL_DATA,
    PROGRAM,
    RECORD,
    SELL,
    VAULT_0,
    VAULT_1,
    VAULT_AMOUNTS,
    Program,
    RecordedChain,
    address,
    key,
    mint_account,
    patched,
    pool_accounts,
    pool_of,
    quoted,
    raydium,
    venue_on,
)

EXACT_IN = Mode.EXACT_IN
EXACT_OUT = Mode.EXACT_OUT


# ---- quotes ----------------------------------------------------------------------------------------------------------


async def test_every_recorded_swap_is_quoted_from_the_accounts_just_ahead_of_it_to_the_unit() -> None:
    seen = set()
    for swap in RECORD["swaps"]:
        if not (before := swap.get("before")):
            continue
        mints = (MINT_0, MINT_1) if swap["direction"] == "0_to_1" else (MINT_1, MINT_0)
        mode = EXACT_IN if swap["kind"] == "base_input" else EXACT_OUT
        amount = swap["amount_in"] if mode is EXACT_IN else swap["amount_out"]
        venue = venue_on(pool_accounts(POOL, b64decode(before["pool"]), (before["vault_0"], before["vault_1"])))
        quote = await quoted(
            venue, SwapRequest(mint_in=mints[0], mint_out=mints[1], amount=amount, mode=mode, slippage_bps=50)
        )
        assert (quote.amount_in, quote.amount_out) == (swap["amount_in"], swap["amount_out"])
        seen.add((mints, mode))
    assert len(seen) == 4, "both ways, both modes"


async def test_a_quote_is_of_one_answer_of_the_node_and_has_its_slot() -> None:
    chain = RecordedChain(pool_accounts(POOL), slot=123_456)
    clock = ManualClock(OPEN_MS)
    quote = await quoted(raydium(chain, clock, quote_ttl_ms=7_000))
    assert chain.read == [(CLOCK, POOL, CONFIG, VAULT_0, VAULT_1)]
    assert (quote.venue, quote.request, quote.route, quote.context_slot) == ("raydium", SELL, (POOL,), 123_456)
    assert quote.expires_at_ms == OPEN_MS + 7_000


@pytest.mark.parametrize("skew", [-65, 65])
async def test_a_pool_opens_by_the_chains_clock_not_by_the_process_clock(skew: int) -> None:
    opens = OPEN_MS // 1000
    clock = ManualClock(OPEN_MS + skew * 1000)
    accounts = pool_accounts(POOL, patched(POOL_DATA, (373, opens)))
    open_now = raydium(RecordedChain(accounts | {CLOCK: clock_account(7, opens)}), clock)
    assert (await quoted(open_now)).amount_out > 0
    not_yet = raydium(RecordedChain(accounts | {CLOCK: clock_account(7, opens - 1)}), clock)
    with pytest.raises(NoRoute, match=f"opens at {opens}"):
        await quoted(not_yet)


async def test_fee_and_price_impact_are_separate() -> None:
    """A pool of 10^12 each, no fees owed: 10^10 in is 1 % of it."""
    owing_nothing = patched(POOL_DATA, (341, bytes(32)))
    quote = await quoted(venue_on(pool_accounts(POOL, owing_nothing, (10**12, 10**12))), replace(SELL, amount=10**10))
    assert (quote.fee, quote.fee_mint) == (25_000_000, MINT_0)
    net = 10**10 - 25_000_000
    assert quote.amount_out == net * 10**12 // (10**12 + net)
    assert quote.price_impact_ppm == -(-net * 10**6 // (10**12 + net))
    assert quote.network_fee == 5_000


async def test_a_creators_fee_from_the_output_is_part_of_the_fee_in_the_output() -> None:
    data = patched(POOL_DATA, (341, bytes(32)), (389, b"\x02\x01"))
    accounts = pool_accounts(POOL, data, (10**15, 10**15), patched(CONFIG_DATA, (108, 500)))
    quote = await quoted(venue_on(accounts), replace(SELL, amount=10**6))
    # 2,500 of 10^6 go in; of the 997,499 that come out (rounded down) 499 to the creator, rounded up.
    assert (quote.amount_out, quote.fee_mint) == (997_499 - 499, MINT_1)
    assert quote.fee == 499 + 2_500
    back = await quoted(
        venue_on(accounts), SwapRequest(mint_in=MINT_1, mint_out=MINT_0, amount=10**6, mode=EXACT_IN, slippage_bps=50)
    )
    assert (back.fee, back.fee_mint) == (3_000, MINT_1), "the other way it is taken from the input, with the trade fee"


async def test_the_best_of_all_pools_is_quoted_although_others_are_invalid() -> None:
    pair = MINT_0, MINT_1
    accounts: dict[str, Account] = {}
    shallow, deep, closed, broken = (pool_of(pair, number, *changes) for number, changes in enumerate(
        ([], [], [(329, b"\x04")], []), start=1
    ))  # fmt: skip
    for number, (data, scale) in enumerate(((shallow, 1), (deep, 10), (closed, 100), (broken, 100)), start=1):
        accounts |= pool_accounts(address(number), data, (VAULT_AMOUNTS[0] * scale, VAULT_AMOUNTS[1] * scale))
    del accounts[key(broken, 104)]
    venue = venue_on(accounts)
    large = 10**12
    assert (await quoted(venue, replace(SELL, amount=large))).route == (address(2),)
    assert (await quoted(venue, replace(SELL, amount=large, mode=EXACT_OUT))).route == (address(2),)


async def test_of_very_many_pools_the_deepest_are_priced_in_one_answer() -> None:
    accounts: dict[str, Account] = {}
    for number in range(1, 2 * MAX_POOLS + 1):
        data = pool_of((MINT_0, MINT_1), number, (333, number), (232, TOKEN_2022), (264, TOKEN_2022))
        accounts |= pool_accounts(address(200 - number), data)
    accounts |= {mint: mint_account(TOKEN_2022) for mint in (MINT_0, MINT_1)}
    chain = RecordedChain(accounts)
    await quoted(raydium(chain, ManualClock(OPEN_MS)))
    [addresses] = chain.read
    assert {address(200 - number) for number in range(MAX_POOLS + 1, 2 * MAX_POOLS + 1)} <= set(addresses)
    assert not {address(200 - number) for number in range(1, MAX_POOLS + 1)} & set(addresses)


# ---- where pools are -------------------------------------------------------------------------------------------------


async def test_a_search_is_remembered_for_a_while_and_prices_are_not() -> None:
    chain = RecordedChain(pool_accounts(POOL))
    clock = ManualClock(OPEN_MS)
    venue = raydium(chain, clock, pool_max_age_ms=60_000)
    first = await quoted(venue)
    await quoted(venue, SwapRequest(mint_in=MINT_1, mint_out=MINT_0, amount=10**9, mode=EXACT_OUT, slippage_bps=50))
    chain.held = pool_accounts(POOL, amounts=(VAULT_AMOUNTS[0] * 2, VAULT_AMOUNTS[1]))
    assert (await quoted(venue)).amount_out < first.amount_out
    assert [program for program, _ in chain.searched] == [PROGRAM]
    clock.advance(60)
    await quoted(venue)
    assert len(chain.searched) == 2


async def test_named_pools_are_the_only_ones() -> None:
    other = pool_of((MINT_0, MINT_1), 2)
    accounts = pool_accounts(POOL) | pool_accounts(address(2), other, (10**15, 10**15))
    chain = RecordedChain(accounts)
    venue = raydium(chain, ManualClock(OPEN_MS), pools=f"{POOL}")
    assert (await quoted(venue)).route == (POOL,)
    assert chain.searched == []
    with pytest.raises(NoRoute, match="no CPMM pool for this pair"):
        await quoted(venue, replace(SELL, mint_in=WSOL))


@pytest.mark.parametrize("configs", [None, CONFIG])
async def test_where_no_node_searches_the_derived_address_is_looked_at(configs: str | None) -> None:
    [default] = raydium(RecordedChain({})).configs
    derived = Program.at(PROGRAM).pool_of_config(configs or default, base58.decode(MINT_1), base58.decode(MINT_0))
    chain = RecordedChain(pool_accounts(derived), searching=Unreachable("not here"))
    options = {"amm_configs": configs} if configs else {}
    assert (await quoted(raydium(chain, ManualClock(OPEN_MS), **options))).route == (derived,)


async def test_an_account_that_only_looks_like_a_pool_does_not_hide_the_pools() -> None:
    odd = Account(PROGRAM, 1, patched(POOL_DATA, (390, b"\x07")))
    assert (await quoted(venue_on(pool_accounts(POOL) | {address(2): odd}))).route == (POOL,)


def test_the_published_addresses_are_derived() -> None:
    assert AUTHORITY == "GpMZbSM2GgvTKHJirzeGfMFoaZ8UR2X7F4v8vHTvxFbL"
    devnet = raydium(RecordedChain({}), node="devnet")
    assert devnet.programs == {"DRaycpLY18LhpbydsBWbVJtxpNv9oXPgjRSfpF2bWpYb"}
    assert Program.at(next(iter(devnet.programs))).authority == "CXniRufdq5xL8t8jZAPxsPZDpuudwuJSPWnbcD5Y5Nxq"


# ---- any size --------------------------------------------------------------------------------------------------------


@given(
    amount=st.integers(1, U64_MAX),
    slippage_bps=st.integers(0, 10_000),
    mode=st.sampled_from(Mode),
    mints=st.sampled_from([(WSOL, USDC), (USDC, WSOL)]),
    amounts=st.tuples(st.integers(10**12, 10**18), st.integers(10**12, 10**18)),
    creator=st.sampled_from([b"\x00\x00", b"\x00\x01", b"\x01\x01", b"\x02\x01"]),
)
def test_rounding_never_favours_the_wallet(
    amount: int,
    slippage_bps: int,
    mode: Mode,
    mints: tuple[str, str],
    amounts: tuple[int, int],
    creator: bytes,
) -> None:
    """The product of what the vaults hold beyond what is owed never falls, and bounds are rounded against the swapping
    wallet: the least output is rounded down by at most one unit, the most input up."""
    data = pool_of((WSOL, USDC), 1, (341, bytes(32)), (389, creator))
    venue = venue_on(pool_accounts(POOL, data, amounts, patched(CONFIG_DATA, (108, 500))))
    request = SwapRequest(mint_in=mints[0], mint_out=mints[1], amount=amount, mode=mode, slippage_bps=slippage_bps)
    try:
        quote = asyncio.run(quoted(venue, request))
    except NoRoute:
        return
    x, y = amounts if mints[0] == key(data, 168) else amounts[::-1]
    assert (x + quote.amount_in) * (y - quote.amount_out) >= x * y
    assert 0 <= quote.amount_out * (10_000 - slippage_bps) - quote.min_out * 10_000 < 10_000 or mode is EXACT_OUT
    assert 0 <= quote.max_in * 10_000 - quote.amount_in * (10_000 + slippage_bps) < 10_000 or mode is EXACT_IN
    assert quote.fee > 0
    assert max(quote.max_in, quote.min_out) <= U64_MAX
