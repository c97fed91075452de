"""The venue orca: what it reads and quotes from accounts as a node shows them, and what it builds."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountMeta, Instruction, SwapInstructions
from dexexec.domain.swap import ProgramFailure
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import BadAnswer, NoRoute, Slippage, VenueError
from dexexec_adapters.orca.venue import FAILURES, FEE_TIERS, SWAP_V2
from dexexec_adapters.pools.quoted import arrays_of
from dexexec_adapters.pools.search import sorted_mints
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.spl import MEMO, SYSTEM, TOKEN, TOKEN_2022
from tests.support.meteora_accounts import UNIX
from tests.support.orca_accounts import (
    CONFIG,
    DEADLINE,
    PROGRAM,
    WhirlpoolRecord,
    array_address,
    ask,
    chain_of,
    fixed_array,
    oracle_address,
    orca,
    pool_accounts,
)
from tests.support.raydium_accounts import BLOCKHASH, RecordedChain, address, mint_account
from tests.support.whirlpool_pools import FEE, Position

SPAN = 88 * 64
PAYER = address(77)
PLAIN = WhirlpoolRecord()
ADAPTIVE = WhirlpoolRecord(adaptive_fee=FEE)
POOL = PLAIN.address
SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**9, mode=Mode.EXACT_IN, slippage_bps=50)
BUY = SwapRequest(mint_in=USDC, mint_out=WSOL, amount=10**9, mode=Mode.EXACT_OUT, slippage_bps=50)


# ---- what is read --------------------------------------------------------------------------------------------------


async def test_the_pool_and_the_arrays_that_any_swap_may_pass_through_are_read_in_one_answer() -> None:
    chain = chain_of(PLAIN)
    venue = orca(chain)
    await venue.quote(SELL, DEADLINE)
    await venue.quote(BUY, DEADLINE)
    arrays = {array_address(POOL, step * SPAN) for step in (-2, -1, 0, 1, 2)}
    last = chain.read[-1]
    assert set(last) == {CLOCK, POOL, *PLAIN.vaults, oracle_address(POOL)} | arrays
    assert len(chain.searched) == 1, "and then remembered"


async def test_ticks_are_the_same_from_arrays_of_both_kinds_and_from_none() -> None:
    near = WhirlpoolRecord(positions=(Position(-640, 640, 10**13), Position(-64_000, 64_000, 10**12)))
    growing = replace(near, dynamic=(-SPAN, 0, SPAN))
    quotes = [await ask(chain_of(record), replace(SELL, amount=10**12)) for record in (near, growing)]
    assert quotes[0].amount_out == quotes[1].amount_out
    bare = pool_accounts(near)
    del bare[array_address(POOL, -SPAN)]
    without = await ask(chain_of(bare), replace(SELL, amount=10**12))
    assert without.amount_out > quotes[0].amount_out, "a tick less, where liquidity ends"
    for dust in (Account(SYSTEM, 1, b""), None):
        shown = {**bare, array_address(POOL, -SPAN): dust} if dust else bare
        assert (await ask(chain_of(shown), SELL)).amount_out == (await ask(chain_of(near), SELL)).amount_out


async def test_an_adaptive_fee_is_read_from_the_oracle() -> None:
    large = replace(SELL, amount=10**12)
    fixed, adaptive = [await ask(chain_of(record), large) for record in (PLAIN, ADAPTIVE)]
    assert adaptive.fee > fixed.fee
    assert (fixed.fee_mint, adaptive.fee_mint) == (WSOL, WSOL)


async def test_the_better_of_two_pools_is_taken() -> None:
    cheap = WhirlpoolRecord(spacing=8, fee_rate=400, vaults=(address(181), address(182)))
    assert (await ask(chain_of(PLAIN, cheap), SELL)).route == (cheap.address,)


async def test_a_token_of_token_2022_is_moved_by_its_program() -> None:
    accounts = pool_accounts(PLAIN)
    accounts[PLAIN.vaults[1]] = replace(accounts[PLAIN.vaults[1]], owner=TOKEN_2022)
    accounts[USDC] = mint_account(TOKEN_2022)
    chain = chain_of(accounts)
    _, swap = await built(chain, SELL)
    assert [one.address for one in swap.accounts[:2]] == [TOKEN, TOKEN_2022]
    assert USDC in chain.read[-1], "its extensions are checked"


def _array(pool: str, start: int) -> Account:
    return Account(PROGRAM, 1, fixed_array(pool, start, {}))


@pytest.mark.parametrize(
    ("at", "account", "problem"),
    [
        (array_address(POOL, 0), Account(TOKEN, 1, bytes(9988)), "belongs to"),
        (array_address(POOL, 0), Account(PROGRAM, 1, bytes(9988)), "not a tick array"),
        (array_address(POOL, 0), _array(POOL, SPAN), f"is {SPAN} of {POOL}, not 0 of"),
        (array_address(POOL, 0), _array(address(5), 0), f"is 0 of {address(5)}, not 0 of"),
        (
            array_address(POOL, 0),
            Account(PROGRAM, 1, bytes.fromhex("11d8f68ee1c7da38") + bytes(139) + b"\1"),
            "its tick 87 is cut off",
        ),
        (oracle_address(POOL), Account(PROGRAM, 1, bytes(254)), "not a oracle|not an oracle"),
        (oracle_address(POOL), Account(TOKEN, 1, bytes(254)), "belongs to"),
        (
            oracle_address(POOL),
            Account(PROGRAM, 1, ADAPTIVE.accounts()[oracle_address(ADAPTIVE.address)]),
            f"is of {ADAPTIVE.address}, not of {POOL}",
        ),
        (PLAIN.vaults[0], Account(PROGRAM, 1, bytes(165)), "belongs to"),
    ],
)
async def test_accounts_that_do_not_match_the_pool_are_a_bad_answer(at: str, account: Account, problem: str) -> None:
    with pytest.raises(BadAnswer, match=problem):
        await ask(chain_of({**pool_accounts(PLAIN), at: account}), SELL)


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "error", "problem"),
    [
        (replace(ADAPTIVE, opens_at=UNIX + 1), NoRoute, f"opens at {UNIX + 1}"),
        (replace(ADAPTIVE, adaptive_fee=replace(FEE, major_swap_at=UNIX + 1)), NoRoute, "last swap was at"),
        (replace(PLAIN, positions=()), NoRoute, "the amount is more than the liquidity"),
        (replace(PLAIN, protocol_fee_rate=10_001), BadAnswer, "protocol_fee_rate is 10001"),
        (replace(PLAIN, spacing=0, positions=(), tier=64), BadAnswer, "spacing 0"),
        (replace(PLAIN, mints=(USDC, WSOL)), BadAnswer, "not in order"),
    ],
)
async def test_a_pool_that_cannot_do_it_is_refused_with_its_reason(
    record: WhirlpoolRecord, error: type[VenueError], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        await ask(chain_of(record), SELL, pools=(record.address,))


async def test_an_oracle_with_impossible_constants_is_a_bad_answer() -> None:
    accounts = pool_accounts(ADAPTIVE)
    at = oracle_address(ADAPTIVE.address)
    data = bytearray(accounts[at].data)
    data[62:64] = bytes(2)  # the size of a group of ticks
    accounts[at] = replace(accounts[at], data=bytes(data))
    with pytest.raises(BadAnswer, match="group of ticks"):
        await ask(chain_of(accounts), SELL)


# ---- what is built -------------------------------------------------------------------------------------------------


async def built(chain: RecordedChain, request: SwapRequest) -> tuple[Quote, Instruction]:
    venue = orca(chain)
    quote = await venue.quote(request, DEADLINE)
    swap = await venue.build(quote, PAYER, BLOCKHASH)
    assert isinstance(swap, SwapInstructions)
    [found] = [one for one in swap.instructions if one.program == PROGRAM]
    return quote, found


def test_the_instruction_has_the_programs_name() -> None:
    assert sha256(b"global:swap_v2").digest()[:8] == SWAP_V2


@pytest.mark.parametrize("request_", [SELL, BUY], ids=["in", "out"])
async def test_the_swap_has_the_programs_accounts_in_its_order(request_: SwapRequest) -> None:
    quote, swap = await built(chain_of(PLAIN), request_)
    accounts = swap.accounts
    assert [one.address for one in accounts[:3]] == [TOKEN, TOKEN, MEMO]
    assert accounts[3:7] == (
        AccountMeta(PAYER, signer=True),
        AccountMeta(POOL, writable=True),
        AccountMeta(WSOL),
        AccountMeta(USDC),
    )
    assert [accounts[8].address, accounts[10].address] == list(PLAIN.vaults)
    starts = (0, -SPAN, -2 * SPAN) if request_ is SELL else (0, SPAN, 2 * SPAN)
    assert arrays_of(quote) == starts
    assert [one.address for one in accounts[11:14]] == [array_address(POOL, start) for start in starts]
    assert accounts[14] == AccountMeta(oracle_address(POOL), writable=True)
    assert all(one.writable for one in accounts[7:])
    assert len(accounts) == 15
    exact_in = request_.mode is Mode.EXACT_IN
    amounts = (quote.amount_in, quote.min_out) if exact_in else (quote.amount_out, quote.max_in)
    end = bytes([exact_in, request_ is SELL, 0])
    assert swap.data == SWAP_V2 + b"".join(one.to_bytes(8, "little") for one in amounts) + bytes(16) + end


async def test_at_the_end_of_the_range_the_last_array_fills_the_places() -> None:
    """As in pools whose only position is the whole range, in two arrays."""
    edge = 13 * 32_896
    record = WhirlpoolRecord(spacing=32_896, positions=(Position(-edge, edge, 10**13),))
    _, swap = await built(chain_of(record), BUY)
    assert [one.address for one in swap.accounts[11:14]] == [array_address(record.address, 0)] * 3


# ---- failures and addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "kind"), [(6036, Slippage), (6037, Slippage), (6038, Slippage), (6064, NoRoute)])
def test_the_programs_errors_have_a_reason(number: int, kind: type[VenueError]) -> None:
    venue = orca(chain_of())
    failure = ProgramFailure(index=2, program=PROGRAM, custom=number, text="custom program error")
    assert type(venue.explain(failure)) is kind
    assert venue.explain(replace(failure, custom=1)) is None, "missing funds are the engine's to explain"
    assert 1 not in FAILURES


def test_likely_pools_and_accounts_are_derived() -> None:
    venue = orca(chain_of())
    pair = sorted_mints((USDC, WSOL))
    assert POOL in venue.derived_pools(pair)
    assert len(set(venue.derived_pools(pair))) == len(FEE_TIERS)
    assert list(venue.likely_accounts(POOL, pair)) == [oracle_address(POOL)]


@pytest.mark.parametrize(
    ("account", "problem"), [(None, f"there is no config {CONFIG}"), (Account(TOKEN, 1, b""), "belongs to")]
)
def test_a_config_must_be_the_programs(account: Any, problem: str) -> None:
    with pytest.raises(BadAnswer, match=problem):
        orca(chain_of()).check_config(CONFIG, account)
