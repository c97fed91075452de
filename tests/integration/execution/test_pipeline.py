"""One order's steps through the pipeline, on a real Postgres and a real Valkey, with scripted venues."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.status import Status
from dexexec.domain.swap import FailedOnChain, SwapStatus, Unavailable, Unknown
from dexexec.domain.token import KNOWN
from dexexec.execution import attempt_recorder, pipeline
from dexexec.execution.retry_policy import RetryPolicy
from dexexec.settlement import waiting
from dexexec.venue import InsufficientFunds, Network, NoRoute, Slippage, Timeout, Unreachable, Unsupported
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import new_order, running
from tests.support.scripted import quote_of, raising
from tests.support.waiting import until
from tests.support.worker_on_servers import (
    ALIVE,
    CONFIRMED,
    EXPIRED,
    LANDED,
    MOVED,
    Bench,
    OpenBench,
    failing_to_build,
    quotes_of,
)

WELL_FILLED = replace(LANDED, moved={**MOVED, KNOWN[1].mint: 1_503_000})


def quoting(venue: str, **changes: object) -> Callable[[SwapRequest], Awaitable[Quote]]:
    """Quotes of a venue that are in order but for the changes."""

    async def quote(request: SwapRequest) -> Quote:
        return quote_of(venue, request, 1_500_000, **changes)

    return quote


async def test_an_order_goes_the_whole_way(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run()):
        events = await b.ended(await b.post())
        assert statuses_of(events) == ["pending", "routing", "building", "submitted", "confirmed"]
        view = await b.view(events[0].order_id)
        assert (view["venue"], view["amountOut"]) == ("a", "1500000")
        assert view["txHash"] == b.chain.sent[0].signature
        assert view["attempts"][0]["outcome"] == "landed"


async def test_the_routing_event_keeps_every_quote_and_why_each_lost(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run()):
        b.b.on_quote = raising(NoRoute("no pool for this pair"))
        events = await b.ended(await b.post())
        quotes = quotes_of(events[1])
        assert quotes["a"]["selected"]
        assert (quotes["b"]["selected"], quotes["b"]["reason"]) == (False, "no-route")
        assert quotes["b"]["detail"] == "no pool for this pair"
        b.b.on_quote = b.b._price
        events = await b.ended(await b.post())
        quotes = quotes_of(events[1])
        assert quotes["b"]["reason"] == "worse-price"
        assert quotes["a"]["price"] == "151"


async def test_promise_4_the_attempt_is_durable_before_anything_is_sent(bench: OpenBench) -> None:
    async with bench() as b:
        seen: list[object] = []
        submit = b.chain.submit

        async def look_first(signed: Any, **_: Any) -> Any:
            view = await b.view(order_id)
            seen.append(
                (view["status"], view["attempts"][0]["txHash"] == signed.signature, view["attempts"][0]["outcome"])
            )
            return await submit(signed)

        b.chain.submit = look_first  # type: ignore[method-assign]
        order_id = await b.post()
        async with running(b.worker().run()):
            await b.ended(order_id)
        assert seen == [("submitted", True, "open")]


async def test_a_venue_that_cannot_build_hands_over_to_the_next_best(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run()):
        b.a.on_build = failing_to_build
        events = await b.ended(await b.post())
        assert statuses_of(events) == ["pending", "routing", "building", "building", "submitted", "confirmed"]
        assert (events[3].detail["venue"], events[3].detail["reason"]) == ("b", "slippage")


async def test_promise_17_a_venue_that_only_was_late_is_waited_for_although_another_wants_more_than_there_is(
    bench: OpenBench,
) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
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


async def test_a_proven_failure_is_tried_again_and_reported_only_once_at_the_end(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=7, finalized=True)]
        events = await b.ended(await b.post())
        assert statuses_of(events).count("failed") == 1
        assert statuses_of(events).count("submitted") == 3
        last = events[-1]
        assert (last.detail["reason"], last.detail["attempt"]) == ("slippage", 3)
        view = await b.view(last.order_id)
        assert [attempt["outcome"] for attempt in view["attempts"]] == ["failed"] * 3
        assert view["failureReason"] == "slippage"


async def test_a_swap_that_lands_at_the_second_try_confirms_the_order(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [EXPIRED, LANDED]
        events = await b.ended(await b.post())
        assert statuses_of(events)[3:] == ["submitted", "routing", "routing", "building", "submitted", "confirmed"]
        view = await b.view(events[0].order_id)
        assert [attempt["outcome"] for attempt in view["attempts"]] == ["expired", "landed"]
        assert view["attempts"][0]["proof"]["heightSeen"] == 151


async def test_promise_5_an_order_between_two_attempts_ends_with_the_first_if_that_landed_after_all(
    bench: OpenBench,
) -> None:
    async with bench() as b:
        b.chain.statuses, look = [EXPIRED], b.chain.status

        async def status(signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
            """It is gone, as the order learns first; then it is on chain, and then that is final."""
            found = await look(signatures, history=history)
            if history:
                b.chain.earlier = {b.chain.sent[0].signature: CONFIRMED if b.chain.searched < 3 else LANDED}
            return found

        b.chain.status = status  # type: ignore[method-assign]
        async with running(b.worker().run(), b.sweeper().run()):
            events = await b.ended(await b.post())
        assert statuses_of(events)[3:] == ["submitted", "routing", "building", "submitted", "confirmed"]
        assert events[4].detail["reason"] == "attempt-expired"
        view = await b.view(events[0].order_id)
        [only] = view["attempts"]
        assert (only["outcome"], only["proof"]) == ("landed", {"slot": 7, "finalized": True, "foundLate": True})
        assert (view["txHash"], view["amountOut"]) == (only["txHash"], "1500000")
        assert len(b.chain.sent) == 1, "nothing more is signed"


async def test_a_confirmed_order_ends_when_its_swap_is_final(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [CONFIRMED, CONFIRMED, CONFIRMED, LANDED]
        events = await b.ended(await b.post())
        assert statuses_of(events)[3:] == ["submitted", "confirmed", "confirmed"]
        assert [event.detail["finalized"] for event in events[4:]] == [False, True]
        assert [event.final for event in events] == [False] * 5 + [True]
        view = await b.view(events[0].order_id)
        assert view["finalizedAt"] == view["finishedAt"]
        assert view["attempts"][0]["outcome"] == "landed"
        assert len(b.chain.sent) == 1


async def test_a_confirmed_order_that_is_not_final_has_its_fill_and_an_open_attempt(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [CONFIRMED]
        order_id = await b.post()
        await b.reached(order_id, Status.CONFIRMED)
        view = await b.view(order_id)
        assert (view["status"], view["finishedAt"], view["finalizedAt"]) == ("confirmed", None, None)
        assert (view["fill"]["amountOut"], view["fill"]["finalized"]) == ("1500000", False)
        assert (view["attempts"][0]["outcome"], view["attempts"][0]["proof"]["slot"]) == ("open", 7)
        assert [row["orderId"] for row in await b.store.orders(5, None, Status.CONFIRMED)] == [str(order_id)]


async def test_a_swap_that_the_chain_takes_back_is_sent_again_and_its_order_shows_it(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [CONFIRMED, ALIVE, ALIVE, LANDED]
        events = await b.ended(await b.post())
        assert statuses_of(events)[3:] == ["submitted", "confirmed", "submitted", "confirmed"]
        assert events[5].detail["reason"] == "un-confirmed"
        assert len({signed.payload for signed in b.chain.sent}) == 1
        assert len(b.chain.sent) == 2


async def test_a_swap_that_is_taken_back_and_expires_leaves_no_fill_behind(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [CONFIRMED, EXPIRED]
        events = await b.ended(await b.post())
        assert statuses_of(events)[3:7] == ["submitted", "confirmed", "submitted", "routing"]
        view = await b.view(events[0].order_id)
        assert (view["status"], view["amountIn"], view["amountOut"], view["fill"]) == ("failed", None, None, None)
        assert [attempt["outcome"] for attempt in view["attempts"]] == ["expired"] * 3


async def test_the_order_shows_what_was_quoted_and_what_really_moved(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run()):
        b.chain.statuses = [replace(LANDED, moved={**MOVED, KNOWN[1].mint: 1_509_000}, fee=5_001)]
        events = await b.ended(await b.post())
        view = await b.view(events[0].order_id)
        assert view["fill"] == {
            "price": "150.9", "amountIn": "10000000", "amountOut": "1509000", "minOut": "1502450", "maxIn": "10000000",
            "quotedIn": "10000000", "quotedOut": "1510000", "slippageBps": "6.63", "venueQuotedIn": "10000000",
            "venueQuotedOut": "1510000", "venueSlippageBps": "6.63", "networkFee": "5001", "slot": 7, "finalized": True,
        }  # fmt: skip
        assert view["feesPaid"] == "5001"


async def test_what_failed_attempts_cost_is_counted(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=7, finalized=True), LANDED]
        events = await b.ended(await b.post())
        assert (await b.view(events[0].order_id))["feesPaid"] == "10000"


async def test_a_send_that_is_refused_is_no_failure(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.submits = [Unknown("-32002: it would fail, says a front that has passed it on")]
        events = await b.ended(await b.post())
        view = await b.view(events[0].order_id)
        assert [attempt["outcome"] for attempt in view["attempts"]] == ["landed"]


async def test_an_order_without_progress_shows_what_it_waits_for_until_it_moves_on(
    bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "REPORT_AFTER", 0.05)
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [Unavailable("no node answers")]
        order_id = await b.post()
        await until(lambda: waits_for(b, order_id, "node"), pause=0.02)
        assert (await b.view(order_id))["waitingFor"]["detail"] == "no node reports its status: no node answers"
        b.chain.statuses = [LANDED]
        await b.ended(order_id)
        assert (await b.view(order_id))["waitingFor"] is None


async def test_an_order_between_two_rounds_shows_what_it_waits_for(bench: OpenBench) -> None:
    async with bench() as b:
        b.a.on_quote = b.b.on_quote = raising(Unreachable("away"))
        slow = RetryPolicy(attempts=3, base_ms=60_000, max_ms=60_000)
        async with running(b.worker(retry_policy=slow).run()):
            order_id = await b.post(new_order(deadline_ms=3_600_000))
            await until(lambda: rests(b, order_id), pause=0.02)
            told = (await b.view(order_id))["waitingFor"]
            assert (told["reason"], told["detail"]) == ("unreachable", "away")
            assert told["until"] > told["since"]


async def rests(b: Bench, order_id: UUID) -> bool:
    """Whether a round is over."""
    return "retryInMs" in (await b.events(order_id))[-1].detail


async def test_promise_5_an_open_attempt_is_looked_up_on_its_own_chain_alone_also_when_its_venue_is_gone(
    bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "UNAVAILABLE_CHAIN_PAUSE_MS", 20.0)
    first, other = {Network.SIMULATED: "first"}, {Network.SIMULATED: "other"}
    async with bench() as b, running(b.sweeper().run()):
        b.chain.statuses = [Unavailable("not yet")]
        order_id = await b.post()
        async with running(b.worker(genesis=first).run()):
            await until(lambda: sent(b), pause=0.02)
        b.chain.statuses = [EXPIRED]  # by the other chain's height, and it does not know the signature
        looked_up = b.chain.looked_up
        async with running(b.worker(genesis=other).run()):
            await until(lambda: waits_for(b, order_id, "network"), pause=0.02)
        assert (b.chain.looked_up, len(b.chain.sent)) == (looked_up, 1)
        b.chain.statuses = [LANDED]
        async with running(b.worker(genesis=first, without="a").run()):
            await b.ended(order_id)
        view = await b.view(order_id)
        assert [(one["venue"], one["outcome"]) for one in view["attempts"]] == [("a", "landed")]


async def sent(b: Bench) -> bool:
    """Whether something was."""
    return bool(b.chain.sent)


async def waits_for(b: Bench, order_id: UUID, reason: str) -> bool:
    """Whether the order shows this reason to wait."""
    waiting = (await b.view(order_id))["waitingFor"]
    return waiting is not None and waiting["reason"] == reason


async def test_no_route_at_all_is_retried_and_then_failed_with_all_the_reasons(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.a.on_quote = raising(NoRoute("dry"))
        b.b.on_quote = raising(Unsupported("not this pair"))
        events = await b.ended(await b.post())
        assert statuses_of(events) == ["pending", "routing", "routing", "routing", "failed"]
        assert events[-1].detail["reason"] == "no-route"
        assert "a: dry" in str(events[-1].detail["detail"])
        assert [event.detail["round"] for event in events[1:4]] == [1, 2, 3]


async def test_promise_17_a_venue_that_is_away_is_waited_for_although_another_has_no_route(
    bench: OpenBench,
) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.a.on_quote, b.b.on_quote = raising(NoRoute("dry")), raising(Unreachable("gone"))
        order_id = await b.post()
        await until(lambda: b.b.asked >= 6)
        assert (await b.events(order_id))[-1].detail["reason"] == "unreachable"
        b.b.on_quote = b.b._price
        assert statuses_of(await b.ended(order_id))[-1] == "confirmed"


async def test_what_cannot_get_better_fails_at_once(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run()):
        b.a.on_quote = b.b.on_quote = raising(Unsupported("not this pair"))
        events = await b.ended(await b.post())
        assert statuses_of(events) == ["pending", "routing", "failed"]
        assert events[-1].detail["reason"] == "unsupported"


async def test_promise_13_an_order_past_its_deadline_expires_without_being_quoted(bench: OpenBench) -> None:
    async with bench() as b:
        order_id = await b.post(new_order(deadline_ms=0))
        async with running(b.worker().run()):
            events = await b.ended(order_id)
        assert statuses_of(events) == ["pending", "expired"]
        assert (events[-1].detail["reason"], b.a.asked) == ("deadline", 0)


async def test_promise_13_the_next_venue_is_held_to_the_orders_first_quote(bench: OpenBench) -> None:
    """The best venue cannot build, and the next one is 20 % worse: it is never taken, however often it quotes."""
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
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


async def test_promise_13_the_bound_holds_for_the_worker_that_comes_after_a_restart(bench: OpenBench) -> None:
    async with bench() as b:
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


async def test_a_clients_own_bound_is_shown_and_waited_for(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        bound = Bound(1_600_000, 10_000_000)
        order_id = await b.post(replace(new_order(), bound=bound, bound_open=False))
        await until(lambda: b.b.asked >= 3)
        waits = await b.events(order_id)
        assert (waits[0].detail["minOut"], waits[0].detail["maxIn"]) == ("1600000", "10000000")
        assert {event.detail["reason"] for event in waits[1:]} == {"slippage"}
        b.b.price, b.chain.statuses = 1_600_000, [replace(LANDED, moved={**MOVED, KNOWN[1].mint: 1_600_000})]
        assert statuses_of(await b.ended(order_id))[-1] == "confirmed"


async def test_an_order_that_is_too_large_for_every_pool_fails_at_once(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run()):
        for venue in (b.a, b.b):
            venue.on_quote = quoting(venue.name, price_impact_ppm=999_950)
        events = await b.ended(await b.post())
        assert statuses_of(events) == ["pending", "routing", "failed"]
        assert events[-1].detail["reason"] == "price-impact"
        assert "99.995 %" in str(events[-1].detail["detail"])
        assert "no size was found that is within it" in str(events[-1].detail["detail"])


async def test_an_order_that_is_too_large_reports_the_size_that_would_fit(bench: OpenBench) -> None:
    async def deep(request: SwapRequest) -> Quote:
        """A pool of 0.09 SOL."""
        impact = 1_000_000 * request.amount // (90_000_000 + request.amount)
        return quote_of("a", request, 1_500_000, price_impact_ppm=impact + 1)

    async with bench() as b, running(b.worker().run()):
        b.a.on_quote, b.b.on_quote = deep, raising(Unsupported("not this pair"))
        events = await b.ended(await b.post(replace(new_order(), max_price_impact_bps=100)))
        assert statuses_of(events) == ["pending", "routing", "failed"]
        words = str(events[-1].detail["detail"])
        assert "the swap would move the price by 10.0001 %, and 1 % is allowed" in words
        assert "0.000908" in words
        assert words.endswith("SOL would be within it, as a quotes")


async def test_a_venues_dirty_words_poison_neither_the_order_nor_its_record(bench: OpenBench) -> None:
    dirty = "nul\0 half \ud800 pair\nline" + "x" * 10_000

    async def break_while_building(_: Quote) -> bytes:
        raise Slippage(dirty)

    async with bench() as b, running(b.worker().run()):
        b.a.on_build, b.b.on_quote = break_while_building, quoting("b", route=(dirty,))
        b.b.price, b.chain.statuses = (
            1_505_000,
            [FailedOnChain(code=dirty, detail=dirty, fee=5_000, slot=7, finalized=True), WELL_FILLED],
        )
        b.b.on_quote = quoting("b", route=(dirty,), amount_out=1_505_000, min_out=1_505_000)
        async with running(b.sweeper().run()):
            events = await b.ended(await b.post())
        assert statuses_of(events)[-1] == "confirmed"
        view = await b.view(events[0].order_id)
        assert [attempt["outcome"] for attempt in view["attempts"]] == ["failed", "landed"]
        assert view["attempts"][0]["proof"]["code"] == "program-error"
        assert "nul\ufffd half \ufffd pair line" in str(events[3].detail["detail"])


@pytest.mark.parametrize("slow", [False, True], ids=["at-once", "later"])
@pytest.mark.parametrize("way", ["raises", "cancels", "panics"])
async def test_an_adapter_that_gives_up_while_building_does_not_take_the_order_with_it(
    bench: OpenBench, way: str, slow: bool
) -> None:
    class Panic(BaseException):
        """As the panics of libraries in Rust are: no `Exception`."""

    async def give_up(_: Quote) -> bytes:
        if slow:
            await asyncio.sleep(2 * attempt_recorder.QUICK_BUILD_SECONDS)
        if way == "panics":
            raise Panic
        if way == "cancels" and (task := asyncio.current_task()):
            task.cancel()
            await asyncio.sleep(0)
        raise asyncio.CancelledError

    async with bench() as b, running(b.worker().run()):
        b.a.on_build, b.chain.statuses = give_up, [WELL_FILLED]
        events = await b.ended(await b.post())
        assert (statuses_of(events)[-1], events[3].detail["reason"]) == ("confirmed", "bad-answer")


async def test_both_sides_and_both_modes_request_the_right_swap(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run()):
        asked: list[SwapRequest] = []

        async def note(request: SwapRequest) -> Quote:
            asked.append(request)
            return quote_of("a", request, 1_500_000)

        b.a.on_quote = note
        for side, mode in itertools.product(("buy", "sell"), Mode):
            order = new_order(amount="2", mode=mode)
            await b.ended(await b.post(replace(order, side=type(order.side)(side), amount_base=2)))
        sol, usdc = (token.mint for token in KNOWN)
        assert [(r.mint_in, r.mint_out, r.mode) for r in asked] == [
            (sol, usdc, Mode.EXACT_IN),
            (sol, usdc, Mode.EXACT_OUT),
            (usdc, sol, Mode.EXACT_IN),
            (usdc, sol, Mode.EXACT_OUT),
        ]
