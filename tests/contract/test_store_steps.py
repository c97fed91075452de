"""What the engine relies on of its store when it writes what has become of an order; see `test_store_port.py`."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from dexexec.domain.bound import Bound, FixedBound
from dexexec.domain.event import Event
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.domain.swap import SignedSwap
from dexexec.domain.terms import Terms
from dexexec.domain.wait_reason import WaitsFor
from dexexec.execution.sweeper import THE_BEGINNING
from dexexec.store import ConfirmedPage, NewAttempt, Release, Resolution, RoundAmount, Store, WaitNote
from tests.support.parts import new_order
from tests.support.prepared_orders import (
    HOUR_MS,
    NIL_ID,
    ROUTED,
    Open,
    attempt,
    claimed_by,
    claimed_new_order,
    one_order,
    signed_ago,
    step,
    submitted,
)

# Steps


async def test_a_step_under_a_stale_claim_writes_nothing(stores: Open) -> None:
    async with stores() as store:
        order_id = await one_order(store)
        zombie, successor = await store.begin("zombie", 20), await store.begin("successor", 20)
        stale = await claimed_by(store, zombie, order_id)
        await zombie.end()
        fresh = await claimed_by(store, successor, order_id)
        assert await store.advance(step(stale, 1, *ROUTED)) is None
        await store.release(Release(order_id, stale.order.claim, blame=False, resume_in_ms=HOUR_MS))
        assert await store.versions([order_id]) == {order_id: 1}
        events = await store.advance(step(fresh, 1, *ROUTED))
        assert events is not None
        assert [(e.seq, e.status) for e in events] == [(2, Status.ROUTING), (3, Status.BUILDING)]
        await successor.end()


async def test_promise_19_no_attempt_of_a_dry_order_is_recorded_and_its_end_has_the_simulated_fill(
    stores: Open,
) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        order_id = (await store.create(replace(new_order(), dry_run=True))).order_id
        claimed = await claimed_by(store, worker, order_id)
        assert claimed.order.dry_run
        assert await store.advance(step(claimed, 1, *ROUTED, venue="here", rounds=1))
        signed = step(claimed, 3, (Status.SUBMITTED, {}), attempt=attempt(1, "a"))
        assert await store.advance(signed) is None, "whatever the worker does"
        end = step(claimed, 3, (Status.SIMULATED, {"amountIn": "7"}), fill=Fill(7, 9, 5_000, 1), final=True)
        assert await store.advance(end)
        view = await store.order(order_id)
        assert view is not None
        assert (view["status"], view["dryRun"], view["attempts"]) == ("simulated", True, [])
        assert (view["amountIn"], view["amountOut"]) == ("7", "9")
        assert await store.advance(step(claimed, 4, (Status.ROUTING, {}))) is None, "it has ended"
        await worker.end()


async def test_an_order_that_a_dry_worker_simulates_is_marked_as_dry(stores: Open) -> None:
    async with stores() as store:
        order_id, worker, claimed = await claimed_new_order(store)
        assert not claimed.order.dry_run
        end = step(claimed, 1, *ROUTED, (Status.SIMULATED, {}), fill=Fill(7, 9, 5_000, 1), final=True)
        assert await store.advance(end)
        view = await store.order(order_id)
        assert view is not None
        assert (view["status"], view["dryRun"]) == ("simulated", True)
        await worker.end()


async def test_a_step_is_written_once_and_announced_once(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        order_id, worker, claimed = await claimed_new_order(store)
        once = step(claimed, 1, *ROUTED)
        answers = await asyncio.gather(store.advance(once), store.advance(once))
        assert sorted(answer is None for answer in answers) == [False, True]
        assert await store.advance(replace(once, version=7)) is None
        assert await store.advance(replace(once, order_id=uuid4())) is None
        assert [e.seq for e in announced] == [1, 2, 3]
        assert (await store.events_after([(order_id, 1)]))[order_id] == announced[1:]
        await worker.end()


async def test_nothing_follows_a_final_step(stores: Open) -> None:
    async with stores() as store:
        order_id, worker, claimed = await claimed_new_order(store)
        assert await store.advance(step(claimed, 1, (Status.FAILED, {"reason": "x"}), final=True, reason="x"))
        assert await store.advance(step(claimed, 2, (Status.ROUTING, {}))) is None
        await worker.end()
        successor = await store.begin("successor", 20)
        assert await store.claim(successor.id, [order_id]) == []
        assert await store.idle(0, THE_BEGINNING, NIL_ID, 10) == []
        view = await store.order(order_id)
        assert view is not None
        assert (view["status"], view["failureReason"]) == ("failed", "x")
        await successor.end()


async def test_a_step_that_gives_the_order_back_lets_it_rest_until_its_time(stores: Open) -> None:
    async with stores() as store:
        rests, moves, released = [await one_order(store) for _ in range(3)]
        worker, other = await store.begin("w", 20), await store.begin("other", 20)
        for order_id, pause in ((rests, HOUR_MS), (moves, 0)):
            claimed = await claimed_by(store, worker, order_id)
            assert await store.advance(step(claimed, 1, (Status.ROUTING, {}), rounds=1, resume_in_ms=pause))
        claimed = await claimed_by(store, worker, released)
        await store.release(Release(released, claimed.order.claim, blame=False, resume_in_ms=HOUR_MS))
        assert [i for i, _ in await store.idle(0, THE_BEGINNING, NIL_ID, 10)] == [moves]
        (again,) = await store.claim(other.id, [rests, moves, released])
        assert (again.order.id, again.order.rounds, again.order.claims) == (moves, 1, 1)
        for one in (worker, other):
            await one.end()


async def test_the_next_claim_returns_what_kept_the_order_from_being_filled_and_how_often_it_was_refused(
    stores: Open,
) -> None:
    async with stores() as store:
        order_id, worker, claimed = await claimed_new_order(store)
        assert (claimed.cause, claimed.order.refusals) == (None, 0)
        waits = (Status.ROUTING, {"round": 1, "reason": "no-route", "detail": "dry"})
        assert await store.advance(step(claimed, 1, waits, rounds=1, refusals=1, resume_in_ms=0))
        again = await claimed_by(store, worker, order_id)
        assert (again.cause, again.order.refusals) == (("no-route", "dry"), 1)
        assert await store.advance(step(again, 2, (Status.ROUTING, {"round": 2}), rounds=1, resume_in_ms=0))
        assert (await claimed_by(store, worker, order_id)).cause is None
        await worker.end()


async def test_only_a_step_with_an_attempt_an_end_or_a_pause_resets_the_crash_count(stores: Open) -> None:
    """An order that crashes its worker after its quotes are stored is no better than one that crashes it before."""
    async with stores() as store:
        order_id, worker, first = await claimed_new_order(store)
        assert await store.advance(step(first, 1, *ROUTED, venue="here", rounds=1))
        await worker.end()
        successor = await store.begin("successor", 20)
        second = await claimed_by(store, successor, order_id)
        assert second.order.claims == 2
        assert await store.advance(step(second, 3, (Status.SUBMITTED, {}), attempt=attempt(1, "one")))
        await successor.end()
        third = await store.begin("third", 20)
        assert (await claimed_by(store, third, order_id)).order.claims == 1, "it recorded an attempt"
        await third.end()


@pytest.mark.parametrize("own", [None, Bound(900, 10)])
async def test_promise_13_a_bound_is_fixed_with_its_step_and_never_loosened(stores: Open, own: Bound | None) -> None:
    async with stores() as store:
        order_id = (await store.create(replace(new_order(), bound=own))).order_id
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order_id)
        assert (claimed.order.bound, claimed.order.bound_open, claimed.order.first_quote) == (own, True, None)
        first = FixedBound(Bound(1_000, 10), 10, 1_005)
        assert await store.advance(step(claimed, 1, *ROUTED, bound=first, resume_in_ms=0))
        claimed = await claimed_by(store, worker, order_id)
        assert (claimed.order.bound, claimed.order.bound_open) == (Bound(1_000, 10), False)
        assert claimed.order.first_quote == (10, 1_005)
        looser = FixedBound(Bound(800, 12), 12, 900)
        assert await store.advance(step(claimed, 3, (Status.ROUTING, {}), bound=looser, resume_in_ms=0))
        claimed = await claimed_by(store, worker, order_id)
        assert (claimed.order.bound, claimed.order.first_quote) == (Bound(1_000, 10), (10, 1_005))
        view = await store.order(order_id)
        assert view is not None
        assert (view["minOut"], view["maxIn"]) == ("1000", "10")
        await worker.end()


async def test_promise_13_the_amount_of_a_share_is_fixed_anew_with_the_bound_for_it(stores: Open) -> None:
    async with stores() as store:
        order = replace(new_order(), amount=Decimal(0), amount_base=10**9, terms=Terms(share_bps=10_000))
        order_id = (await store.create(order)).order_id
        worker = await store.begin("w", 20)
        claimed = await claimed_by(store, worker, order_id)
        assert (claimed.order.amount_base, claimed.order.share_bps, claimed.order.bound) == (10**9, 10_000, None)
        fixed = FixedBound(Bound(1_000, 10), 10, 1_005)
        first = step(claimed, 1, *ROUTED, amount=RoundAmount(10), bound=fixed, resume_in_ms=0)
        assert await store.advance(first)
        claimed = await claimed_by(store, worker, order_id)
        assert (claimed.order.amount_base, claimed.order.bound) == (10, Bound(1_000, 10))
        # Another balance, above and then below: the bound is another number at the same price; the first quote stays.
        for version, amount in ((3, RoundAmount(20, Bound(2_000, 20))), (4, RoundAmount(7, Bound(700, 7)))):
            assert await store.advance(step(claimed, version, (Status.ROUTING, {}), amount=amount, resume_in_ms=0))
            claimed = await claimed_by(store, worker, order_id)
            assert (claimed.order.amount_base, claimed.order.bound) == (amount.base_units, amount.bound)
            assert (claimed.order.first_quote, claimed.order.bound_open) == ((10, 1_005), False)
        assert await store.advance(step(claimed, 5, (Status.ROUTING, {}), resume_in_ms=0))
        claimed = await claimed_by(store, worker, order_id)
        assert (claimed.order.amount_base, claimed.order.bound) == (7, Bound(700, 7)), "a step without one keeps it"
        await worker.end()


async def test_the_amount_of_a_share_is_shown_as_the_client_gave_it(stores: Open) -> None:
    announced: list[Event] = []
    async with stores(announced.extend) as store:
        for share_bps, text in ((10_000, "all"), (5_000, "50%"), (3_333, "33.33%")):
            order = replace(new_order(), amount=Decimal(0), terms=Terms(share_bps=share_bps, close_account=True))
            await store.create(order)
            detail = announced[-1].detail
            assert (detail["amount"], detail["shareBps"], detail["closeAccount"]) == (text, share_bps, True)


# What orders wait for


async def waits_for(store: Store, order_id: UUID) -> Any:
    view: Any = await store.order(order_id)
    return view["waitingFor"]


async def test_what_an_order_waits_for_can_be_read_until_its_next_step(stores: Open) -> None:
    async with stores() as store:
        order_id, worker, claimed = await claimed_new_order(store)
        await submitted(store, claimed, "one")
        assert await waits_for(store, order_id) is None
        node, again, proof = (
            WaitNote(order_id, claimed.order.claim, reason, words)
            for reason, words in (
                (WaitsFor.NODE, "away"),
                (WaitsFor.NODE, "still away"),
                (WaitsFor.PROOF, "no history"),
            )
        )
        await store.note(node)
        first = await waits_for(store, order_id)
        assert (first["reason"], first["detail"]) == ("node", "away")
        await store.note(again)
        assert await waits_for(store, order_id) == {**first, "detail": "still away"}, "for the same reason since then"
        await store.note(proof)
        assert (await waits_for(store, order_id))["reason"] == "proof"
        gone = Resolution(1, Outcome.EXPIRED, {"heightSeen": 151})
        assert await store.advance(step(claimed, 4, (Status.ROUTING, {}), resolution=gone))
        assert await waits_for(store, order_id) is None
        await worker.end()


async def test_a_stale_claim_does_not_write_what_an_order_waits_for(stores: Open) -> None:
    async with stores() as store:
        order_id, worker, claimed = await claimed_new_order(store)
        await submitted(store, claimed, "one")
        await store.note(WaitNote(order_id, claimed.order.claim - 1, WaitsFor.NODE, "away"))
        assert await waits_for(store, order_id) is None
        await worker.end()


# Attempts


async def test_the_chain_of_an_attempt_is_stored_with_it(stores: Open) -> None:
    async with stores() as store:
        order_id, first, claimed = await claimed_new_order(store, "first")
        await store.advance(step(claimed, 1, *ROUTED, venue="here", rounds=1))
        signed = SignedSwap(
            signature="sig", payload=b"bytes", last_valid_height=150, network="localnet", genesis="genesis"
        )
        new = NewAttempt(n=1, venue="here", signed=signed, quoted={})
        assert await store.advance(step(claimed, 3, (Status.SUBMITTED, {}), attempt=new))
        await first.end()
        second = await store.begin("second", 20)
        resumed = await claimed_by(store, second, order_id)
        assert resumed.attempt is not None
        assert resumed.attempt.signed == signed
        await second.end()


async def test_the_open_attempt_and_all_signatures_come_with_the_next_claim(stores: Open) -> None:
    async with stores() as store:
        order_id, first, claimed = await claimed_new_order(store, "first")
        await submitted(store, claimed, "one")
        gone = Resolution(1, Outcome.EXPIRED, {"heightSeen": 151})
        assert await store.advance(step(claimed, 4, (Status.ROUTING, {}), resolution=gone))
        assert await store.advance(step(claimed, 5, (Status.BUILDING, {})))
        assert await store.advance(step(claimed, 6, (Status.SUBMITTED, {}), attempt=attempt(2, "two")))
        await first.end()
        await signed_ago(store, order_id, 1)
        second = await store.begin("second", 20)
        resumed = await claimed_by(store, second, order_id)
        assert (resumed.order.status, resumed.order.version, resumed.order.attempts) == (Status.SUBMITTED, 7, 2)
        assert resumed.signatures == ("one", "two")
        assert resumed.attempt is not None
        assert (resumed.attempt.n, resumed.attempt.signed.signature) == (2, "two")
        assert (resumed.attempt.signed.payload, resumed.attempt.quoted) == (b"\x00bytes", {"minOut": "1"})
        assert resumed.attempt.landed_slot is None
        assert HOUR_MS <= resumed.attempt.age_ms < 2 * HOUR_MS
        view = await store.order(order_id)
        assert view is not None
        attempts: Any = view["attempts"]
        assert [(a["txHash"], a["outcome"]) for a in attempts] == [("one", "expired"), ("two", "open")]
        await second.end()
        await signed_ago(store, order_id, -3)
        third = await store.begin("third", 20)
        resumed = await claimed_by(store, third, order_id)
        assert resumed.attempt is not None
        assert resumed.attempt.age_ms == 0, "a clock that was set back"
        await third.end()


async def test_promise_3_a_wrong_outcome_of_an_attempt_is_corrected(stores: Open) -> None:
    async with stores() as store:
        order_id, worker, claimed = await claimed_new_order(store)
        await submitted(store, claimed, "one")
        gone = Resolution(1, Outcome.EXPIRED, {"heightSeen": 151})
        assert await store.advance(step(claimed, 4, (Status.ROUTING, {}), resolution=gone))
        assert await store.advance(step(claimed, 5, (Status.ROUTING, {}), resolution=Resolution(1, Outcome.FAILED, {})))
        assert await store.advance(step(claimed, 6, (Status.BUILDING, {})))
        assert await store.advance(step(claimed, 7, (Status.SUBMITTED, {}), attempt=attempt(2, "two")))
        ends = step(
            claimed, 8, (Status.CONFIRMED, {}), final=True, fill=Fill(1, 2, 5_000, 7), tx_hash="one",
            resolution=replace(gone, n=2), corrections=(Resolution(1, Outcome.LANDED, {"slot": 7}),),
        )  # fmt: skip
        assert await store.advance(ends)
        view = await store.order(order_id)
        assert view is not None
        attempts: Any = view["attempts"]
        assert [(a["outcome"], a["proof"]) for a in attempts] == [
            ("landed", {"slot": 7}), ("expired", {"heightSeen": 151}),
        ]  # fmt: skip
        assert (view["txHash"], view["amountOut"], view["status"]) == ("one", "2", "confirmed")
        await worker.end()


async def test_a_step_with_a_second_open_attempt_is_refused_and_other_steps_are_written(stores: Open) -> None:
    async with stores() as store:
        order_id, bystander = await one_order(store), await one_order(store)
        worker = await store.begin("w", 20)
        claimed, other = [await claimed_by(store, worker, i) for i in (order_id, bystander)]
        await submitted(store, claimed, "a")
        refused, fine = await asyncio.gather(
            store.advance(step(claimed, 4, (Status.SUBMITTED, {}), attempt=attempt(2, "b"))),
            store.advance(step(other, 1, *ROUTED)),
            return_exceptions=True,
        )
        assert isinstance(refused, psycopg.errors.UniqueViolation)
        assert isinstance(fine, list)
        assert await store.versions([order_id]) == {order_id: 4}
        await worker.end()


async def test_two_open_attempts_never_share_a_signature_over_all_orders(stores: Open) -> None:
    async with stores() as store:
        worker = await store.begin("w", 20)
        one, two = [await claimed_by(store, worker, await one_order(store)) for _ in range(2)]
        await submitted(store, one, "same")
        with pytest.raises(psycopg.errors.UniqueViolation):
            await submitted(store, two, "same")
        await worker.end()


async def test_a_confirmed_swap_stays_open_until_it_is_final_and_its_fill_goes_when_it_is_taken_back(
    stores: Open,
) -> None:
    async with stores() as store:
        order_id, worker, claimed = await claimed_new_order(store)
        await submitted(store, claimed, "s")

        async def view() -> tuple[object, object, object]:
            found = await store.order(order_id)
            assert found is not None
            attempts: Any = found["attempts"]
            return found["status"], found["amountOut"], attempts[0]["outcome"]

        sends = ({"endpoint": "one.example", "sends": 2, "answer": "accepted", "landingSlots": 1},)
        seen, fill = Resolution(1, None, {"slot": 77, "finalized": False}, sends), Fill(10, 20, 5_000, 77)
        landed = step(claimed, 4, (Status.CONFIRMED, {}), fill=fill, resolution=seen, resume_in_ms=0)
        assert await store.advance(landed)
        assert await view() == ("confirmed", "20", "open")
        (again,) = await store.take_confirmed(worker.id, ConfirmedPage(next_look_ms=0))
        assert again.attempt is not None
        assert again.attempt.landed_slot == 77
        taken_back = step(again, 5, (Status.SUBMITTED, {}), resolution=Resolution(1, None, {}))
        assert await store.advance(taken_back)
        assert await view() == ("submitted", None, "open")
        final = Resolution(1, Outcome.LANDED, {"slot": 80, "finalized": True})
        last = step(again, 6, (Status.CONFIRMED, {"finalized": True}), final=True, fill=fill, resolution=final)
        assert await store.advance(last)
        assert await view() == ("confirmed", "20", "landed")
        shown = await store.order(order_id)
        assert shown is not None
        attempts: Any = shown["attempts"]
        assert attempts[0]["endpoints"] == list(sends), "what is written later has no sends and keeps those"
        await worker.end()
