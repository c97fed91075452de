"""The worker, the pipeline and the sweeper on a real Postgres and a real Valkey, with venues that do as told."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.event import Event
from dexexec.domain.order import NewOrder
from dexexec.domain.quote import Fill, Mode, Quote, SwapRequest
from dexexec.domain.status import TRANSITIONS, Status
from dexexec.domain.swap import FailedOnChain, Landed, NotSeen, Rejected, Unknown
from dexexec.domain.token import KNOWN, Tokens
from dexexec.limiter import RateLimiter
from dexexec.observe import Observer, make_logger
from dexexec.pipeline import Pipeline, Retries
from dexexec.presenting import Presenter
from dexexec.queue import Queue
from dexexec.router import Router
from dexexec.settlement.settle import Settlement
from dexexec.settlement.signer import SimulatedSigner
from dexexec.store import Address, Store
from dexexec.sweeper import Sweeper
from dexexec.venue import Network, NoRoute, Slippage, Unsupported
from dexexec.worker import Limits, Worker
from tests.conftest import Servers
from tests.parts import new_order, open_queue, open_redis, open_store, running
from tests.scripted import ScriptedChain, ScriptedVenue, forever, quote_of, raising
from tests.waiting import until

LANDED = Landed(Fill(10_000_000, 1_500_000, 5_000, 7))
ALIVE = NotSeen(height=1, history=True, node="n")
EXPIRED = NotSeen(height=151, history=True, node="n")
LIMITS = Limits(
    concurrency=16, orders_per_minute=None, max_claims=3, lease_seconds=20, heartbeat_seconds=0.1, drain_seconds=5
)


@dataclass
class Bench:
    """One worker's surroundings. `chain` says landed unless told otherwise; `a` has the better price."""

    store: Store
    queue: Queue
    limiter: RateLimiter
    chain: ScriptedChain
    a: ScriptedVenue
    b: ScriptedVenue
    names: "itertools.count[int]"

    def worker(self, **limits: Any) -> Worker:
        """A worker that does not run yet."""
        clock, observer = SystemClock(), Observer(make_logger("critical"))
        venues = {venue.name: venue for venue in (self.a, self.b)}
        router = Router(venues, clock, observer, timeout_ms=500, breaker_failures=100, breaker_seconds=60)
        pipeline = Pipeline(
            store=self.store,
            router=router,
            settlement=Settlement(
                {Network.SIMULATED: self.chain}, {Network.SIMULATED: UniqueSigner()}, clock, observer
            ),
            venues=venues,
            presenter=Presenter(Tokens(KNOWN)),
            retries=Retries(attempts=3, base_ms=5, max_ms=20),
            clock=clock,
            observer=observer,
            rng=random.Random(1),
        )
        return Worker(
            name=f"worker-{next(self.names)}",
            store=self.store,
            queue=self.queue,
            limiter=self.limiter,
            pipeline=pipeline,
            limits=replace(LIMITS, **limits),
            clock=clock,
            observer=observer,
        )

    def sweeper(self) -> Sweeper:
        """A sweeper that does not run yet."""
        return Sweeper("sweeper", self.store, self.queue, 0.05, Observer(make_logger("critical")))

    async def post(self, order: NewOrder | None = None) -> UUID:
        """Store an order and put it on the queue."""
        order = order or new_order()
        await self.store.create(order)
        await self.queue.enqueue([order.id])
        return order.id

    async def events(self, order_id: UUID) -> list[Event]:
        """Everything that happened to an order so far."""
        return (await self.store.events_after([(order_id, 0)]))[order_id]

    async def view(self, order_id: UUID) -> Any:
        """The order as a client gets it."""
        return await self.store.order(order_id)

    async def ended(self, order_id: UUID) -> list[Event]:
        """Its events, once it has ended; promise 7 is checked on the way."""

        async def final() -> list[Event]:
            events = await self.events(order_id)
            return events if events[-1].final else []

        events: list[Event] = await until(final)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        for before, after in itertools.pairwise(events):
            assert after.status in TRANSITIONS[before.status].values()
        return events

    async def reached(self, order_id: UUID, status: Status) -> None:
        """Wait until an order has been in `status`."""

        async def there() -> bool:
            return any(event.status is status for event in await self.events(order_id))

        await until(there)


OpenBench = Callable[[], AbstractAsyncContextManager[Bench]]


class UniqueSigner(SimulatedSigner):
    """Signs the same bytes differently each time, as a nonce would make them."""

    _count = itertools.count()

    def sign(self, unsigned: Any) -> Any:
        signed = super().sign(unsigned)
        return replace(signed, signature=f"{signed.signature}{next(self._count)}{id(self)}")


@pytest.fixture
def bench(database_address: Address, servers: Servers, redis_prefix: str) -> OpenBench:
    """Opens a `Bench` for one test."""

    @asynccontextmanager
    async def open_bench() -> AsyncIterator[Bench]:
        clock, chain = SystemClock(), ScriptedChain()
        chain.statuses = [LANDED]
        async with (
            open_store(database_address) as store,
            open_queue(servers.redis_url, redis_prefix) as queue,
            open_redis(servers.redis_url) as client,
        ):
            a = ScriptedVenue("a", clock, 1_510_000, chain)
            b = ScriptedVenue("b", clock, 1_500_000, chain)
            limiter = RateLimiter(client, redis_prefix, "p")
            yield Bench(store, queue, limiter, chain, a, b, itertools.count())

    return open_bench


