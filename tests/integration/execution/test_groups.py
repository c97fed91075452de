"""Groups and brackets on real servers: what a worker does with an order whose group is held, and with armed exits."""

import io
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from dexexec.domain.bracket import Bracket, Exit, ExitRole
from dexexec.domain.bracket_exits import exit_id
from dexexec.domain.event import Event
from dexexec.domain.order import NewOrder, Side
from dexexec.domain.status import Status
from dexexec.domain.swap import Landed
from dexexec.domain.terms import Terms, TimeInForce
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.observe.observer import Observer, make_logger
from dexexec.resting.follow_ups import FollowUps
from dexexec.store.resting import BEFORE_ALL
from tests.integration.execution.test_dry_run import building
from tests.integration.execution.test_resting_orders import is_resting_again, triggered
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import new_order, running
from tests.support.resting_orders import limit_order, triggering
from tests.support.scripted_workers import ALIVE, EXPIRED, LANDED, OpenScriptedWorkers, ScriptedWorkers
from tests.support.waiting import until

SOLD_BACK = Landed({USDC: -1_500_000, WSOL: 10_900_000}, 5_000, 9, finalized=True)


def member(**changes: object) -> NewOrder:
    """A market order of the group."""
    return replace(new_order(), oco_group="pair", **changes)  # type: ignore[arg-type]


async def post(b: ScriptedWorkers, order: NewOrder) -> NewOrder:
    await b.store.create(order)
    await b.queue.enqueue([order.id])
    return order


async def follow_up(b: ScriptedWorkers) -> None:
    """One turn of the leader."""
    await FollowUps(b.store, Tokens(KNOWN), observer=Observer(make_logger("critical", out=io.StringIO()))).turn()


async def ended_by_turns(b: ScriptedWorkers, order_id: UUID) -> list[Event]:
    """The events of an order that the leader's turns end. A turn leaves out an order whose row is locked."""

    async def turn() -> list[Event]:
        await follow_up(b)
        events = await b.events(order_id)
        return events if events[-1].final else []

    events: list[Event] = await until(turn, pause=0.02)
    return events


async def has_status(b: ScriptedWorkers, order: NewOrder, status: Status) -> bool:
    return (await b.events(order.id))[-1].status is status


async def armed(b: ScriptedWorkers, entry: NewOrder) -> list[Any]:
    """The exits, once the leader has armed them."""
    await follow_up(b)
    children: list[Any] = (await b.view(entry.id))["children"]
    return children


async def held(b: ScriptedWorkers, order: NewOrder) -> list[Event]:
    return [event for event in await b.events(order.id) if event.detail.get("reason") == "group-held"]


