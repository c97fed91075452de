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
from tests.support.fakes.database import OrderRow
from tests.support.fakes.store import MemoryStore
from tests.support.finality_watchers import FINALITY, GONE, HERE, LANDED, Scene
from tests.support.parts import running
from tests.support.prepared_orders import NOBODY
from tests.support.waiting import until


@pytest.fixture
def scene() -> Scene:
    return Scene()


def statuses(row: OrderRow) -> list[str]:
    return [event.status.value for event in row.events[4:]]


async def test_many_confirmed_orders_are_looked_up_in_one_request_and_all_that_are_final_end(scene: Scene) -> None:
    rows = [await scene.confirmed() for _ in range(200)]
    for row in rows[:150]:
        scene.tell(row, LANDED)
    await scene.look()
    assert [(len(signatures), history) for signatures, history in scene.chain.asked] == [(200, False)]
    assert [statuses(row) for row in rows] == [["confirmed"] * 2] * 150 + [["confirmed"]] * 50
    assert all(row.events[-1].final for row in rows[:150])
    assert all(row.open_attempt is not None for row in rows[150:])
    assert scene.queued() == []


async def test_a_page_follows_the_other_until_all_that_are_due_have_had_their_look(scene: Scene) -> None:
    rows = [await scene.confirmed() for _ in range(600)]
    await scene.look()
    assert [len(signatures) for signatures, _ in scene.chain.asked] == [256, 256, 88]
    assert {row.claim for row in rows} == {2}, "each was taken once"


async def test_what_is_only_confirmed_is_left_alone_until_its_next_look(scene: Scene) -> None:
    await scene.confirmed()
    watcher = scene.watcher()
    await watcher.look(HERE, scene.worker)
    await watcher.look(HERE, scene.worker)
    assert len(scene.chain.asked) == 1
    scene.clock.advance(FINALITY + 1)
    await watcher.look(HERE, scene.worker)
    assert len(scene.chain.asked) == 2


async def test_a_swap_that_the_chain_took_back_is_reported_and_goes_the_normal_way_again(scene: Scene) -> None:
    back, failed, stays = [await scene.confirmed() for _ in range(3)]
    scene.tell(back, GONE)
    scene.tell(failed, FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=80, finalized=True))
    await scene.look()
    assert scene.chain.asked[1:] == [([f"sig {back.new.id}"], True)], "the history is searched for what is not seen"
    for row in (back, failed):
        assert statuses(row) == ["confirmed", "submitted"]
        assert row.events[-1].detail["reason"] == "un-confirmed"
        assert row.open_attempt is not None
        assert row.open_attempt.proof == {}
    assert statuses(stays) == ["confirmed"]
    assert scene.queued() == [back.new.id, failed.new.id]
    claimed = await scene.store.claim(scene.worker, [back.new.id, failed.new.id, stays.new.id])
    assert sorted(one.order.id for one in claimed) == sorted([back.new.id, failed.new.id])


async def test_what_was_taken_back_is_found_by_the_sweeper_although_the_queue_is_away(scene: Scene) -> None:
    row = await scene.confirmed()
    scene.tell(row, GONE)

    async def away(_: Sequence[UUID]) -> int:
        raise UnavailableError("Redis does not answer")

    scene.queue.enqueue = away  # type: ignore[assignment]
    await scene.look()
    assert [i for i, _ in await scene.store.idle(0, THE_BEGINNING, NOBODY, 10)] == [row.new.id]


