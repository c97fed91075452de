"""One order's way through the pipeline, on a real Postgres and a real Valkey, with scripted venues."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from dexexec.domain.network_cost import NetworkCost
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.swap import FailedOnChain
from dexexec.domain.token import KNOWN
from dexexec.execution import attempt_recorder
from dexexec.venue import NoRoute, Slippage
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import new_order, running
from tests.support.scripted import quote_of, raising
from tests.support.scripted_workers import (
    LANDED,
    MOVED,
    WELL_FILLED,
    OpenScriptedWorkers,
    failing_to_build,
    quotes_of,
    quoting,
)


async def test_an_order_goes_the_whole_way(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        events = await b.ended(await b.post())
        assert statuses_of(events) == ["pending", "routing", "building", "submitted", "confirmed"]
        view = await b.view(events[0].order_id)
        assert (view["venue"], view["amountOut"]) == ("a", "1500000")
        assert view["txHash"] == b.chain.sent[0].signature
        assert view["attempts"][0]["outcome"] == "landed"


async def test_the_routing_event_keeps_every_quote_and_why_each_lost(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
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


async def test_a_venue_that_cannot_build_hands_over_to_the_next_best(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        b.a.on_build = failing_to_build
        events = await b.ended(await b.post())
        assert statuses_of(events) == ["pending", "routing", "building", "building", "submitted", "confirmed"]
        assert (events[3].detail["venue"], events[3].detail["reason"]) == ("b", "slippage")


async def test_the_order_shows_what_was_quoted_and_what_really_moved(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
        cost = NetworkCost(base_fee=5_000, priority_fee=1, rent_paid=2_039_280)
        b.chain.statuses = [replace(LANDED, moved={**MOVED, KNOWN[1].mint: 1_509_000}, fee=5_001, cost=cost)]
        events = await b.ended(await b.post())
        view = await b.view(events[0].order_id)
        assert view["fill"] == {
            "price": "150.9", "amountIn": "10000000", "amountOut": "1509000", "minOut": "1502450", "maxIn": "10000000",
            "quotedIn": "10000000", "quotedOut": "1510000", "slippageBps": "6.63", "venueQuotedIn": "10000000",
            "venueQuotedOut": "1510000", "venueSlippageBps": "6.63", "networkFee": "5001", "slot": 7, "finalized": True,
        }  # fmt: skip
        assert view["feesPaid"] == "5001"
        assert view["cost"] == {
            "final": True, "swaps": 1, "failedAttempts": 0, "fees": "5001", "baseFees": "5000", "priorityFees": "1",
            "failedFees": "0", "tips": "0", "rentPaid": "2039280", "rentReturned": "0", "lamports": "2044281",
            "unknown": {"feeParts": 0, "rent": 0, "quotes": 0},
            "mints": [
                {"mint": KNOWN[1].mint, "venueFees": "0", "slippage": "1000", "venueSlippage": "1000"},
                {"mint": KNOWN[0].mint, "venueFees": "1", "slippage": "0", "venueSlippage": "0"},
            ],
        }  # fmt: skip


async def test_a_venues_dirty_words_poison_neither_the_order_nor_its_record(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    dirty = "nul\0 half \ud800 pair\nline" + "x" * 10_000

    async def break_while_building(_: Quote) -> bytes:
        raise Slippage(dirty)

    async with scripted_workers() as b, running(b.worker().run()):
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
    scripted_workers: OpenScriptedWorkers, way: str, slow: bool
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

    async with scripted_workers() as b, running(b.worker().run()):
        b.a.on_build, b.chain.statuses = give_up, [WELL_FILLED]
        events = await b.ended(await b.post())
        assert (statuses_of(events)[-1], events[3].detail["reason"]) == ("confirmed", "bad-answer")


async def test_both_sides_and_both_modes_request_the_right_swap(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run()):
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
