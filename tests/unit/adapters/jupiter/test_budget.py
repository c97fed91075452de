"""The request budget: as many per minute as allowed, one kept for building, and pauses after refusals."""

import pytest

from dexexec.testing.clock import ManualClock
from dexexec.venue import RateLimited
from dexexec_adapters.jupiter.budget import MOST_PAUSE_SECONDS, RequestBudget


def test_requests_of_any_minute_are_bounded() -> None:
    clock = ManualClock()
    budget = RequestBudget(3, clock.monotonic)
    for _ in range(3):
        budget.take()
        clock.advance(10)
    with pytest.raises(RateLimited, match=r"3 requests per minute .* DEXEXEC_JUPITER_REQUESTS_PER_MINUTE"):
        budget.take()
    clock.advance(29.9)
    with pytest.raises(RateLimited):
        budget.take()
    clock.advance(0.2)
    budget.take()
    with pytest.raises(RateLimited):
        budget.take()


def test_a_quote_leaves_a_request_to_build_its_swap() -> None:
    clock = ManualClock()
    budget = RequestBudget(3, clock.monotonic)
    budget.take(keep=1)
    budget.take(keep=1)
    with pytest.raises(RateLimited):
        budget.take(keep=1)
    budget.take()


def test_pauses_grow_until_a_request_succeeds() -> None:
    clock = ManualClock()
    budget = RequestBudget(1_000, clock.monotonic)
    for pause in (2, 4, 8):
        budget.refused(None)
        with pytest.raises(RateLimited, match=f"next one in {pause} s"):
            budget.take()
        clock.advance(pause)
        budget.take()
    budget.succeeded()
    budget.refused(None)
    clock.advance(2)
    budget.take()


def test_a_server_may_name_a_longer_pause_within_bounds() -> None:
    clock = ManualClock()
    budget = RequestBudget(1_000, clock.monotonic)
    budget.refused(30.0)
    clock.advance(29)
    with pytest.raises(RateLimited):
        budget.take()
    clock.advance(1)
    budget.take()
    budget.refused(999_999.0)
    clock.advance(MOST_PAUSE_SECONDS)
    budget.take()
