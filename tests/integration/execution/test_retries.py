"""Rounds without a fill: what is retried, what an order waits for, its bound, and how it ends."""

from dataclasses import replace
from uuid import UUID

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.funds import Shortfall
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.status import Status
from dexexec.domain.swap import Unavailable
from dexexec.domain.token import KNOWN, WSOL
from dexexec.errors import FundsReservedError
from dexexec.execution.retry_policy import RetryPolicy
from dexexec.settlement import waiting
from dexexec.store import Step
from dexexec.venue import InsufficientFunds, NoRoute, Slippage, Timeout, Unreachable, Unsupported
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import new_order, running
from tests.support.scripted import quote_of, raising
from tests.support.scripted_workers import (
    LANDED,
    MOVED,
    WELL_FILLED,
    OpenScriptedWorkers,
    ScriptedWorkers,
    failing_to_build,
    quotes_of,
    quoting,
    waits_for,
)
from tests.support.waiting import until


async def test_promise_17_a_venue_that_only_was_late_is_waited_for_although_another_wants_more_than_there_is(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        quote, late = b.b.on_quote, iter([Timeout("no answer in time")])

        async def answer_the_second_time(request: SwapRequest) -> Quote:
            for error in late:
                raise error
            return await quote(request)

        b.a.on_build = raising(InsufficientFunds("rent for three accounts"))  # type: ignore[assignment]
        b.b.on_quote = answer_the_second_time
        events = await b.ended(await b.post())
        assert (events[-1].status, events[-1].detail["venue"]) == (Status.CONFIRMED, "b")
        assert events[3].detail["reason"] == "insufficient-funds"
        assert "no answer in time" in str(events[3].detail["detail"])


async def test_an_order_without_progress_shows_what_it_waits_for_until_it_moves_on(
    scripted_workers: OpenScriptedWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SOONEST_REPORT", 0.05)
    monkeypatch.setattr(waiting, "REPORT_SLOTS", 0)
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [Unavailable("no node answers")]
        order_id = await b.post()
        await until(lambda: waits_for(b, order_id, "node"), pause=0.02)
        assert (await b.view(order_id))["waitingFor"]["detail"] == "no node reports its status: no node answers"
        b.chain.statuses = [LANDED]
        await b.ended(order_id)
        assert (await b.view(order_id))["waitingFor"] is None


async def test_an_order_between_two_rounds_shows_what_it_waits_for(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        b.a.on_quote = b.b.on_quote = raising(Unreachable("away"))
        slow = RetryPolicy(attempts=3, base_ms=60_000, max_ms=60_000)
        async with running(b.worker(retry_policy=slow).run()):
            order_id = await b.post(new_order(deadline_ms=3_600_000))
            await until(lambda: is_between_rounds(b, order_id), pause=0.02)
            told = (await b.view(order_id))["waitingFor"]
            assert (told["reason"], told["detail"]) == ("unreachable", "away")
            assert told["until"] > told["since"]


async def is_between_rounds(b: ScriptedWorkers, order_id: UUID) -> bool:
    """Whether a round has ended and the next one is scheduled."""
    return "retryInMs" in (await b.events(order_id))[-1].detail


async def test_no_route_at_all_is_retried_and_then_failed_with_all_the_reasons(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        b.a.on_quote = raising(NoRoute("dry"))
        b.b.on_quote = raising(Unsupported("not this pair"))
        events = await b.ended(await b.post())
        assert statuses_of(events) == ["pending", "routing", "routing", "routing", "failed"]
        assert events[-1].detail["reason"] == "no-route"
        assert "a: dry" in str(events[-1].detail["detail"])
        assert [event.detail["round"] for event in events[1:4]] == [1, 2, 3]


async def test_promise_17_a_venue_that_is_away_is_waited_for_although_another_has_no_route(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        b.a.on_quote, b.b.on_quote = raising(NoRoute("dry")), raising(Unreachable("gone"))
        order_id = await b.post()
        await until(lambda: b.b.asked >= 6)
        assert (await b.events(order_id))[-1].detail["reason"] == "unreachable"
        b.b.on_quote = b.b._price
        assert statuses_of(await b.ended(order_id))[-1] == "confirmed"


async def test_what_cannot_get_better_fails_at_once(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        b.a.on_quote = b.b.on_quote = raising(Unsupported("not this pair"))
        events = await b.ended(await b.post())
        assert statuses_of(events) == ["pending", "routing", "failed"]
        assert events[-1].detail["reason"] == "unsupported"


async def test_promise_13_an_order_past_its_deadline_expires_without_being_quoted(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        order_id = await b.post(new_order(deadline_ms=0))
        async with running(b.worker().run()):
            events = await b.ended(order_id)
        assert statuses_of(events) == ["pending", "expired"]
        assert (events[-1].detail["reason"], b.a.asked) == ("deadline", 0)


async def test_promise_13_the_next_venue_is_held_to_the_orders_first_quote(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    """The best venue cannot build, and the next one is 20 % worse: it is never taken, however often it quotes."""
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        b.a.on_build, b.b.price = failing_to_build, 1_208_000
        order_id = await b.post()
        await until(lambda: b.b.asked >= 4)
        assert b.b.built == 0
        routed = (await b.events(order_id))[1]
        assert (routed.detail["minOut"], routed.detail["maxIn"]) == ("1502450", "10000000")
        assert quotes_of(routed)["b"]["reason"] == "slippage"
        assert "bps past its bound" in quotes_of(routed)["b"]["detail"]
        b.a.price, asked = 1_400_000, b.a.asked
        await until(lambda: b.a.asked >= asked + 2)
        b.a.on_build, b.chain.statuses = b.a._bytes, [WELL_FILLED]
        await until(lambda: b.a.asked >= asked + 4)
        assert (b.b.built, len(b.chain.sent)) == (0, 0)
        b.b.price = 1_503_000
        events = await b.ended(order_id)
        view = await b.view(order_id)
        assert (view["status"], view["venue"], view["minOut"]) == ("confirmed", "b", "1502450")
        assert view["fill"]["quotedOut"] == "1510000"
        assert (view["fill"]["slippageBps"], view["fill"]["venueSlippageBps"]) == ("46.36", "0")
        assert {event.detail["reason"] for event in events if event.detail.get("retryInMs")} == {"slippage"}


async def test_promise_13_the_bound_holds_for_the_worker_that_comes_after_a_restart(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        b.a.on_build = failing_to_build
        b.b.on_quote = raising(NoRoute("dry"))
        async with running(b.worker().run(), b.sweeper().run()):
            order_id = await b.post()
            await until(lambda: b.a.asked >= 2)
        b.a.on_build, b.a.price, b.chain.statuses = b.a._bytes, 1_502_449, [WELL_FILLED]
        asked = b.a.asked
        async with running(b.worker().run(), b.sweeper().run()):
            await until(lambda: b.a.asked >= asked + 2)
            assert b.chain.sent == []
            b.a.price = 1_503_000
            await b.ended(order_id)
        assert (await b.view(order_id))["attempts"][0]["quote"]["minOut"] == "1502450"


async def test_a_clients_own_bound_is_shown_and_waited_for(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        bound = Bound(1_600_000, 10_000_000)
        order_id = await b.post(replace(new_order(), bound=bound, bound_open=False))
        await until(lambda: b.b.asked >= 3)
        waits = await b.events(order_id)
        assert (waits[0].detail["minOut"], waits[0].detail["maxIn"]) == ("1600000", "10000000")
        assert {event.detail["reason"] for event in waits[1:]} == {"slippage"}
        b.b.price, b.chain.statuses = 1_600_000, [replace(LANDED, moved={**MOVED, KNOWN[1].mint: 1_600_000})]
        assert statuses_of(await b.ended(order_id))[-1] == "confirmed"


async def test_an_order_that_is_too_large_for_every_pool_fails_at_once(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        for venue in (b.a, b.b):
            venue.on_quote = quoting(venue.name, price_impact_ppm=999_950)
        events = await b.ended(await b.post())
        assert statuses_of(events) == ["pending", "routing", "failed"]
        assert events[-1].detail["reason"] == "price-impact"
        assert "99.995 %" in str(events[-1].detail["detail"])
        assert "no smaller size within the limit was found" in str(events[-1].detail["detail"])


async def test_an_order_that_is_too_large_reports_the_size_that_would_fit(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async def deep(request: SwapRequest) -> Quote:
        """A pool of 0.09 SOL."""
        impact = 1_000_000 * request.amount // (90_000_000 + request.amount)
        return quote_of("a", request, 1_500_000, price_impact_ppm=impact + 1)

    async with scripted_workers() as b, running(b.worker().run()):
        b.a.on_quote, b.b.on_quote = deep, raising(Unsupported("not this pair"))
        events = await b.ended(await b.post(replace(new_order(), max_price_impact_bps=100)))
        assert statuses_of(events) == ["pending", "routing", "failed"]
        words = str(events[-1].detail["detail"])
        assert "the swap would move the price by 10.0001 %, and 1 % is allowed" in words
        assert "0.000908" in words
        assert words.endswith("SOL would be within the limit, by a quote of a")


async def test_the_choice_of_a_venue_is_written_once_although_its_price_moves_during_a_wait_for_funds(
    scripted_workers: OpenScriptedWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted_workers() as b:
        write, short = b.store.advance, iter([Shortfall(mint=WSOL, needed=2, balance=2, reserved=1, orders=1)])

        async def short_of_funds_once(step: Step) -> object:
            for shortfall in short if step.attempt else ():
                raise FundsReservedError(shortfall)
            return await write(step)

        first, second = iter([None]), iter([Slippage("moved")])

        async def build_once(quote: Quote) -> bytes:
            for _ in first:
                return b"bytes of a"
            raise NoRoute("the pool is gone")

        async def build_the_second_time(quote: Quote) -> bytes:
            for error in second:
                raise error
            return b"bytes of b"

        monkeypatch.setattr(b.store, "advance", short_of_funds_once)
        b.a.on_build, b.b.on_build = build_once, build_the_second_time
        async with running(b.worker().run()):
            events = await b.ended(await b.post())
        assert events[-1].status is Status.CONFIRMED
        choices = [event.detail for event in events if event.status is Status.BUILDING]
        assert [detail["venue"] for detail in choices if "waitMs" not in detail] == ["a", "b"]
