"""The venue meteora: what it quotes from accounts as a node shows them, and what it builds."""

import asyncio
from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec.domain import base58
from dexexec.domain.quote import Mode, SwapRequest, max_in, min_out
from dexexec.domain.solana import SwapInstructions
from dexexec.domain.swap import ProgramFailure
from dexexec.domain.token import USDC, WSOL
from dexexec.testing.clock import ManualClock
from dexexec.venue import (
    BadAnswer,
    NoRoute,
    QuoteExpired,
    Slippage,
    Unreachable,
    Unsupported,
    VenueError,
)
from dexexec_adapters.meteora.layout import pool_filters, read_pool
from dexexec_adapters.meteora.venue import FAILURES
from dexexec_adapters.pools.venue import MAX_POOLS
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.spl import TOKEN
from tests.support import meteora_accounts as at
from tests.support.meteora_accounts import (
    BUY,
    DEADLINE,
    POOL,
    PROGRAM,
    RECORDS,
    SELL,
    WALLET,
    ask,
    chain_of,
    changed,
    clock_account,
    meteora,
    pool_of,
)
from tests.support.raydium_accounts import BLOCKHASH, address, key, patched

# ---- to the unit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", RECORDS, ids=[record["pool"] for record in RECORDS])
async def test_every_recorded_swap_is_quoted_to_the_unit_from_the_accounts_alone(record: dict[str, Any]) -> None:
    """All fee modes, volatility fee, both schedules, both ways, exact in and exact out; the time is the chain's."""
    swaps = [swap for swap in record["swaps"] if "pool_before" in swap]
    assert len(swaps) == 6
    for swap in swaps:
        data = b64decode(swap["pool_before"])
        mints = [key(data, place) for place in at.MINTS_AT]
        mint_in, mint_out = mints if swap["direction"] == "a_to_b" else reversed(mints)
        exact_in = swap["kind"] == "exact_in"
        amount = swap["amount_in" if exact_in else "amount_out"]
        request = SwapRequest(
            mint_in=mint_in,
            mint_out=mint_out,
            amount=amount,
            mode=Mode.EXACT_IN if exact_in else Mode.EXACT_OUT,
            slippage_bps=50,
        )
        quote = await ask(chain_of(data, clock=clock_account(swap["slot"], swap["unix"])), request)
        assert (quote.amount_in, quote.amount_out) == (swap["amount_in"], swap["amount_out"])
        assert quote.request == request
        assert quote.route == (POOL,)


async def test_a_quote_carries_its_slot_its_bounds_and_its_expiry() -> None:
    clock = ManualClock()
    venue = meteora(chain_of(pool_of()), clock, quote_ttl_ms=2_500)
    sold = await venue.quote(SELL, DEADLINE)
    bought = await venue.quote(BUY, DEADLINE)
    assert (sold.venue, sold.context_slot, sold.network_fee) == ("meteora", at.SLOT, 5_000)
    assert sold.expires_at_ms == clock.unix_ms() + 2_500
    assert (sold.max_in, sold.min_out) == (sold.amount_in, min_out(sold.amount_out, 50))
    assert (bought.max_in, bought.min_out) == (max_in(bought.amount_in, 50), bought.amount_out)
    assert sold.raw is not (await venue.quote(SELL, DEADLINE)).raw


