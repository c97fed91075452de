"""Attempts and their outcomes: recorded, sent, confirmed, final, failed, expired or taken back by the chain."""

from collections.abc import Sequence
from typing import Any

import pytest

from dexexec.domain.order_filter import OrderFilter
from dexexec.domain.status import Status
from dexexec.domain.swap import FailedOnChain, SwapStatus, Unavailable, Unknown
from dexexec.execution import pipeline
from dexexec.venue import Network
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import running
from tests.support.scripted_workers import (
    ALIVE,
    CONFIRMED,
    EXPIRED,
    LANDED,
    OpenScriptedWorkers,
    ScriptedWorkers,
    waits_for,
)
from tests.support.waiting import until


async def test_promise_4_the_attempt_is_durable_before_anything_is_sent(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
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


async def test_a_proven_failure_is_tried_again_and_reported_only_once_at_the_end(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=7, finalized=True)]
        events = await b.ended(await b.post())
        assert statuses_of(events).count("failed") == 1
        assert statuses_of(events).count("submitted") == 3
        last = events[-1]
        assert (last.detail["reason"], last.detail["attempt"]) == ("slippage", 3)
        view = await b.view(last.order_id)
        assert [attempt["outcome"] for attempt in view["attempts"]] == ["failed"] * 3
        assert view["failureReason"] == "slippage"


async def test_a_swap_that_lands_at_the_second_try_confirms_the_order(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [EXPIRED, LANDED]
        events = await b.ended(await b.post())
        assert statuses_of(events)[3:] == ["submitted", "routing", "routing", "building", "submitted", "confirmed"]
        view = await b.view(events[0].order_id)
        assert [attempt["outcome"] for attempt in view["attempts"]] == ["expired", "landed"]
        assert view["attempts"][0]["proof"]["heightSeen"] == 151


async def test_promise_5_an_order_between_two_attempts_ends_with_the_first_if_that_landed_after_all(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
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
        proof = only["proof"]
        assert (only["outcome"], proof["slot"], proof["finalized"], proof["foundLate"]) == ("landed", 7, True, True)
        assert (view["cost"]["fees"], view["cost"]["swaps"]) == (proof["cost"]["fee"], 1) == ("5000", 1)
        assert (view["txHash"], view["amountOut"]) == (only["txHash"], "1500000")
        assert len(b.chain.sent) == 1, "nothing more is signed"


async def test_a_confirmed_order_ends_when_its_swap_is_final(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [CONFIRMED, CONFIRMED, CONFIRMED, LANDED]
        events = await b.ended(await b.post())
        assert statuses_of(events)[3:] == ["submitted", "confirmed", "confirmed"]
        assert [event.detail["finalized"] for event in events[4:]] == [False, True]
        assert [event.final for event in events] == [False] * 5 + [True]
        view = await b.view(events[0].order_id)
        assert view["finalizedAt"] == view["finishedAt"]
        assert view["attempts"][0]["outcome"] == "landed"
        assert len(b.chain.sent) == 1


async def test_a_confirmed_order_that_is_not_final_has_its_fill_and_an_open_attempt(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [CONFIRMED]
        order_id = await b.post()
        await b.reached(order_id, Status.CONFIRMED)
        view = await b.view(order_id)
        assert (view["status"], view["finishedAt"], view["finalizedAt"]) == ("confirmed", None, None)
        assert (view["fill"]["amountOut"], view["fill"]["finalized"]) == ("1500000", False)
        assert (view["attempts"][0]["outcome"], view["attempts"][0]["proof"]["slot"]) == ("open", 7)
        confirmed = OrderFilter(statuses=frozenset({Status.CONFIRMED}))
        assert [row["orderId"] for row in await b.store.orders(5, None, confirmed)] == [str(order_id)]


async def test_a_swap_that_the_chain_takes_back_is_sent_again_and_its_order_shows_it(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [CONFIRMED, ALIVE, ALIVE, LANDED]
        events = await b.ended(await b.post())
        assert statuses_of(events)[3:] == ["submitted", "confirmed", "submitted", "confirmed"]
        assert events[5].detail["reason"] == "un-confirmed"
        assert len({signed.payload for signed in b.chain.sent}) == 1
        assert len(b.chain.sent) == 2


async def test_a_swap_that_is_taken_back_and_expires_leaves_no_fill_behind(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [CONFIRMED, EXPIRED]
        events = await b.ended(await b.post())
        assert statuses_of(events)[3:7] == ["submitted", "confirmed", "submitted", "routing"]
        view = await b.view(events[0].order_id)
        assert (view["status"], view["amountIn"], view["amountOut"], view["fill"]) == ("failed", None, None, None)
        assert [attempt["outcome"] for attempt in view["attempts"]] == ["expired"] * 3


async def test_what_failed_attempts_cost_is_counted(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=7, finalized=True), LANDED]
        events = await b.ended(await b.post())
        view = await b.view(events[0].order_id)
        assert view["feesPaid"] == "10000"
        cost = view["cost"]
        assert (cost["swaps"], cost["failedAttempts"], cost["fees"], cost["failedFees"]) == (1, 1, "10000", "5000")
        assert [attempt["proof"]["cost"]["fee"] for attempt in view["attempts"]] == ["5000", "5000"]
        assert "venueFee" not in view["attempts"][0]["proof"]["cost"]


async def test_a_send_that_is_refused_is_no_failure(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.submits = [Unknown("-32002: it would fail, says a front that has passed it on")]
        events = await b.ended(await b.post())
        view = await b.view(events[0].order_id)
        assert [attempt["outcome"] for attempt in view["attempts"]] == ["landed"]


async def test_promise_5_an_open_attempt_is_looked_up_on_its_own_chain_alone_also_when_its_venue_is_gone(
    scripted_workers: OpenScriptedWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "UNAVAILABLE_CHAIN_PAUSE_MS", 20.0)
    first, other = {Network.SIMULATED: "first"}, {Network.SIMULATED: "other"}
    async with scripted_workers() as b, running(b.sweeper().run()):
        b.chain.statuses = [Unavailable("not yet")]
        order_id = await b.post()
        async with running(b.worker(genesis=first).run()):
            await until(lambda: has_sent(b), pause=0.02)
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


async def has_sent(b: ScriptedWorkers) -> bool:
    """Whether a transaction was sent."""
    return bool(b.chain.sent)
