"""When a delivery is tried again, and how long a target is left alone."""

from datetime import UTC, datetime

import pytest

from dexexec.webhooks.retry_schedule import (
    LONGEST_PROBE,
    LONGEST_RETRY_AFTER,
    PAUSES,
    probe_pause,
    read_retry_after,
    retry_pause,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MIDDLE = 0.5


def test_pauses_grow_over_a_day() -> None:
    pauses = [retry_pause(tries, MIDDLE) for tries in range(1, 14)]
    assert pauses[:4] == [5, 30, 120, 600]
    assert pauses == sorted(pauses)
    assert sum(pauses[:12]) < 24 * 3_600 < sum(pauses[:13])


def test_pauses_differ_a_little() -> None:
    assert retry_pause(1, 0.0) == pytest.approx(PAUSES[0] * 0.8)
    assert retry_pause(1, 1.0) == pytest.approx(PAUSES[0] * 1.2)


def test_a_target_is_left_alone_for_longer_and_longer() -> None:
    assert [probe_pause(failures, MIDDLE) for failures in (0, 1, 2)] == [5, 10, 20]
    assert probe_pause(1_000_000, MIDDLE) == LONGEST_PROBE


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0),
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("-1", 0),
        ("1.5", 0),
        ("1e9", 0),
        ("nan", 0),
        ("9" * 5_000, LONGEST_RETRY_AFTER),
        ("٣", 0),
        ("Sat, 31 Jan 2026 12:01:00 GMT", 60),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0),
        ("Sat, 31 Jan 2026 23:00:00 GMT", LONGEST_RETRY_AFTER),
        ("Sat, 31 Jan 2026 12:01:00 -0000", 0),
        ("soon", 0),
    ],
)
def test_what_the_target_wants_is_honoured_within_bounds(value: str, seconds: float) -> None:
    assert read_retry_after(value, NOW) == seconds
