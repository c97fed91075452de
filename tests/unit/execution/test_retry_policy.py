"""What follows a round without a fill: trouble that passes is waited for, answers about the order end it."""

import random

import pytest

from dexexec.domain.failure_reason import FailureReason
from dexexec.execution.retry_policy import (
    LAST_ROUND_MS,
    FailedRound,
    Retry,
    RetryPolicy,
    failed_round_of,
    fit_before_deadline,
    nothing_built,
)
from dexexec.venues.router import Answer
from tests.support.scripted import SELL_ONE_SOL, quote_of


def quoting(venue: str) -> Answer:
    return Answer(venue=venue, quote=quote_of(venue, SELL_ONE_SOL, 150))


UNSUPPORTED = Answer(venue="a", code="unsupported", detail="not this pair", retryable=False)
DRY = Answer(venue="b", code="no-route", detail="dry")
AWAY = Answer(venue="c", code="unreachable", detail="away")
MOVED = Answer(venue="d", code="slippage", detail="moved")
LATE = Answer(venue="e", code=FailureReason.DEADLINE, detail="no time")
SLOW = Answer(venue="g", code="timeout", detail="no quote within 1000 ms")
MOVED_QUOTE = quoting("h").rejected("slippage", "out of bounds")
POOR = Answer(venue="f", code="insufficient-funds", detail="too little", retryable=False)


@pytest.mark.parametrize(
    ("answers", "reason", "retry"),
    [
        ([UNSUPPORTED], "unsupported", Retry.NEVER),
        ([UNSUPPORTED, POOR], "insufficient-funds", Retry.NEVER),
        ([UNSUPPORTED, DRY], "no-route", Retry.FEW_TIMES),
        ([DRY, POOR], "insufficient-funds", Retry.FEW_TIMES),
        ([UNSUPPORTED, DRY, AWAY], "unreachable", Retry.UNTIL_DEADLINE),
        ([AWAY, MOVED], "slippage", Retry.UNTIL_DEADLINE),
        ([LATE, AWAY], "unreachable", Retry.UNTIL_DEADLINE),
        ([LATE], FailureReason.DEADLINE, Retry.UNTIL_DEADLINE),
    ],
)
def test_promise_17_one_venue_whose_trouble_may_pass_is_reason_to_wait(
    answers: list[Answer], reason: str, retry: Retry
) -> None:
    found = failed_round_of(answers)
    assert (found.reason, found.retry) == (reason, retry)


def test_every_venue_is_listed_and_equal_texts_once() -> None:
    assert failed_round_of([DRY, AWAY]).detail == "b: dry; c: away"
    assert failed_round_of([POOR, POOR]).detail == "too little"


@pytest.mark.parametrize(
    ("others", "retry"),
    [
        ([], Retry.NEVER),
        ([UNSUPPORTED, DRY], Retry.NEVER),
        ([MOVED_QUOTE], Retry.NEVER),
        ([AWAY], Retry.UNTIL_DEADLINE),
        ([SLOW, UNSUPPORTED], Retry.UNTIL_DEADLINE),
    ],
    ids=["alone", "others that do not do it", "a price out of bounds", "away", "slow"],
)
def test_promise_17_what_the_wallet_lacks_for_one_venue_is_no_end_while_another_may_answer(
    others: list[Answer], retry: Retry
) -> None:
    found = nothing_built([POOR], others)
    assert (found.reason, found.retry) == ("insufficient-funds", retry)
    assert "too little" in found.detail
    assert nothing_built([POOR, MOVED], others).retry is Retry.UNTIL_DEADLINE


def failed(retry: Retry) -> FailedRound:
    return FailedRound(reason="r", detail="d", retry=retry)


def test_promise_17_rounds_in_which_nothing_was_signed_spend_no_try() -> None:
    policy = RetryPolicy(3, 500, 10_000)
    assert not policy.is_exhausted(failed(Retry.UNTIL_DEADLINE), signed=False, rounds=10_000, attempts=2, refusals=2)
    assert policy.is_exhausted(failed(Retry.UNTIL_DEADLINE), signed=True, rounds=3, attempts=3, refusals=0)
    assert policy.is_exhausted(failed(Retry.FEW_TIMES), signed=False, rounds=3, attempts=0, refusals=3)
    assert not policy.is_exhausted(failed(Retry.FEW_TIMES), signed=False, rounds=30, attempts=0, refusals=2)
    assert policy.is_exhausted(failed(Retry.NEVER), signed=False, rounds=1, attempts=0, refusals=0)


def test_a_setting_may_bound_the_rounds() -> None:
    policy = RetryPolicy(3, 500, 10_000, rounds=5)
    assert not policy.is_exhausted(failed(Retry.UNTIL_DEADLINE), signed=False, rounds=4, attempts=0, refusals=0)
    assert policy.is_exhausted(failed(Retry.UNTIL_DEADLINE), signed=False, rounds=5, attempts=0, refusals=0)


def test_pauses_grow_to_their_bound_and_stay_there() -> None:
    policy, rng = RetryPolicy(3, 500, 10_000), random.Random(1)
    for rounds, longest in ((1, 500), (2, 1_000), (5, 8_000), (6, 10_000), (100_000, 10_000)):
        assert longest / 2 <= policy.pause_ms(rounds, rng) <= longest


def test_a_rest_of_all_venues_is_waited_out_and_not_much_longer() -> None:
    assert 4_000 <= RetryPolicy(3, 500, 10_000).pause_ms(50, random.Random(1), breakers_open_ms=4_000) <= 4_500


@pytest.mark.parametrize(
    ("pause_ms", "left_ms", "rest_ms"),
    [
        (500, 60_000, 500),
        (10_000, 9_000, 9_000 - LAST_ROUND_MS),
        (10_000, 1_500, 1_500),
        (500, 400, 400),
    ],
)
def test_promise_17_a_pause_leaves_time_for_a_last_round_and_never_ends_an_order_before_its_deadline(
    pause_ms: float, left_ms: float, rest_ms: float
) -> None:
    assert fit_before_deadline(pause_ms, left_ms) == rest_ms
