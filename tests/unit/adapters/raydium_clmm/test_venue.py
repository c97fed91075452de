"""`raydium-clmm` reads the tick arrays that a price needs, and names why it cannot swap in a pool."""

from dataclasses import replace

import pytest

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, SwapInstructions
from dexexec.domain.swap import ProgramFailure
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import BadAnswer, NoRoute, Slippage, Unsupported, VenueError
from dexexec_adapters.curves.clmm import quote_exact_in
from dexexec_adapters.curves.clmm_ticks import TickArray
from dexexec_adapters.pools.quoted import arrays_of
from dexexec_adapters.pools.search import sorted_mints
from dexexec_adapters.raydium_clmm.venue import FAILURES, MOST_ARRAYS, SWAP_V2, RaydiumClmm
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.clusters import RAYDIUM_CLMM
from dexexec_adapters.solana.keys import associated
from dexexec_adapters.solana.spl import MEMO, TOKEN, TOKEN_2022
from tests.support.clmm_pools import Position, pool_of_positions
from tests.support.curve_values import A_TO_B, NOW
from tests.support.raydium_accounts import BLOCKHASH, RecordedChain, address
from tests.support.raydium_clmm_accounts import (
    CLOSE,
    CONFIG,
    DEEP,
    OBSERVATION,
    PROGRAM,
    ClmmAccounts,
    chain_of,
    clmm,
)

PAYER = address(77)
SPAN = 3600
SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**9, mode=Mode.EXACT_IN, slippage_bps=50)
BUY = SwapRequest(mint_in=USDC, mint_out=WSOL, amount=10**9, mode=Mode.EXACT_OUT, slippage_bps=50)
NESTED = [Position(-step * 600, step * 600, 10**9) for step in range(1, 120)]
LONG = pool_of_positions([Position(-(10**5), 10**5, 10**12), *NESTED], tick=0, spacing=10)
"""With ticks in 119 arrays of 600 in each direction, of which its own bitmap has all."""


async def quoted(chain: RecordedChain, request: SwapRequest = SELL) -> tuple[RaydiumClmm, Quote]:
    venue = clmm(chain)
    return venue, await venue.quote(request, venue.context.clock.monotonic() + 1)


async def test_a_quote_is_the_curves_with_the_pool_and_the_arrays_around_it_read_in_one_answer() -> None:
    chain = chain_of(ClmmAccounts())
    _, quote = await quoted(chain)
    priced = quote_exact_in(DEEP, SELL.amount, A_TO_B, NOW)
    assert (quote.amount_in, quote.amount_out) == (SELL.amount, priced.amount_out)
    assert (quote.fee, quote.fee_mint) == (priced.fee_in, WSOL)
    [answer] = [read for read in chain.read if CLOCK in read]
    made = ClmmAccounts()
    assert {made.at, CONFIG, *made.vaults, *(made.array(start) for start in (-SPAN, 0, 3 * SPAN))} <= {*answer}


async def test_a_swap_that_reaches_farther_reads_more_arrays_and_names_them() -> None:
    made = ClmmAccounts(pool=LONG)
    chain = chain_of(made)
    far = replace(SELL, amount=25 * 10**10)
    _, quote = await quoted(chain, far)
    priced = quote_exact_in(LONG, far.amount, A_TO_B, NOW)
    assert len(priced.arrays) > 3
    assert quote.amount_out == priced.amount_out
    assert set(priced.arrays) <= {*arrays_of(quote)}
    assert 1 < sum(CLOCK in read for read in chain.read) <= 4


async def test_a_swap_through_more_arrays_than_fit_into_a_transaction_is_refused() -> None:
    with pytest.raises(NoRoute, match=f"tick arrays, and {MOST_ARRAYS} fit|reaches too far"):
        await quoted(chain_of(ClmmAccounts(pool=LONG)), replace(SELL, amount=10**12))


