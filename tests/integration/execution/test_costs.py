"""What orders cost on a real chain: the record has each lamport that left the wallet, with failed attempts and rent."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dexexec.domain.order import Side
from dexexec.domain.quote import Quote
from dexexec.domain.solana import SwapInstructions
from dexexec.domain.swap import Blockhash
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.store import CostQuery
from tests.support.localnet.settlement_setup import FINAL, SettlementSetup
from tests.support.localnet.worker_setup import LONG_MS, OpenWorkers, WorkerSetup
from tests.support.parts import new_order
from tests.support.swap_transactions import RENT, call, fixed, open_account

FEE = 2 * 5_000
Build = Callable[[Quote, str, Blockhash], Awaitable[SwapInstructions]]


async def close_dollars(at: SettlementSetup) -> None:
    """Burns all USDC of the wallet and closes its account for them."""
    await at.burn_dollars()
    wallet = at.wallet.address
    await at.land(
        call(Program.TOKEN, b"\x09", associated_token_account(wallet, USDC), wallet, wallet, signers=[wallet])
    )
    await at.advance(FINAL)


def opening_account(at: SettlementSetup) -> Build:
    """The venue's `build`, with an instruction that opens the wallet's account for USDC, as real venues have it.

    The account is closed the first time, after the venue of this test has opened and filled it.
    """
    to_close = [close_dollars]
    build = at.venue.build

    async def opening(quote: Quote, payer: str, blockhash: Blockhash) -> SwapInstructions:
        built = await build(quote, payer, blockhash)
        assert isinstance(built, SwapInstructions)
        while to_close:
            await to_close.pop()(at)
        return replace(built, instructions=(open_account(payer, payer, USDC), *built.instructions))

    return opening


async def executed(b: WorkerSetup, side: Side = Side.BUY, amount: str = "0.01") -> Any:
    """An order that was executed for good."""
    order_id = await b.post(new_order(side=side, amount=amount, deadline_ms=LONG_MS))
    async with b.working():
        await b.settled(order_id)
    return await b.view(order_id)


async def test_rent_that_a_swap_pays_for_an_account_is_part_of_its_cost(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        had = await b.at.lamports()
        b.at.venue.build = opening_account(b.at)  # type: ignore[method-assign, assignment]
        view = await executed(b)
        cost = view["cost"]
        assert (cost["final"], cost["swaps"], cost["failedAttempts"]) == (True, 1, 0)
        assert (cost["rentPaid"], cost["rentReturned"]) == (str(RENT), "0")
        assert int(cost["lamports"]) == int(cost["fees"]) + RENT
        closing = RENT - FEE  # the account's old rent, without the fees of burning and closing
        assert had + closing - await b.at.lamports() == int(view["amountIn"]) + int(cost["lamports"])
        again = await executed(b)
        assert again["cost"]["rentPaid"] == "0", "the account is open now"


async def test_priority_fees_are_counted_apart_from_base_fees(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        b.at.sealer._checker._price = fixed(50_000)
        had = await b.at.lamports()
        view = await executed(b)
        cost = view["cost"]
        assert (cost["baseFees"], cost["tips"]) == ("10000", "0"), "of two signatures"
        assert int(cost["priorityFees"]) > 0
        assert cost["fees"] == view["feesPaid"] == str(int(cost["baseFees"]) + int(cost["priorityFees"]))
        assert had - await b.at.lamports() == int(view["amountIn"]) + int(cost["lamports"])


async def test_an_attempt_that_failed_on_chain_has_paid_its_fee_as_well(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        b.at.request_log.before["sendTransaction"] = b.at.burn_dollars
        view = await executed(b, Side.SELL, "2")
        failed, landed = view["attempts"]
        assert [failed["outcome"], landed["outcome"]] == ["failed", "landed"]
        cost = view["cost"]
        assert (cost["swaps"], cost["failedAttempts"]) == (1, 1)
        assert (cost["fees"], cost["failedFees"]) == (view["feesPaid"], "10000")
        fees = [(await b.at.transaction(attempt["txHash"]))["meta"]["fee"] for attempt in view["attempts"]]
        assert fees == [int(attempt["proof"]["cost"]["fee"]) for attempt in view["attempts"]]
        assert "venueFee" not in failed["proof"]["cost"], "what failed was undone"
        quote, fill = landed["quote"], view["fill"]
        sums = {of_mint["mint"]: of_mint for of_mint in cost["mints"]}
        assert sums[quote["feeMint"]]["venueFees"] == quote["fee"] != "0"
        assert sums[WSOL]["venueSlippage"] == str(int(quote["amountOut"]) - int(fill["amountOut"]))
        assert sums[WSOL]["slippage"] == str(int(fill["quotedOut"]) - int(fill["amountOut"]))
        assert view["events"][-1]["cost"] == landed["proof"]["cost"]
        ever = CostQuery(since=datetime(2000, 1, 1, tzinfo=UTC), until=None, group_by=())
        assert {"final": True, **(await b.store.costs(ever)).total.detail()} == cost, "the only order"


async def test_attempts_that_never_landed_cost_nothing(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        order_id = await b.post()
        await b.store.cancel(order_id)
        cost = (await b.view(order_id))["cost"]
        assert (cost["final"], cost["fees"], cost["lamports"], cost["mints"]) == (True, "0", "0", [])
