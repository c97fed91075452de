"""Recurring orders: what is due when, what becomes of missed slices, and an exact split of the amount."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.recurring import (
    MAX_PAUSE,
    Missed,
    Plan,
    Recurring,
    Schedule,
    Slice,
    in_tokens,
    least_of,
    most_of,
    pause,
    plan,
    share,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NONE = range(0)


def schedule(missed: Missed, *, slices: int = 12, expires_at: datetime | None = None) -> Schedule:
    """Slices every five minutes from noon on."""
    return Schedule(starts_at=NOON, every=5 * MINUTE, slices=slices, missed=missed, expires_at=expires_at)


schedules = st.builds(
    Schedule,
    starts_at=st.just(NOON),
    every=st.timedeltas(timedelta(seconds=1), timedelta(days=31)),
    slices=st.integers(2, 40),
    missed=st.sampled_from(Missed),
    expires_at=st.none() | st.timedeltas(timedelta(seconds=-5), timedelta(days=900)).map(lambda after: NOON + after),
)


@pytest.mark.parametrize("missed", Missed)
def test_the_first_slice_is_due_at_the_start_and_each_next_one_after_the_interval(missed: Missed) -> None:
    assert plan(schedule(missed), 1, None, NOON - MINUTE) == Plan(skipped=NONE, make=None, wake_at=NOON)
    assert plan(schedule(missed), 1, None, NOON) == Plan(skipped=NONE, make=1, wake_at=NOON + 5 * MINUTE)
    assert plan(schedule(missed), 2, NOON, NOON + MINUTE) == Plan(skipped=NONE, make=None, wake_at=NOON + 5 * MINUTE)
    last = plan(schedule(missed, slices=2), 2, NOON, NOON + 5 * MINUTE)
    assert last == Plan(skipped=NONE, make=2, wake_at=None)


def test_skip_leaves_missed_slices_out_and_makes_the_one_that_is_due() -> None:
    an_hour_later = plan(schedule(Missed.SKIP, slices=20), 3, NOON + 10 * MINUTE, NOON + 71 * MINUTE)
    assert list(an_hour_later.skipped) == [*range(3, 15)]
    assert (an_hour_later.make, an_hour_later.wake_at) == (15, NOON + 75 * MINUTE)


def test_skip_makes_the_last_slice_only_within_its_interval() -> None:
    in_time = plan(schedule(Missed.SKIP), 12, None, NOON + 60 * MINUTE - timedelta(microseconds=1))
    assert in_time == Plan(skipped=NONE, make=12, wake_at=None)
    too_late = plan(schedule(Missed.SKIP), 12, None, NOON + 60 * MINUTE)
    assert too_late == Plan(skipped=range(12, 13), make=None, wake_at=None)


def test_catch_up_makes_missed_slices_one_by_one_with_a_pause() -> None:
    restarted = NOON + 71 * MINUTE
    turns = schedule(Missed.CATCH_UP)
    first = plan(turns, 3, NOON + 10 * MINUTE, restarted)
    assert first == Plan(skipped=NONE, make=3, wake_at=restarted + timedelta(seconds=30))
    too_soon = plan(turns, 4, restarted, restarted + timedelta(seconds=29))
    assert too_soon == Plan(skipped=NONE, make=None, wake_at=restarted + timedelta(seconds=30))
    assert plan(turns, 4, restarted, restarted + timedelta(seconds=30)).make == 4


def test_the_pause_is_a_tenth_of_the_interval_and_at_most_a_minute() -> None:
    assert pause(schedule(Missed.CATCH_UP)) == timedelta(seconds=30)
    daily = Schedule(starts_at=NOON, every=timedelta(days=1), slices=2, missed=Missed.CATCH_UP)
    assert pause(daily) == MAX_PAUSE


@pytest.mark.parametrize("missed", Missed)
def test_nothing_is_made_from_the_expiry_on(missed: Missed) -> None:
    ends = NOON + 7 * MINUTE
    turns = schedule(missed, expires_at=ends)
    assert plan(turns, 2, NOON, NOON + 5 * MINUTE).wake_at == ends
    assert plan(turns, 3, NOON, ends) == Plan(skipped=range(3, 13), make=None, wake_at=None, expired=True)
    assert plan(turns, 13, NOON, ends) == Plan(skipped=range(13, 13), make=None, wake_at=None)


def _made(turns: Schedule, looks: list[datetime]) -> tuple[dict[int, datetime], list[int]]:
    """Follow the plan at each of these times: the slices that were made, with their times, and those left out."""
    made: dict[int, datetime] = {}
    skipped: list[int] = []
    following, made_at = 1, None
    for now in looks:
        step = plan(turns, following, made_at, now)
        skipped += step.skipped
        following += len(step.skipped)
        if step.make is not None:
            assert step.make == following
            assert step.make not in made
            made[step.make] = made_at = now
            following += 1
        assert (step.wake_at is None) == (following > turns.slices)
        assert step.wake_at is None or step.wake_at > now
    return made, skipped


@given(schedules, st.lists(st.timedeltas(timedelta(seconds=-10), timedelta(days=1300)), max_size=60))
def test_promise_24_whatever_the_outages_no_slice_is_early_made_twice_or_both_made_and_skipped(
    turns: Schedule, offsets: list[timedelta]
) -> None:
    made, skipped = _made(turns, sorted(NOON + offset for offset in offsets))
    assert sorted([*made, *skipped]) == [*range(1, len(made) + len(skipped) + 1)]
    for number, at in made.items():
        assert at >= turns.due_at(number)
        assert turns.expires_at is None or at < turns.expires_at
        if turns.missed is Missed.SKIP:
            assert at < turns.due_at(number + 1)


@given(schedules, st.timedeltas(timedelta(), timedelta(days=400)))
def test_followed_until_its_end_catch_up_makes_every_slice_and_skip_those_that_were_not_missed(
    turns: Schedule, outage: timedelta
) -> None:
    now = NOON + outage
    looks: list[datetime] = []
    following, made_at = 1, None
    wake: datetime | None = now
    while wake is not None:
        looks.append(wake)
        step = plan(turns, following, made_at, wake)
        following += len(step.skipped) + (step.make is not None)
        made_at = wake if step.make is not None else made_at
        wake = step.wake_at
    made, skipped = _made(turns, looks)
    assert len(made) + len(skipped) == turns.slices
    if turns.expires_at is None and turns.missed is Missed.CATCH_UP:
        assert not skipped
    if turns.missed is Missed.CATCH_UP:
        assert all(after - before >= pause(turns) for before, after in pairwise(made.values()))


@given(st.integers(2, 1000), st.integers(0, 2**64 - 1))
def test_promise_24_the_shares_add_up_to_the_amount_and_differ_by_one_at_most(slices: int, more: int) -> None:
    total = min(2**64 - 1, slices + more)
    shares = [share(total, slices, number) for number in range(1, slices + 1)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1
    assert min(shares) > 0


@given(st.integers(1, 2**64), st.integers(1, 2**64), st.integers(2, 1000))
def test_a_limit_for_a_share_is_never_looser_and_tighter_by_less_than_a_unit(
    limit: int, total: int, slices: int
) -> None:
    part = share(total, slices, 1)
    assert limit * part <= least_of(limit, part, total) * total < limit * part + total
    assert limit * part - total < most_of(limit, part, total) * total <= limit * part


@given(st.integers(1, 2**64 - 1), st.integers(0, 18), st.integers(2, 1000))
def test_a_share_in_tokens_is_exact(base: int, decimals: int, slices: int) -> None:
    amount = Decimal(base).scaleb(-decimals, context=None)
    part = share(base, slices, 1)
    assert in_tokens(part, amount, base) * 10**decimals == part or part == 0


def test_terms_are_read_back_as_they_were_written() -> None:
    terms = Recurring(
        slices=12,
        every=5 * MINUTE,
        missed=Missed.CATCH_UP,
        deadline_seconds=60,
        start_at=NOON,
        min_price=Decimal("149.5"),
        max_price=Decimal("160"),
        best_other=1_600_000_000,
    )
    assert terms.detail() == {
        "slices": 12,
        "every": "PT5M",
        "missed": "catchUp",
        "deadlineSeconds": 60,
        "startAt": "2026-01-31T12:00:00.000Z",
        "minPrice": "149.5",
        "maxPrice": "160",
        "bestAmount": "1600000000",
    }
    assert Recurring.of(terms.detail()) == terms
    plain = Recurring(slices=2, every=MINUTE, missed=Missed.SKIP, deadline_seconds=1)
    assert Recurring.of(plain.detail()) == plain
    with pytest.raises(ValueError, match="not a duration: soon"):
        Recurring.of({**terms.detail(), "every": "soon"})
    for place in (Slice(3, 12), Slice(3, 12, 5)):
        assert Slice.of(place.detail()) == place


def test_a_start_in_the_past_is_the_time_of_acceptance() -> None:
    terms = Recurring(slices=2, every=MINUTE, missed=Missed.SKIP, deadline_seconds=1, start_at=NOON)
    assert Schedule.of(terms, NOON + MINUTE, None).starts_at == NOON + MINUTE
    assert Schedule.of(terms, NOON - MINUTE, None).starts_at == NOON