@pytest.mark.parametrize(
    ("made", "error", "problem"),
    [
        (ClmmAccounts(pool=replace(DEEP, status=16)), NoRoute, "disabled"),
        (ClmmAccounts(pool=replace(DEEP, open_time=2**40)), NoRoute, "opens after"),
        (ClmmAccounts(pool=replace(DEEP, has_dynamic_fee=True)), Unsupported, "dynamic fee"),
        (ClmmAccounts(pool=replace(DEEP, fee_on=1)), Unsupported, "fee_on is 1"),
        (ClmmAccounts(held=(10**15, 10**6)), NoRoute, "its vault holds"),
        (ClmmAccounts(pool=replace(DEEP, bitmap=0, arrays={})), NoRoute, "more than the pool's liquidity"),
    ],
)
async def test_a_pool_that_cannot_do_it_is_refused_with_its_reason(
    made: ClmmAccounts, error: type[VenueError], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        await quoted(chain_of(made))


async def test_an_old_pool_without_a_bitmap_extension_is_quoted_as_far_as_its_own_bitmap_reaches() -> None:
    made = ClmmAccounts(pool=CLOSE, extended=False)
    venue, quote = await quoted(chain_of(made))
    assert quote.amount_out == quote_exact_in(CLOSE, SELL.amount, A_TO_B, NOW).amount_out
    built = await venue.build(quote, PAYER, BLOCKHASH)
    assert isinstance(built, SwapInstructions)
    [swap] = [one for one in built.instructions if one.program == PROGRAM]
    # The program stops reading tick arrays at an account that does not exist.
    assert swap.accounts[-1].address == made.extension


async def test_an_array_that_the_bitmap_has_and_the_node_does_not_show_is_no_empty_one() -> None:
    made = ClmmAccounts()
    chain = chain_of(made)
    chain.held = {at: one for at, one in chain.held.items() if at != made.array(0)}
    with pytest.raises(BadAnswer, match="there is no tick array"):
        await quoted(chain)


async def test_the_better_pool_is_taken() -> None:
    dear = replace(DEEP, config=replace(DEEP.config, trade_fee_rate=10_000))
    one, other = ClmmAccounts(pool=replace(dear, liquidity=DEEP.liquidity * 2)), ClmmAccounts(at=address(2))
    chain = chain_of(one, other)
    # Both pools are of the same config here, so the one whose price is better decides.
    chain.held = {**chain.held, **ClmmAccounts(at=address(2), held=(10**15, 10**6)).accounts()}
    _, quote = await quoted(chain)
    assert quote.route == (address(1),)


@pytest.mark.parametrize("request_", [SELL, BUY], ids=["sell", "buy"])
@pytest.mark.parametrize("spacing", [60, 10])
async def test_the_swap_has_the_programs_accounts_in_its_order(request_: SwapRequest, spacing: int) -> None:
    made = ClmmAccounts(pool=replace(DEEP, tick_spacing=60) if spacing == 60 else LONG)
    venue, quote = await quoted(chain_of(made), request_)
    built = await venue.build(quote, PAYER, BLOCKHASH)
    assert isinstance(built, SwapInstructions)
    [swap] = [one for one in built.instructions if one.program == PROGRAM]
    way = slice(None) if request_ is SELL else slice(None, None, -1)
    wallet = [associated(PAYER, mint) for mint in made.mints]
    fixed = [PAYER, CONFIG, made.at, *wallet[way], *made.vaults[way], OBSERVATION, TOKEN, TOKEN_2022, MEMO]
    assert [one.address for one in swap.accounts[:13]] == [*fixed, *made.mints[way]]
    assert [one.address for one in swap.accounts if one.signer] == [PAYER]
    assert [one.writable for one in swap.accounts[:13]] == [False, False, *[True] * 6, *[False] * 5]
    arrays = [made.array(start) for start in arrays_of(quote)]
    assert [one.address for one in swap.accounts[13:]] == [*arrays, *([made.extension] if spacing == 10 else [])]
    assert all(one.writable for one in swap.accounts[13:])
    exact_in = request_.mode is Mode.EXACT_IN
    amounts = (quote.amount_in, quote.min_out) if exact_in else (quote.amount_out, quote.max_in)
    assert swap.data == SWAP_V2 + b"".join(one.to_bytes(8, "little") for one in amounts) + bytes(16) + bytes([exact_in])


async def test_the_token_programs_are_those_of_the_mints() -> None:
    made = ClmmAccounts(programs=(TOKEN, TOKEN_2022))
    venue, quote = await quoted(chain_of(made))
    built = await venue.build(quote, PAYER, BLOCKHASH)
    assert isinstance(built, SwapInstructions)
    [swap] = [one for one in built.instructions if one.program == PROGRAM]
    assert swap.accounts[4].address == associated(PAYER, USDC, TOKEN_2022)


def test_the_pools_of_the_configs_are_where_the_program_makes_them() -> None:
    venue = clmm(chain_of())
    pools = venue.derived_pools(sorted_mints((USDC, WSOL)))
    configs = RAYDIUM_CLMM["mainnet-beta"].configs
    # The deepest pool of SOL and USDC on mainnet, of the config with the index 8.
    assert pools[configs.index("3h2e43PunVA5K34vwKCLHWhZF4aZpyaC9RmxvshGAQpL")] == (
        "3ucNos4NbumPLZNWztqGHNFFgkHeRMBQAVemeeomsUxv"
    )


@pytest.mark.parametrize(
    ("number", "kind"),
    [(6000, NoRoute), (6001, NoRoute), (6018, Slippage), (6019, Slippage), (6022, Slippage), (6023, Slippage)],
)
def test_a_failure_of_the_program_has_its_meaning_in_both_numberings(number: int, kind: type[VenueError]) -> None:
    failure = ProgramFailure(index=2, program=PROGRAM, custom=number, text=f"custom program error: {number:#x}")
    meaning = clmm(chain_of()).explain(failure)
    assert type(meaning) is kind
    assert str(FAILURES[number]) in str(meaning)


def test_an_unknown_failure_has_no_meaning() -> None:
    assert clmm(chain_of()).explain(ProgramFailure(index=2, program=PROGRAM, custom=1, text="")) is None


def test_arrays_near_the_price_are_those_that_exist() -> None:
    made = ClmmAccounts(pool=replace(DEEP, arrays={0: TickArray(0, ())}))
    venue = clmm(chain_of(made))
    state = venue.read_pool(made.at, Account(PROGRAM, 10**7, made.data()))
    assert venue.arrays_of(state) == [made.array(start) for start in (0, -SPAN, 3 * SPAN)]
