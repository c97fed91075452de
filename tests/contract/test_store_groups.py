"""Groups of orders: of the orders of a group one is filled, with concurrent writers, and its end cancels the others."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from dexexec.domain.cancellation import Cancelled
from dexexec.domain.event import Detail, Event
from dexexec.domain.order import NewOrder
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.domain.token import KNOWN, Tokens
from dexexec.errors import GroupHeldError
from dexexec.store import Claimed, EndedOrder, FollowUp, Resolution, Store, WorkerSession
from dexexec.store.follow_ups import FROM_THE_START
from tests.support.parts import new_order
from tests.support.prepared_orders import ROUTED, Open, OpenRecord, attempt, claimed_by, step
from tests.support.resting_orders import limit_order

TOKENS = Tokens(KNOWN)
FILL = Fill(10_000_000, 1_500_000, 5_000, 7)
SUBMIT: tuple[tuple[Status, Detail], ...] = (*ROUTED, (Status.SUBMITTED, {}))


def member(group: str, **changes: Any) -> NewOrder:
    """A market order of a group."""
    return replace(new_order(), oco_group=group, **changes)


def limit_member(group: str, **changes: Any) -> NewOrder:
    """An order of a group that rests."""
    return replace(limit_order(), oco_group=group, **changes)


async def claim_member(store: Store, worker: WorkerSession, order: NewOrder) -> Claimed:
    """That order, created and claimed."""
    return await claimed_by(store, worker, (await store.create(order)).order_id)


def of_group(claimed: Claimed) -> dict[str, Any]:
    """What its worker adds to each step."""
    return {"group": claimed.order.oco_group, "group_lookups": len(claimed.group_signatures)}


async def submit(store: Store, claimed: Claimed, n: int = 1) -> list[Event] | None:
    """Record an attempt, as a worker does before it sends."""
    new = attempt(n, f"{claimed.order.id}/{n}")
    version = claimed.order.version
    return await store.advance(step(claimed, version, *SUBMIT, venue="here", attempt=new, **of_group(claimed)))


async def finish(store: Store, claimed: Claimed, n: int = 1) -> list[Event] | None:
    """Its swap is final."""
    final = Resolution(n, Outcome.LANDED, {"slot": 7, "finalized": True})
    version = claimed.order.version + 3
    last = (Status.CONFIRMED, {"finalized": True})
    return await store.advance(
        step(claimed, version, last, resolution=final, final=True, fill=FILL, **of_group(claimed))
    )


async def expire_attempt(store: Store, claimed: Claimed) -> None:
    """The attempt can never land, and the order is due again."""
    gone = Resolution(1, Outcome.EXPIRED, {"heightSeen": 151})
    again = step(claimed, claimed.order.version + 3, (Status.ROUTING, {}), resolution=gone, resume_in_ms=0)
    assert await store.advance(again)


async def follow_all(store: Store) -> list[FollowUp]:
    """Follow up every order that ended."""
    ended = await store.ended_orders(FROM_THE_START, 100)
    return [await store.follow_up(order, TOKENS) for order in ended]


async def status_of(store: Store, order_id: UUID) -> str:
    """The order's status."""
    order = await store.order(order_id)
    assert order is not None
    return str(order["status"])


