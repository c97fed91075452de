"""What the venue meteora refuses: each pool, account and amount with its reason."""

import asyncio
from typing import Any

import pytest

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Account, Accounts
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import (
    BadAnswer,
    NoRoute,
    RateLimited,
    Timeout,
    Unreachable,
    Unsupported,
    VenueError,
)
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.spl import SYSTEM, TOKEN, TOKEN_2022
from tests.support import meteora_accounts as at
from tests.support.meteora_accounts import (
    BUY,
    DEADLINE,
    POOL,
    PROGRAM,
    SELL,
    WALLET,
    ask,
    chain_of,
    changed,
    meteora,
    pool_of,
)
from tests.support.raydium_accounts import RecordedChain, address, mint_account, patched, token_account


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ([(at.STATUS_AT, b"\1")], NoRoute, "pool_status is 1: the pool is disabled"),
        ([(at.ACTIVATION_AT, at.UNIX + 1)], NoRoute, f"opens at {at.UNIX + 1}, it is {at.UNIX}"),
        ([(at.ACTIVATION_TYPE_AT, b"\0"), (at.ACTIVATION_AT, at.SLOT + 1)], NoRoute, f"it is {at.SLOT}"),
        ([(at.ACTIVATION_TYPE_AT, b"\2")], Unsupported, "activation_type is 2"),
        ([(at.MODE_AT, b"\2")], Unsupported, r"base_fee_mode is 2 \(rate limiter\)"),
        ([(at.MODE_AT, b"\3")], Unsupported, r"base_fee_mode is 3 \(market-cap scheduler\)"),
        ([(at.MODE_AT, b"\4")], Unsupported, r"base_fee_mode is 4 \(market-cap scheduler\)"),
        ([(at.MODE_AT, b"\5")], Unsupported, r"base_fee_mode is 5 \(unknown\)"),
        ([(at.COLLECT_AT, b"\3")], Unsupported, "collect_fee_mode is 3"),
        ([(at.FEE_VERSION_AT, b"\2")], Unsupported, "fee_version is 2"),
        ([(at.LIQUIDITY_AT, bytes(16))], NoRoute, "the pool is empty"),
        ([(at.LAYOUT_AT, b"\2")], Unsupported, "layout_version"),
        ([(at.FLAGS_AT[0], b"\2")], Unsupported, "token_a_flag"),
        ([(at.PRICE_AT, bytes(16))], BadAnswer, "sqrt_price is 0"),
    ],
)
async def test_a_pool_is_refused_with_its_reason(changes: Any, error: type[VenueError], message: str) -> None:
    chain = changed(chain_of(pool_of()), {POOL: at.pool_account(patched(pool_of(), *changes))})
    with pytest.raises(error, match=message) as refused:
        await ask(chain)
    assert POOL in str(refused.value), "the reason names the pool"


@pytest.mark.parametrize(
    ("amount", "mode", "message"),
    [
        (1, Mode.EXACT_IN, "nothing comes out"),
        (2**64 - 1, Mode.EXACT_IN, "price|64 bits|liquidity"),
        (2**64 - 1, Mode.EXACT_OUT, "price|more than"),
    ],
)
async def test_an_impossible_amount_is_no_route(amount: int, mode: Mode, message: str) -> None:
    with pytest.raises(NoRoute, match=message):
        await ask(
            chain_of(pool_of(data=at.RANGE)),
            SwapRequest(mint_in=WSOL, mint_out=USDC, amount=amount, mode=mode, slippage_bps=50),
        )


async def test_an_output_beyond_the_vaults_balance_is_no_route() -> None:
    data = pool_of()
    chain = changed(chain_of(data), at.around(data, (at.VAULT_AMOUNT, 1_000)))
    with pytest.raises(NoRoute, match=r"cannot pay .*: its vault holds 1000"):
        await ask(chain)
    assert (await ask(chain, BUY)).amount_out == BUY.amount, "what is paid in has no bound"


@pytest.mark.parametrize("extension", [(16, "ConfidentialTransferFeeConfig"), (14, "TransferHook"), (99, "number 99")])
async def test_a_token_2022_mint_whose_amounts_may_change_is_unsupported(extension: tuple[int, str]) -> None:
    number, name = extension
    data = patched(pool_of(), (at.FLAGS_AT[1], b"\1"))
    plain = chain_of(data)
    assert (await ask(plain)).amount_out > 0
    harmless = changed(plain, {USDC: mint_account(TOKEN_2022, (18, bytes(64)), (19, bytes(90)))})
    assert (await ask(harmless)).amount_out > 0
    with pytest.raises(Unsupported, match=name):
        await ask(changed(plain, {USDC: mint_account(TOKEN_2022, (18, bytes(64)), (number, bytes(108)))}))