async def test_promise_22_an_order_waits_while_another_of_its_group_may_land_and_is_cancelled_by_its_fill(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        b.chain.statuses = [ALIVE]
        first = await post(b, member())
        await until(lambda: has_status(b, first, Status.SUBMITTED), pause=0.02)
        second = await post(b, member())
        await until(lambda: held(b, second), pause=0.02)
        assert len({sent.signature for sent in b.chain.sent}) == 1, "nothing of the second one was sent"
        [reported, *_] = await held(b, second)
        assert str(first.id) in str(reported.detail["detail"])
        view = await b.view(second.id)
        assert (view["attempts"], view["ocoGroup"]) == ([], "pair")
        b.chain.statuses = [LANDED]
        assert (await b.ended(first.id))[-1].status is Status.CONFIRMED
        last = (await ended_by_turns(b, second.id))[-1]
        assert (last.status, last.detail["reason"], last.detail["filledBy"]) == (
            Status.CANCELLED,
            "group-filled",
            str(first.id),
        )
        assert (await b.view(second.id))["failureReason"] == "group-filled"


async def test_an_order_for_one_try_ends_when_its_group_is_held(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        b.chain.statuses = [ALIVE]
        first = await post(b, member())
        await until(lambda: has_status(b, first, Status.SUBMITTED), pause=0.02)
        once = limit_order(time_in_force=TimeInForce.IOC, deadline_ms=60_000)
        second = await post(b, replace(once, oco_group="pair"))
        last = (await b.ended(second.id))[-1]
        assert (last.status, last.detail["reason"]) == (Status.EXPIRED, "group-held")


async def test_promise_22_an_attempt_that_was_proven_gone_and_landed_keeps_the_others_from_being_signed(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    """A node had reported a wrong height. The order that rests is woken, and its worker corrects the record."""
    async with scripted_workers() as b, running(b.worker().run()):
        b.chain.statuses = [EXPIRED]
        first = await triggered(b, replace(limit_order(), oco_group="pair"))
        await until(lambda: is_resting_again(b, first), pause=0.02)
        [expired] = {sent.signature for sent in b.chain.sent}
        b.chain.earlier = {expired: LANDED}
        asked = b.a.asked
        second = await post(b, member())
        await until(lambda: held(b, second), pause=0.02)
        assert b.a.asked == asked, "no quote is needed to see that"
        async with running(b.sweeper().run()):
            events = await b.ended(first.id)
        assert (events[-1].status, events[-1].detail["txHash"]) == (Status.CONFIRMED, expired)
        assert (await ended_by_turns(b, second.id))[-1].status is Status.CANCELLED
        assert {sent.signature for sent in b.chain.sent} == {expired}


async def test_promise_22_of_two_dry_orders_of_a_group_one_is_simulated_and_no_other_order_is_affected(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        b.a.on_build = b.b.on_build = building()
        first = await post(b, member(dry_run=True))
        assert (await b.ended(first.id))[-1].status is Status.SIMULATED
        second = await post(b, member(dry_run=True))
        await until(lambda: held(b, second), pause=0.02)
        assert (await ended_by_turns(b, second.id))[-1].status is Status.CANCELLED
        real = await post(b, member())
        b.chain.statuses = [LANDED]
        assert (await b.ended(real.id))[-1].status is Status.CONFIRMED


async def test_promise_22_an_entry_arms_its_exits_and_a_stop_takes_its_bound_from_the_price_when_it_triggers(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        b.chain.statuses = [LANDED]
        # 0.01 SOL is sold for 1.5 USDC. The exits buy SOL back: at 140 or less, or once the price is 160 or more.
        bracket = Bracket(take_profit=Exit(price=Decimal(140)), stop=Exit(price=Decimal(160)))
        entry = await post(b, replace(new_order(), terms=Terms(bracket=bracket)))
        await b.ended(entry.id)
        assert (await b.view(entry.id))["children"] == []
        children = await until(lambda: armed(b, entry), pause=0.02)
        assert [child["status"] for child in children] == ["waiting", "waiting"]
        assert {child["amount"] for child in children} == {"1.5"}, "what was received"
        stop_id, profit_id = exit_id(entry.id, ExitRole.STOP), exit_id(entry.id, ExitRole.TAKE_PROFIT)
        roles = {child["role"]: child["orderId"] for child in children}
        assert roles == {"stop": str(stop_id), "takeProfit": str(profit_id)}
        [stop] = [one for one in await b.store.rested_page(BEFORE_ALL) if one.id == stop_id]
        assert (stop.side, stop.bound) == (Side.SELL, None)
        # A drop far below the entry: at 200, 1.5 USDC buy 0.0075 SOL. A bound from the entry's price would refuse that.
        b.a.price = b.b.price = 7_500_000
        b.chain.statuses = [replace(SOLD_BACK, moved={USDC: -1_500_000, WSOL: 7_500_000})]
        assert await b.store.trigger([triggering(stop, stop=True)]) == [stop_id]
        await b.queue.enqueue([stop_id])
        events = await b.ended(stop_id)
        assert statuses_of(events)[-1] == "confirmed"
        [routing] = [event for event in events if event.status is Status.ROUTING]
        assert routing.detail["minOut"] == "7462500", "0.5 % below the quote that it got"
        assert (await ended_by_turns(b, profit_id))[-1].detail["filledBy"] == str(stop_id)
