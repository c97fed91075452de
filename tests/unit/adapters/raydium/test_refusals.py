"""Raydium refuses unsupported requests with a reason, and explains its program's errors."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Account, Accounts
from dexexec.domain.swap import ProgramFailure
from dexexec.domain.token import WSOL
from dexexec.testing.clock import ManualClock
from dexexec.venue import BadAnswer, NoRoute, Slippage, Timeout, Unreachable, Unsupported, VenueError
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.raydium.layout import PoolKeys
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
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
    SELL,
    VAULT_1,
    VAULT_AMOUNTS,
    RecordedChain,
    address,
    mint_account,
    patched,
    pool_accounts,
    pool_of,
    quoted,
    raydium,
    token_account,
    venue_on,
)

EXACT_OUT = Mode.EXACT_OUT


# ---- pools that cannot -----------------------------------------------------------------------------------------------

WITH_2022 = patched(POOL_DATA, (264, TOKEN_2022))


@pytest.mark.parametrize(
    ("accounts", "error", "problem"),
    [
        ({}, NoRoute, "there is no CPMM pool for this pair"),
        (pool_accounts(POOL, patched(POOL_DATA, (329, b"\x04"))), NoRoute, "swaps are disabled"),
        (pool_accounts(POOL, patched(POOL_DATA, (373, 1_800_000_001))), NoRoute, "opens at 1800000001"),
        (pool_accounts(POOL, amounts=(0, 0)), NoRoute, "reserves are -"),
        (pool_accounts(POOL, patched(POOL_DATA, (389, b"\x03\x01"))), Unsupported, "creator_fee_on is 3"),
        (
            pool_accounts(POOL, WITH_2022) | {MINT_1: mint_account(TOKEN_2022, (14, bytes(64)))},
            Unsupported,
            "TransferHook",
        ),
        (pool_accounts(POOL, WITH_2022), BadAnswer, f"there is no account {MINT_1}"),
        (
            pool_accounts(POOL) | {VAULT_1: token_account(MINT_1, AUTHORITY, 10**12, state=2)},
            Unsupported,
            f"{VAULT_1} is frozen",
        ),
        (
            pool_accounts(POOL) | {VAULT_1: token_account(MINT_1, address(9), 10**12)},
            BadAnswer,
            f"{VAULT_1} is of another mint or owner",
        ),
        (pool_accounts(POOL) | {CONFIG: Account(TOKEN, 1, CONFIG_DATA)}, BadAnswer, "not to the program"),
        (pool_accounts(POOL, config=CONFIG_DATA[:-1]), BadAnswer, "has 235 bytes"),
    ],
)
async def test_a_pool_that_cannot_do_it_is_refused_with_its_reason(
    accounts: dict[str, Account], error: type[VenueError], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        await quoted(venue_on(accounts))


@pytest.mark.parametrize(
    ("request_", "error", "problem"),
    [
        (replace(SELL, mint_out=MINT_0), Unsupported, "for itself"),
        (replace(SELL, mint_in="not a mint"), Unsupported, "a mint is not base58"),
        (replace(SELL, mint_in="1" * 33), Unsupported, "a mint is not an address"),
        (replace(SELL, mint_in=WSOL), NoRoute, "no CPMM pool for this pair"),
        (replace(SELL, amount=1), NoRoute, "too small"),
        (replace(SELL, amount=U64_MAX), NoRoute, "does not fit in 64 bits"),
        (replace(SELL, amount=VAULT_AMOUNTS[1], mode=EXACT_OUT), NoRoute, "of a reserve of"),
    ],
)
async def test_a_request_that_no_pool_can_do_is_refused_with_its_reason(
    request_: SwapRequest, error: type[VenueError], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        await quoted(venue_on(pool_accounts(POOL)), request_)


async def test_a_bound_that_does_not_fit_into_the_instruction_is_not_quoted() -> None:
    accounts = pool_accounts(POOL, amounts=(U64_MAX // 2, 10**12))
    fits = SwapRequest(mint_in=MINT_0, mint_out=MINT_1, amount=4 * 10**11, mode=EXACT_OUT, slippage_bps=0)
    quote = await quoted(venue_on(accounts), fits)
    assert quote.max_in == quote.amount_in <= U64_MAX
    with pytest.raises(NoRoute, match="the input with its slippage does not fit in 64 bits"):
        await quoted(venue_on(accounts), replace(fits, slippage_bps=30_000))


async def test_the_reasons_of_several_pools_form_one_error_with_a_retryable_kind_first() -> None:
    accounts = pool_accounts(POOL, patched(POOL_DATA, (389, b"\x03\x01")))
    for number in (2, 3, 4):
        accounts |= pool_accounts(address(number), pool_of((MINT_0, MINT_1), number, (329, b"\x04")))
    with pytest.raises(NoRoute, match=r"disabled.*; .*disabled.*; and 1 more"):
        await quoted(venue_on(accounts))


async def test_a_pool_that_turns_out_to_be_another_is_refused_and_looked_for_again() -> None:
    chain = RecordedChain(pool_accounts(POOL))
    venue = raydium(chain, ManualClock(OPEN_MS))
    await quoted(venue)
    moved = patched(POOL_DATA, (72, address(77)))
    chain.held = {**chain.held, **pool_accounts(POOL, moved)}
    with pytest.raises(BadAnswer, match="other mints, vaults or programs than when it was found"):
        await quoted(venue)
    pool = (await quoted(venue)).raw["pool"]
    assert isinstance(pool, PoolKeys)
    assert pool.vaults[0] == address(77)


async def test_a_node_that_does_not_answer_in_time_is_a_timeout() -> None:
    class Silent(RecordedChain):
        async def accounts(self, addresses: Sequence[str]) -> Accounts:
            return await asyncio.Future()

    venue = raydium(Silent(pool_accounts(POOL)), ManualClock(OPEN_MS))
    for seconds in (0.01, 0, -1):
        with pytest.raises(Timeout):
            await venue.quote(SELL, venue.context.clock.monotonic() + seconds)


async def test_a_node_that_is_down_is_reported() -> None:
    chain = RecordedChain({}, searching=Unreachable("down"), reading=Unreachable("down, too"))
    with pytest.raises(Unreachable, match="down, too"):
        await quoted(raydium(chain))


# ---- errors of the program -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "error", "meaning"),
    [
        (6000, NoRoute, "closed, or not open yet"),
        (6005, Slippage, "moved past the order's bound"),
        (6006, NoRoute, "nothing comes out"),
        (6008, BadAnswer, "vaults"),
        (6011, NoRoute, "more than the pool can count"),
        (6012, NoRoute, "does not hold that much"),
        (2505, NoRoute, "zero"),
        (2006, BadAnswer, "derives"),
    ],
)
def test_the_programs_numbers_are_explained(number: int, error: type[VenueError], meaning: str) -> None:
    venue = raydium(RecordedChain({}))
    explained = venue.explain(
        ProgramFailure(index=3, program=PROGRAM, custom=number, text=f"custom program error: {number:#x}")
    )
    assert type(explained) is error
    assert meaning in str(explained)
    assert f"{number:#x}" in str(explained)
    assert venue.explain(ProgramFailure(index=3, program=TOKEN, custom=number, text="another program's number")) is None


@pytest.mark.parametrize("number", [1, 3012, 6001, None])
def test_an_error_that_the_program_does_not_explain_is_left_to_the_engine(number: int | None) -> None:
    assert raydium(RecordedChain({})).explain(ProgramFailure(index=3, program=PROGRAM, custom=number, text="?")) is None