async def failing_to_build(_: Quote) -> bytes:
    raise Slippage("moved")


def quotes_of(event: Event) -> dict[str, Any]:
    quotes: Any = event.detail["quotes"]
    return {quote["venue"]: quote for quote in quotes}


def told(events: list[Event]) -> list[str]:
    return [event.status.value for event in events]


async def test_an_order_goes_the_whole_way(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run()):
        events = await b.ended(await b.post())
        assert told(events) == ["pending", "routing", "building", "submitted", "confirmed"]
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

        async def look_first(signed: Any) -> Any:
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
        assert told(events) == ["pending", "routing", "building", "building", "submitted", "confirmed"]
        assert (events[3].detail["venue"], events[3].detail["reason"]) == ("b", "slippage")


async def test_a_proven_failure_is_tried_again_and_told_only_once_at_the_end(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [FailedOnChain("slippage", "moved", 5_000, 7)]
        events = await b.ended(await b.post())
        assert told(events).count("failed") == 1
        assert told(events).count("submitted") == 3
        last = events[-1]
        assert (last.detail["reason"], last.detail["attempt"]) == ("slippage", 3)
        view = await b.view(last.order_id)
        assert [attempt["outcome"] for attempt in view["attempts"]] == ["failed"] * 3
        assert view["failureReason"] == "slippage"


async def test_a_swap_that_lands_at_the_second_try_confirms_the_order(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.statuses = [EXPIRED, LANDED]
        events = await b.ended(await b.post())
        assert told(events)[3:] == ["submitted", "routing", "routing", "building", "submitted", "confirmed"]
        view = await b.view(events[0].order_id)
        assert [attempt["outcome"] for attempt in view["attempts"]] == ["expired", "landed"]
        assert view["attempts"][0]["proof"]["heightSeen"] == 151


async def test_a_definitive_refusal_is_tried_again(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.chain.submits = [Rejected("blockhash-not-found", "too old"), Unknown("but this one may be on its way")]
        events = await b.ended(await b.post())
        view = await b.view(events[0].order_id)
        assert [attempt["outcome"] for attempt in view["attempts"]] == ["rejected", "landed"]


async def test_no_route_at_all_is_retried_and_then_failed_with_all_the_reasons(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run(), b.sweeper().run()):
        b.a.on_quote = raising(NoRoute("dry"))
        b.b.on_quote = forever
        events = await b.ended(await b.post())
        assert told(events) == ["pending", "routing", "routing", "routing", "failed"]
        assert events[-1].detail["reason"] == "no-route"
        assert "a: dry" in str(events[-1].detail["detail"])
        assert [event.detail["round"] for event in events[1:4]] == [1, 2, 3]


async def test_what_cannot_get_better_fails_at_once(bench: OpenBench) -> None:
    async with bench() as b, running(b.worker().run()):
        b.a.on_quote = b.b.on_quote = raising(Unsupported("not this pair"))
        events = await b.ended(await b.post())
        assert told(events) == ["pending", "routing", "failed"]
        assert events[-1].detail["reason"] == "unsupported"


async def test_promise_13_an_order_past_its_deadline_expires_without_being_quoted(bench: OpenBench) -> None:
    async with bench() as b:
        order_id = await b.post(new_order(deadline_ms=0))
        async with running(b.worker().run()):
            events = await b.ended(order_id)
        assert told(events) == ["pending", "expired"]
        assert (events[-1].detail["reason"], b.a.asked) == ("deadline", 0)


async def test_both_sides_and_both_modes_ask_for_the_right_swap(bench: OpenBench) -> None:
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


async def test_promise_2_what_a_killed_worker_held_is_resumed_with_the_same_bytes(bench: OpenBench) -> None:
    async with bench() as b:
        b.chain.statuses = [ALIVE]
        order_id = await b.post()
        dying = asyncio.create_task(b.worker().run())
        await b.reached(order_id, Status.SUBMITTED)
        await until(lambda: sent(b))
        dying.cancel()  # as dead as a task can be: its session goes without a word to the queue
        await asyncio.wait([dying])
        b.chain.statuses = [LANDED]
        async with running(b.worker().run(), b.sweeper().run()):
            events = await b.ended(order_id)
        assert told(events) == ["pending", "routing", "building", "submitted", "confirmed"]
        assert len({signed.signature for signed in b.chain.sent}) == 1, "one swap, however often it was sent"


async def sent(b: Bench) -> bool:
    return bool(b.chain.sent)


async def test_promise_6_orders_survive_the_loss_of_the_whole_queue(bench: OpenBench, servers: Servers) -> None:
    async with bench() as b, open_redis(servers.redis_url) as client:
        ids = [await b.post() for _ in range(25)]
        await client.delete(b.queue.work, b.queue.queued, b.queue.delayed)
        async with running(b.worker().run(), b.sweeper().run()):
            for order_id in ids:
                await b.ended(order_id)
        assert len({signed.signature for signed in b.chain.sent}) == 25


async def test_promise_11_a_poison_order_is_set_aside_and_the_others_keep_flowing(bench: OpenBench) -> None:
    async with bench() as b:
        poison = new_order(amount="0.666")

        async def break_on_poison(request: SwapRequest) -> Quote:
            return quote_of("a", request, 1_510_000)

        b.a.on_quote = break_on_poison
        worker = b.worker(max_claims=2)
        run = worker._pipeline._router.route

        async def route(request: SwapRequest, deadline: float) -> Any:
            if request.amount == poison.amount_base:
                raise ZeroDivisionError("a bug that only this order meets")
            return await run(request, deadline)

        worker._pipeline._router.route = route  # type: ignore[method-assign]
        async with running(worker.run(), b.sweeper().run()):
            poison_id = await b.post(poison)
            others = [await b.post() for _ in range(20)]
            for order_id in others:
                assert told(await b.ended(order_id))[-1] == "confirmed"
            events = await b.ended(poison_id)
        assert (events[-1].status, events[-1].detail["reason"]) == (Status.FAILED, "poisoned")


async def test_promise_11_a_poison_order_whose_swap_may_land_is_not_called_failed(bench: OpenBench) -> None:
    async with bench() as b:
        b.chain.statuses = [ALIVE]
        order_id = await b.post()
        first = asyncio.create_task(b.worker().run())
        await b.reached(order_id, Status.SUBMITTED)
        first.cancel()
        await asyncio.wait([first])
        incarnation = await b.store.begin("w", 20)
        (claimed,) = await b.store.claim(incarnation.id, [order_id])
        await b.worker()._pipeline.poison(claimed)
        assert (await b.events(order_id))[-1].status is Status.SUBMITTED
        assert await b.store.claim(incarnation.id, [order_id]) == [], "nobody takes it up again"
        await incarnation.end()


async def test_promise_15_a_stopping_worker_finishes_what_it_can_and_leases_no_more(bench: OpenBench) -> None:
    async with bench() as b:
        b.chain.statuses = [ALIVE]
        worker = b.worker()
        task = asyncio.create_task(worker.run())
        in_flight = await b.post()
        await b.reached(in_flight, Status.SUBMITTED)
        worker.stop()
        waiting = await b.post()
        b.chain.statuses = [LANDED]
        async with asyncio.timeout(5):
            await task
        assert (await b.events(in_flight))[-1].status is Status.CONFIRMED
        assert told(await b.events(waiting)) == ["pending"]


async def test_promise_15_what_does_not_finish_in_time_is_handed_to_the_next_worker(bench: OpenBench) -> None:
    async with bench() as b:
        b.chain.statuses = [ALIVE]
        worker = b.worker(drain_seconds=0.05)
        task = asyncio.create_task(worker.run())
        order_id = await b.post()
        await b.reached(order_id, Status.SUBMITTED)
        worker.stop()
        async with asyncio.timeout(5):
            await task
        b.chain.statuses = [LANDED]
        async with running(b.worker().run()):  # no sweeper: it was put back on the queue
            assert (await b.ended(order_id))[-1].status is Status.CONFIRMED
        assert len({signed.signature for signed in b.chain.sent}) == 1


async def test_promise_10_a_worker_that_was_declared_dead_drops_its_orders_and_begins_anew(
    bench: OpenBench,
) -> None:
    async with bench() as b:
        b.chain.statuses = [ALIVE]
        order_id = await b.post()
        async with running(b.worker().run(), b.sweeper().run()):
            await b.reached(order_id, Status.SUBMITTED)
            async with b.store._database.connection() as connection:
                await connection.execute("DELETE FROM workers")
            b.chain.statuses = [LANDED]
            assert (await b.ended(order_id))[-1].status is Status.CONFIRMED
        assert len({signed.signature for signed in b.chain.sent}) == 1


async def test_several_workers_share_the_orders_and_the_limit_per_minute(bench: OpenBench) -> None:
    async with bench() as b:
        ids = [await b.post() for _ in range(30)]
        async with running(*(b.worker(orders_per_minute=12).run() for _ in range(3))):

            async def twelve() -> bool:
                return len(b.chain.sent) >= 12

            await until(twelve)

            async def limited() -> bool:
                return (await b.limiter.take("orders", 12)).granted == 0

            await until(limited)
            confirmed = [i for i in ids if (await b.events(i))[-1].status is not Status.PENDING]
        assert len(confirmed) == 12
        assert len(b.chain.sent) == 12


async def test_no_more_orders_are_in_flight_than_allowed(bench: OpenBench) -> None:
    async with bench() as b:
        flying, most = 0, 0
        price = b.a.on_quote
        ids = [await b.post() for _ in range(20)]

        async def count(request: SwapRequest) -> Quote:
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(0.005)
            flying -= 1
            return await price(request)

        b.a.on_quote = count
        async with running(b.worker(concurrency=3).run()):
            for order_id in ids:
                await b.ended(order_id)
        assert most == 3
