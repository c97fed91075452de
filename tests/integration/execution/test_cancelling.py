"""Cancelling orders that a worker executes, on real Postgres and Redis: it stops before it sends anything, or it is too
late."""

import asyncio

from dexexec.domain.cancellation import Cancelled, TooLate
from dexexec.domain.quote import Quote
from dexexec.domain.status import Status
from tests.support.parts import running
from tests.support.scripted import forever
from tests.support.scripted_workers import ALIVE, LANDED, OpenScriptedWorkers
from tests.support.waiting import until


async def test_an_order_whose_venues_hang_is_cancelled_at_once_and_the_worker_drops_it(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        b.a.on_quote = b.b.on_quote = forever
        worker = b.worker()
        async with running(worker.run()):
            order_id = await b.post()
            await until(lambda: b.a.asked)
            assert isinstance(await b.store.cancel(order_id), Cancelled)
            assert [event.status for event in await b.ended(order_id)] == [Status.PENDING, Status.CANCELLED]
            another = await b.post()
            await until(lambda: b.a.asked > 1)
            assert isinstance(await b.store.cancel(another), Cancelled)
        assert b.chain.sent == []


async def test_promise_3_what_was_built_for_an_order_that_was_cancelled_meanwhile_is_not_sent(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        built, go_on = asyncio.Event(), asyncio.Event()

        async def build(_: Quote) -> bytes:
            built.set()
            await go_on.wait()
            return b"bytes"

        b.a.on_build = b.b.on_build = build
        async with running(b.worker().run()):
            order_id = await b.post()
            await built.wait()
            assert isinstance(await b.store.cancel(order_id), Cancelled)
            go_on.set()
            kept = await b.post()
            b.chain.statuses = [LANDED]
            assert (await b.ended(kept))[-1].status is Status.CONFIRMED
        assert (await b.ended(order_id))[-1].status is Status.CANCELLED
        recorded = (await b.view(kept))["attempts"]
        assert {one.signature for one in b.chain.sent} == {one["txHash"] for one in recorded}
        assert (await b.view(order_id))["attempts"] == []


async def test_an_order_that_was_sent_is_too_late_to_cancel_and_is_confirmed(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        b.chain.statuses = [ALIVE]
        async with running(b.worker().run()):
            order_id = await b.post()
            await b.reached(order_id, Status.SUBMITTED)
            late = await b.store.cancel(order_id)
            assert isinstance(late, TooLate)
            assert late.attempt is not None
            assert (late.status, late.attempt["outcome"]) == (Status.SUBMITTED, "open")
            b.chain.statuses = [LANDED]
            assert (await b.ended(order_id))[-1].status is Status.CONFIRMED
