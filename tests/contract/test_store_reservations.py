"""Promise 16 in the store: the funds of a wallet cover what its open attempts may spend, with concurrent writers."""

import asyncio
from dataclasses import replace

import pytest

from dexexec.domain.event import Event
from dexexec.domain.funds import LAMPORTS, Need, Shortfall, Spending
from dexexec.domain.outcome import Outcome
from dexexec.domain.status import Status
from dexexec.errors import FundsReservedError
from dexexec.store import Claimed, Resolution, Store, WorkerSession
from tests.support.prepared_orders import ROUTED, Open, attempt, claimed_by, one_order, step

USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


def spends(amount: int, *, balance: int = 100, slot: int = 10, wallet: str = "wallet") -> Spending:
    return Spending(wallet, slot, (Need(USDC, amount, balance), Need(LAMPORTS, 5, 10_000)))


async def record(store: Store, claimed: Claimed, spending: Spending, genesis: str = "") -> list[Event] | None:
    """Bring a fresh order to `submitted` in one step, with an attempt that may spend this."""
    new = replace(attempt(1, f"signature of {claimed.order.id}"), spending=spending)
    new = replace(new, signed=replace(new.signed, genesis=genesis))
    return await store.advance(step(claimed, 1, *ROUTED, (Status.SUBMITTED, {}), venue="here", rounds=1, attempt=new))


async def submitted(store: Store, worker: WorkerSession, spending: Spending, genesis: str = "") -> Claimed:
    claimed = await claimed_by(store, worker, await one_order(store))
    assert await record(store, claimed, spending, genesis)
    return claimed


async def test_promise_16_an_attempt_that_does_not_fit_beside_others_writes_nothing(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        worker = await store.begin("w", 20)
        await submitted(store, worker, spends(80))
        second = await claimed_by(store, worker, await one_order(store))
        reported = len(announced)
        with pytest.raises(FundsReservedError) as caught:
            await record(store, second, spends(30))
        assert caught.value.shortfall == Shortfall(mint=USDC, needed=30, balance=100, reserved=80, orders=1)
        assert len(announced) == reported
        assert await store.versions([second.order.id]) == {second.order.id: 1}
        assert await record(store, second, spends(20)), "what fits is recorded, under the same claim"
        assert await store.reserved("wallet", 10) == {USDC: 100, LAMPORTS: 10}
        await worker.end()


async def test_promise_16_two_processes_record_no_more_attempts_than_fit(stores: Open) -> None:
    async with stores() as one, stores() as two:
        worker, other = await one.begin("w", 20), await two.begin("o", 20)
        claims = [
            await claimed_by(store, by, await one_order(store)) for store, by in [(one, worker), (two, other)] * 6
        ]
        asked = (record((one, two)[n % 2], claimed, spends(40)) for n, claimed in enumerate(claims))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(answer, list) for answer in answers) == 2
        assert sum(isinstance(answer, FundsReservedError) for answer in answers) == 10
        assert (await one.reserved("wallet", 10))[USDC] == 80
        await worker.end()
        await other.end()


async def test_other_wallets_and_chains_without_balances_do_not_count(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        await submitted(store, worker, spends(80))
        await submitted(store, worker, spends(80, wallet="another"))
        without = await claimed_by(store, worker, await one_order(store))
        assert await store.advance(step(without, 1, *ROUTED, (Status.SUBMITTED, {}), attempt=attempt(1, "none")))
        await worker.end()


async def test_promise_16_attempts_on_an_earlier_localnet_reserve_nothing_on_a_new_one(
    stores: Open,
) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        await submitted(store, worker, spends(80), "before")
        await submitted(store, worker, spends(80), "anew")
        second = await claimed_by(store, worker, await one_order(store))
        with pytest.raises(FundsReservedError) as caught:
            await record(store, second, spends(30), "anew")
        assert caught.value.shortfall.orders == 1
        assert await store.reserved("wallet", 10, "before") == {USDC: 80, LAMPORTS: 5}
        assert await store.reserved("wallet", 10, "anew") == {USDC: 80, LAMPORTS: 5}
        assert await store.reserved("wallet", 10, "another") == {}
        await worker.end()


async def test_promise_16_an_attempt_without_a_stored_chain_reserves_on_all_chains(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        await submitted(store, worker, spends(80))
        second = await claimed_by(store, worker, await one_order(store))
        with pytest.raises(FundsReservedError):
            await record(store, second, spends(30), "anew")
        assert await store.reserved("wallet", 10, "anew") == {USDC: 80, LAMPORTS: 5}
        await worker.end()


@pytest.mark.parametrize("outcome", [Outcome.EXPIRED, Outcome.UNSENT])
async def test_a_reservation_ends_with_its_attempt(stores: Open, outcome: Outcome) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        first = await submitted(store, worker, spends(80))
        gone = Resolution(1, outcome, {"heightSeen": 151})
        assert await store.advance(step(first, 4, (Status.ROUTING, {}), resolution=gone))
        assert await store.reserved("wallet", 10) == {}
        await submitted(store, worker, spends(80))
        await worker.end()


async def test_a_landed_swap_is_part_of_balances_from_its_slot_on(stores: Open) -> None:
    """Confirmed, taken back by the chain, and final."""
    async with stores() as store:
        worker = await store.begin("w", 20)
        first = await submitted(store, worker, spends(80))
        seen = Resolution(1, None, {"slot": 12, "finalized": False})
        assert await store.advance(step(first, 4, (Status.CONFIRMED, {}), resolution=seen))
        assert (await store.reserved("wallet", 11))[USDC] == 80
        assert await store.reserved("wallet", 12) == {}
        undone = Resolution(1, None, {})
        assert await store.advance(step(first, 5, (Status.SUBMITTED, {}), resolution=undone))
        assert (await store.reserved("wallet", 12))[USDC] == 80, "it is in flight again"
        final = Resolution(1, Outcome.LANDED, {"slot": 13, "finalized": True})
        assert await store.advance(step(first, 6, (Status.CONFIRMED, {}), resolution=final, final=True))
        assert (await store.reserved("wallet", 12))[USDC] == 80, "a balance that was read before it landed has it still"
        assert await store.reserved("wallet", 13) == {}
        await worker.end()
