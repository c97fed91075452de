"""Wrapped SOL of the wallet's own, on a real chain: it is there after each swap, and what it holds may be sold."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dexexec.domain.funds import LAMPORTS
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Instruction
from dexexec.domain.swap import FailedOnChain, Landed, SignedSwap, SwapStatus, fill_of
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.sealing import Sealed
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.sealer import SolanaSealer
from dexexec.settlement.solana.transaction import assemble, associated_token_account, compile_message, signature_text
from dexexec.settlement.solana.wallet import Wallet
from dexexec.venue import InsufficientFunds
from dexexec_adapters.mock.raydium import MockRaydium
from tests.support.attempts import an_attempt
from tests.support.localnet.mock_venue_setup import MockVenueSetup, mock_venue_setup
from tests.support.sealers import solana_sealer
from tests.support.swap_transactions import call, open_account

pytestmark = pytest.mark.usefixtures("both_ways")

SOL, DOLLAR, FEE = 10**9, 10**6, 2 * 5_000
SELL_1, SELL_12 = (
    SwapRequest(mint_in=WSOL, mint_out=USDC, amount=amount * SOL, mode=Mode.EXACT_IN, slippage_bps=50)
    for amount in (1, 12)
)
SELL_FOR_DOLLARS = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=300 * DOLLAR, mode=Mode.EXACT_OUT, slippage_bps=50)
BUY_3 = SwapRequest(mint_in=USDC, mint_out=WSOL, amount=3 * SOL, mode=Mode.EXACT_OUT, slippage_bps=50)


@dataclass
class Owner:
    """A wallet with lamports, 5,000 USDC and, unless it is `without`, an account with wrapped SOL."""

    on: MockVenueSetup
    wallet: Wallet
    venue: MockRaydium
    reserved: Mapping[str, int]

    @property
    def account(self) -> str:
        """Its account for wrapped SOL, there or not."""
        return associated_token_account(self.wallet.address, WSOL)

    def sealer(self, *, spend: bool = True) -> SolanaSealer:
        """A sealer for the wallet."""

        async def reserved(wallet: str, slot: int) -> Mapping[str, int]:
            assert wallet == self.wallet.address
            return self.reserved

        rules = GuardRules(0, spend_wrapped=spend)
        return solana_sealer(self.on.chain, self.wallet, rules, self.on.clock, reserved=reserved)

    async def seal(self, request: SwapRequest, *, spend: bool = True, close_account: bool = False) -> Sealed:
        """The swap, signed."""
        on = self.on
        quote = await self.venue.quote(request, on.clock.monotonic() + 20)
        built = await self.venue.build(quote, self.wallet.address, await on.chain.blockhash())
        deadline = on.clock.monotonic() + 60
        sealer = self.sealer(spend=spend)
        return await sealer.seal(self.venue, quote, built, deadline, an_attempt(), close_account=close_account)

    async def sent(self, signed: SignedSwap) -> SwapStatus:
        """Send it; what became of it."""
        await self.on.chain.submit(signed)
        self.on.clock.advance(1)
        [status] = await self.on.chain.status([signed.signature])
        return status

    async def swap(self, request: SwapRequest, *, spend: bool = True) -> Landed:
        """The swap, landed."""
        status = await self.sent((await self.seal(request, spend=spend)).signed)
        assert isinstance(status, Landed), status
        return status

    async def land(self, *steps: Instruction) -> None:
        """Another transaction of the wallet, past all of this project."""
        blockhash = (await self.on.chain.blockhash()).hash
        message = compile_message(self.wallet.address, steps, blockhash)
        payload = assemble(message, [self.wallet.address], {self.wallet.address: self.wallet.sign(message)})
        assert isinstance(
            await self.sent(SignedSwap(signature=signature_text(payload), payload=payload, last_valid_height=2**60)),
            Landed,
        )

    async def holds(self) -> tuple[int, int | None]:
        """Lamports, and what is wrapped: None where there is no account."""
        options = {"encoding": "jsonParsed", "commitment": "processed"}
        found = await self.on.net.rpc("getAccountInfo", self.account, options)
        info = found["value"] and found["value"]["data"]["parsed"]["info"]
        wrapped = int(info["tokenAmount"]["amount"]) if info else None
        return await self.on.lamports(self.wallet.address), wrapped


@asynccontextmanager
async def owner(folder: Path, lamports: int, wrapped: int | None) -> AsyncIterator[Owner]:
    async with mock_venue_setup(folder) as on:
        wallet = Wallet(bytes(range(32)))
        for mint, decimals, amount in (("", 9, lamports), (USDC, 6, 5_000 * DOLLAR), (WSOL, 9, wrapped)):
            if amount is not None:
                await on.chain.fund(wallet.address, mint, decimals, amount)
        one = Owner(on, wallet, on.venue(MockRaydium), {})
        on.clock.advance(1)
        await one.venue.quote(SELL_1, on.clock.monotonic() + 20)  # fills the vaults
        on.clock.advance(1)
        yield one


async def test_a_sale_leaves_what_was_wrapped_as_it_was_where_the_other_sol_is_enough(tmp_path: Path) -> None:
    async with owner(tmp_path, 9 * SOL, 5 * SOL) as one:
        landed = await one.swap(SELL_1)
        assert await one.holds() == (8 * SOL - FEE, 5 * SOL)
        assert landed.moved[WSOL] == -SOL


async def test_wrapped_and_other_sol_are_sold_together(tmp_path: Path) -> None:
    async with owner(tmp_path, 9 * SOL, 10 * SOL) as one:
        sealed = await one.seal(SELL_12)
        assert sealed.spending is not None
        assert sealed.spending.amounts() == {LAMPORTS: 2 * SOL + FEE, WSOL: 10 * SOL}
        landed = await one.sent(sealed.signed)
        assert isinstance(landed, Landed)
        assert await one.holds() == (7 * SOL - FEE, 0)
        assert fill_of(landed, SELL_12).amount_in == 12 * SOL
        await one.swap(SELL_1)
        assert await one.holds() == (6 * SOL - 2 * FEE, 0), "the account stays open"


async def test_what_others_in_flight_may_take_of_either_is_not_counted_on(tmp_path: Path) -> None:
    async with owner(tmp_path, 9 * SOL, 10 * SOL) as one:
        one.reserved = {LAMPORTS: 9 * SOL}
        sealed = await one.seal(SELL_1)
        assert sealed.spending is not None
        assert sealed.spending.amounts() == {LAMPORTS: FEE, WSOL: SOL}
        one.reserved = {LAMPORTS: 9 * SOL, WSOL: 10 * SOL}
        sealed = await one.seal(SELL_1)
        assert sealed.spending is not None
        assert sealed.spending.amounts() == {LAMPORTS: SOL + FEE}, "which then waits for its reservation"


async def test_wrapped_sol_is_not_spent_where_that_is_switched_off(tmp_path: Path) -> None:
    async with owner(tmp_path, 9 * SOL, 10 * SOL) as one:
        with pytest.raises(InsufficientFunds):
            await one.swap(SELL_12, spend=False)
        await one.swap(SELL_1, spend=False)
        assert await one.holds() == (8 * SOL - FEE, 10 * SOL)


async def test_of_what_an_exact_output_wraps_too_much_the_rest_stays_in_the_account(tmp_path: Path) -> None:
    async with owner(tmp_path, 9 * SOL, 5 * SOL) as one:
        before = await one.holds()
        landed = await one.swap(SELL_FOR_DOLLARS)
        lamports, wrapped = await one.holds()
        assert wrapped is not None
        assert wrapped >= 5 * SOL
        assert lamports + wrapped == before[0] + 5 * SOL + landed.moved[WSOL] - FEE
        assert landed.moved == {WSOL: landed.moved[WSOL], USDC: 300 * DOLLAR}


async def test_sol_that_is_bought_stays_wrapped_where_there_is_an_account_for_it(tmp_path: Path) -> None:
    async with owner(tmp_path, 9 * SOL, 5 * SOL) as one:
        landed = await one.swap(BUY_3)
        assert await one.holds() == (9 * SOL - FEE, 8 * SOL)
        assert fill_of(landed, BUY_3).amount_out == 3 * SOL


async def test_an_account_that_is_empty_stays_too(tmp_path: Path) -> None:
    async with owner(tmp_path, 9 * SOL, 0) as one:
        await one.land(open_account(one.wallet.address, one.wallet.address, WSOL))
        lamports, wrapped = await one.holds()
        assert wrapped == 0
        await one.swap(SELL_1)
        assert await one.holds() == (lamports - SOL - FEE, 0)


async def test_without_an_account_sol_is_wrapped_and_unwrapped_on_the_way(tmp_path: Path) -> None:
    async with owner(tmp_path, 9 * SOL, None) as one:
        await one.swap(SELL_1)
        assert await one.holds() == (8 * SOL - FEE, None)
        await one.swap(BUY_3)
        assert await one.holds() == (11 * SOL - 2 * FEE, None)


async def test_an_account_that_appears_before_the_swap_lands_makes_it_fail_and_is_as_it_was(tmp_path: Path) -> None:
    async with owner(tmp_path, 9 * SOL, None) as one:
        for request in (SELL_1, BUY_3):
            sealed = await one.seal(request)
            await one.on.chain.fund(one.wallet.address, WSOL, 9, 5 * SOL)
            before = await one.holds()
            status = await one.sent(sealed.signed)
            assert isinstance(status, FailedOnChain)
            assert status.code == "account-changed"
            assert await one.holds() == (before[0] - FEE, 5 * SOL)
            close = call(Program.TOKEN, b"\x09", one.account, *[one.wallet.address] * 2, signers=[one.wallet.address])
            await one.land(close)


async def test_an_account_that_disappears_before_the_swap_lands_loses_nothing(tmp_path: Path) -> None:
    async with owner(tmp_path, 9 * SOL, 10 * SOL) as one:
        sealed = await one.seal(SELL_12)
        close = call(Program.TOKEN, b"\x09", one.account, *[one.wallet.address] * 2, signers=[one.wallet.address])
        await one.land(close)
        before, _ = await one.holds()
        status = await one.sent(sealed.signed)
        assert isinstance(status, FailedOnChain)
        assert await one.holds() == (before - FEE, None)