@pytest.mark.parametrize(
    ("place", "account", "message"),
    [
        (CLOCK, None, "there is no chain's clock"),
        (CLOCK, Account(SYSTEM, 1, bytes(40)), "belongs to"),
        (WSOL, None, f"there is no account {WSOL}"),
        (WSOL, Account(SYSTEM, 1, bytes(82)), "belongs to"),
        (USDC, Account(TOKEN, 1, bytes(82)), "not a mint"),
        (address(102), None, "there is no account"),
        (address(102), Account(TOKEN, 1, bytes(164)), "not a token account"),
        (address(102), token_account(USDC, PROGRAM.pool_authority, 1), "another mint or owner"),
        (address(103), token_account(USDC, WALLET, 1), "another mint or owner"),
    ],
)
async def test_accounts_that_do_not_match_the_pool_are_a_bad_answer(
    place: str, account: Account | None, message: str
) -> None:
    with pytest.raises(BadAnswer, match=message):
        await ask(changed(chain_of(pool_of()), {place: account}))


async def test_a_frozen_vault_is_unsupported() -> None:
    frozen = token_account(USDC, PROGRAM.pool_authority, 2**62, state=2)
    with pytest.raises(Unsupported, match="frozen"):
        await ask(changed(chain_of(pool_of()), {address(103): frozen}))


async def test_a_pool_that_changed_into_another_is_searched_again() -> None:
    chain = chain_of(pool_of())
    venue = meteora(chain)
    await venue.quote(SELL, DEADLINE)
    held = chain.held
    moved = pool_of(number=2)
    chain.held = {**held, POOL: at.pool_account(moved), **at.around(moved)}
    with pytest.raises(BadAnswer, match="other mints, vaults or programs than when it was found"):
        await venue.quote(SELL, DEADLINE)
    assert (await venue.quote(SELL, DEADLINE)).route == (POOL,)
    chain.held = {one: there for one, there in chain.held.items() if one != POOL}
    with pytest.raises(BadAnswer, match="there is no pool"):
        await venue.quote(SELL, DEADLINE)
    with pytest.raises(NoRoute, match="no DAMM v2 pool"):
        await venue.quote(SELL, DEADLINE)


async def test_the_reasons_of_several_pools_form_one_error_and_a_retryable_kind_decides() -> None:
    limited = patched(pool_of(), (at.MODE_AT, b"\2"))
    closed = patched(pool_of(number=2), (at.STATUS_AT, b"\1"))
    with pytest.raises(NoRoute, match=r"disabled.*; .*rate limiter"):
        await ask(chain_of(limited, closed))


@pytest.mark.parametrize(
    ("mint_in", "mint_out", "message"),
    [
        (WSOL, WSOL, "cannot be swapped for itself"),
        ("nonsense", USDC, "not an address"),
        (WSOL, "l" * 40, "not base58"),
    ],
)
async def test_an_impossible_pair_is_unsupported_without_a_request_to_a_node(
    mint_in: str, mint_out: str, message: str
) -> None:
    chain = chain_of(pool_of())
    with pytest.raises(Unsupported, match=message):
        await ask(chain, SwapRequest(mint_in=mint_in, mint_out=mint_out, amount=5, mode=Mode.EXACT_IN, slippage_bps=50))
    assert (chain.read, chain.searched) == ([], [])


async def test_a_pair_without_a_pool_is_no_route() -> None:
    with pytest.raises(NoRoute, match="no DAMM v2 pool for this pair"):
        await ask(chain_of(pool_of((WSOL, address(9)))))


async def test_errors_of_the_node_pass_through_unchanged() -> None:
    chain = chain_of(pool_of())
    venue = meteora(chain)
    for error in (RateLimited("slow down"), Unreachable("gone")):
        chain.reading = error
        with pytest.raises(type(error), match=str(error)):
            await venue.quote(SELL, DEADLINE)
    chain.reading = None
    assert (await venue.quote(SELL, DEADLINE)).route == (POOL,)


async def test_no_answer_by_the_deadline_is_a_timeout() -> None:
    class Silent(RecordedChain):
        async def accounts(self, addresses: Any) -> Accounts:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

    venue = meteora(Silent(chain_of(pool_of()).held))
    for left in (0.01, 0.0, -1.0):
        with pytest.raises(Timeout, match="meteora did not receive its accounts in time"):
            await venue.quote(SELL, venue.context.clock.monotonic() + left)
