"""Triggered orders: filled within their limit or back to rest, stops that follow the price, and orders for one try."""

from dataclasses import replace

import pytest

from dexexec.domain.order import NewOrder
from dexexec.domain.order_filter import OrderFilter
from dexexec.domain.status import Status
from dexexec.domain.terms import TimeInForce
from dexexec.execution.retry_policy import RetryPolicy
from dexexec.store import RestingOrder
from dexexec.venue import InsufficientFunds, NoRoute, Unreachable
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import running
from tests.support.resting_orders import limit_order, rested, stop_order, triggering
from tests.support.scripted import raising
from tests.support.scripted_workers import (
    EXPIRED,
    LANDED,
    OpenScriptedWorkers,
    ScriptedWorkers,
    failing_to_build,
    quotes_of,
    quoting,
)
from tests.support.waiting import until

BETTER, WORSE = 1_510_000, 1_490_000
"""What the scripted venues pay for the order: at 151 and 149, beside a limit of 150."""


async def triggered(b: ScriptedWorkers, order: NewOrder, *, stop: bool = False) -> RestingOrder:
    """An order that rested, was triggered and is on the queue."""
    resting = await rested(b.store, order)
    assert await b.store.trigger([triggering(resting, stop=stop)]) == [resting.id]
    await b.queue.enqueue([resting.id])
    return resting


def at_price(b: ScriptedWorkers, price: int) -> None:
    b.a.price = b.b.price = price


async def is_resting_again(b: ScriptedWorkers, order: RestingOrder) -> bool:
    last = (await b.events(order.id))[-1]
    return last.status is Status.WAITING and "reason" in last.detail


