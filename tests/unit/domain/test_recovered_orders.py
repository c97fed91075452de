"""What the record learns of an order from transactions on chain that it does not have."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.order import Side
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill, Mode, SwapRequest
from dexexec.domain.recovered_orders import (
    ChainAttempt,
    ContradictionError,
    RecordedAttempt,
    RecordedOrder,
    Restoration,
    UnsettledError,
    end_duplicate,
    restore,
)
from dexexec.domain.status import TRANSITIONS, Status
from dexexec.domain.swap import FailedOnChain, Landed, NotSeen, SwapStatus, Unavailable
from dexexec.domain.token import USDC, WSOL
from dexexec.domain.uuid7 import uuid7
from tests.support.attempts import DIGEST

ACCEPTED_MS = 1_790_000_000_123
ORDER = uuid7(ACCEPTED_MS, bytes(10))
PAIR = (WSOL, USDC)
BUY, SELL = (
    SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10, mode=Mode.EXACT_IN, slippage_bps=50),
    SwapRequest(mint_in=USDC, mint_out=WSOL, amount=10, mode=Mode.EXACT_IN, slippage_bps=50),
)
BOUGHT = {WSOL: -10_000_000, USDC: 1_500_000}
DEAD = NotSeen(height=151, history=True, node="n", slot=200)
UNFINISHED = [status for status, after in TRANSITIONS.items() if after]


def on_chain(number: int = 1, *, order_id: UUID = ORDER, **about: Any) -> ChainAttempt:
    """A swap that landed; keywords change its fields."""
    usual: dict[str, Any] = {
        "attempt": AttemptId(order_id, number),
        "signature": f"sig-{number}",
        "payload": b"bytes",
        "venue": "here",
        "slot": 70 + number,
        "time": 1_790_000_005,
        "fee": 5_000,
        "moved": BOUGHT,
        "decimals": {USDC: 6},
        "failure": None,
    }
    return ChainAttempt(**(usual | about))


def failed(number: int = 1) -> ChainAttempt:
    return on_chain(number, moved={}, failure="custom program error: 0x1771")


def recorded(status: Status, *attempts: RecordedAttempt, ended: bool = False, **about: Any) -> RecordedOrder:
    usual: dict[str, Any] = {"order_id": ORDER, "status": status, "version": 4, "ended": ended, "request": BUY}
    return RecordedOrder(**(usual | {"attempts": attempts} | about))


def restored(known: RecordedOrder | None, *found: ChainAttempt, fate: SwapStatus | None = None) -> Restoration:
    """The changes to write; their events follow the table from the order's status on."""
    restoration = restore(known, found, fate, PAIR)
    statuses = [status for status, _ in restoration.events]
    before = known.status if known else statuses.pop(0)
    assert known is not None or before is Status.PENDING
    for one, next_one in pairwise([before, *statuses]):
        assert next_one in TRANSITIONS[one].values(), f"{one} -> {next_one}"
    assert restoration.status is ([before, *statuses])[-1]
    assert restoration.version == (known.version if known else 0)
    return restoration


def reported(restoration: Restoration) -> list[str]:
    return [str(status) for status, _ in restoration.events]


# An order that the record does not have


def test_an_unknown_order_is_restored_as_the_swap_that_the_chain_shows() -> None:
    found = restored(None, on_chain())
    assert reported(found) == ["pending", "routing", "building", "submitted", "confirmed"]
    assert (found.ended, found.fill, found.reason) == (True, Fill(10_000_000, 1_500_000, 5_000, 71), None)
    assert found.lost is not None
    assert (found.lost.side, found.lost.input_mint, found.lost.output_mint) == (Side.BUY, WSOL, USDC)
    assert (found.lost.amount, found.lost.amount_base) == (Decimal("0.01"), 10_000_000)
    assert found.lost.created_at == datetime.fromtimestamp(ACCEPTED_MS / 1000, UTC), "as its id tells"
    [attempt] = found.attempts
    assert (attempt.n, attempt.signature, attempt.payload, attempt.outcome) == (1, "sig-1", b"bytes", "landed")
    first, last = found.events[0][1], found.events[-1][1]
    assert (first["side"], first["amount"], first["inputMint"]) == ("buy", "0.01", WSOL)
    assert (last["finalized"], last["amountIn"], last["amountOut"]) == (True, "10000000", "1500000")
    assert all(detail["recovered"] is True for _, detail in found.events)


def test_the_key_of_an_unknown_order_is_restored_only_if_it_swapped() -> None:
    with_key = AttemptId(ORDER, 1, DIGEST)
    found = [restored(None, on_chain(attempt=with_key, failure=why)).lost for why in (None, "custom program error")]
    assert [one.key_digest for one in found if one is not None] == [DIGEST, None]


@pytest.mark.parametrize("status", [Status.PENDING, Status.WAITING, Status.ROUTING, Status.BUILDING])
def test_an_order_posted_again_with_the_key_of_a_swap_fails_and_names_the_first_order(status: Status) -> None:
    after, detail = end_duplicate(status, ORDER)
    assert (after, detail["reason"], detail["duplicateOf"]) == (Status.FAILED, FailureReason.DUPLICATE, str(ORDER))


def test_a_swap_that_received_the_input_mint_was_a_sale() -> None:
    lost = restored(None, on_chain(moved={WSOL: 10_000_000, USDC: -1_500_000})).lost
    assert lost is not None
    assert (lost.side, lost.input_mint, lost.output_mint, lost.amount) == (Side.SELL, WSOL, USDC, Decimal("1.5"))


