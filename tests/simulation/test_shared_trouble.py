"""Promise 17: trouble that is not the order's fails it only at its deadline. Minutes of it, in virtual time."""

import math
from dataclasses import replace
from uuid import UUID

import pytest

from dexexec.domain.status import Status
from dexexec.venue import NoRoute, RateLimited, Unreachable, VenueError
from tests.simulation.single_worker import Trouble, lived
from tests.support.parts import new_order

DEADLINE_MS = 300_000


def orders(count: int, deadline_ms: int = DEADLINE_MS) -> list:  # type: ignore[type-arg]
    return [new_order(order_id=UUID(int=n + 1), deadline_ms=deadline_ms) for n in range(count)]


def away(seconds: float, *, shared: bool) -> Trouble:
    """Unreachable for so long."""
    return lambda now: Unreachable("gone", shared=shared) if now < seconds else None


def limited(per_second: int) -> Trouble:
    """A server that answers a fixed number of requests a second, over all clients."""
    asked: dict[int, int] = {}

    def ask(now: float) -> VenueError | None:
        second = math.floor(now)
        asked[second] = asked.get(second, 0) + 1
        return RateLimited("429: slow down") if asked[second] > per_second else None

    return ask


@pytest.mark.parametrize("shared", [True, False], ids=["the node", "every venue"])
@pytest.mark.parametrize("seconds", [2, 8, 60])
def test_promise_17_orders_outlast_what_is_away(seconds: float, shared: bool) -> None:
    trouble = away(seconds, shared=shared)
    rows = lived(orders(10), {"a": trouble, "b": trouble}, seconds + 40)
    assert [row.status for row in rows] == [Status.CONFIRMED] * 10
    assert all(row.attempt_count == 1 for row in rows)


def test_promise_17_forty_orders_outlast_a_server_that_allows_ten_questions_a_second() -> None:
    trouble = limited(10)
    rows = lived(orders(40), {"a": trouble, "b": trouble}, 299)
    assert [row.status for row in rows] == [Status.CONFIRMED] * 40


def test_promise_17_what_stays_away_expires_an_order_at_its_deadline_with_the_cause() -> None:
    trouble = away(10_000, shared=False)
    [row] = lived(orders(1, 30_000), {"a": trouble, "b": trouble}, 45)
    last = row.events[-1]
    assert (row.status, row.failure_reason, last.detail["reason"]) == (Status.EXPIRED, "unreachable", "unreachable")
    assert "the deadline passed" in str(last.detail["detail"])
    assert "gone" in str(last.detail["detail"])
    assert row.finished_at is not None
    assert row.deadline_at <= row.finished_at < row.deadline_at + 1_500_000
    waits = [event.detail for event in row.events[1:-1]]
    assert {detail["reason"] for detail in waits} == {"unreachable"}
    assert all(isinstance(detail["retryInMs"], int) for detail in waits)


def test_promise_17_at_the_deadline_the_cause_is_reported_in_every_state() -> None:
    """Also when it strikes within a round, which is then cut short."""
    new = [order for n in range(60) for order in orders(1, 3_000 + 97 * n)]
    new = [replace(order, id=UUID(int=n + 1)) for n, order in enumerate(new)]
    rows = lived(new, {"a": away(10_000, shared=False), "b": away(10_000, shared=True)}, 30)
    assert {(row.status, row.failure_reason) for row in rows} == {(Status.EXPIRED, "unreachable")}


def test_promise_17_a_venue_without_a_route_does_not_end_what_another_one_may_do_later() -> None:
    rows = lived(orders(3), {"dry": lambda _: NoRoute("no pool"), "b": away(20, shared=False)}, 60)
    assert [row.status for row in rows] == [Status.CONFIRMED] * 3


def test_no_route_of_every_venue_ends_an_order_after_as_many_rounds_as_there_are_tries() -> None:
    def dry(now: float) -> VenueError | None:
        return NoRoute("no pool") if now > 5 else Unreachable("gone", shared=True)

    [row] = lived(orders(1), {"a": dry, "b": dry}, 60)
    assert (row.status, row.failure_reason, row.refusals) == (Status.FAILED, "no-route", 2), "the third one ends it"
    assert row.rounds > 3