async def test_promise_13_a_triggered_limit_order_is_filled_with_its_limit_as_the_bound(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        at_price(b, BETTER)
        events = await b.ended((await triggered(b, limit_order())).id)
        assert statuses_of(events)[:3] == ["pending", "waiting", "waiting"]
        assert events[-1].status is Status.CONFIRMED
        [routing] = [event for event in events if event.status is Status.ROUTING]
        assert (routing.detail["minOut"], routing.detail["maxIn"]) == ("1500000", "10000000")
        # The slippage of each round's own quote may be stricter than the limit, and never looser.
        assert {quote["minOut"] for quote in quotes_of(routing).values()} == {"1502450"}


async def test_a_price_that_is_gone_sends_a_limit_order_back_to_rest_and_it_is_filled_by_the_next_trigger(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        at_price(b, WORSE)
        since = await b.store.rested_horizon()
        order = await triggered(b, limit_order())
        await until(lambda: is_resting_again(b, order), pause=0.02)
        assert (b.a.built, b.b.built) == (0, 0), "nothing is built at a worse price"
        [*_, routing, waiting] = await b.events(order.id)
        assert (routing.status, waiting.detail["reason"]) == (Status.ROUTING, "slippage")
        [again] = [one for one in (await b.store.rested_since(since))[0] if one.id == order.id]
        assert again.quiet_ms > 0
        at_price(b, BETTER)
        assert await b.store.trigger([triggering(again)]) == [order.id]
        await b.queue.enqueue([order.id])
        assert (await b.ended(order.id))[-1].status is Status.CONFIRMED


async def test_an_attempt_that_is_proven_never_to_land_sends_a_limit_order_back_to_rest(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        b.chain.statuses = [EXPIRED]
        order = await triggered(b, limit_order())
        await until(lambda: is_resting_again(b, order), pause=0.02)
        last = (await b.events(order.id))[-1]
        assert (last.detail["reason"], last.detail["attempt"]) == ("attempt-expired", 1)
        b.chain.statuses = [LANDED]
        [again] = await b.store.rested_page((order.created_at.replace(year=2000), order.id))
        assert await b.store.trigger([triggering(again)]) == [order.id]
        await b.queue.enqueue([order.id])
        events = await b.ended(order.id)
        assert (events[-1].status, events[-1].detail["attempt"]) == (Status.CONFIRMED, 2)


async def test_a_limit_order_has_no_number_of_rounds_and_every_wait_is_longer(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        at_price(b, WORSE)
        policy = RetryPolicy(attempts=1, base_ms=5, max_ms=20, rounds=1)
        async with running(b.worker(retry_policy=policy).run()):
            order = await triggered(b, limit_order())
            for quiet_ms in (1_000, 2_000, 4_000):
                await until(lambda: is_resting_again(b, order), pause=0.02)
                assert (await b.events(order.id))[-1].detail["quietMs"] == quiet_ms
                [again] = await b.store.rested_page((order.created_at.replace(year=2000), order.id))
                await b.store.trigger([triggering(again)])
                await b.queue.enqueue([order.id])


@pytest.mark.parametrize("time_in_force", [TimeInForce.IOC, TimeInForce.FOK])
async def test_an_order_for_one_try_ends_with_the_first_round_and_its_reason(
    scripted_workers: OpenScriptedWorkers, time_in_force: TimeInForce
) -> None:
    order = limit_order(time_in_force=time_in_force, deadline_ms=60_000)
    async with scripted_workers() as b, running(b.worker().run()):
        at_price(b, WORSE)
        events = await b.ended(await b.post(order))
        assert statuses_of(events) == ["pending", "routing", "expired"]
        assert events[-1].detail["reason"] == "slippage"
        assert str(events[-1].detail["detail"]).startswith("it is tried once, and could not be filled: ")


async def test_an_order_for_one_try_is_filled_at_once_at_its_price(scripted_workers: OpenScriptedWorkers) -> None:
    order = limit_order(time_in_force=TimeInForce.IOC, deadline_ms=60_000)
    async with scripted_workers() as b, running(b.worker().run()):
        assert (await b.ended(await b.post(order)))[-1].status is Status.CONFIRMED


async def test_a_stop_that_was_reached_follows_the_price_down_and_never_gives_up(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    """A bound from the first round would keep it from being executed in the drop that it is for."""
    async with scripted_workers() as b:
        b.a.on_build = b.b.on_build = failing_to_build
        policy = RetryPolicy(attempts=1, base_ms=5, max_ms=20, rounds=1)
        async with running(b.worker(retry_policy=policy).run()):
            order = await triggered(b, stop_order(), stop=True)
            await until(lambda: b.a.built >= 2, pause=0.01)
            at_price(b, 1_000_000)
            b.a.on_build = b.a._bytes
            events = await b.ended(order.id)
            assert events[-1].status is Status.CONFIRMED
            [*_, routing] = [event for event in events if event.status is Status.ROUTING]
            assert routing.detail["minOut"] == "995000", "0.5 % below the price of that round"


async def test_a_stop_with_a_limit_rests_for_its_limit_once_it_was_reached(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        at_price(b, 1_300_000)
        order = await triggered(b, stop_order("140", limit="135"), stop=True)
        await until(lambda: is_resting_again(b, order), pause=0.02)
        [again] = await b.store.rested_page((order.created_at.replace(year=2000), order.id))
        assert again.triggered, "its stop was reached for good: from now on its limit decides"


async def test_an_outage_of_every_venue_is_waited_out(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        b.a.on_quote = b.b.on_quote = raising(Unreachable("away"))
        order = await triggered(b, limit_order())
        await until(lambda: is_resting_again(b, order), pause=0.02)
        assert (await b.events(order.id))[-1].detail["reason"] == "unreachable"


async def test_no_route_is_waited_out_while_it_rests_and_a_lack_of_funds_fails_it(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        b.a.on_quote = b.b.on_quote = raising(NoRoute("dry"))
        order = await triggered(b, limit_order())
        await until(lambda: is_resting_again(b, order), pause=0.02)
        b.a.on_quote, b.b.on_quote = b.a._price, b.b._price
        b.a.on_build = b.b.on_build = raising(InsufficientFunds("no SOL"))  # type: ignore[assignment]
        other = await triggered(b, limit_order())
        events = await b.ended(other.id)
        assert (events[-1].status, events[-1].detail["reason"]) == (Status.FAILED, "insufficient-funds")


async def test_a_limit_order_that_is_too_large_for_the_pools_of_the_moment_rests_again(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    """It was not too large when it was triggered: liquidity comes and goes as a price does."""
    async with scripted_workers() as b, running(b.worker().run()):
        for venue in (b.a, b.b):
            venue.on_quote = quoting(venue.name, price_impact_ppm=999_950)
        order = await triggered(b, limit_order())
        await until(lambda: is_resting_again(b, order), pause=0.02)
        assert (await b.events(order.id))[-1].detail["reason"] == "price-impact"


async def test_a_stop_that_was_reached_outlasts_pools_that_are_too_small(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    """The drop that a stop is for is when the pools are at their smallest."""
    async with scripted_workers() as b, running(b.worker().run()):
        for venue in (b.a, b.b):
            venue.on_quote = quoting(venue.name, price_impact_ppm=999_950)
        order = await triggered(b, stop_order(), stop=True)

        async def was_refused() -> bool:
            # Any event: the next try may have begun before this one is read.
            return any(event.detail.get("reason") == "price-impact" for event in await b.events(order.id))

        await until(was_refused, pause=0.02)
        b.a.on_quote, b.b.on_quote = b.a._price, b.b._price
        assert (await b.ended(order.id))[-1].status is Status.CONFIRMED


async def test_a_stop_for_one_try_ends_with_it_also_where_the_pools_are_too_small(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    stop = stop_order("140", limit="135")
    assert stop.terms is not None
    once = replace(stop, terms=replace(stop.terms, time_in_force=TimeInForce.IOC))
    async with scripted_workers() as b, running(b.worker().run()):
        for venue in (b.a, b.b):
            venue.on_quote = quoting(venue.name, price_impact_ppm=999_950)
        events = await b.ended((await triggered(b, once, stop=True)).id)
        assert (events[-1].status, events[-1].detail["reason"]) == (Status.FAILED, "price-impact")


async def test_an_order_that_woke_at_its_expiry_is_expired(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        order = limit_order(time_in_force=TimeInForce.GTT, deadline_ms=10)
        resting = await rested(b.store, order)

        async def woken() -> bool:
            return resting.id in await b.store.wake()

        await until(woken, pause=0.01)
        await b.queue.enqueue([resting.id])
        events = await b.ended(resting.id)
        assert (events[-1].status, events[-1].detail["reason"]) == (Status.EXPIRED, "deadline")


async def test_a_resting_order_is_listed_and_shows_its_terms(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        order = await rested(b.store, replace(limit_order("151.25"), tag="grid-1"))
        [listed] = await b.store.orders(10, None, OrderFilter(statuses=frozenset({Status.WAITING})))
        assert listed["orderId"] == str(order.id)
        shown = await b.view(order.id)
        assert (shown["type"], shown["limitPrice"], shown["timeInForce"]) == ("limit", "151.25", "GTC")
        assert (shown["tag"], shown["deadlineAt"]) == ("grid-1", None)
        assert shown["waitingFor"]["reason"] == "price"