@pytest.mark.parametrize("at", [Failpoint.WATCHING, Failpoint.WATCHED, Failpoint.BOOKED])
async def test_promise_2_wherever_a_watcher_dies_the_next_one_ends_each_order_once(scene: Scene, at: Failpoint) -> None:
    final, back = await scene.confirmed(), await scene.confirmed()
    scene.tell(final, LANDED)
    scene.tell(back, GONE)

    async def strike(name: Failpoint) -> None:
        if name is at:
            raise KeyboardInterrupt

    dying = scene.watcher()
    scene.failpoints.strike = strike
    with pytest.raises(KeyboardInterrupt):
        await dying.look(HERE, scene.worker)
    scene.failpoints.strike = pass_through
    scene.clock.advance(FINALITY + 1)
    await scene.look()
    assert (statuses(final), statuses(back)) == (["confirmed"] * 2, ["confirmed", "submitted"])
    assert [e.seq for e in scene.events if e.order_id == final.new.id] == [1, 2, 3, 4, 5, 6]
    idle = await scene.store.idle(0, THE_BEGINNING, NOBODY, 10)
    assert [order_id for order_id, _ in idle] == [back.new.id], "nobody holds it"


async def test_promise_10_a_watcher_that_comes_late_writes_nothing(scene: Scene) -> None:
    """It freezes between its look and its write, for longer than until the next look."""
    row = await scene.confirmed()
    scene.tell(row, GONE)
    heir = scene.watcher()

    async def others_first(name: Failpoint) -> None:
        if name is Failpoint.WATCHED and row.claim == 2:
            scene.clock.advance(FINALITY + 1)
            scene.tell(row, LANDED)
            await heir.look(HERE, scene.worker)

    scene.failpoints.strike = others_first
    await scene.watcher().look(HERE, scene.worker)
    assert statuses(row) == ["confirmed"] * 2
    assert scene.queued() == [], "it is not handed back either"
    assert scene.heard.words == []


async def test_two_watchers_at_once_look_up_each_order_once(scene: Scene) -> None:
    rows = [await scene.confirmed() for _ in range(300)]
    for row in rows:
        scene.tell(row, LANDED)
    await asyncio.gather(scene.watcher().look(HERE, scene.worker), scene.watcher().look(HERE, scene.worker))
    asked = [signature for signatures, _ in scene.chain.asked for signature in signatures]
    assert len(asked) == len(set(asked)) == 300
    assert [statuses(row) for row in rows] == [["confirmed"] * 2] * 300


async def test_an_order_that_cannot_be_written_delays_no_other_and_is_reported_once(scene: Scene) -> None:
    spoilt, fine = await scene.confirmed(quoted={"amountIn": "1"}), await scene.confirmed()
    for row in (spoilt, fine):
        scene.tell(row, LANDED)
    watcher = scene.watcher()
    for _ in range(3):
        await scene.look(watcher)
    assert (statuses(spoilt), statuses(fine)) == (["confirmed"], ["confirmed"] * 2)
    assert [words.partition(":")[0] for words in scene.heard.words] == ["crashed"]


@pytest.mark.parametrize("fault", [RuntimeError("no JSON"), TimeoutError()])
async def test_promise_5_a_chain_that_is_not_available_ends_nothing_and_is_reported(
    scene: Scene, fault: BaseException
) -> None:
    row, watcher = await scene.confirmed(), scene.watcher()

    async def waits_for() -> str | None:
        await scene.look(watcher)
        return row.waiting["reason"] if row.waiting else None

    scene.chain.fault = fault
    assert await waits_for() is None, "one look in vain is no reason to worry anybody"
    assert await waits_for() == "node"
    scene.chain.fault = None
    assert await waits_for() == "finality"
    scene.tell(row, LANDED)
    assert await waits_for() is None
    assert statuses(row) == ["confirmed"] * 2


async def test_an_answer_that_cannot_be_read_proves_nothing_for_its_order_and_delays_no_other(
    scene: Scene,
) -> None:
    odd, fine = await scene.confirmed(), await scene.confirmed()
    scene.tell(odd, replace(LANDED, moved=None))  # type: ignore[arg-type]
    scene.tell(fine, LANDED)
    await scene.look()
    assert (statuses(odd), statuses(fine)) == (["confirmed"], ["confirmed"] * 2)


async def test_what_proves_nothing_changes_nothing(scene: Scene) -> None:
    row = await scene.confirmed()
    for status in (Unavailable("away"), replace(GONE, slot=77), replace(GONE, height=22_000_000)):
        scene.tell(row, status)
        await scene.look()
    assert statuses(row) == ["confirmed"]