def test_rent_and_tips_are_not_counted_as_the_amount_spent() -> None:
    lost = restored(None, on_chain(moved={WSOL: -7_000, USDC: -1_500_000, "BONK": 99})).lost
    assert lost is not None
    assert (lost.side, lost.input_mint, lost.output_mint, lost.amount_base) == (Side.BUY, USDC, "BONK", 1_500_000)


def test_an_unknown_order_that_only_failed_has_no_invented_fields() -> None:
    found = restored(None, failed())
    assert reported(found) == ["pending", "routing", "building", "submitted", "routing", "failed"]
    assert (found.reason, found.fill) == (FailureReason.RECORD_LOST, None)
    assert found.lost is not None
    assert (found.lost.amount_base, found.lost.amount, found.lost.input_mint) == (0, Decimal(0), "")
    assert "the direction and amount are unknown" in str(found.events[0][1]["detail"])


def test_an_unknown_order_that_failed_and_then_landed_has_both_attempts() -> None:
    found = restored(None, on_chain(2), failed(1))
    assert reported(found)[3:] == ["submitted", "routing", "building", "submitted", "confirmed"]
    assert [(one.n, one.outcome) for one in found.attempts] == [(1, "failed"), (2, "landed")]


def test_an_id_without_a_time_is_as_old_as_its_first_transaction() -> None:
    order_id = UUID("c9f7cf4e-8d3f-4b0e-9f6e-0d9d2b1f3a55")
    lost = restored(None, on_chain(order_id=order_id)).lost
    assert lost is not None
    assert lost.created_at == datetime.fromtimestamp(1_790_000_005, UTC)


# An order of which the record says less than the chain


@pytest.mark.parametrize("status", UNFINISHED)
def test_an_order_without_recorded_attempts_is_confirmed_by_its_swap_and_not_signed_again(status: Status) -> None:
    known = recorded(status, request=SELL)
    found = restored(known, on_chain(moved={WSOL: 10_000_000, USDC: -1_500_000}))
    assert (reported(found)[-2:], found.lost) == (["submitted", "confirmed"], None)
    assert found.fill == Fill(1_500_000, 10_000_000, 5_000, 71)


@pytest.mark.parametrize("status", UNFINISHED)
def test_an_order_whose_lost_attempt_failed_continues_with_the_next_number(status: Status) -> None:
    found = restored(recorded(status), failed())
    assert (reported(found)[-2:], found.ended, found.reason) == (["submitted", "routing"], False, None)
    assert [(one.n, one.outcome, one.proof["fee"]) for one in found.attempts] == [(1, "failed", "5000")]


@pytest.mark.parametrize(
    ("fate", "outcome"),
    [(DEAD, "expired"), (FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=60, finalized=True), "failed")],
    ids=["gone", "failed"],
)
def test_the_open_attempt_is_resolved_when_a_later_one_is_on_chain(fate: SwapStatus, outcome: str) -> None:
    known = recorded(Status.SUBMITTED, RecordedAttempt(1, "sig-1", 150, None))
    found = restored(known, on_chain(2), fate=fate)
    assert reported(found) == ["routing", "building", "submitted", "confirmed"]
    assert found.resolved is not None
    assert (found.resolved.n, found.resolved.outcome) == (1, outcome)


@pytest.mark.parametrize(
    "fate",
    [None, Unavailable("no node answers"), NotSeen(150, history=True, node="n"), NotSeen(151, history=False, node="n"),
     FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=60, finalized=False)],
    ids=["not asked", "no answer", "may still land", "history not searched", "not final"],
)  # fmt: skip
def test_nothing_is_written_before_the_outcome_of_the_open_attempt_is_proven(
    fate: SwapStatus | None,
) -> None:
    known = recorded(Status.SUBMITTED, RecordedAttempt(1, "sig-1", 150, None))
    with pytest.raises(UnsettledError, match="sig-1"):
        restore(known, [on_chain(2)], fate, PAIR)


def test_a_lost_attempt_does_not_get_a_number_that_is_taken() -> None:
    known = recorded(Status.ROUTING, RecordedAttempt(1, "other", 150, Outcome.EXPIRED))
    assert [one.n for one in restored(known, on_chain(1)).attempts] == [2]


# What cannot be


def test_a_swap_of_an_order_that_ended_changes_nothing_and_is_reported() -> None:
    known = recorded(Status.EXPIRED, ended=True)
    with pytest.raises(ContradictionError, match="ended as expired, and has sig-1 on chain"):
        restore(known, [on_chain()], None, PAIR)


def test_two_swaps_of_one_order_are_reported_and_it_is_confirmed_by_the_first() -> None:
    found = restored(recorded(Status.PENDING), on_chain(2), on_chain(1))
    assert (found.alarm, found.fill and found.fill.slot) == ("2 swaps of it landed", 71)
    assert [(one.n, one.outcome) for one in found.attempts] == [(1, "landed"), (2, "landed")]
    known = recorded(Status.SUBMITTED, RecordedAttempt(1, "sig-1", 150, None))
    with pytest.raises(ContradictionError, match="sig-1 landed, and a later attempt is on chain as well"):
        restore(known, [on_chain(2)], Landed(BOUGHT, 5_000, 60, finalized=True), PAIR)


@given(
    st.sampled_from([None, *UNFINISHED]),
    st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=5, unique_by=lambda one: one[0]),
)
def test_for_any_findings_events_follow_the_table_and_a_landed_swap_ends_the_order(
    status: Status | None, kinds: list[tuple[int, bool]]
) -> None:
    attempts = [on_chain(n) if landed else failed(n) for n, landed in kinds]
    found = restored(recorded(status) if status else None, *attempts)
    landed = any(landed for _, landed in kinds)
    assert (found.status is Status.CONFIRMED) == landed
    assert sorted(one.n for one in found.attempts) == sorted(n for n, _ in kinds)
    assert found.ended == (landed or status is None)
