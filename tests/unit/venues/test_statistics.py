"""The figures of a venue: shares and percentiles of its latest answers."""

import pytest

from dexexec.domain.percentile import percentile
from dexexec.venues.statistics import KEPT, VenueAnswer, VenueStatistics


def quoted(elapsed_ms: int, *, best: bool = False) -> VenueAnswer:
    return VenueAnswer(quoted=True, elapsed_ms=elapsed_ms, best=best)


def failed(code: str) -> VenueAnswer:
    return VenueAnswer(quoted=False, elapsed_ms=7, best=False, code=code)


def test_quotes_errors_and_wins_are_counted_by_venue() -> None:
    statistics = VenueStatistics(["a", "b"])
    for answer in (quoted(10, best=True), quoted(30), failed("timeout"), failed("timeout"), failed("no-route")):
        statistics.add("a", answer)
    figures = statistics.figures("a")
    assert (figures.answers, figures.quotes, figures.best) == (5, 2, 1)
    assert figures.errors == {"timeout": 2, "no-route": 1}
    assert (figures.p50_ms, figures.p99_ms) == (10, 30), "only quotes have a time that counts"
    assert statistics.figures("b").answers == 0
    assert statistics.figures("b").p50_ms is None


def test_old_answers_no_longer_count() -> None:
    statistics = VenueStatistics(["a"])
    statistics.add("a", failed("timeout"))
    for _ in range(KEPT):
        statistics.add("a", quoted(1))
    assert statistics.figures("a").errors == {}
    assert statistics.figures("a").answers == KEPT


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1, 100), (0.01, 1)])
def test_a_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile(list(range(1, 101)), share) == expected
