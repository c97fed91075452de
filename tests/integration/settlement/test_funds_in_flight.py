"""Promise 16 on a real chain: orders in flight never count on the same balance, so none fails on chain for it."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from dexexec.domain.funds import LAMPORTS
from dexexec.domain.order import NewOrder, Side
from dexexec.domain.quote import Mode
from dexexec.domain.status import Status
from dexexec.domain.token import USDC, WSOL
from dexexec.failpoints import Failpoint
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.transaction import associated_token_account
from tests.support.localnet.settlement_setup import FINAL
from tests.support.localnet.worker_setup import LONG_MS, OpenWorkers, WorkerSetup
from tests.support.parts import new_order, open_store, running
from tests.support.swap_transactions import address, call, pay
from tests.support.waiting import until

SOL, DOLLAR = 10**9, 10**6
CONCURRENCY = 64
OVER = {Status.CONFIRMED, Status.FAILED, Status.EXPIRED}


def sells_dollars(amount: str) -> NewOrder:
    return new_order(side=Side.SELL, amount=amount, deadline_ms=LONG_MS)


def sells_sol(amount: str) -> NewOrder:
    return new_order(amount=amount, deadline_ms=LONG_MS)


async def keep_dollars(b: WorkerSetup, amount: int) -> None:
    """The wallet holds so much USDC and no more."""
    wallet = b.at.wallet.address
    dollars = associated_token_account(wallet, USDC)
    data = b"\x08" + (await b.at.holds(USDC) - amount).to_bytes(8, "little")
    await b.at.land(call(Program.TOKEN, data, dollars, USDC, wallet, signers=[wallet]))
    await b.at.advance(FINAL)


async def keep_lamports(b: WorkerSetup, amount: int) -> None:
    """The wallet holds so many lamports and no more."""
    too_many = await b.at.lamports() - amount - 5_000
    await b.at.land(pay(b.at.wallet.address, address("stranger"), too_many))
    await b.at.advance(FINAL)


async def all_over(b: WorkerSetup, order_ids: list[UUID]) -> list[Status]:
    """How each order ended, its swap final."""

    async def over() -> bool:
        events = await b.store.events_after([(order_id, 0) for order_id in order_ids])
        return all(found[-1].status in OVER for found in events.values())

    await until(over, pause=0.01)
    await b.at.advance(FINAL)
    for order_id in order_ids:
        await b.ended(order_id)
    return [Status((await b.view(order_id))["status"]) for order_id in order_ids]


async def two_processes(b: WorkerSetup, stack: AsyncExitStack) -> None:
    """Workers over a store each, at work until the stack unwinds."""
    other = await stack.enter_async_context(open_store(b.address))
    workers = [replace(b, store=store).worker(concurrency=CONCURRENCY) for store in (b.store, other)]
    await stack.enter_async_context(running(*(worker.run() for worker in workers)))


async def test_promise_16_six_sales_of_more_than_a_third_of_the_wallet_are_two(open_workers: OpenWorkers) -> None:
    async with open_workers() as b, AsyncExitStack() as stack:
        await keep_lamports(b, 10 * SOL)
        await b.at.set_faults(late={"transactions": CONCURRENCY, "slots": 6})  # all six are prepared before one lands
        order_ids = [await b.post(sells_sol("4")) for _ in range(6)]
        await two_processes(b, stack)
        ended = await all_over(b, order_ids)
        assert sorted(ended) == [Status.CONFIRMED] * 2 + [Status.FAILED] * 4
        assert await b.at.swaps(failed=True) == []
        assert len(await b.at.swaps()) == 2
        for order_id in (one for one, status in zip(order_ids, ended, strict=True) if status is Status.FAILED):
            view = await b.view(order_id)
            assert (view["failureReason"], view["attempts"]) == ("insufficient-funds", [])
            assert "SOL" in view["events"][-1]["detail"]
        assert await b.store.reserved(b.at.wallet.address, 2**60) == {}


async def test_promise_16_what_others_may_spend_is_shown_and_waited_for_before_it_is_a_reason(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers() as b, AsyncExitStack() as stack:
        await keep_dollars(b, 100 * DOLLAR)
        b.at.failpoints.stall = Failpoint.RECORDED
        first = await b.post(sells_dollars("80"))
        await two_processes(b, stack)
        await asyncio.wait_for(b.at.failpoints.stalled.wait(), 20)
        seen: list[Any] = []

        async def look() -> None:
            seen.append(await b.view(others[0]))

        b.at.clock.meanwhile.append(look)  # the first pause is that of who waits for funds
        others = [await b.post(sells_dollars("80"))]
        assert (await b.ended(others[0]))[-1].status is Status.FAILED
        assert seen[0]["waitingFor"]["reason"] == "funds"
        assert "80 USDC are needed" in seen[0]["waitingFor"]["detail"]
        others.append(await b.post(sells_dollars("80")))
        for order_id in others:
            assert (await b.ended(order_id))[-1].status is Status.FAILED
            view = await b.view(order_id)
            assert (view["failureReason"], view["attempts"]) == ("insufficient-funds", [])
            [waits] = [one for one in view["events"] if "waitMs" in one]
            words = "80 USDC are needed; the wallet can spend 100 USDC, of which 1 other order may still take"
            assert (waits["status"], waits["detail"]) == ("building", f"{words} 80 USDC")
            assert view["events"][-1]["detail"] == waits["detail"]
            assert 0 < waits["waitMs"] <= 3_000
        b.at.failpoints.go_on.set()
        assert await all_over(b, [first]) == [Status.CONFIRMED]
        assert await b.at.swaps(failed=True) == []


async def test_a_price_that_moves_meanwhile_does_not_keep_an_order_that_the_wallet_cannot_pay(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers() as b, AsyncExitStack() as stack:
        await keep_lamports(b, 9_000 * SOL)
        b.at.failpoints.stall = Failpoint.RECORDED
        first = await b.post(sells_sol("5400"))
        await two_processes(b, stack)
        await asyncio.wait_for(b.at.failpoints.stalled.wait(), 20)

        async def go_on() -> None:
            b.at.failpoints.go_on.set()
            await b.reached(first, Status.CONFIRMED)

        b.at.clock.meanwhile.append(go_on)
        second = await b.post(sells_sol("5400"))
        assert await all_over(b, [first, second]) == [Status.CONFIRMED, Status.FAILED]
        view = await b.view(second)
        assert view["failureReason"] == "insufficient-funds"
        assert "holds 35" in view["events"][-1]["detail"]


async def test_promise_16_many_small_orders_that_fit_together_all_pass(open_workers: OpenWorkers) -> None:
    async with open_workers() as b, AsyncExitStack() as stack:
        await keep_dollars(b, 100 * DOLLAR)
        order_ids = [await b.post(sells_dollars("2.5")) for _ in range(40)]
        await two_processes(b, stack)
        assert await all_over(b, order_ids) == [Status.CONFIRMED] * 40
        assert await b.at.swaps(failed=True) == []
        assert await b.at.holds(USDC) == 0


async def test_promise_16_exact_outputs_for_sol_do_not_wait_for_each_other_where_there_is_enough(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers() as b, AsyncExitStack() as stack:
        b.at.failpoints.stall = Failpoint.RECORDED
        bought = new_order(amount="50", mode=Mode.EXACT_OUT, deadline_ms=LONG_MS)
        first = await b.post(bought)
        await two_processes(b, stack)
        await asyncio.wait_for(b.at.failpoints.stalled.wait(), 20)
        second = await b.post(replace(bought, id=uuid4()))
        await b.reached(second, Status.CONFIRMED)
        assert not [event for event in await b.events(second) if "waitMs" in event.detail]
        b.at.failpoints.go_on.set()
        assert await all_over(b, [first, second]) == [Status.CONFIRMED] * 2


async def test_promise_16_a_crash_between_record_and_send_leaves_a_reservation_that_ends_with_its_attempt(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers() as b:
        await keep_dollars(b, 100 * DOLLAR)
        at, wallet = b.at, b.at.wallet.address
        at.failpoints.stall = Failpoint.RECORDED
        first = await b.post(sells_dollars("80"))
        dies = asyncio.create_task(b.worker().run())
        await asyncio.wait_for(at.failpoints.stalled.wait(), 20)
        assert (await b.store.reserved(wallet, 0))[USDC] == 80 * DOLLAR
        second = await b.post(sells_dollars("80"))
        async with b.working():
            assert (await b.ended(second))[-1].status is Status.FAILED
            assert (await b.view(second))["failureReason"] == "insufficient-funds"
            dies.cancel()
            await asyncio.gather(dies, return_exceptions=True)
            await b.store.remove_dead_workers()
            await b.again(first)
            await b.settled(first)
        assert await b.store.reserved(wallet, 2**60) == {}
        assert (await b.view(first))["attemptCount"] == 1


async def test_promise_16_fees_and_rent_are_reserved_too(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        at = b.at
        at.failpoints.stall = Failpoint.RECORDED
        await b.post(sells_sol("0.01"))
        async with b.working():
            await asyncio.wait_for(at.failpoints.stalled.wait(), 20)
            reserved = await b.store.reserved(at.wallet.address, 0)
            rent = await at.net.rpc("getMinimumBalanceForRentExemption", 165)
            assert reserved == {LAMPORTS: SOL // 100 + rent + 2 * 5_000}
            assert WSOL not in reserved
            at.failpoints.go_on.set()
