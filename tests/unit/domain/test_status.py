"""The table of an order's life, as data."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.status import (
    NEEDS_PROOF,
    TERMINAL,
    TRANSITIONS,
    IllegalTransitionError,
    Status,
    Trigger,
    advance,
    ends,
)


def test_every_status_has_its_row() -> None:
    assert set(TRANSITIONS) == set(Status)


def test_promise_7_a_terminal_status_never_changes() -> None:
    assert set(TERMINAL) == {Status.FAILED, Status.CANCELLED, Status.EXPIRED, Status.SIMULATED}
    for status, trigger in itertools.product(TERMINAL, Trigger):
        with pytest.raises(IllegalTransitionError, match=status):
            advance(status, trigger)


def test_confirmed_ends_an_order_once_it_is_final() -> None:
    assert not ends(Status.CONFIRMED, finalized=False)
    assert ends(Status.CONFIRMED, finalized=True)
    assert not ends(Status.SUBMITTED, finalized=True)
    assert set(TRANSITIONS[Status.CONFIRMED]) == {Trigger.FINALIZE, Trigger.UNLAND}


def test_an_order_that_was_submitted_cannot_be_cancelled_or_built_again() -> None:
    for trigger in (Trigger.CANCEL, Trigger.BUILD, Trigger.SUBMIT):
        with pytest.raises(IllegalTransitionError):
            advance(Status.SUBMITTED, trigger)


def test_only_a_submitted_order_can_be_confirmed_and_only_a_built_one_submitted() -> None:
    assert [s for s in Status if Trigger.LAND in TRANSITIONS[s]] == [Status.SUBMITTED]
    assert [s for s in Status if Trigger.SUBMIT in TRANSITIONS[s]] == [Status.BUILDING]


def test_promise_19_only_an_order_that_was_never_signed_is_simulated() -> None:
    assert [s for s in Status if Trigger.SIMULATE in TRANSITIONS[s]] == [Status.WAITING, Status.BUILDING]
    assert Status.SUBMITTED not in TRANSITIONS[Status.SIMULATED].values()


def test_every_step_out_of_submitted_without_a_fill_needs_proof() -> None:
    assert set(TRANSITIONS[Status.SUBMITTED]) - {Trigger.LAND} == NEEDS_PROOF
    assert Trigger.FINALIZE in NEEDS_PROOF


def test_every_status_can_reach_an_end() -> None:
    for status in set(Status) - TERMINAL:
        reached, frontier = {status}, [status]
        while frontier:
            for after in TRANSITIONS[frontier.pop()].values():
                if after not in reached:
                    reached.add(after)
                    frontier.append(after)
        assert reached >= {Status.CONFIRMED, Status.FAILED, Status.EXPIRED}, status


@given(st.lists(st.sampled_from(Trigger), max_size=40))
def test_no_sequence_of_triggers_leaves_the_table(triggers: list[Trigger]) -> None:
    status = Status.PENDING
    for trigger in triggers:
        try:
            after = advance(status, trigger)
        except IllegalTransitionError:
            continue
        assert after in TRANSITIONS[status].values()
        status = after
