"""The pace of a cluster."""

import pytest

from dexexec.domain.pace import UNKNOWN_PACE, Finality, Pace


def test_slots_and_seconds_are_converted_both_ways() -> None:
    pace = Pace(0.2, Finality.IMMEDIATE, measured=True)
    assert pace.seconds(10) == pytest.approx(2.0)
    assert pace.slots(pace.seconds(7)) == pytest.approx(7)


def test_an_unknown_pace_assumes_that_finality_takes_time() -> None:
    assert not UNKNOWN_PACE.final_at_once
    assert not UNKNOWN_PACE.measured
