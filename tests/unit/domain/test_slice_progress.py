"""The progress of a recurring order is read back as it was written, and ends when nothing is left."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.slice_progress import Progress

NOON = datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)
COUNT = st.integers(0, 1000)
AMOUNT = st.integers(0, 1000 * 2**64)


def test_slices_are_counted_and_fills_are_summed() -> None:
    progress = Progress().with_made(NOON).with_skipped(2).with_made(NOON).with_fill(10, 1500).without_fill("slippage")
    assert progress == Progress(
        next_slice=5,
        made=2,
        skipped=2,
        ended=2,
        filled=1,
        amount_in=10,
        amount_out=1500,
        made_at=NOON,
        last_reason="slippage",
    )
    assert not progress.is_over(5)
    assert progress.is_over(4)
    assert not Progress().with_made(NOON).is_over(1)


def test_the_fills_of_dry_runs_and_of_swaps_are_never_added_up() -> None:
    dry = Progress().with_fill(10, 1500, simulated=True).with_fill(10, 1500, simulated=True)
    assert (dry.filled, dry.amount_out, dry.simulated) == (2, 3000, True)
    real = dry.with_fill(20, 2900)
    assert (real.ended, real.filled, real.amount_in, real.amount_out, real.simulated) == (3, 1, 20, 2900, False)
    assert real.with_fill(10, 1500, simulated=True) == Progress(ended=4, filled=1, amount_in=20, amount_out=2900)


@given(st.builds(Progress, next_slice=COUNT, made=COUNT, filled=COUNT, amount_in=AMOUNT, made_at=st.just(NOON)))
def test_progress_is_read_back_as_it_was_written(progress: Progress) -> None:
    assert Progress.of(progress.detail()) == progress


def test_without_a_record_nothing_was_made() -> None:
    assert Progress.of(None) == Progress()
    assert Progress.of(Progress().detail()) == Progress()
