"""The watcher of confirmed orders: every page is completed after crashes, freezes and lost answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.swap import FailedOnChain, Unavailable
from dexexec.errors import UnavailableError
from dexexec.execution.finality_watcher import PAGE, UNSERVED_AFTER_MS
from dexexec.execution.sweeper import THE_BEGINNING
from dexexec.failpoints import Failpoint
from dexexec.settlement.solana.rpc.methods import MAX_STATUSES
from tests.support.failpoints import pass_through
from tests.support.fakes.rows import OrderRow
from tests.support.fakes.store import MemoryStore
from tests.support.finality_watchers import FINALITY, GONE, HERE, LANDED, WatcherSetup
from tests.support.parts import running
from tests.support.prepared_orders import NIL_ID
from tests.support.waiting import until


@pytest.fixture
def setup() -> WatcherSetup:
    return WatcherSetup()


def statuses(row: OrderRow) -> list[str]:
    return [event.status.value for event in row.events[4:]]


async def test_many_confirmed_orders_are_looked_up_in_one_request_and_all_that_are_final_end(
    setup: WatcherSetup,
) -> None:
    rows = [await setup.confirmed() for _ in range(200)]
    for row in rows[:150]:
        setup.tell(row, LANDED)
    await setup.look()
    assert [(len(signatures), history) for signatures, history in setup.chain.asked] == [(200, False)]
    assert [statuses(row) for row in rows] == [["confirmed"] * 2] * 150 + [["confirmed"]] * 50
    assert all(row.events[-1].final for row in rows[:150])
    assert all(row.open_attempt is not None for row in rows[150:])
    assert setup.queued() == []


async def test_a_page_follows_the_other_until_all_that_are_due_have_had_their_look(setup: WatcherSetup) -> None:
    rows = [await setup.confirmed() for _ in range(600)]
    await setup.look()
    assert [len(signatures) for signatures, _ in setup.chain.asked] == [256, 256, 88]
    assert {row.claim for row in rows} == {2}, "each was taken once"


async def test_what_is_only_confirmed_is_left_alone_until_its_next_look(setup: WatcherSetup) -> None:
    await setup.confirmed()
    watcher = setup.watcher()
    await watcher.look(HERE, setup.worker)
    await watcher.look(HERE, setup.worker)
    assert len(setup.chain.asked) == 1
    setup.clock.advance(FINALITY + 1)
    await watcher.look(HERE, setup.worker)
    assert len(setup.chain.asked) == 2


async def test_a_swap_that_the_chain_took_back_is_reported_and_goes_the_normal_way_again(setup: WatcherSetup) -> None:
    back, failed, stays = [await setup.confirmed() for _ in range(3)]
    setup.tell(back, GONE)
    setup.tell(failed, FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=80, finalized=True))
    await setup.look()
    assert setup.chain.asked[1:] == [([f"sig {back.new.id}"], True)], "the history is searched for what is not seen"
    for row in (back, failed):
        assert statuses(row) == ["confirmed", "submitted"]
        assert row.events[-1].detail["reason"] == "un-confirmed"
        assert row.open_attempt is not None
        assert row.open_attempt.proof == {}
    assert statuses(stays) == ["confirmed"]
    assert setup.queued() == [back.new.id, failed.new.id]
    claimed = await setup.store.claim(setup.worker, [back.new.id, failed.new.id, stays.new.id])
    assert sorted(one.order.id for one in claimed) == sorted([back.new.id, failed.new.id])


async def test_what_was_taken_back_is_found_by_the_sweeper_although_the_queue_is_away(setup: WatcherSetup) -> None:
    row = await setup.confirmed()
    setup.tell(row, GONE)

    async def away(_: Sequence[UUID]) -> int:
        raise UnavailableError("Redis does not answer")

    setup.queue.enqueue = away  # type: ignore[assignment]
    await setup.look()
    assert [i for i, _ in await setup.store.idle(0, THE_BEGINNING, NIL_ID, 10)] == [row.new.id]


@pytest.mark.parametrize("at", [Failpoint.WATCHING, Failpoint.WATCHED, Failpoint.BOOKED])
async def test_promise_2_wherever_a_watcher_dies_the_next_one_ends_each_order_once(
    setup: WatcherSetup, at: Failpoint
) -> None:
    final, back = await setup.confirmed(), await setup.confirmed()
    setup.tell(final, LANDED)
    setup.tell(back, GONE)

    async def strike(name: Failpoint) -> None:
        if name is at:
            raise KeyboardInterrupt

    dying = setup.watcher()
    setup.failpoints.strike = strike
    with pytest.raises(KeyboardInterrupt):
        await dying.look(HERE, setup.worker)
    setup.failpoints.strike = pass_through
    setup.clock.advance(FINALITY + 1)
    await setup.look()
    assert (statuses(final), statuses(back)) == (["confirmed"] * 2, ["confirmed", "submitted"])
    assert [e.seq for e in setup.events if e.order_id == final.new.id] == [1, 2, 3, 4, 5, 6]
    idle = await setup.store.idle(0, THE_BEGINNING, NIL_ID, 10)
    assert [order_id for order_id, _ in idle] == [back.new.id], "nobody holds it"


async def test_promise_10_a_watcher_that_comes_late_writes_nothing(setup: WatcherSetup) -> None:
    """It freezes between its look and its write, for longer than until the next look."""
    row = await setup.confirmed()
    setup.tell(row, GONE)
    heir = setup.watcher()

    async def others_first(name: Failpoint) -> None:
        if name is Failpoint.WATCHED and row.claim == 2:
            setup.clock.advance(FINALITY + 1)
            setup.tell(row, LANDED)
            await heir.look(HERE, setup.worker)

    setup.failpoints.strike = others_first
    await setup.watcher().look(HERE, setup.worker)
    assert statuses(row) == ["confirmed"] * 2
    assert setup.queued() == [], "it is not handed back either"
    assert setup.heard.words == []


async def test_two_watchers_at_once_look_up_each_order_once(setup: WatcherSetup) -> None:
    rows = [await setup.confirmed() for _ in range(300)]
    for row in rows:
        setup.tell(row, LANDED)
    await asyncio.gather(setup.watcher().look(HERE, setup.worker), setup.watcher().look(HERE, setup.worker))
    asked = [signature for signatures, _ in setup.chain.asked for signature in signatures]
    assert len(asked) == len(set(asked)) == 300
    assert [statuses(row) for row in rows] == [["confirmed"] * 2] * 300


async def test_an_order_that_cannot_be_written_delays_no_other_and_is_reported_once(setup: WatcherSetup) -> None:
    spoilt, fine = await setup.confirmed(quoted={"amountIn": "1"}), await setup.confirmed()
    for row in (spoilt, fine):
        setup.tell(row, LANDED)
    watcher = setup.watcher()
    for _ in range(3):
        await setup.look(watcher)
    assert (statuses(spoilt), statuses(fine)) == (["confirmed"], ["confirmed"] * 2)
    assert [words.partition(":")[0] for words in setup.heard.words] == ["crashed"]


@pytest.mark.parametrize("fault", [RuntimeError("no JSON"), TimeoutError()])
async def test_promise_5_a_chain_that_is_not_available_ends_nothing_and_is_reported(
    setup: WatcherSetup, fault: BaseException
) -> None:
    row, watcher = await setup.confirmed(), setup.watcher()

    async def waits_for() -> str | None:
        await setup.look(watcher)
        return row.waiting["reason"] if row.waiting else None

    setup.chain.fault = fault
    assert await waits_for() is None, "one look in vain is no reason to worry anybody"
    assert await waits_for() == "node"
    setup.chain.fault = None
    assert await waits_for() == "finality"
    setup.tell(row, LANDED)
    assert await waits_for() is None
    assert statuses(row) == ["confirmed"] * 2


async def test_an_answer_that_cannot_be_read_proves_nothing_for_its_order_and_delays_no_other(
    setup: WatcherSetup,
) -> None:
    odd, fine = await setup.confirmed(), await setup.confirmed()
    setup.tell(odd, replace(LANDED, moved=None))  # type: ignore[arg-type]
    setup.tell(fine, LANDED)
    await setup.look()
    assert (statuses(odd), statuses(fine)) == (["confirmed"], ["confirmed"] * 2)


async def test_what_proves_nothing_changes_nothing(setup: WatcherSetup) -> None:
    row = await setup.confirmed()
    for status in (Unavailable("away"), replace(GONE, slot=77), replace(GONE, height=22_000_000)):
        setup.tell(row, status)
        await setup.look()
    assert statuses(row) == ["confirmed"]


async def test_an_order_that_no_process_serves_is_left_alone_and_shows_it(setup: WatcherSetup) -> None:
    row, watcher = await setup.confirmed(network="elsewhere"), setup.watcher()
    await setup.look(watcher)
    assert (setup.chain.asked, row.claim, row.waiting) == ([], 1, None)
    await watcher.report_unserved(setup.worker)
    assert row.waiting is None, "another process may come to it yet"
    for _ in range(2):
        setup.clock.advance(UNSERVED_AFTER_MS / 1_000 + 1)
        await watcher.report_unserved(setup.worker)
    waiting: Any = row.waiting
    assert waiting["reason"] == "network"
    assert "elsewhere" in waiting["detail"]
    assert len(setup.heard.words) == 1, "once per order"


async def test_promise_3_an_order_that_turns_out_to_be_swapped_twice_shows_it_when_it_ends(setup: WatcherSetup) -> None:
    row = await setup.made_anew()
    setup.tell(row, LANDED)
    setup.chain.known[row.attempts[0].attempt.signed.signature] = LANDED
    await setup.look()
    assert [one.outcome for one in row.attempts] == ["landed", "landed"]
    also: Any = row.events[-1].detail["alsoLanded"]
    assert [one["txHash"] for one in also] == [row.attempts[0].attempt.signed.signature]
    assert row.events[-1].final


async def test_an_old_record_without_a_network_is_looked_up_on_its_venues(setup: WatcherSetup) -> None:
    row = await setup.confirmed(network="")
    setup.tell(row, LANDED)
    await setup.look()
    assert statuses(row) == ["confirmed"] * 2


async def test_an_outage_of_postgres_is_reported_once_and_outlasted(setup: WatcherSetup) -> None:
    row = await setup.confirmed()
    setup.tell(row, LANDED)
    store, outages = MemoryStore(setup.database), 0
    take = store.take_confirmed

    async def away_at_first(*about: Any) -> Any:
        nonlocal outages
        outages += 1
        if outages < 10:
            raise UnavailableError("Postgres does not answer")
        return await take(*about)

    store.take_confirmed = away_at_first  # type: ignore[assignment]
    async with running(setup.watcher(store).run(setup.worker)):
        await until(lambda: row.finished_at)
    assert statuses(row) == ["confirmed"] * 2
    assert setup.heard.words.count("waiting") <= 2, "once by each of its loops"


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), asyncio.CancelledError()])
async def test_promise_2_a_look_that_fails_for_any_reason_is_followed_by_the_next(
    setup: WatcherSetup, fault: BaseException
) -> None:
    """A cancellation from another task would end a loop silently, and all orders would stay confirmed."""
    row = await setup.confirmed()
    setup.tell(row, LANDED)
    take, faults = setup.store.take_confirmed, [fault]

    async def faulty_at_first(*about: Any) -> Any:
        if faults:
            raise faults.pop()
        return await take(*about)

    setup.store.take_confirmed = faulty_at_first  # type: ignore[assignment]
    async with running(setup.watcher().run(setup.worker)):
        await until(lambda: row.finished_at)
    assert statuses(row) == ["confirmed"] * 2
    assert setup.heard.words == ["look failed"] * isinstance(fault, RuntimeError)


async def test_a_cancellation_that_a_client_library_swallows_ends_the_watcher_all_the_same(setup: WatcherSetup) -> None:
    asked, swallowed = asyncio.Event(), asyncio.Event()

    async def swallowing(*_: Any) -> Any:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        return []

    setup.store.take_confirmed = swallowing  # type: ignore[assignment]
    task = asyncio.ensure_future(setup.watcher().run(setup.worker))
    await asked.wait()
    task.cancel()
    async with asyncio.timeout(20):
        await asyncio.wait([task])
    assert swallowed.is_set()
    assert task.cancelled()


def test_a_page_fits_into_one_request_of_a_node() -> None:
    assert PAGE <= MAX_STATUSES
