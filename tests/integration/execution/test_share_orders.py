"""Orders for a share of the wallet's balance, on a real chain: "all" leaves nothing, and nothing is spent twice."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.order import NewOrder, Side
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms, TimeInForce
from dexexec.domain.token import USDC
from dexexec.failpoints import Failpoint
from dexexec.settlement.solana.spendable import lamports_kept
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.store import Triggering
from dexexec.store.resting import BEFORE_ALL
from tests.integration.settlement.test_funds_in_flight import (
    DOLLAR,
    all_over,
    keep_dollars,
    keep_lamports,
    sells_dollars,
    sells_sol,
    two_processes,
)
from tests.support.localnet.settlement_setup import FINAL
from tests.support.localnet.worker_setup import LONG_MS, OpenWorkers, WorkerSetup
from tests.support.parts import new_order, running
from tests.support.scripted_workers import OpenScriptedWorkers
from tests.support.swap_transactions import CLUSTER_RENT, RENT

SOL = 10**9
FEE = 2 * 5_000


def sells_share(share_bps: int = 10_000, *, side: Side = Side.SELL, close_account: bool = False) -> NewOrder:
    """As the body reader makes it: the amount is unknown, and one token stands for it."""
    order = new_order(side=side, amount="1", deadline_ms=LONG_MS)
    terms = Terms(share_bps=share_bps, close_account=close_account)
    return replace(order, amount=Decimal(0), terms=terms)


async def has_account(b: WorkerSetup) -> bool:
    """Whether the wallet's account for USDC exists."""
    [account] = (await b.at.chain.accounts([associated_token_account(b.at.wallet.address, USDC)])).found
    return account is not None


async def executed(b: WorkerSetup, order: NewOrder) -> Any:
    """The order, executed for good."""
    order_id = await b.post(order)
    async with b.working():
        await b.settled(order_id)
    return await b.view(order_id)


def routed(view: Any) -> list[Any]:
    """The rounds of an order: their amounts and what was read."""
    return [event for event in view["events"] if "amountBase" in event]


