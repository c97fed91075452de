"""The account that a sale empties is closed in the same transaction, on a real chain with real signatures."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dexexec.domain.closing import Closing
from dexexec.domain.funds import LAMPORTS
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.swap import FailedOnChain, Landed, fill_of
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.solana.spendable import lamports_kept
from dexexec.settlement.solana.token_account import read_token_account
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.venue import AccountChanged
from tests.integration.settlement.test_wrapped_sol import DOLLAR, FEE, SOL, Owner, owner
from tests.support.swap_transactions import CLUSTER_RENT, RENT

pytestmark = pytest.mark.usefixtures("both_ways")

HELD = 5_000 * DOLLAR


def sells(amount: int) -> SwapRequest:
    return SwapRequest(mint_in=USDC, mint_out=WSOL, amount=amount, mode=Mode.EXACT_IN, slippage_bps=50)


@asynccontextmanager
async def seller(folder: Path) -> AsyncIterator[Owner]:
    """A wallet with 9 SOL and 5,000 USDC."""
    async with owner(folder, 9 * SOL, None) as one:
        yield one


def dollars(one: Owner) -> str:
    return associated_token_account(one.wallet.address, USDC)


async def dollars_held(one: Owner) -> int | None:
    """USDC in the wallet's account; None if there is no account."""
    [account] = (await one.on.chain.accounts([dollars(one)])).found
    token = read_token_account(account)
    return token.amount if token else None


async def test_a_sale_of_everything_leaves_no_account_and_its_rent_comes_back(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        spendable = await one.sealer().spendable(USDC)
        assert (spendable.account, spendable.available) == (dollars(one), HELD)
        before = await one.on.lamports(one.wallet.address)
        sealed = await one.seal(sells(spendable.available), close_account=True)
        assert sealed.closing == Closing(address=dollars(one), rent=RENT)
        landed = await one.sent(sealed.signed)
        assert isinstance(landed, Landed)
        fill = fill_of(landed, sells(HELD))
        assert fill.amount_in == HELD
        assert await dollars_held(one) is None
        # The rent is no part of what the sale earned.
        assert await one.on.lamports(one.wallet.address) == before + fill.amount_out + RENT - FEE
        assert (await one.sealer().spendable(USDC)).available == 0


async def test_without_the_wish_the_empty_account_stays(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        sealed = await one.seal(sells(HELD))
        assert sealed.closing is None
        assert isinstance(await one.sent(sealed.signed), Landed)
        assert await dollars_held(one) == 0


async def test_an_account_that_keeps_something_is_not_closed_and_the_reason_is_given(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        one.reserved = {USDC: 7}
        sealed = await one.seal(sells(HELD), close_account=True)
        assert sealed.closing == Closing(kept="other orders may still spend 7 base units from the account")
        one.reserved = {}
        sealed = await one.seal(sells(HELD - 1), close_account=True)
        assert sealed.closing == Closing(kept="the account would keep 1 base units")
        assert isinstance(await one.sent(sealed.signed), Landed)
        assert await dollars_held(one) == 1


async def test_tokens_that_arrive_before_it_lands_make_the_whole_sale_fail(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        sealed = await one.seal(sells(HELD), close_account=True)
        await one.on.chain.fund(one.wallet.address, USDC, 6, HELD + 1)
        one.on.clock.advance(1)
        failed = await one.sent(sealed.signed)
        assert isinstance(failed, FailedOnChain)
        assert failed.code == AccountChanged.code
        assert "the account to be closed still holds tokens" in failed.detail
        assert await dollars_held(one) == HELD + 1, "nothing was sold"
        again = await one.seal(sells(HELD + 1), close_account=True)
        assert isinstance(await one.sent(again.signed), Landed)
        assert await dollars_held(one) is None


async def test_tokens_that_have_arrived_are_seen_by_the_simulation(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        simulate = one.on.chain.simulate

        async def after_a_deposit(transaction: bytes, watched: object) -> object:
            await one.on.chain.fund(one.wallet.address, USDC, 6, HELD + 1)
            one.on.clock.advance(1)
            return await simulate(transaction, watched)  # type: ignore[arg-type]

        one.on.chain.simulate = after_a_deposit  # type: ignore[method-assign,assignment]
        with pytest.raises(AccountChanged, match="still holds tokens"):
            await one.seal(sells(HELD), close_account=True)


async def test_all_sol_leaves_a_wallet_that_can_pay_for_the_next_swap(tmp_path: Path) -> None:
    async with owner(tmp_path, 9 * SOL, 5 * SOL) as one:
        spendable = await one.sealer().spendable(WSOL)
        assert spendable.available == 14 * SOL - lamports_kept(0, CLUSTER_RENT)
        request = SwapRequest(
            mint_in=WSOL, mint_out=USDC, amount=spendable.available, mode=Mode.EXACT_IN, slippage_bps=50
        )
        sealed = await one.seal(request)
        assert sealed.spending is not None
        amounts = sealed.spending.amounts()
        assert amounts[WSOL] == 5 * SOL
        assert amounts[LAMPORTS] == 9 * SOL - lamports_kept(0, CLUSTER_RENT) + FEE
        landed = await one.sent(sealed.signed)
        assert isinstance(landed, Landed)
        assert fill_of(landed, request).amount_in == spendable.available
        assert await one.holds() == (lamports_kept(0, CLUSTER_RENT) - FEE, 0)
        assert (await one.sealer().spendable(WSOL)).available == 0


async def test_all_sol_of_a_wallet_without_accounts_pays_the_rent_of_those_that_it_opens(tmp_path: Path) -> None:
    async with owner(tmp_path, 9 * SOL, None) as one:
        sold = await one.seal(sells(HELD), close_account=True)
        assert isinstance(await one.sent(sold.signed), Landed)
        spendable = await one.sealer().spendable(WSOL)
        request = SwapRequest(
            mint_in=WSOL, mint_out=USDC, amount=spendable.available, mode=Mode.EXACT_IN, slippage_bps=50
        )
        quote = await one.venue.quote(request, one.on.clock.monotonic() + 20)
        assert quote.amount_in == spendable.available
        landed = await one.swap(request)
        assert fill_of(landed, request).amount_in == spendable.available
        lamports, wrapped = await one.holds()
        assert wrapped is None
        assert lamports > 0
