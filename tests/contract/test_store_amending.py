"""Changing an order that rests: under its version, only while it rests, and seen by the oracle."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from dexexec.domain.amendment import Amendment
from dexexec.domain.bound import Bound
from dexexec.domain.cancellation import Cancelled
from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms, TimeInForce
from dexexec.store import HighWater, RestingOrder, Store, Triggering
from dexexec.store.resting import BEFORE_ALL
from tests.support.limit_orders import limit_order
from tests.support.parts import new_order
from tests.support.prepared_orders import Open, claimed_by
from tests.support.recurring_orders import TOKENS, recurring_order

LOWER = Terms(time_in_force=TimeInForce.GTC, limit_price=Decimal(150))
CHANGES = {"limitPrice": {"from": "151.25", "to": "150"}}


def amendment(**changes: Any) -> Amendment:
    """A lower limit for twice the amount."""
    about: dict[str, Any] = {
        "changes": CHANGES,
        "amount": Decimal("0.02"),
        "amount_base": 20_000_000,
        "bound": Bound(3_000_000, 20_000_000),
        "bound_open": False,
        "terms": LOWER.detail(),
        "moves_expiry": False,
        "expires_at": None,
        "detail": {"waitsFor": "price", "amended": CHANGES, "detail": "it waits for a price of 150 or more"},
    }
    return Amendment(**{**about, **changes})


async def test_a_change_is_an_event_and_the_oracle_reads_the_new_order(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        order_id = (await store.create(limit_order())).order_id
        since = await store.rested_horizon()
        assert await store.amend(order_id, 2, amendment()) == 3
        event = announced[-1]
        assert (event.order_id, event.seq, event.status) == (order_id, 3, Status.WAITING)
        assert event.detail["amended"] == CHANGES
        [changed], _ = await store.rested_since(since)
        assert (changed.version, changed.terms, changed.bound) == (3, LOWER, Bound(3_000_000, 20_000_000))
        assert (changed.amount_base, changed.quiet_ms) == (20_000_000, 0)
        shown = await store.order(order_id)
        assert shown is not None
        assert (shown["minOut"], shown["maxIn"], shown["seq"]) == ("3000000", "20000000", 3)


async def test_what_can_be_changed_is_read_back_with_the_last_change(stores: Open) -> None:
    async with stores() as store:
        order_id = (await store.create(limit_order())).order_id
        order = await store.amendable(order_id)
        assert order is not None
        assert (order.version, order.status, order.type) == (2, Status.WAITING, OrderType.LIMIT)
        assert (order.resting, order.ended, order.triggered) == (True, False, False)
        assert (order.posted["amount"], order.posted["limitPrice"]) == ("0.01", "151.25")
        await store.amend(order_id, 2, amendment())
        again = await store.amendable(order_id)
        assert again is not None
        assert (again.posted["amount"], again.posted["limitPrice"]) == ("0.02", "150")
        assert again.last["amended"] == CHANGES
        assert await store.amendable(uuid4()) is None
        share = replace(limit_order(), amount=Decimal(0), terms=replace(LOWER, share_bps=5_000))
        posted = await store.amendable((await store.create(share)).order_id)
        assert posted is not None
        assert (posted.posted["amount"], "shareBps" in posted.posted) == ("50%", False)


async def test_the_worker_of_a_changed_order_gets_the_new_values(stores: Open) -> None:
    async with stores() as store:
        order_id = (await store.create(limit_order())).order_id
        await store.amend(order_id, 2, amendment())
        assert await store.trigger([triggering(order_id, 3)]) == [order_id]
        worker = await store.begin("w", 20)
        claimed = (await claimed_by(store, worker, order_id)).order
        assert (claimed.amount, claimed.amount_base) == (Decimal("0.02"), 20_000_000)
        assert (claimed.bound, claimed.terms) == (Bound(3_000_000, 20_000_000), LOWER)
        await worker.end()


async def test_an_expiry_can_be_set_and_taken_away(stores: Open) -> None:
    async with stores() as store:
        order_id = (await store.create(limit_order())).order_id
        past = datetime.now(UTC) - timedelta(seconds=1)
        assert await store.amend(order_id, 2, amendment(moves_expiry=True, expires_at=past)) == 3
        assert await store.amend(order_id, 3, amendment(moves_expiry=True)) == 4
        assert await store.wake() == [], "it has no expiry any more"
        assert await store.amend(order_id, 4, amendment(moves_expiry=True, expires_at=past)) == 5
        assert await store.amend(order_id, 5, amendment()) == 6
        assert await store.wake() == [order_id]


async def test_an_order_that_wakes_for_its_slices_looks_at_another_expiry_at_once(stores: Open) -> None:
    async with stores() as store:
        order = recurring_order(start_in=timedelta(hours=1))
        await store.create(order)
        assert await store.make_slices(TOKENS) == []
        assert await store.make_slices(TOKENS) is None
        assert order.terms is not None
        past = datetime.now(UTC) - timedelta(seconds=1)
        terms = replace(order.terms, expires_at=past)
        change = amendment(terms=terms.detail(), moves_expiry=True, expires_at=past, wakes_at_expiry=False)
        assert await store.amend(order.id, 2, change) == 3
        assert await store.wake() == []
        assert await store.make_slices(TOKENS) == []
        answer = await store.order(order.id)
        assert answer is not None
        assert (answer["status"], answer["failureReason"]) == ("expired", "deadline")


async def test_slices_keep_to_the_slippage_beside_a_bound_that_was_changed(stores: Open) -> None:
    async with stores() as store:
        order = recurring_order(bound=Bound(1_800_000, 12_000_000), bound_open=True)
        await store.create(order)
        assert order.terms is not None
        lower: dict[str, Any] = {
            "amount": order.amount,
            "amount_base": 12_000_000,
            "bound": Bound(1_700_000, 12_000_000),
        }
        assert await store.amend(order.id, 2, amendment(**lower, terms=order.terms.detail(), bound_open=False)) == 3
        [child] = await store.make_slices(TOKENS) or []
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, child)
        await worker.end()
        assert claimed.order.bound is not None
        assert (claimed.order.bound.max_in, claimed.order.bound_open) == (1_000_000, True)


async def test_a_new_amount_begins_the_mark_of_a_trailing_stop_anew(stores: Open) -> None:
    terms = Terms(trail_bps=300)
    async with stores() as store:
        order = limit_order(type=OrderType.MARKET, terms=terms, bound=None, bound_open=True)
        order_id = (await store.create(order)).order_id
        await store.raise_high_water([HighWater(order_id=order_id, version=2, rate=Decimal("0.15"))])
        wider: dict[str, Any] = {"terms": {"trailBps": 500}, "bound": None, "bound_open": True}
        assert await store.amend(order_id, 2, amendment(**wider)) == 3
        assert [one.high_water for one in await store.rested_page(BEFORE_ALL)] == [Decimal("0.15")]
        assert await store.amend(order_id, 3, amendment(**wider, resizes=True)) == 4
        assert [one.high_water for one in await store.rested_page(BEFORE_ALL)] == [None]
        # The oracle may have read the price of the former amount before the change, and writes it after.
        await store.raise_high_water([HighWater(order_id=order_id, version=3, rate=Decimal("0.15"))])
        assert [one.high_water for one in await store.rested_page(BEFORE_ALL)] == [None]


async def test_the_price_impact_stays_unless_it_is_changed(stores: Open) -> None:
    async with stores() as store:
        order_id = (await store.create(limit_order(max_price_impact_bps=100))).order_id
        assert await store.amend(order_id, 2, amendment()) == 3
        assert [one.max_price_impact_bps for one in await store.rested_page(BEFORE_ALL)] == [100]
        assert await store.amend(order_id, 3, amendment(max_price_impact_bps=200)) == 4
        assert [one.max_price_impact_bps for one in await store.rested_page(BEFORE_ALL)] == [200]


async def test_another_version_writes_nothing(stores: Open) -> None:
    async with stores() as store:
        order_id = (await store.create(limit_order())).order_id
        assert await store.amend(order_id, 1, amendment()) is None
        assert await store.amend(order_id, 3, amendment()) is None
        assert await store.versions([order_id]) == {order_id: 2}


async def test_an_order_that_does_not_rest_is_not_changed(stores: Open) -> None:
    async with stores() as store:
        pending = (await store.create(new_order())).order_id
        assert await store.amend(pending, 1, amendment()) is None
        triggered = (await store.create(limit_order())).order_id
        await store.trigger([triggering(triggered, 2)])
        assert await store.amend(triggered, 3, amendment()) is None
        cancelled = (await store.create(limit_order())).order_id
        await store.cancel(cancelled)
        assert await store.amend(cancelled, 3, amendment()) is None
        order = await store.amendable(cancelled)
        assert order is not None
        assert (order.status, order.resting, order.ended) == (Status.CANCELLED, False, True)


async def test_a_trigger_by_the_former_price_has_no_effect_after_a_change(stores: Open) -> None:
    async with stores() as store:
        order_id = (await store.create(limit_order())).order_id
        [seen] = await store.rested_page(BEFORE_ALL)
        await store.amend(order_id, 2, amendment())
        assert await store.trigger([triggering(order_id, seen.version)]) == []


@pytest.mark.parametrize("seed", range(3))
async def test_of_a_change_and_a_trigger_at_once_one_wins_and_both_get_to_know(stores: Open, seed: int) -> None:
    rng = random.Random(seed)
    async with stores() as store:
        for _ in range(10):
            order = await _rested(store)
            race = [store.amend(order.id, order.version, amendment()), store.trigger([triggering(order.id, 2)])]
            amended, triggered = await _at_once(rng, race)
            assert (amended == 3) == (triggered == [])
            assert (amended is None) == (triggered == [order.id])
            assert await store.versions([order.id]) == {order.id: 3}


@pytest.mark.parametrize("seed", range(3))
async def test_of_a_change_and_a_cancel_at_once_the_order_ends_cancelled(stores: Open, seed: int) -> None:
    rng = random.Random(seed)
    async with stores() as store:
        for _ in range(10):
            order = await _rested(store)
            race = [store.amend(order.id, order.version, amendment()), store.cancel(order.id)]
            amended, cancelled = await _at_once(rng, race)
            # A changed order rests, so a cancel that comes second succeeds; a change that comes second does not.
            last = 4 if amended == 3 else 3
            assert cancelled == Cancelled(order_id=order.id, seq=last)
            assert (await store.order(order.id) or {})["status"] == "cancelled"


@pytest.mark.parametrize("seed", range(3))
async def test_of_many_changes_under_one_version_one_is_written(stores: Open, seed: int) -> None:
    rng = random.Random(seed)
    async with stores() as store:
        order = await _rested(store)
        answers = await _at_once(rng, [store.amend(order.id, 2, amendment()) for _ in range(8)])
        assert sorted(answers, key=str) == [3] + [None] * 7


def triggering(order_id: UUID, version: int) -> Triggering:
    """A trigger by what was read at that version."""
    return Triggering(order_id=order_id, version=version, detail={"detail": "the price is 151.3"})


async def _rested(store: Store) -> RestingOrder:
    order_id = (await store.create(limit_order())).order_id
    return next(one for one in await store.rested_page(BEFORE_ALL) if one.id == order_id)


async def _at_once(rng: random.Random, calls: list[Any]) -> list[Any]:
    """The answers to the calls, which begin in random order."""
    order = rng.sample(range(len(calls)), len(calls))
    answers = dict(zip(order, await asyncio.gather(*(calls[n] for n in order)), strict=True))
    return [answers[n] for n in range(len(calls))]
