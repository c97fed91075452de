"""A triggered sniper is executed only in a recorded pool that fulfils its conditions; otherwise it rests again."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.bound import Bound
from dexexec.domain.event import Event
from dexexec.domain.launch import NewPool
from dexexec.domain.order import NewOrder
from dexexec.domain.status import Status
from dexexec.domain.swap import Landed
from dexexec.store import RestingOrder, Triggering
from dexexec.venue import Unsupported
from tests.support.launched import AMOUNT, MINT, PAIR, launched, sniper
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import running
from tests.support.resting_orders import SEEN, rested
from tests.support.scripted import raising
from tests.support.scripted_workers import EXPIRED, LANDED, OpenScriptedWorkers, ScriptedWorkers
from tests.support.waiting import until

ROUTE = "pool"
"""What the scripted venues name as their pool."""
PRICE = 1_500_000
"""What venue `a` gives for 0.01 SOL."""


def at_launch(**rules: Any) -> NewPool:
    return launched(ROUTE, venue="a", now_ms=SystemClock().unix_ms(), **rules)


async def triggered(b: ScriptedWorkers, order: NewOrder, bound: Bound | None = None) -> RestingOrder:
    """An order that rested, was triggered and is on the queue."""
    resting = await rested(b.store, order)
    item = Triggering(order_id=resting.id, version=resting.version, detail=SEEN, bound=bound)
    assert await b.store.trigger([item]) == [resting.id]
    await b.queue.enqueue([resting.id])
    return resting


async def resting_again(b: ScriptedWorkers, order: RestingOrder) -> Event:
    """The event with which it went back to rest."""

    async def rests() -> bool:
        last = (await b.events(order.id))[-1]
        return last.status is Status.WAITING and "quietMs" in last.detail

    await until(rests, pause=0.02)
    return (await b.events(order.id))[-1]


async def test_promise_23_a_sniper_is_filled_in_a_pool_that_was_read_and_fulfils_its_conditions(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        b.chain.statuses = [Landed({**LANDED.moved, MINT: PRICE}, 5_000, 7, finalized=True)]
        await b.store.record_launches([at_launch()])
        order = await triggered(b, sniper(min_liquidity=Decimal(100), mint_authority_revoked=True))
        events = await b.ended(order.id)
        assert statuses_of(events)[-2:] == ["submitted", "confirmed"]
        [routing] = [event for event in events if event.status is Status.ROUTING]
        quotes: Any = {quote["venue"]: quote for quote in routing.detail["quotes"]}  # type: ignore[attr-defined]
        assert quotes["a"]["selected"]
        assert (quotes["b"]["reason"], quotes["b"]["selected"]) == ("condition", False)
        assert "was not reported by b" in quotes["b"]["detail"]


@pytest.mark.parametrize(
    ("pool", "conditions", "named"),
    [
        (at_launch(reserve=99 * 10**9), {"min_liquidity": Decimal(100)}, "minLiquidity: 99"),
        (at_launch(freeze_authority="x"), {"freeze_authority_revoked": True}, "freezeAuthorityRevoked: held by x"),
        (at_launch(age_ms=9_000_000), {"max_age_ms": 5_000}, "maxAgeMs"),
        (at_launch(), {"venues": ("b",)}, "venues: a"),
        (launched("another", now_ms=SystemClock().unix_ms()), {}, "was not reported by a"),
    ],
    ids=["liquidity", "authority", "age", "venue", "unknown-pool"],
)
async def test_conditions_that_do_not_hold_any_more_send_it_back_to_rest(
    scripted_workers: OpenScriptedWorkers, pool: NewPool, conditions: dict[str, Any], named: str
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        await b.store.record_launches([pool])
        order = await triggered(b, sniper(**conditions))
        last = await resting_again(b, order)
        assert (last.detail["reason"], last.detail["waitsFor"]) == ("condition", "launch")
        assert named in str(last.detail["detail"])
        assert (b.a.built, b.b.built) == (0, 0)
        [again] = await b.store.snipers(PAIR, (order.created_at.replace(year=2000), order.id))
        assert again.quiet_ms > 0


async def test_promise_23_a_worse_price_than_the_bound_sends_it_back_and_the_next_trigger_brings_its_own_bound(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        b.chain.statuses = [Landed({**LANDED.moved, MINT: PRICE}, 5_000, 7, finalized=True)]
        await b.store.record_launches([at_launch()])
        order = await triggered(b, sniper(), Bound(PRICE * 2, AMOUNT))
        last = await resting_again(b, order)
        assert last.detail["reason"] == "slippage"
        [again] = await b.store.snipers(PAIR, (order.created_at.replace(year=2000), order.id))
        assert again.bound is None
        item = Triggering(order_id=order.id, version=again.version, detail=SEEN, bound=Bound(PRICE, AMOUNT))
        assert await b.store.trigger([item]) == [order.id]
        await b.queue.enqueue([order.id])
        events = await b.ended(order.id)
        assert events[-1].status is Status.CONFIRMED
        assert (events[-1].detail["minOut"], events[-1].detail["maxIn"]) == (str(PRICE), str(AMOUNT))


async def test_too_much_price_impact_or_an_unsupported_token_does_not_end_it(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        await b.store.record_launches([at_launch()])
        b.a.on_quote = b.b.on_quote = raising(Unsupported("the token takes a fee"))
        assert (await resting_again(b, await triggered(b, sniper()))).detail["reason"] == "unsupported"


async def test_an_attempt_that_is_proven_never_to_land_sends_it_back_to_rest(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        await b.store.record_launches([at_launch()])
        b.chain.statuses = [EXPIRED]
        order = await triggered(b, sniper())
        last = await resting_again(b, order)
        assert (last.detail["reason"], last.detail["attempt"]) == ("attempt-expired", 1)
        b.chain.statuses = [LANDED]


async def test_a_sniper_that_expires_names_the_last_condition(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        order = replace(sniper(), deadline_ms=1_500)
        resting = await triggered(b, order)
        await resting_again(b, resting)

        async def woken() -> bool:
            return resting.id in await b.store.wake()

        await until(woken, pause=0.05)
        await b.queue.enqueue([resting.id])
        last = (await b.ended(resting.id))[-1]
        assert (last.status, last.detail["reason"]) == (Status.EXPIRED, "condition")
        assert "was not reported by" in str(last.detail["detail"])