@pytest.mark.parametrize(
    ("data", "request_", "fee_mint"),
    [(at.BOTH_FEES, SELL, USDC), (at.BOTH_FEES, BUY, WSOL), (at.ONLY_B, SELL, USDC), (at.ONLY_B, BUY, USDC)],
)
async def test_fee_and_price_impact_are_separate(data: bytes, request_: SwapRequest, fee_mint: str) -> None:
    """The pool's fee is 0.25 %, wherever it is taken; a swap without size moves no price, and still pays it."""
    quote = await ask(chain_of(pool_of(data=data)), request_)
    gross = quote.amount_in if fee_mint == request_.mint_in else quote.amount_out + quote.fee
    assert quote.fee_mint == fee_mint
    assert quote.fee == -(-gross * 25 // 10_000)
    small = await ask(
        chain_of(pool_of(data=data)),
        SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10_000_000, mode=Mode.EXACT_IN, slippage_bps=50),
    )
    large = await ask(
        chain_of(pool_of(data=data)),
        SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**13, mode=Mode.EXACT_IN, slippage_bps=50),
    )
    assert small.price_impact_ppm <= 1 < 10_000 < large.price_impact_ppm
    assert abs(small.fee * 10_000 // (small.amount_out + small.fee) - 25) <= 1


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([at.BOTH_FEES, at.ONLY_B, at.COMPOUNDING, at.DYNAMIC, at.EXPONENTIAL]),
    st.booleans(),
    st.integers(10**4, 10**12),
    st.integers(0, 10_000),
)
def test_rounding_is_against_the_wallet(data: bytes, sell: bool, amount: int, bps: int) -> None:
    """One unit more than an amount buys costs more than that amount, and the bounds never allow more than the slippage:
    the least output is rounded down by less than a unit, the most input is rounded up by less."""
    chain = chain_of(pool_of(data=data))
    mints = (WSOL, USDC) if sell else (USDC, WSOL)
    sells = SwapRequest(mint_in=mints[0], mint_out=mints[1], amount=amount, mode=Mode.EXACT_IN, slippage_bps=bps)
    paid = asyncio.run(ask(chain, sells))
    more = asyncio.run(ask(chain, replace(sells, amount=paid.amount_out + 1, mode=Mode.EXACT_OUT)))
    assert more.amount_in > amount
    assert 0 <= paid.amount_out * (10_000 - bps) - paid.min_out * 10_000 < 10_000
    assert 0 <= more.max_in * 10_000 - more.amount_in * (10_000 + bps) < 10_000


async def test_everything_is_read_in_one_answer_and_again_for_every_quote() -> None:
    chain = chain_of(pool_of())
    venue = meteora(chain)
    for count in (1, 2):
        await venue.quote(SELL, DEADLINE)
        assert len(chain.read) == count
    assert set(chain.read[0]) == {CLOCK, WSOL, USDC, POOL, address(102), address(103)}
    assert len(chain.searched) == 2, "once for each order of the tokens, and then remembered"


async def test_a_schedule_runs_by_the_chains_clock_and_not_by_the_machines() -> None:
    """50 bps of the cliff less every minute; the clock of this machine is years behind."""
    start = int.from_bytes(at.LINEAR[at.ACTIVATION_AT : at.ACTIVATION_AT + 8], "little")
    fees = []
    for minutes in (0, 1, 50, 100, 10_000):
        clock = clock_account(at.SLOT, start + 60 * minutes)
        quote = await ask(chain_of(pool_of(data=at.LINEAR), clock=clock))
        fees.append(round(1_000_000 * quote.fee / (quote.amount_out + quote.fee)))
    assert fees == [50_000, 49_600, 30_000, 10_000, 10_000]


# ---- which pool ------------------------------------------------------------------------------------------------------


async def test_pools_are_looked_for_with_the_tokens_in_either_order() -> None:
    chain = chain_of(pool_of((USDC, WSOL)))
    assert (await ask(chain)).route == (POOL,)
    one, two = sorted((base58.decode(WSOL), base58.decode(USDC)))
    assert chain.searched == [(PROGRAM.address, pool_filters(one, two)), (PROGRAM.address, pool_filters(two, one))]


async def test_the_best_pool_is_quoted_in_both_modes() -> None:
    dear = pool_of(data=patched(at.ONLY_B, (8, 30_000_000)))
    chain = chain_of(dear, pool_of(number=2), pool_of(number=3, data=patched(at.ONLY_B, (8, 20_000_000))))
    for request in (SELL, BUY):
        assert (await ask(chain, request)).route == (address(2),)


async def test_a_pool_that_would_not_do_it_leaves_it_to_the_others() -> None:
    closed = patched(pool_of(), (at.STATUS_AT, b"\1"))
    assert (await ask(chain_of(closed, pool_of(number=2)))).route == (address(2),)


async def test_only_the_deepest_pools_are_priced_and_their_accounts_fit_into_one_answer() -> None:
    """A flood of pools that hold next to nothing does not push the others out."""
    empty = [
        pool_of((WSOL, USDC), number, patched(at.ONLY_B, *((one, 1) for one in at.AMOUNTS_AT)))
        for number in range(1, 41)
    ]
    chain = chain_of(*empty, pool_of(number=41))
    quote = await ask(chain)
    assert quote.route == (address(41),)
    assert len(chain.read[-1]) == 3 + 3 * MAX_POOLS <= 100