async def test_all_leaves_exactly_zero_and_the_account_is_closed_with_its_rent_back(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        held = 123_456_789
        await keep_dollars(b, held)
        before = await b.at.lamports()
        view = await executed(b, sells_share(close_account=True))
        assert (view["amount"], view["amountIn"]) == ("all", str(held))
        assert await b.at.holds(USDC) == 0
        assert not await has_account(b)
        assert await b.at.lamports() == before + int(view["amountOut"]) + RENT - FEE
        assert (view["cost"]["rentReturned"], view["cost"]["rentPaid"]) == (str(RENT), "0")
        [round_] = routed(view)
        account = associated_token_account(b.at.wallet.address, USDC)
        assert round_["amountBase"] == str(held)
        assert round_["spendable"]["account"] == account
        assert (round_["spendable"]["balance"], round_["spendable"]["reserved"]) == (str(held), "0")
        [submitted] = [event for event in view["events"] if event["status"] == "submitted"]
        assert submitted["closeAccount"] == {"account": account, "rent": str(RENT)}
        assert (view["events"][0]["amount"], view["events"][0]["shareBps"]) == ("all", 10_000)
        assert (view["shareBps"], view["closeAccount"]) == (10_000, True)
        [listed] = await b.store.orders(1, None)
        assert listed["amount"] == "all"


async def test_without_the_wish_the_empty_account_stays(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        await keep_dollars(b, 100 * DOLLAR)
        view = await executed(b, sells_share())
        assert await b.at.holds(USDC) == 0
        assert await has_account(b)
        assert view["cost"]["rentReturned"] == "0"


async def test_a_percentage_is_rounded_down_to_the_base_unit(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        await keep_dollars(b, 100_000_001)
        view = await executed(b, sells_share(3_333))
        assert (view["amount"], view["amountIn"]) == ("33.33%", "33330000")
        assert await b.at.holds(USDC) == 100_000_001 - 33_330_000


async def test_a_fixed_amount_that_is_the_balance_closes_the_account_and_another_one_does_not(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers() as b:
        await keep_dollars(b, 100 * DOLLAR)
        closing = replace(sells_dollars("40"), terms=Terms(close_account=True))
        view = await executed(b, closing)
        [submitted] = [event for event in view["events"] if event["status"] == "submitted"]
        assert submitted["closeAccount"] == {"kept": "the account would keep 60000000 base units"}
        assert await has_account(b)
        await executed(b, replace(sells_dollars("60"), terms=Terms(close_account=True)))
        assert not await has_account(b)


async def test_all_sol_leaves_what_must_stay(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        await keep_lamports(b, 10 * SOL)
        view = await executed(b, sells_share(side=Side.BUY))
        kept = lamports_kept(b.at.sealer._checker._rules.max_priority_fee, CLUSTER_RENT)
        assert view["amountIn"] == str(10 * SOL - kept)
        assert routed(view)[0]["spendable"]["kept"] == str(kept)
        assert await b.at.lamports() == kept - int(view["cost"]["fees"])


# At once: of SOL, since the mock venue's faucet fills an account that a sale of all USDC has emptied.


async def test_promise_16_orders_for_all_at_once_never_overspend(open_workers: OpenWorkers) -> None:
    async with open_workers() as b, AsyncExitStack() as stack:
        await keep_lamports(b, 10 * SOL)
        await b.at.set_faults(late={"transactions": 64, "slots": 6})  # all are prepared before one lands
        order_ids = [await b.post(sells_share(side=Side.BUY)) for _ in range(4)]
        await two_processes(b, stack)
        ended = await all_over(b, order_ids)
        assert sorted(ended) == [Status.CONFIRMED] + [Status.FAILED] * 3
        await check_sold(b, order_ids, 10 * SOL)


async def test_promise_16_halves_and_fixed_amounts_at_once_never_overspend(open_workers: OpenWorkers) -> None:
    async with open_workers() as b, AsyncExitStack() as stack:
        await keep_lamports(b, 10 * SOL)
        shares = [sells_share(share_bps, side=Side.BUY) for share_bps in (5_000, 10_000, 2_500)]
        order_ids = [await b.post(order) for order in (sells_sol("3"), *shares, sells_sol("3"))]
        await two_processes(b, stack)
        await all_over(b, order_ids)
        await check_sold(b, order_ids, 10 * SOL)


async def check_sold(b: WorkerSetup, order_ids: Sequence[UUID], held: int) -> None:
    """What the orders sold is what left the wallet, no swap failed, and those without a fill name the reason."""
    views = [await b.view(order_id) for order_id in order_ids]
    filled = [view for view in views if view["status"] == "confirmed"]
    assert await b.at.lamports() == held - sum(int(view["amountIn"]) + FEE for view in filled)
    assert await b.at.swaps(failed=True) == []
    for view in views:
        if view["status"] == "failed":
            assert (view["failureReason"], view["attempts"]) == ("insufficient-funds", [])
            assert "SOL" in view["events"][-1]["detail"]
    assert await b.store.reserved(b.at.wallet.address, 2**60) == {}


async def test_promise_16_what_another_order_may_still_take_is_left_out_and_its_account_stays_open(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers() as b, AsyncExitStack() as stack:
        await keep_dollars(b, 100 * DOLLAR)
        b.at.failpoints.stall = Failpoint.RECORDED
        first = await b.post(sells_dollars("40"))
        await two_processes(b, stack)
        await b.at.failpoints.stalled.wait()
        second = await b.post(sells_share(close_account=True))
        await b.reached(second, Status.CONFIRMED)
        view = await b.view(second)
        assert view["amountIn"] == str(60 * DOLLAR)
        assert routed(view)[0]["spendable"]["reserved"] == str(40 * DOLLAR)
        [submitted] = [event for event in view["events"] if event["status"] == "submitted"]
        assert submitted["closeAccount"] == {
            "kept": f"other orders may still spend {40 * DOLLAR} base units from the account"
        }
        b.at.failpoints.go_on.set()
        assert await all_over(b, [first, second]) == [Status.CONFIRMED] * 2
        assert await b.at.holds(USDC) == 0
        assert await has_account(b)


async def test_promise_13_a_deposit_before_it_lands_makes_the_attempt_fail_and_the_next_one_sells_that_too(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers() as b:
        await keep_dollars(b, 100 * DOLLAR)
        b.at.failpoints.stall = Failpoint.RECORDED
        order_id = await b.post(sells_share(close_account=True))
        async with b.working():
            await b.at.failpoints.stalled.wait()
            await b.at.chain.fund(b.at.wallet.address, USDC, 6, 150 * DOLLAR)
            await b.at.advance(1)
            b.at.failpoints.stall = None
            b.at.failpoints.go_on.set()
            await b.settled(order_id)  # the worker's own pauses make the blocks that its failure needs to be final
        view = await b.view(order_id)
        first, second = view["attempts"]
        assert (first["outcome"], first["proof"]["code"]) == ("failed", "account-changed")
        assert second["outcome"] == "landed"
        assert [round_["amountBase"] for round_ in routed(view)] == [str(100 * DOLLAR), str(150 * DOLLAR)]
        assert view["amountIn"] == str(150 * DOLLAR)
        assert await b.at.holds(USDC) == 0
        assert not await has_account(b)
        # The price that the first quote fixed, for the amount of the second round.
        least = [int(round_["minOut"]) for round_ in routed(view)]
        assert abs(least[1] - least[0] * 3 // 2) <= 2
        assert (view["minOut"], view["maxIn"]) == (str(least[1]), str(150 * DOLLAR))
        assert int(view["amountOut"]) >= least[1]


@pytest.mark.parametrize(
    ("at", "sold"),
    [
        *((at, 150) for at in (Failpoint.QUOTED, Failpoint.CHOSEN, Failpoint.SIGNED)),
        *((at, 100) for at in (Failpoint.RECORDED, Failpoint.SENDING, Failpoint.SENT, Failpoint.PROVEN)),
    ],
)
async def test_promise_3_a_worker_that_dies_anywhere_sells_all_once_and_a_recorded_attempt_keeps_its_amount(
    open_workers: OpenWorkers, at: Failpoint, sold: int
) -> None:
    async with open_workers() as b:
        await keep_dollars(b, 100 * DOLLAR)
        b.at.failpoints.stall = at
        order_id = await b.post(sells_share())
        async with running(b.worker().run()):
            await b.at.failpoints.stalled.wait()
        # A deposit while nobody works on the order: only an amount that is not recorded yet follows it.
        left = await b.at.holds(USDC)
        await b.at.chain.fund(b.at.wallet.address, USDC, 6, left + 50 * DOLLAR)
        await b.at.advance(FINAL)
        b.at.failpoints.stall = None
        await b.again(order_id)
        async with b.working():
            await b.settled(order_id)
        view = await b.executed_once(order_id)
        assert (len(view["attempts"]), view["amountIn"]) == (1, str(sold * DOLLAR))
        assert await b.at.holds(USDC) == (150 - sold) * DOLLAR


async def test_an_empty_wallet_is_a_clear_failure(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        await keep_dollars(b, 0)
        order_id = await b.post(sells_share(5_000))
        async with b.working():
            events = await b.ended(order_id)
        assert events[-1].status is Status.FAILED
        view = await b.view(order_id)
        account = associated_token_account(b.at.wallet.address, USDC)
        assert (view["failureReason"], view["attempts"], view["amount"]) == ("insufficient-funds", [], "50%")
        detail = f"the wallet's account {account} holds 0 USDC: 50% of it comes to nothing"
        assert view["events"][-1]["detail"] == detail


async def test_a_share_that_is_less_than_a_base_unit_is_a_clear_failure(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        await keep_dollars(b, 1)
        order_id = await b.post(sells_share(9_999))
        async with b.working():
            await b.ended(order_id)
        view = await b.view(order_id)
        assert view["failureReason"] == "insufficient-funds"
        assert view["events"][-1]["detail"].endswith("holds 0.000001 USDC: 99.99% of it comes to nothing")


async def test_a_limit_for_all_that_rests_reads_the_balance_when_it_is_triggered(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        await keep_dollars(b, 100 * DOLLAR)
        terms = Terms(time_in_force=TimeInForce.GTC, limit_price=Decimal(10_000), share_bps=10_000)
        order = replace(sells_share(), type=OrderType.LIMIT, terms=terms, bound_open=False)
        await b.store.create(order)
        assert await b.store.trigger([Triggering(order_id=order.id, version=2, detail={"reason": "triggered"})])
        await b.again(order.id)
        async with b.working():
            await b.settled(order.id)
        view = await b.view(order.id)
        assert (view["amountIn"], view["maxIn"]) == (str(100 * DOLLAR), str(100 * DOLLAR))
        # 10,000 USDC per SOL: 100 USDC are worth 0.01 SOL at the limit, which is the bound to the base unit.
        assert view["minOut"] == str(SOL // 100)
        assert await b.at.holds(USDC) == 0


async def test_a_limit_for_all_waits_again_if_its_price_is_not_there(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        await keep_dollars(b, 100 * DOLLAR)
        terms = Terms(time_in_force=TimeInForce.GTC, limit_price=Decimal(1), share_bps=10_000)
        order = replace(sells_share(), type=OrderType.LIMIT, terms=terms, bound_open=False)
        await b.store.create(order)
        assert await b.store.trigger([Triggering(order_id=order.id, version=2, detail={"reason": "triggered"})])
        await b.again(order.id)
        async with b.working():
            await b.reached(order.id, Status.WAITING, Status.WAITING, Status.WAITING)
        view = await b.view(order.id)
        assert (view["status"], view["attempts"]) == ("waiting", [])
        assert view["minOut"] == str(100 * SOL), "the limit for the amount that was read"
        [rested] = [found for found in await b.store.rested_page(BEFORE_ALL) if found.id == order.id]
        assert rested.amount_base == 100 * DOLLAR, "the size that the oracle watches from now on"
        assert await b.at.holds(USDC) == 100 * DOLLAR


async def test_a_dry_run_shows_what_all_would_be_and_moves_nothing(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        await keep_dollars(b, 100 * DOLLAR)
        held = await b.at.holds(USDC), await b.at.lamports()
        order_id = await b.post(replace(sells_share(close_account=True), dry_run=True))
        async with b.working():
            events = await b.ended(order_id)
        assert (events[-1].status, events[-1].detail["amountIn"]) == (Status.SIMULATED, str(100 * DOLLAR))
        assert (await b.at.holds(USDC), await b.at.lamports()) == held
        assert await has_account(b)


@pytest.mark.parametrize("terms", [Terms(share_bps=10_000), Terms(close_account=True)], ids=["share", "close"])
async def test_on_the_simulated_chain_it_fails_with_the_reason(
    scripted_workers: OpenScriptedWorkers, terms: Terms
) -> None:
    async with scripted_workers() as b:
        order_id = await b.post(replace(new_order(), terms=terms))
        async with running(b.worker().run()):
            last = (await b.ended(order_id))[-1]
        assert (last.status, last.detail["reason"]) == (Status.FAILED, "unsupported")
        assert "wallets of the simulated chain have no balances and no token accounts" in str(last.detail["detail"])
        assert (await b.view(order_id))["attempts"] == []
        assert b.chain.sent == []
