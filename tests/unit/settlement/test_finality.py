"""The result of one look at a confirmed swap: nothing less than proof ends its order or takes its fill away."""

from dataclasses import replace

import pytest

from dexexec.domain.quote import Fill
from dexexec.domain.swap import FailedOnChain, Landed, NotSeen, SignedSwap, SwapStatus, Unavailable
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.settlement.earlier_attempts import EarlierLanding
from dexexec.settlement.finality import ConfirmedSwap, Final, TakenBack, verdict_of
from tests.support.scripted import SELL_ONE_SOL

MOVED = {SELL_ONE_SOL.mint_in: -10, SELL_ONE_SOL.mint_out: 20}
SWAP = ConfirmedSwap(
    signed=SignedSwap(signature="sig", payload=b"bytes", last_valid_height=150, network="solana"),
    request=SELL_ONE_SOL,
    earlier_signatures=(),
    landed_slot=7,
    signed_ago=60,
)
LANDED = Landed(MOVED, 5_000, 7, finalized=True)
FAILED = FailedOnChain(code="slippage", detail="moved", fee=5_000, slot=9, finalized=True)
GONE = NotSeen(height=100, history=True, node="n", slot=8)


def test_a_finalized_swap_is_final_with_its_fill_even_in_another_slot() -> None:
    assert verdict_of(SWAP, LANDED, searched=False) == Final(
        Fill(10, 20, 5_000, 7), {"slot": 7, "finalized": True, "sends": 0}
    )
    elsewhere = replace(LANDED, slot=12, moved={**MOVED, SELL_ONE_SOL.mint_out: 19})
    found = verdict_of(SWAP, elsewhere, searched=False)
    assert isinstance(found, Final)
    assert (found.fill, found.proof["slot"]) == (Fill(10, 19, 5_000, 12), 12)


def test_a_swap_that_is_still_confirmed_has_no_verdict() -> None:
    assert verdict_of(SWAP, replace(LANDED, finalized=False), searched=False) is None


@pytest.mark.parametrize("final", [True, False])
def test_a_swap_is_final_only_with_all_earlier_attempts_that_landed_as_well(final: bool) -> None:
    """The record of an order that has ended gets no outcome of another attempt afterwards."""
    earlier = (EarlierLanding("first", Fill(10, 20, 5_000, 8), finalized=final),)
    found = verdict_of(SWAP, LANDED, searched=False, earlier=earlier)
    assert (isinstance(found, Final) and found.earlier == earlier) if final else found is None


def test_a_landing_is_taken_back_by_a_node_that_is_past_its_slot_and_has_searched_its_history() -> None:
    found = verdict_of(SWAP, GONE, searched=True)
    assert isinstance(found, TakenBack)
    assert found.proof == {"node": "n", "slotSeen": 8}
    assert "slot 7" in found.detail


def test_a_landing_is_taken_back_by_a_finalized_failure_of_the_same_transaction() -> None:
    found = verdict_of(SWAP, FAILED, searched=False)
    assert isinstance(found, TakenBack)
    assert found.proof == {"slot": 9, "finalized": True}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (replace(GONE, slot=7), WaitsFor.PROOF),  # as of the slot that it landed in
        (replace(GONE, history=False), WaitsFor.PROOF),
        (replace(GONE, height=22_000_000), WaitsFor.PROOF),  # no chain has come so far since it was signed
        (Unavailable("two know it, and three do not"), WaitsFor.PROOF),
        (replace(FAILED, finalized=False), WaitsFor.FINALITY),
    ],
)
def test_promise_5_an_answer_that_proves_nothing_takes_nothing_back(status: SwapStatus, reason: WaitsFor) -> None:
    found = verdict_of(SWAP, status, searched=True)
    assert isinstance(found, Waiting)
    assert found.reason is reason


def test_an_unavailable_node_is_the_reason_to_wait() -> None:
    found = verdict_of(SWAP, Unavailable("it is away"), searched=False)
    assert isinstance(found, Waiting)
    assert found.reason is WaitsFor.NODE


def test_a_record_without_the_slot_is_taken_back_when_it_could_land_no_more() -> None:
    old = replace(SWAP, landed_slot=None)
    assert isinstance(verdict_of(old, GONE, searched=True), Waiting)
    assert isinstance(verdict_of(old, replace(GONE, height=151), searched=True), TakenBack)