async def test_configured_pools_are_the_only_ones_and_replace_the_search() -> None:
    chain = chain_of(
        pool_of(), pool_of(number=2, data=patched(at.ONLY_B, (8, 30_000_000))), pool_of((USDC, address(9)), 3)
    )
    assert (await ask(chain)).route == (POOL,)
    chain.searched.clear()
    quote = await ask(chain, pools=f"{address(3)},{address(2)}")
    assert quote.route == (address(2),)
    assert chain.searched == []
    with pytest.raises(NoRoute, match="no DAMM v2 pool for this pair"):
        await ask(chain, pools=address(3))


async def test_a_configured_address_without_a_pool_is_reported_unless_another_serves() -> None:
    chain = chain_of(pool_of())
    with pytest.raises(BadAnswer, match=f"there is no pool {address(8)}"):
        await ask(chain, pools=address(8))
    with pytest.raises(BadAnswer, match=f"the pool {WSOL} belongs to"):
        await ask(chain, pools=WSOL)
    assert (await ask(chain, pools=f"{address(8)},{POOL}")).route == (POOL,)


async def test_where_a_node_does_not_search_the_derived_addresses_are_looked_at() -> None:
    one = base58.decode(WSOL)
    two = base58.decode(USDC)
    config = address(77)
    for derived, configs in (
        (PROGRAM.customizable_pool(one, two), ""),
        (PROGRAM.pool_of_config(config, one, two), config),
    ):
        data = pool_of()
        chain = changed(chain_of(data), {POOL: None, derived: at.pool_account(data)})
        chain.searching = Unreachable("method not available")
        assert (await ask(chain, configs=configs)).route == (derived,)


# ---- what is built ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [SELL, BUY])
async def test_a_quote_is_built_into_the_swap_of_its_pool(request_: SwapRequest) -> None:
    chain = chain_of(pool_of())
    venue = meteora(chain)
    quote = await venue.quote(request_, DEADLINE)
    built = await venue.build(quote, WALLET, BLOCKHASH)
    keys = read_pool(POOL, chain.held[POOL], PROGRAM.address).keys
    assert built == SwapInstructions(tuple(venue.steps(keys, quote, WALLET)), BLOCKHASH)
    assert venue.programs == {PROGRAM.address}
    assert [one.program for one in built.instructions].count(PROGRAM.address) == 1


async def test_an_expired_or_foreign_quote_is_not_built() -> None:
    clock = ManualClock()
    venue = meteora(chain_of(pool_of()), clock)
    quote = await venue.quote(SELL, DEADLINE)
    clock.advance((quote.expires_at_ms - clock.unix_ms()) / 1000 - 0.001)
    assert isinstance(await venue.build(quote, WALLET, BLOCKHASH), SwapInstructions)
    clock.advance(0.001)
    with pytest.raises(QuoteExpired):
        await venue.build(quote, WALLET, BLOCKHASH)
    foreign = replace(quote, venue="raydium", expires_at_ms=2**53)
    with pytest.raises(Unsupported, match="a quote of raydium"):
        await venue.build(foreign, WALLET, BLOCKHASH)


# ---- what a failure means --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("custom", "error", "message"),
    [(6002, Slippage, "past the order's bound"), (6003, NoRoute, "disabled"), (6015, NoRoute, "price range")],
)
def test_a_failure_of_the_program_has_a_name(custom: int, error: type[VenueError], message: str) -> None:
    venue = meteora(chain_of())
    meant = venue.explain(
        ProgramFailure(index=4, program=PROGRAM.address, custom=custom, text=f"custom program error: {custom:#x}")
    )
    assert isinstance(meant, error)
    assert message in str(meant)
    assert f"{custom:#x}" in str(meant)
    assert meant is not FAILURES[custom], "each failure is an error of its own"


@pytest.mark.parametrize(
    "failure",
    [
        ProgramFailure(index=4, program=TOKEN, custom=6002, text="another program's number"),
        ProgramFailure(index=4, program=PROGRAM.address, custom=None, text="ProgramFailedToComplete"),
        ProgramFailure(index=4, program=PROGRAM.address, custom=1, text="the engine knows who is short"),
        ProgramFailure(index=4, program=PROGRAM.address, custom=3012, text="the engine knows which account is missing"),
    ],
)
def test_failures_that_others_explain_better_are_left_to_them(failure: ProgramFailure) -> None:
    assert meteora(chain_of()).explain(failure) is None
