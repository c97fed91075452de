"""What follows a round without a fill: trouble that passes is waited for, answers about the order end it."""

import random

import pytest

from dexexec.domain.failure_reason import FailureReason
from dexexec.execution.next_round import (
    LAST_ROUND_MS,
    Chance,
    FailedRound,
    Retries,
    failed_round_of,
    unbuilt,
    until_deadline,
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
    ("answers", "reason", "chance"),
    [
        ([UNSUPPORTED], "unsupported", Chance.NONE),
        ([UNSUPPORTED, POOR], "insufficient-funds", Chance.NONE),
        ([UNSUPPORTED, DRY], "no-route", Chance.FEW),
        ([DRY, POOR], "insufficient-funds", Chance.FEW),
        ([UNSUPPORTED, DRY, AWAY], "unreachable", Chance.TIME),
        ([AWAY, MOVED], "slippage", Chance.TIME),
        ([LATE, AWAY], "unreachable", Chance.TIME),
        ([LATE], FailureReason.DEADLINE, Chance.TIME),
    ],
)
def test_promise_17_one_venue_whose_trouble_may_pass_is_reason_to_wait(
    answers: list[Answer], reason: str, chance: Chance
) -> None:
    found = failed_round_of(answers)
    assert (found.reason, found.chance) == (reason, chance)


def test_every_venue_is_listed_and_equal_texts_once() -> None:
    assert failed_round_of([DRY, AWAY]).words == "b: dry; c: away"
    assert failed_round_of([POOR, POOR]).words == "too little"


@pytest.mark.parametrize(
    ("others", "chance"),
    [
        ([], Chance.NONE),
        ([UNSUPPORTED, DRY], Chance.NONE),
        ([MOVED_QUOTE], Chance.NONE),
        ([AWAY], Chance.TIME),
        ([SLOW, UNSUPPORTED], Chance.TIME),
    ],
    ids=["alone", "others that do not do it", "a price out of bounds", "away", "slow"],
)
def test_promise_17_what_the_wallet_lacks_for_one_venue_is_no_end_while_another_may_answer(
    others: list[Answer], chance: Chance
) -> None:
    found = unbuilt([POOR], others)
    assert (found.reason, found.chance) == ("insufficient-funds", chance)
    assert "too little" in found.words
    assert unbuilt([POOR, MOVED], others).chance is Chance.TIME


def failed(chance: Chance) -> FailedRound:
    return FailedRound("r", "w", chance)


def test_promise_17_rounds_in_which_nothing_was_signed_spend_no_try() -> None:
    retries = Retries(3, 500, 10_000)
    assert not retries.spent(failed(Chance.TIME), signed=False, rounds=10_000, attempts=2, refusals=2)
    assert retries.spent(failed(Chance.TIME), signed=True, rounds=3, attempts=3, refusals=0)
    assert retries.spent(failed(Chance.FEW), signed=False, rounds=3, attempts=0, refusals=3)
    assert not retries.spent(failed(Chance.FEW), signed=False, rounds=30, attempts=0, refusals=2)
    assert retries.spent(failed(Chance.NONE), signed=False, rounds=1, attempts=0, refusals=0)


def test_a_setting_may_bound_the_rounds() -> None:
    retries = Retries(3, 500, 10_000, rounds=5)
    assert not retries.spent(failed(Chance.TIME), signed=False, rounds=4, attempts=0, refusals=0)
    assert retries.spent(failed(Chance.TIME), signed=False, rounds=5, attempts=0, refusals=0)


def test_pauses_grow_to_their_bound_and_stay_there() -> None:
    retries, rng = Retries(3, 500, 10_000), random.Random(1)
    for rounds, longest in ((1, 500), (2, 1_000), (5, 8_000), (6, 10_000), (100_000, 10_000)):
        assert longest / 2 <= retries.pause_ms(rounds, rng) <= longest


def test_a_rest_of_all_venues_is_waited_out_and_not_much_longer() -> None:
    assert 4_000 <= Retries(3, 500, 10_000).pause_ms(50, random.Random(1), rest_ms=4_000) <= 4_500


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
    assert until_deadline(pause_ms, left_ms) == rest_ms
