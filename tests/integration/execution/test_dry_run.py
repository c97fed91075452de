"""Dry runs on real Postgres and Redis: routed, built and simulated as any order, and never signed or sent."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from dexexec.domain.quote import Mode, Quote
from dexexec.domain.status import Status
from dexexec.domain.swap import SignedSwap, UnsignedSwap
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.venue import Unsupported
from tests.support.parts import new_order, running
from tests.support.scripted import raising
from tests.support.scripted_workers import ALIVE, LANDED, QUICK, OpenScriptedWorkers, failing_to_build
from tests.support.simulated_swaps import simulated_swap

WORSE_PPM = 20
"""How far the price moves against the order until the swap would land."""


class NoSigner(SimulatedSigner):
    """A wallet that must not sign."""

    def sign(self, unsigned: UnsignedSwap) -> SignedSwap:
        raise AssertionError("a dry run signs nothing")


def building(move_ppm: int = WORSE_PPM) -> Callable[[Quote], Awaitable[bytes]]:
    """Builds what is quoted, for the scripted chain."""

    async def build(quote: Quote) -> bytes:
        request = quote.request
        swap = simulated_swap(
            mint_in=request.mint_in,
            mint_out=request.mint_out,
            amount_in=quote.amount_in,
            amount_out=quote.amount_out,
            min_out=quote.min_out,
            max_in=quote.max_in,
            exact_in=request.mode is Mode.EXACT_IN,
            blockhash="recent",
            move_ppm=move_ppm,
        )
        return swap.encode()

    return build


async def test_promise_19_a_dry_run_ends_as_simulated_with_the_fill_and_without_an_attempt(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        b.a.on_build = b.b.on_build = building()
        order_id = await b.post()
        async with running(b.worker(dry_run=True, signer=NoSigner()).run()):
            events = await b.ended(order_id)
        assert [event.status for event in events] == [
            Status.PENDING,
            Status.ROUTING,
            Status.BUILDING,
            Status.SIMULATED,
        ]
        last = events[-1]
        assert last.final
        assert all(event.detail["dryRun"] is True for event in events[1:])
        assert "txHash" not in last.detail
        view = await b.view(order_id)
        assert (view["status"], view["attempts"], view["attemptCount"], view["txHash"]) == ("simulated", [], 0, None)
        assert (view["failureReason"], view["finalizedAt"], view["feesPaid"]) == (None, None, "0")
        quoted = int(str(last.detail["quotedOut"]))
        assert int(view["amountOut"]) == quoted * (1_000_000 - WORSE_PPM) // 1_000_000 < quoted
        assert view["fill"]["simulated"] is True
        assert (view["fill"]["amountIn"], view["fill"]["amountOut"]) == (view["amountIn"], view["amountOut"])
        assert last.detail["venueFeeMint"]
        assert b.chain.sent == []


async def test_where_the_better_venue_cannot_be_simulated_the_next_one_is(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        b.a.on_build, b.b.on_build = failing_to_build, building()
        order_id = await b.post()
        async with running(b.worker(dry_run=True, signer=NoSigner()).run()):
            events = await b.ended(order_id)
        assert [event.status for event in events][-3:] == [Status.BUILDING, Status.BUILDING, Status.SIMULATED]
        assert (events[-1].detail["venue"], events[-2].detail["reason"]) == ("b", "slippage")


async def test_a_dry_run_that_cannot_be_simulated_fails_or_expires_as_any_order(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        b.a.on_build = b.b.on_build = building(move_ppm=400_000)
        worker = b.worker(dry_run=True, signer=NoSigner(), retry_policy=replace(QUICK, rounds=2))
        async with running(worker.run()):
            moved = await b.post()
            ended = (await b.ended(moved))[-1]
            assert (ended.status, ended.detail["reason"], ended.detail["dryRun"]) == (Status.FAILED, "slippage", True)
            late = (await b.ended(await b.post(replace(new_order(), deadline_ms=0))))[-1]
            assert (late.status, late.detail["reason"]) == (Status.EXPIRED, "deadline")
            b.a.on_quote = b.b.on_quote = raising(Unsupported("not this pair"))
            refused = (await b.ended(await b.post()))[-1]
            assert (refused.status, refused.detail["reason"]) == (Status.FAILED, "unsupported")
        assert (await b.view(moved))["attempts"] == []
        assert b.chain.sent == []


async def test_promise_5_an_attempt_from_before_all_orders_ran_dry_is_still_settled(
    scripted_workers: OpenScriptedWorkers,
) -> None:
    async with scripted_workers() as b:
        order_id = await b.post()
        b.chain.statuses = [ALIVE]
        worker = b.worker()
        async with running(worker.run()):
            await b.reached(order_id, Status.SUBMITTED)
        b.chain.statuses = [LANDED]
        async with running(b.worker(dry_run=True, signer=NoSigner()).run()), running(b.sweeper().run()):
            last = (await b.ended(order_id))[-1]
        assert last.status is Status.CONFIRMED
        assert "dryRun" not in last.detail


async def test_promise_19_only_the_orders_that_ask_for_it_run_dry(scripted_workers: OpenScriptedWorkers) -> None:
    async with scripted_workers() as b:
        b.a.on_build = b.b.on_build = building()
        b.chain.statuses = [LANDED]
        async with running(b.worker().run()):
            dry, real = await b.post(replace(new_order(), dry_run=True)), await b.post()
            assert [event.status for event in await b.ended(dry)][-1] is Status.SIMULATED
            assert [event.status for event in await b.ended(real)][-1] is Status.CONFIRMED
        assert all(event.detail["dryRun"] is True for event in await b.events(dry))
        assert not any("dryRun" in event.detail for event in await b.events(real))
        assert ((await b.view(dry))["dryRun"], (await b.view(real))["dryRun"]) == (True, False)
        assert {one.signature for one in b.chain.sent} == {(await b.view(real))["txHash"]}
