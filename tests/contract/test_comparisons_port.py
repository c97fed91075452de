"""What a comparison of record and chain relies on of the record, whether it is Postgres or the one in memory that
simulations run on."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from dexexec.domain.order import Side
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill, Mode, SwapRequest
from dexexec.domain.recovered_orders import LostOrder, ResolvedAttempt, Restoration, RestoredAttempt
from dexexec.domain.status import Status
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import IdempotencyMismatchError
from dexexec.store import BegunComparison
from tests.support.parts import new_order
from tests.support.prepared_orders import ROUTED, OpenRecord, step, submitted

WALLET = ("genesis", "wallet")
OTHER = ("genesis", "another wallet")
ACCEPTED = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
NEVER = "A" * 16
"""A digest that belongs to no key here."""


def swapped(n: int = 1, signature: str = "sig") -> RestoredAttempt:
    return RestoredAttempt(
        n=n, signature=signature, payload=b"bytes", venue="there", landed_at=1_800_000_000, outcome=Outcome.LANDED,
        proof={"slot": 7, "recovered": True},
    )  # fmt: skip


def lost(key_digest: str | None = None) -> LostOrder:
    return LostOrder(
        side=Side.SELL, input_mint=WSOL, output_mint=USDC, amount=Decimal("1.5"), amount_base=1_500_000,
        created_at=ACCEPTED, key_digest=key_digest,
    )  # fmt: skip


def restoration(order_id: UUID, **about: Any) -> Restoration:
    """Of an order that is gone, and had swapped."""
    events = ((Status.PENDING, {"recovered": True}), *ROUTED, (Status.SUBMITTED, {}), (Status.CONFIRMED, {"slot": "7"}))
    usual: dict[str, Any] = {
        "order_id": order_id, "version": 0, "lost": lost(), "status": Status.CONFIRMED, "events": events,
        "attempts": (swapped(),), "fill": Fill(1_500_000, 10, 5_000, 7),
    }  # fmt: skip
    return Restoration(**(usual | about))


# Which database, and what was compared


async def test_a_record_counts_as_compared_in_the_database_that_it_was_made_in(records: OpenRecord) -> None:
    async with records() as record:
        standing = await record.comparisons.state(*WALLET)
        assert (standing.identity, standing.pending, standing.begun_seconds) == (standing.compared, None, 0)
        assert standing.complete_until > 1_700_000_000
        await record.moves_to_another_database()
        moved = await record.comparisons.state(*WALLET)
        assert (moved.identity, moved.complete_until) == (standing.identity, standing.complete_until)
        assert moved.compared != moved.identity


async def test_a_comparison_that_one_process_began_can_be_continued_by_another(records: OpenRecord) -> None:
    async with records() as record:
        await record.moves_to_another_database()
        identity = (await record.comparisons.state(*WALLET)).identity
        await record.comparisons.begin(*WALLET, BegunComparison(identity, 1_160, 500))
        begun = await record.comparisons.state(*WALLET)
        assert (begun.pending, begun.dead_height, begun.back_to) == (identity, 1_160, 500)
        later = await record.comparisons.state(*WALLET)
        assert 0 <= begun.begun_seconds < later.begun_seconds
        assert not await record.comparisons.compared(*WALLET, "1/00000001"), "that is not what answers"
        assert (await record.comparisons.state(*WALLET)).pending == identity
        assert await record.comparisons.compared(*WALLET, identity)
        done = await record.comparisons.state(*WALLET)
        assert (done.compared, done.pending, done.dead_height, done.back_to, done.begun_seconds) == (
            identity, None, None, None, 0,
        )  # fmt: skip


async def test_each_wallet_is_compared_separately(records: OpenRecord) -> None:
    async with records() as record:
        await record.moves_to_another_database()
        identity = (await record.comparisons.state(*WALLET)).identity
        assert await record.comparisons.compared(*WALLET, identity)
        await record.comparisons.stopped(*OTHER)
        assert (await record.comparisons.state(*OTHER)).compared != identity


async def test_only_one_process_at_a_time_compares_for_a_wallet(records: OpenRecord) -> None:
    async with records() as record:
        async with record.comparisons.exclusive(*WALLET) as first, record.comparisons.exclusive(*WALLET) as second:
            assert (first, second) == (True, False)
            async with record.comparisons.exclusive(*OTHER) as other:
                assert other
        async with record.comparisons.exclusive(*WALLET) as again:
            assert again


async def test_the_newest_attempt_marks_up_to_when_a_record_is_complete(records: OpenRecord) -> None:
    async with records() as record:
        order = await record.claimed()
        before = (await record.comparisons.state(*WALLET)).complete_until
        await submitted(record.store, order, "sig")
        assert (await record.comparisons.state(*WALLET)).complete_until >= before


async def test_promise_3_what_one_wallet_lost_does_not_hide_what_another_lost(records: OpenRecord) -> None:
    """Attempts that came back from the chain are newer than what the copy had: the history of the next wallet must be
    read back to where the copy ended."""
    async with records() as record:
        before = (await record.comparisons.state(*OTHER)).complete_until
        later = replace(swapped(), landed_at=before + 3_600)
        assert await record.comparisons.restore(restoration(uuid4(), attempts=(later,)))
        assert (await record.comparisons.state(*OTHER)).complete_until == before


async def test_the_wallets_that_were_ever_compared_are_listed(records: OpenRecord) -> None:
    async with records() as record:
        identity = (await record.comparisons.state(*WALLET)).identity
        assert await record.comparisons.wallets() == []
        assert await record.comparisons.compared(*WALLET, identity)
        await record.comparisons.stopped(*OTHER)
        assert set(await record.comparisons.wallets()) == {WALLET, OTHER}


# What it knows, and what it learns


async def test_orders_of_the_record_are_read(records: OpenRecord) -> None:
    async with records() as record:
        order = await record.claimed(side=Side.SELL)
        await submitted(record.store, order, "sig")
        found = await record.comparisons.orders([order.order.id, uuid4()])
        assert list(found) == [order.order.id]
        known = found[order.order.id]
        assert (known.status, known.version, known.ended) == (Status.SUBMITTED, 4, False)
        assert known.request == SwapRequest(
            mint_in=USDC, mint_out=WSOL, amount=order.order.amount_base, mode=Mode.EXACT_IN, slippage_bps=50
        )
        assert [(one.n, one.signature, one.last_valid_height, one.outcome) for one in known.attempts] == [
            (1, "sig", 150, None)
        ]


async def test_a_missing_order_is_restored_once_and_its_events_are_announced(records: OpenRecord) -> None:
    async with records() as record:
        order_id = uuid4()
        assert await record.comparisons.restore(restoration(order_id))
        assert not await record.comparisons.restore(restoration(order_id)), "once"
        found = await record.store.order(order_id)
        assert found is not None
        assert (found["status"], found["txHash"], found["venue"], found["seq"]) == ("confirmed", "sig", "there", 5)
        assert (found["amountIn"], found["amountOut"], found["attemptCount"]) == ("1500000", "10", 1)
        assert [(event.seq, event.status) for event in record.announced] == [
            (1, Status.PENDING), (2, Status.ROUTING), (3, Status.BUILDING), (4, Status.SUBMITTED),
            (5, Status.CONFIRMED),
        ]  # fmt: skip
        known = (await record.comparisons.orders([order_id]))[order_id]
        assert known.ended
        assert known.request == SwapRequest(
            mint_in=USDC, mint_out=WSOL, amount=1_500_000, mode=Mode.EXACT_IN, slippage_bps=0
        )
        assert [(one.n, one.outcome) for one in known.attempts] == [(1, Outcome.LANDED)]


async def test_an_order_without_its_attempts_is_ended_and_its_worker_writes_nothing_more(
    records: OpenRecord,
) -> None:
    async with records() as record:
        held = await record.claimed()
        events = (*ROUTED, (Status.SUBMITTED, {}), (Status.CONFIRMED, {}))
        found = restoration(held.order.id, version=1, lost=None, events=events)
        assert not await record.comparisons.restore(restoration(held.order.id, version=7, lost=None, events=events))
        assert await record.comparisons.restore(found)
        assert await record.store.advance(step(held, 1, *ROUTED)) is None
        assert (await record.comparisons.orders([held.order.id]))[held.order.id].version == 5


async def test_an_attempt_that_looked_open_is_resolved_with_what_came_after(records: OpenRecord) -> None:
    async with records() as record:
        held = await record.claimed()
        await submitted(record.store, held, "first")
        events: Any = ((Status.ROUTING, {}), (Status.BUILDING, {}), (Status.SUBMITTED, {}), (Status.CONFIRMED, {}))
        found = restoration(held.order.id, version=4, lost=None, events=events, attempts=(swapped(2, "second"),))
        gone = ResolvedAttempt(1, Outcome.EXPIRED, {"heightSeen": 9})
        assert await record.comparisons.restore(replace(found, resolved=gone))
        known = (await record.comparisons.orders([held.order.id]))[held.order.id]
        assert [(one.n, one.signature, one.outcome) for one in known.attempts] == [
            (1, "first", "expired"), (2, "second", Outcome.LANDED),
        ]  # fmt: skip


# Idempotency keys


async def test_an_order_with_a_key_has_a_digest_of_the_key_and_of_the_body(records: OpenRecord) -> None:
    async with records() as record:
        one, other_body, other_key = [
            (await record.claimed(key=key, body_hash=body)).order.key_digest
            for key, body in (("k", b"1"), ("l", b"1"), ("m", b"2"))
        ]
        assert one is not None
        assert other_body is not None
        assert other_key is not None
        assert len(one) == 16
        assert one[12:] == other_body[12:] != other_key[12:]
        assert one[:12] != other_body[:12] != other_key[:12]
        assert (await record.claimed()).order.key_digest is None


async def test_promise_9_a_key_belongs_to_the_restored_order_and_its_duplicate_fails(
    records: OpenRecord,
) -> None:
    async with records() as record:
        again = await record.claimed(key="k", body_hash=b"1")
        bystander = await record.claimed(key="l", body_hash=b"1")
        original = uuid4()
        assert await record.comparisons.restore(restoration(original, lost=lost(again.order.key_digest)))
        record.announced.clear()
        [duplicate] = await record.comparisons.end_duplicates()
        assert (duplicate.order_id, duplicate.original, duplicate.ended) == (again.order.id, original, True)
        [event] = record.announced
        assert (event.order_id, event.seq, event.status) == (again.order.id, 2, Status.FAILED)
        assert (event.detail["reason"], event.detail["duplicateOf"]) == ("duplicate", str(original))
        found = await record.store.order(again.order.id)
        assert found is not None
        assert (found["status"], found["failureReason"]) == ("failed", "duplicate")
        assert await record.store.advance(step(again, 1, *ROUTED)) is None, "whoever held it writes nothing more"
        assert await record.store.advance(step(bystander, 1, *ROUTED)), "others go on"
        assert await record.comparisons.end_duplicates() == []
        replayed = await record.store.create(new_order(key="k", body_hash=b"1"))
        assert (replayed.order_id, replayed.replayed) == (original, True)
        with pytest.raises(IdempotencyMismatchError):
            await record.store.create(new_order(key="k", body_hash=b"2"))


async def test_a_duplicate_that_may_have_swapped_is_not_ended_and_is_named(
    records: OpenRecord,
) -> None:
    async with records() as record:
        again = await record.claimed(key="k", body_hash=b"1")
        await submitted(record.store, again, "second swap")
        original = uuid4()
        assert await record.comparisons.restore(restoration(original, lost=lost(again.order.key_digest)))
        [duplicate] = await record.comparisons.end_duplicates()
        assert (duplicate.order_id, duplicate.ended) == (again.order.id, False)
        known = (await record.comparisons.orders([again.order.id]))[again.order.id]
        assert (known.status, known.version) == (Status.SUBMITTED, 4)
        assert (await record.store.create(new_order(key="k", body_hash=b"1"))).order_id == original


async def test_a_restored_key_matches_no_other_key(records: OpenRecord) -> None:
    async with records() as record:
        assert await record.comparisons.restore(restoration(uuid4(), lost=lost(NEVER)))
        assert await record.comparisons.end_duplicates() == []
        order = new_order(key="k", body_hash=b"1")
        assert (await record.store.create(order)).order_id == order.id
        assert not (await record.store.create(new_order())).replayed
