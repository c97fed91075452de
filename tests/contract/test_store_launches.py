"""Launches in the record: who waits for a pair, what was launched, and a bound that comes with the trigger."""

from dataclasses import replace

import pytest

from dexexec.domain import base58
from dexexec.domain.bound import Bound
from dexexec.domain.cancellation import Cancelled
from dexexec.domain.token import USDC, WSOL
from dexexec.store import NotedStop, RestingNote, RestingOrder, SniperPair, Store, Triggering
from dexexec.store.resting import BEFORE_ALL
from tests.support.launched import AMOUNT, MINT, PAIR, launched, sniper
from tests.support.prepared_orders import Open, claimed_by
from tests.support.resting_orders import SEEN, limit_order, rested

OTHER = base58.encode(bytes([78]) * 32)


async def waiting(store: Store, pair: tuple[str, str] = PAIR) -> list[RestingOrder]:
    return await store.snipers(pair, BEFORE_ALL)


async def pairs(store: Store) -> set[tuple[str, str]]:
    return {(pair.spent, pair.wanted) for pair in await store.sniper_pairs()}


async def test_a_pair_is_waited_for_while_a_sniper_rests(stores: Open) -> None:
    async with stores() as store:
        assert await store.sniper_pairs() == []
        await rested(store, limit_order())
        first = await rested(store, sniper())
        await rested(store, sniper(OTHER))
        await rested(store, replace(sniper(OTHER), input_mint=USDC))
        assert await pairs(store) == {PAIR, (WSOL, OTHER), (USDC, OTHER)}
        assert isinstance(await store.cancel(first.id), Cancelled)
        assert await pairs(store) == {(WSOL, OTHER), (USDC, OTHER)}


async def test_another_order_of_a_pair_is_seen_without_reading_the_orders(stores: Open) -> None:
    async with stores() as store:
        await rested(store, sniper())
        [before] = await store.sniper_pairs()
        assert await store.sniper_pairs() == [before]
        await rested(store, sniper())
        [after] = await store.sniper_pairs()
        assert after.newest > before.newest
        assert replace(after, newest=0) == SniperPair(*PAIR, 0)


async def test_those_who_wait_for_a_pair_are_read_in_the_order_of_their_acceptance(stores: Open) -> None:
    async with stores() as store:
        orders = [(await rested(store, sniper(max_age_ms=number + 1))).id for number in range(5)]
        await rested(store, sniper(OTHER))
        found = await waiting(store)
        assert [order.id for order in found] == orders
        assert [order.terms.conditions.max_age_ms for order in found if order.terms.conditions] == [1, 2, 3, 4, 5]
        assert [one.id for one in await store.snipers(PAIR, (found[2].created_at, found[2].id))] == orders[3:]
        triggered = Triggering(order_id=orders[0], version=found[0].version, detail=SEEN)
        assert await store.trigger([triggered]) == [orders[0]]
        assert [order.id for order in await waiting(store)] == orders[1:], "one that is triggered does not wait"


async def test_promise_23_a_pool_is_recorded_once_and_an_older_reading_changes_nothing(stores: Open) -> None:
    async with stores() as store:
        old = launched(slot=5, mint_authority="somebody", transfer_fee_bps=30)
        new = launched(slot=9, reserve=2**64 - 1)
        await store.record_launches([old, launched("other", slot=1)])
        assert sorted(await store.launches_of(PAIR), key=lambda pool: pool.slot) == [launched("other", slot=1), old]
        await store.record_launches([new])
        await store.record_launches([old])
        assert new in await store.launches_of((PAIR[1], PAIR[0]))
        assert len(await store.launches_of(PAIR)) == 2
        assert await store.launches_of((WSOL, OTHER)) == []


async def test_the_address_of_a_pool_belongs_to_the_venue_that_reported_it_first(stores: Open) -> None:
    async with stores() as store:
        await store.record_launches([launched(venue="a", slot=1)])
        await store.record_launches([launched(venue="b", slot=2)])
        assert [pool.venue for pool in await store.launches_of(PAIR)] == ["a"]


@pytest.mark.parametrize("bound", [None, Bound(77, AMOUNT)])
async def test_a_trigger_may_set_the_bound_that_only_it_knows(stores: Open, bound: Bound | None) -> None:
    async with stores() as store:
        order = await rested(store, sniper())
        assert (order.bound, order.output_mint) == (None, MINT)
        triggering = Triggering(
            order_id=order.id, version=order.version, detail=SEEN, bound=bound, mint_decimals=5 if bound else None
        )
        assert await store.trigger([triggering]) == [order.id]
        worker = await store.begin("w", 20)
        claimed = (await claimed_by(store, worker, order.id)).order
        assert (claimed.bound, claimed.bound_open) == (bound, bound is None)
        assert claimed.terms == replace(order.terms, mint_decimals=5 if bound else None)
        await worker.end()


async def test_a_trigger_never_loosens_a_bound(stores: Open) -> None:
    async with stores() as store:
        order = await rested(store, limit_order())
        assert order.bound is not None
        loose = Bound(order.bound.min_out - 1, order.bound.max_in + 1)
        await store.trigger([Triggering(order_id=order.id, version=order.version, detail=SEEN, bound=loose)])
        worker = await store.begin("w", 20)
        assert (await claimed_by(store, worker, order.id)).order.bound == order.bound
        await worker.end()


async def test_recent_launches_are_kept(stores: Open) -> None:
    async with stores() as store:
        await store.record_launches([launched()])
        await store.forget_launches()
        assert await store.launches_of(PAIR) == [launched()]


async def test_what_stopped_an_order_is_read_back_from_its_events(stores: Open) -> None:
    async with stores() as store:
        order = await rested(store, sniper())
        other = await rested(store, sniper())
        details = [
            {"reason": "condition", "condition": "minLiquidity", "seen": "5", "pool": "p"},
            {"reason": "no-route", "pool": "q"},
            {"reason": "condition", "condition": "minLiquidity", "seen": "6", "pool": "p"},
        ]
        for number, detail in enumerate(details):
            await store.note_resting([RestingNote(order.id, order.version + number, detail)])
        assert await store.noted_stops([order.id, other.id]) == [
            NotedStop(order.id, "p", "minLiquidity", "5"),
            NotedStop(order.id, "q", None, "no-route"),
            NotedStop(order.id, "p", "minLiquidity", "6"),
        ]
