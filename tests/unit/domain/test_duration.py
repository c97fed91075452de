"""ISO 8601 durations: only parts of a fixed length, and exact."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.duration import duration_text, read_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT5M", 300),
        ("PT1S", 1),
        ("PT0.25S", 0.25),
        ("PT90M", 5400),
        ("P1D", 86_400),
        ("P1DT12H", 129_600),
        ("P2W", 1_209_600),
        ("PT1H30M15S", 5415),
        ("PT0S", 0),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "", "P", "PT", "P1DT", "5M", "PT5", "PT5m", "pt5m", "P1Y", "P1M", "P1W2D", "-PT5M", "PT-5M", "+PT5M", "PT5M ",
        " PT5M", "PT5M\n", "PT1.5M", "PT1,5S", "PT5M3H", "PT5S5S", "PT\u0665M", "300", "00:05:00", "5 minutes",
        "PT1234567890S", "PT0.1234567S", "P999999D",
    ],
)  # fmt: skip
def test_anything_else_is_no_duration(text: str) -> None:
    assert read_duration(text) is None


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=99_999)))
def test_every_duration_is_read_back_from_its_text(duration: timedelta) -> None:
    assert read_duration(duration_text(duration)) == duration


def test_the_shortest_text_is_written() -> None:
    assert [duration_text(read_duration(text) or timedelta()) for text in ("PT300S", "PT24H", "P1W", "PT0.50S")] == [
        "PT5M",
        "P1D",
        "P7D",
        "PT0.5S",
    ]