async def test_promise_22_while_one_of_a_group_may_land_no_other_is_signed(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        first, second = [await claim_member(store, worker, member("pair")) for _ in range(2)]
        stranger = await claim_member(store, worker, member("other"))
        assert await submit(store, first)
        with pytest.raises(GroupHeldError) as caught:
            await submit(store, second)
        assert (caught.value.held.order_id, caught.value.held.filled) == (first.order.id, False)
        assert await store.versions([second.order.id]) == {second.order.id: 1}, "nothing was written"
        assert await submit(store, stranger), "another group is free"
        await worker.end()


async def test_promise_22_a_confirmed_swap_holds_its_group_until_it_is_final_and_after_the_chain_took_it_back(
    stores: Open,
) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        first, second = [await claim_member(store, worker, member("pair")) for _ in range(2)]
        await submit(store, first)
        seen = Resolution(1, None, {"slot": 7, "finalized": False})
        assert await store.advance(
            step(first, 4, (Status.CONFIRMED, {}), resolution=seen, fill=FILL, **of_group(first))
        )
        with pytest.raises(GroupHeldError):
            await submit(store, second)
        assert await follow_all(store) == [], "it is not final: nobody is cancelled"
        undone = Resolution(1, None, {})
        assert await store.advance(step(first, 5, (Status.SUBMITTED, {}), resolution=undone, **of_group(first)))
        with pytest.raises(GroupHeldError):
            await submit(store, second)
        assert await status_of(store, second.order.id) == "pending"
        await worker.end()


async def test_promise_22_the_fill_of_one_cancels_the_others_whatever_they_do(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        worker = await store.begin("w", 20)
        first, second = [await claim_member(store, worker, member("pair")) for _ in range(2)]
        resting = (await store.create(limit_member("pair"))).order_id
        alone = (await store.create(limit_member("other"))).order_id
        dry = (await store.create(limit_member("pair", dry_run=True))).order_id
        await submit(store, first)
        await finish(store, first)
        [followed] = await follow_all(store)
        assert (set(followed.cancelled), followed.done) == ({second.order.id, resting}, True)
        assert [await status_of(store, one) for one in (second.order.id, resting, alone, dry)] == [
            "cancelled", "cancelled", "waiting", "waiting",
        ]  # fmt: skip
        cancelled = [event for event in announced if event.status is Status.CANCELLED]
        assert {event.order_id for event in cancelled} == {second.order.id, resting}
        assert all(event.detail["filledBy"] == str(first.order.id) and event.final for event in cancelled)
        assert await store.advance(step(second, 1, *ROUTED)) is None, "its worker writes nothing more"
        assert await follow_all(store) == [FollowUp(), FollowUp()], "the ends of the cancelled ones concern nobody"
        assert await follow_all(store) == [], "each end is followed up once"
        await worker.end()


async def test_an_order_that_comes_when_its_group_was_filled_is_neither_signed_nor_left_to_wait(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        early = (await store.create(limit_member("free"))).order_id
        first = await claim_member(store, worker, member("pair"))
        await submit(store, first)
        await finish(store, first)
        await follow_all(store)
        late = await claim_member(store, worker, member("pair"))
        with pytest.raises(GroupHeldError) as caught:
            await submit(store, late)
        assert caught.value.held.filled
        resting = (await store.create(limit_member("pair"))).order_id
        _, cancelled = await store.join_groups(100)
        assert set(cancelled) == {late.order.id, resting}
        assert await status_of(store, early) == "waiting"
        assert await store.join_groups(100) == (0, []), "each order is looked at once"
        await worker.end()


async def test_an_order_that_failed_or_was_cancelled_by_its_client_leaves_the_others_their_way(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        first, second, third = [await claim_member(store, worker, member("pair")) for _ in range(3)]
        assert isinstance(await store.cancel(third.order.id), Cancelled)
        await submit(store, first)
        failed = Resolution(1, Outcome.FAILED, {"slot": 7})
        ended = step(first, 4, (Status.FAILED, {}), resolution=failed, final=True, **of_group(first))
        assert await store.advance(ended)
        assert [one.cancelled for one in await follow_all(store)] == [[], []]
        with pytest.raises(GroupHeldError) as caught:
            await submit(store, second)
        assert caught.value.held.order_id is None, "the attempt of the other one must be looked up first"
        await worker.end()


async def test_promise_22_after_an_attempt_that_was_proven_gone_the_next_order_looks_it_up_before_it_is_signed(
    stores: Open,
) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        first, second = [await claim_member(store, worker, member("pair")) for _ in range(2)]
        assert second.group_signatures == ()
        await submit(store, first)
        await expire_attempt(store, first)
        with pytest.raises(GroupHeldError) as caught:
            await submit(store, second)
        assert caught.value.held.order_id is None
        assert await store.advance(step(second, 1, (Status.ROUTING, {}), resume_in_ms=0))
        again = await claimed_by(store, worker, second.order.id)
        assert again.group_signatures == (f"{first.order.id}/1",)
        assert await submit(store, replace(again, order=replace(again.order, version=2)), 1)
        await worker.end()


async def test_an_earlier_attempt_of_a_resting_order_that_landed_makes_it_due(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        first = await claim_member(store, worker, member("pair"))
        await submit(store, first)
        gone = Resolution(1, Outcome.EXPIRED, {"heightSeen": 151})
        rest = step(first, 4, (Status.WAITING, {}), resolution=gone, rest_ms=60_000.0)
        assert await store.advance(rest)
        other = (await store.create(limit_member("pair"))).order_id
        assert await store.claim(worker.id, [first.order.id]) == [], "it rests"
        await store.wake_landed("pair", ["unknown"])
        await store.wake_landed("other", [f"{first.order.id}/1"])
        assert await store.claim(worker.id, [first.order.id]) == []
        await store.wake_landed("pair", [f"{first.order.id}/1"])
        [due] = await store.claim(worker.id, [first.order.id, other])
        assert due.order.id == first.order.id
        await worker.end()


async def test_an_order_whose_swap_may_land_is_not_cancelled_and_two_fills_are_reported(stores: Open) -> None:
    """Neither can happen while nodes report the truth: an attempt that was proven gone is on chain after all."""
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        worker = await store.begin("w", 20)
        first, second = [await claim_member(store, worker, member("pair")) for _ in range(2)]
        await submit(store, first)
        await expire_attempt(store, first)
        looked_up = replace(second, group_signatures=("it was looked up",))
        assert await submit(store, looked_up)
        late = await claimed_by(store, worker, first.order.id)
        events: tuple[tuple[Status, Detail], ...] = (
            (Status.BUILDING, {}),
            (Status.SUBMITTED, {}),
            (Status.CONFIRMED, {"finalized": True}),
        )
        found = Resolution(1, Outcome.LANDED, {"slot": 7, "finalized": True, "foundLate": True})
        assert await store.advance(
            step(late, 5, *events, corrections=(found,), final=True, fill=FILL, **of_group(late))
        )
        [followed] = await follow_all(store)
        assert (followed.cancelled, followed.also_filled, followed.done) == ([], [], False), "it is looked at again"
        assert await status_of(store, second.order.id) == "submitted"
        assert await finish(store, second)
        assert announced[-1].detail["groupAlsoFilled"] == [str(first.order.id)]
        results = {one.also_filled[0]: one.done for one in await follow_all(store)}
        assert results == {first.order.id: True, second.order.id: True}
        await worker.end()


async def test_promise_3_no_order_of_a_group_is_cancelled_in_a_record_that_is_not_compared(records: OpenRecord) -> None:
    async with records() as record:
        first = await record.claimed()
        resting = (await record.store.create(limit_member("pair"))).order_id
        grouped = await claim_member(record.store, record.workers[0], member("pair"))
        await submit(record.store, grouped)
        await finish(record.store, grouped)
        await record.moves_to_another_database()
        [ended] = await record.store.ended_orders(FROM_THE_START, 10)
        followed = await record.store.follow_up(ended, TOKENS)
        assert (followed.cancelled, followed.done) == ([], False)
        assert await status_of(record.store, resting) == "waiting"
        late = (await record.store.create(limit_member("pair"))).order_id
        settled, cancelled = await record.store.join_groups(10)
        assert (settled, cancelled) == (0, []), "they are looked at again"
        assert await status_of(record.store, late) == "waiting"
        assert await status_of(record.store, first.order.id) == "pending"


async def test_ended_orders_come_in_the_order_in_which_they_ended_page_by_page(stores: Open) -> None:
    async with stores() as store:
        ids = [(await store.create(limit_member(f"g{n}"))).order_id for n in range(5)]
        for order_id in ids:
            await store.cancel(order_id)
        await store.cancel((await store.create(new_order())).order_id)
        place, seen = FROM_THE_START, list[EndedOrder]()
        while page := await store.ended_orders(place, 2):
            seen += page
            place = (page[-1].finished_at, page[-1].id)
        assert [(one.id, one.group) for one in seen] == [(order_id, f"g{n}") for n, order_id in enumerate(ids)]


async def test_promise_22_of_many_concurrent_steps_of_pairs_one_of_each_pair_wins(stores: Open) -> None:
    """Two processes, pairs of orders in one batch and in different ones, and follow-ups in between."""
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    async with stores() as one, stores() as two:
        workers = [await one.begin("w", 20), await two.begin("o", 20)]
        pairs = [await _pair(rng, (one, two), workers) for _ in range(25)]
        asked = [asked for pair in pairs for asked in pair]
        rng.shuffle(asked)
        answers = await asyncio.gather(*(_race(rng, store, claimed) for store, claimed in asked), _follow_often(two))
        winners = {claimed.order.id for (_, claimed), won in zip(asked, answers, strict=False) if won}
        for pair in pairs:
            assert len(winners & {claimed.order.id for _, claimed in pair}) == 1, f"seed {seed}"
        await follow_all(one)
        for pair in pairs:
            statuses = [await status_of(one, claimed.order.id) for _, claimed in pair]
            assert sorted(statuses) == ["cancelled", "confirmed"], f"seed {seed}"
        for worker in workers:
            await worker.end()


async def _pair(
    rng: random.Random, stores: Sequence[Store], workers: Sequence[WorkerSession]
) -> list[tuple[Store, Claimed]]:
    group, pair = uuid4().hex, []
    for _ in range(2):
        here = rng.randrange(2)
        pair.append((stores[here], await claim_member(stores[here], workers[here], member(group))))
    return pair


async def _race(rng: random.Random, store: Store, claimed: Claimed) -> bool:
    """Try to record an attempt, and to fill the order with it. Whether that succeeded."""
    for _ in range(rng.randrange(3)):
        await asyncio.sleep(0)
    try:
        if await submit(store, claimed) is None:
            return False
    except GroupHeldError:
        return False
    assert await finish(store, claimed)
    return True


async def _follow_often(store: Store) -> bool:
    for _ in range(5):
        await follow_all(store)
        await store.join_groups(100)
    return False
