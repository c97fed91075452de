"""The venue meteora-dlmm: what it reads and quotes from accounts as a node shows them, and what it builds."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountMeta, Instruction, SwapInstructions
from dexexec.domain.swap import ProgramFailure
from dexexec.domain.token import USDC, WSOL
from dexexec.testing.clock import ManualClock
from dexexec.venue import BadAnswer, NoRoute, Slippage, Unsupported, VenueError
from dexexec_adapters.meteora_dlmm.venue import AROUND, CLEARLY_ABOVE, FAILURES, SWAPS
from dexexec_adapters.pools.depths import FEW_POOLS
from dexexec_adapters.pools.quoted import arrays_of
from dexexec_adapters.pools.search import sorted_mints
from dexexec_adapters.pools.venue import MAX_POOLS
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.spl import MEMO, TOKEN, TOKEN_2022
from tests.support.meteora_accounts import clock_account
from tests.support.meteora_dlmm_accounts import (
    BUY,
    DEADLINE,
    PROGRAM,
    RECORDS,
    SELL,
    array_address,
    ask,
    chain_of,
    deeper,
    dlmm,
    extension_address,
    pool_accounts,
)
from tests.support.raydium_accounts import BLOCKHASH, RecordedChain, address

POOL, PAYER = address(1), address(77)
PLAIN, GAPPED, FAR = (RECORDS[name] for name in ("plain", "gapped", "far"))
EVENTS = "D1ZN9Wj1fRSUQfCjhvnu1hqDMT7hzjzBBpi12nVniYD6"


# ---- to the unit ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDS)
async def test_the_first_recorded_swap_is_quoted_to_the_unit_from_the_accounts_alone(name: str) -> None:
    record = RECORDS[name]
    swap = next(one for one in record["swaps"] if "amountIn" in one)
    mints = (WSOL, USDC) if swap["direction"] == "a_to_b" else (USDC, WSOL)
    mode = Mode.EXACT_IN if swap["exactIn"] else Mode.EXACT_OUT
    request = SwapRequest(mint_in=mints[0], mint_out=mints[1], amount=swap["amount"], mode=mode, slippage_bps=50)
    quote = await ask(chain_of(pool_accounts(record), clock=clock_account(swap["slot"], swap["unix"])), request)
    assert (quote.amount_in, quote.amount_out) == (swap["amountIn"], swap["amountOut"])
    assert quote.route == (POOL,)


async def test_the_pool_with_the_better_price_is_taken_whichever_way_round_its_tokens_are() -> None:
    turned = pool_accounts(RECORDS["volatile"], 2, (USDC, WSOL))
    chain = chain_of(pool_accounts(PLAIN), turned)
    alone = [await ask(chain, pools=(one,)) for one in (POOL, address(2))]
    assert await ask(chain) == max(alone, key=lambda quote: quote.amount_out)
    assert {quote.route for quote in alone} == {(POOL,), (address(2),)}


async def test_the_fee_is_in_the_token_from_which_the_pool_takes_it() -> None:
    only_y = chain_of(pool_accounts(RECORDS["only-y"]))
    assert [(await ask(only_y, request)).fee_mint for request in (SELL, BUY)] == [USDC, USDC]
    plain = chain_of(pool_accounts(PLAIN))
    assert [(await ask(plain, request)).fee_mint for request in (SELL, BUY)] == [WSOL, USDC]


# ---- what is read --------------------------------------------------------------------------------------------------


async def test_the_pool_and_the_arrays_around_its_price_are_read_in_one_answer() -> None:
    chain = chain_of(pool_accounts(PLAIN))
    venue = dlmm(chain)
    for count in (1, 2):
        await venue.quote(SELL, DEADLINE)
        assert len(chain.read) == count
    arrays = {array_address(POOL, index) for index in (-1, 0)}
    fixed = {CLOCK, WSOL, USDC, POOL, address(102), address(103), extension_address(POOL)}
    assert set(chain.read[0]) == fixed | arrays
    assert len(chain.searched) == 2, "once for each order of the tokens, and then remembered"


async def test_a_swap_that_reaches_farther_reads_more_arrays_and_never_guesses() -> None:
    whole = dlmm(chain_of(pool_accounts(GAPPED)))
    indexes = sorted({row[0] // 70 for row in GAPPED["bins"]}, reverse=True)
    below = [index for index in indexes if index <= GAPPED["active"] // 70]
    assert len(below) > AROUND
    wanted = sum(row[2] for row in GAPPED["bins"])
    large = replace(BUY, mint_in=WSOL, mint_out=USDC, amount=wanted)
    quote = await whole.quote(large, DEADLINE)
    assert set(below) <= set(arrays_of(quote))
    assert {array_address(POOL, index) for index in below} <= set(whole.pool_accounts()[POOL])
    # One array that the node does not show, although the pool marks it: no price, instead of another one.
    missing = pool_accounts(GAPPED)
    del missing[array_address(POOL, below[-1])]
    with pytest.raises(NoRoute, match="reaches too far"):
        await ask(chain_of(missing), large)


async def test_arrays_far_from_the_middle_are_found_by_the_extension() -> None:
    accounts = pool_accounts(FAR)
    quote = await ask(chain_of(accounts))
    assert arrays_of(quote) == (512, 511)
    del accounts[extension_address(POOL)]
    with pytest.raises(VenueError, match="far from all liquidity"):
        await ask(chain_of(accounts))


async def test_of_many_pools_those_whose_vaults_hold_most_are_taken() -> None:
    """A pool of the program does not count what its bins hold."""
    pools = [pool_accounts(deeper(PLAIN, depth), number) for number, depth in enumerate([*range(1, 18), 0], 1)]
    chain = chain_of(*pools)
    venue = dlmm(chain)
    await venue.warm((WSOL, USDC))
    known = list(venue.pool_accounts())
    assert known == [address(number) for number in range(17, 1, -1)]
    assert len(known) == MAX_POOLS
    # Its vault is not one: no reason for the others not to be found.
    broken = dlmm(RecordedChain({**chain.held, address(102 + 2 * 16): Account(TOKEN, 1, b"")}))
    await broken.warm((WSOL, USDC))
    assert address(17) not in list(broken.pool_accounts())[:15]


async def test_few_pools_need_no_look_at_their_vaults() -> None:
    chain = chain_of(*(pool_accounts(PLAIN, number) for number in range(1, FEW_POOLS + 1)))
    await dlmm(chain).quote(SELL, DEADLINE)
    assert len(chain.read) == 1


@pytest.mark.parametrize(
    ("at", "account", "problem"),
    [
        (array_address(POOL, -1), Account(TOKEN, 1, bytes(10136)), "belongs to"),
        (array_address(POOL, -1), pool_accounts(PLAIN)[array_address(POOL, 0)], "is 0 of .*, not -1 of"),
        (array_address(POOL, -1), pool_accounts(PLAIN, 2)[array_address(address(2), -1)], "is -1 of .*, not -1 of"),
        (extension_address(POOL), Account(PROGRAM, 1, bytes(1576)), "not a bitmap extension"),
        (
            extension_address(POOL),
            pool_accounts(FAR, 2)[extension_address(address(2))],
            f"is of {address(2)}, not of {POOL}",
        ),
        (address(102), Account(PROGRAM, 1, bytes(165)), "belongs to"),
    ],
)
async def test_accounts_that_do_not_match_the_pool_are_a_bad_answer(
    at: str, account: Account | None, problem: str
) -> None:
    accounts: dict[str, Any] = {**pool_accounts(PLAIN), at: account}
    with pytest.raises(BadAnswer, match=problem):
        await ask(chain_of({place: one for place, one in accounts.items() if one is not None}))


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "problem"),
    [
        ({"status": 1}, NoRoute, "status is 1: the pool is disabled"),
        ({"pair_type": 2, "activation": (1, 2**40)}, NoRoute, f"opens at {2**40}"),
        ({"pair_type": 7}, Unsupported, "pair_type is 7"),
        ({"function": 3}, Unsupported, "function_type of the pool .* is 3"),
        ({"collect_fee_mode": 2}, Unsupported, "collect_fee_mode is 2"),
        ({"flags": (2, 0)}, Unsupported, "token_x_flag of the pool .* is 2"),
        ({"vaults": (address(102), address(102))}, BadAnswer, "both tokens of the pool"),
        ({"held": (1, 1)}, NoRoute, "its vault holds 1"),
    ],
)
async def test_a_pool_that_cannot_do_it_is_refused_with_its_reason(
    changes: dict[str, Any], error: type[VenueError], problem: str
) -> None:
    with pytest.raises(error, match=problem) as refused:
        await ask(chain_of(pool_accounts(PLAIN, **changes)))
    assert POOL in str(refused.value)


async def test_limit_orders_count_where_the_program_counts_them() -> None:
    """Old pools have neither function: those without rewards have limit orders."""
    orders = RECORDS["orders"]
    request = replace(SELL, amount=3 * 10**9)
    with_orders = await ask(chain_of(pool_accounts(orders)), request)
    without = await ask(chain_of(pool_accounts(orders, function=1)), request)
    assert with_orders.amount_out > without.amount_out
    assert await amount_of(pool_accounts(orders, function=0), request) == with_orders.amount_out
    assert await amount_of(pool_accounts(orders, function=0, reward=WSOL), request) == without.amount_out


async def amount_of(accounts: dict[str, Account], request: SwapRequest) -> int:
    return (await ask(chain_of(accounts), request)).amount_out


# ---- what is built -------------------------------------------------------------------------------------------------


async def built(record: dict[str, Any], request: SwapRequest, **changes: Any) -> tuple[Quote, Instruction]:
    venue = dlmm(chain_of(pool_accounts(record, **changes)), ManualClock())
    quote = await venue.quote(request, DEADLINE)
    swap = await venue.build(quote, PAYER, BLOCKHASH)
    assert isinstance(swap, SwapInstructions)
    [found] = [one for one in swap.instructions if one.program == PROGRAM]
    return quote, found


def test_the_instructions_have_the_programs_names() -> None:
    names = {Mode.EXACT_IN: b"global:swap2", Mode.EXACT_OUT: b"global:swap_exact_out2"}
    assert {mode: sha256(name).digest()[:8] for mode, name in names.items()} == SWAPS


@pytest.mark.parametrize("request_", [SELL, BUY], ids=["in", "out"])
async def test_the_swap_has_the_programs_accounts_in_its_order(request_: SwapRequest) -> None:
    quote, swap = await built(PLAIN, request_)
    accounts = swap.accounts
    none = AccountMeta(PROGRAM)
    assert accounts[:4] == (
        AccountMeta(POOL, writable=True),
        none,
        AccountMeta(address(102), writable=True),
        AccountMeta(address(103), writable=True),
    )
    assert all(one.writable for one in accounts[4:6])
    assert accounts[6:11] == (
        AccountMeta(WSOL),
        AccountMeta(USDC),
        AccountMeta(address(81), writable=True),
        none,
        AccountMeta(PAYER, signer=True),
    )
    assert [one.address for one in accounts[11:16]] == [TOKEN, TOKEN, MEMO, EVENTS, PROGRAM]
    arrays = [AccountMeta(array_address(POOL, index), writable=True) for index in arrays_of(quote)]
    assert list(accounts[16:]) == arrays
    exact_in = request_.mode is Mode.EXACT_IN
    amounts = (quote.amount_in, quote.min_out) if exact_in else (quote.max_in, quote.amount_out)
    assert swap.data == SWAPS[request_.mode] + b"".join(one.to_bytes(8, "little") for one in amounts) + bytes(4)


@pytest.mark.parametrize(("slippage_bps", "amount"), [(0, 10**6), (50, 1_000), (50, 9_000), (1, 10**6)])
async def test_a_bound_so_near_that_the_program_would_take_it_is_the_input_itself(
    slippage_bps: int, amount: int
) -> None:
    quote, swap = await built(PLAIN, replace(BUY, slippage_bps=slippage_bps, amount=amount))
    bound = int.from_bytes(swap.data[8:16], "little")
    assert bound == (quote.max_in if quote.max_in - quote.amount_in >= CLEARLY_ABOVE else quote.amount_in)
    assert (bound == quote.amount_in) is (slippage_bps == 0 or amount == 1_000)


async def test_the_extension_is_named_where_the_swap_needs_it() -> None:
    _, swap = await built(FAR, SELL)
    assert swap.accounts[1] == AccountMeta(extension_address(POOL), writable=True)


async def test_a_token_of_token_2022_is_moved_by_its_program() -> None:
    _, swap = await built(PLAIN, SELL, flags=(0, 1))
    assert [one.address for one in swap.accounts[11:13]] == [TOKEN, TOKEN_2022]


# ---- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "kind"), [(6003, Slippage), (6104, Slippage), (3005, Slippage), (6042, NoRoute)])
def test_the_programs_errors_have_a_reason(number: int, kind: type[VenueError]) -> None:
    venue = dlmm(chain_of())
    failure = ProgramFailure(index=2, program=PROGRAM, custom=number, text="custom program error")
    assert type(venue.explain(failure)) is kind
    assert venue.explain(replace(failure, program=TOKEN)) is None
    assert venue.explain(replace(failure, custom=1)) is None, "missing funds are the engine's to explain"
    assert 1 not in FAILURES


def test_likely_pools_and_accounts_are_derived() -> None:
    venue = dlmm(chain_of(), presets=(address(5),))
    assert len(set(venue.derived_pools(sorted_mints((USDC, WSOL))))) == 2
    assert list(venue.swap_accounts()) == [EVENTS]