async def test_an_order_that_no_process_serves_is_left_alone_and_shows_it(scene: Scene) -> None:
    row, watcher = await scene.confirmed(network="elsewhere"), scene.watcher()
    await scene.look(watcher)
    assert (scene.chain.asked, row.claim, row.waiting) == ([], 1, None)
    await watcher.report_unserved(scene.worker)
    assert row.waiting is None, "another process may come to it yet"
    for _ in range(2):
        scene.clock.advance(UNSERVED_AFTER_MS / 1_000 + 1)
        await watcher.report_unserved(scene.worker)
    waiting: Any = row.waiting
    assert waiting["reason"] == "network"
    assert "elsewhere" in waiting["detail"]
    assert len(scene.heard.words) == 1, "once per order"


async def test_promise_3_an_order_that_turns_out_to_be_swapped_twice_shows_it_when_it_ends(scene: Scene) -> None:
    row = await scene.made_anew()
    scene.tell(row, LANDED)
    scene.chain.known[row.attempts[0].attempt.signed.signature] = LANDED
    await scene.look()
    assert [one.outcome for one in row.attempts] == ["landed", "landed"]
    also: Any = row.events[-1].detail["alsoLanded"]
    assert [one["txHash"] for one in also] == [row.attempts[0].attempt.signed.signature]
    assert row.events[-1].final


async def test_an_old_record_without_a_network_is_looked_up_on_its_venues(scene: Scene) -> None:
    row = await scene.confirmed(network="")
    scene.tell(row, LANDED)
    await scene.look()
    assert statuses(row) == ["confirmed"] * 2


async def test_an_outage_of_postgres_is_reported_once_and_outlasted(scene: Scene) -> None:
    row = await scene.confirmed()
    scene.tell(row, LANDED)
    store, outages = MemoryStore(scene.database), 0
    take = store.take_confirmed

    async def away_at_first(*about: Any) -> Any:
        nonlocal outages
        outages += 1
        if outages < 10:
            raise UnavailableError("Postgres does not answer")
        return await take(*about)

    store.take_confirmed = away_at_first  # type: ignore[assignment]
    async with running(scene.watcher(store).run(scene.worker)):
        await until(lambda: row.finished_at)
    assert statuses(row) == ["confirmed"] * 2
    assert scene.heard.words.count("waiting") <= 2, "once by each of its loops"


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), asyncio.CancelledError()])
async def test_promise_2_a_look_that_fails_for_any_reason_is_followed_by_the_next(
    scene: Scene, fault: BaseException
) -> None:
    """A cancellation from another task would end a loop silently, and all orders would stay confirmed."""
    row = await scene.confirmed()
    scene.tell(row, LANDED)
    take, faults = scene.store.take_confirmed, [fault]

    async def faulty_at_first(*about: Any) -> Any:
        if faults:
            raise faults.pop()
        return await take(*about)

    scene.store.take_confirmed = faulty_at_first  # type: ignore[assignment]
    async with running(scene.watcher().run(scene.worker)):
        await until(lambda: row.finished_at)
    assert statuses(row) == ["confirmed"] * 2
    assert scene.heard.words == ["look failed"] * isinstance(fault, RuntimeError)


async def test_a_cancellation_that_a_client_library_swallows_ends_the_watcher_all_the_same(scene: Scene) -> None:
    asked, swallowed = asyncio.Event(), asyncio.Event()

    async def swallowing(*_: Any) -> Any:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        return []

    scene.store.take_confirmed = swallowing  # type: ignore[assignment]
    task = asyncio.ensure_future(scene.watcher().run(scene.worker))
    await asked.wait()
    task.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait([task])
    assert swallowed.is_set()
    assert task.cancelled()


def test_a_page_fits_into_one_request_of_a_node() -> None:
    assert PAGE <= MAX_STATUSES
