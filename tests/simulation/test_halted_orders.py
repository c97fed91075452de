"""Promise 26: what a halt does to orders with one worker, in virtual time."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from dexexec.domain.halt import EVERYBODY
from dexexec.domain.order import NewOrder
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms, TimeInForce
from tests.simulation.clock import VirtualClock
from tests.simulation.single_worker import Meanwhile, Trouble, lived
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.rows import OrderRow
from tests.support.parts import new_order

DEADLINE_MS = 300_000
WELL: dict[str, Trouble] = {"a": lambda _: None, "b": lambda _: None}


def orders(count: int, deadline_ms: int = DEADLINE_MS, **changes: Any) -> list[NewOrder]:
    return [replace(new_order(order_id=UUID(int=n + 1), deadline_ms=deadline_ms), **changes) for n in range(count)]


def halting(at: float, seconds: float, owner: int = EVERYBODY) -> Meanwhile:
    """Halted from then on, for so long."""

    async def meanwhile(database: MemoryDatabase, clock: VirtualClock) -> None:
        await clock.sleep(at)
        database.halt(owner, "a test")
        await clock.sleep(seconds)
        database.resume(owner)

    return meanwhile


def reports(row: OrderRow) -> list[Any]:
    """The events that report a halt."""
    return [event for event in row.events if event.detail.get("reason") == "halted"]


@pytest.mark.parametrize("at", [0.0, 0.02, 0.05, 0.8])
def test_promise_26_orders_wait_for_the_end_of_a_halt_and_are_filled_once(at: float) -> None:
    rows = lived(orders(20), WELL, 200, halting(at, 120))
    assert [row.status for row in rows] == [Status.CONFIRMED] * 20
    assert all(row.attempt_count == 1 for row in rows)
    for row in rows:
        assert len(reports(row)) <= 1, "one event for a halt, however long it is"
        for event in reports(row):
            assert (event.status, event.detail["waitsFor"]) == (Status.WAITING, "halt")
            assert "a test" in event.detail["detail"]
    waited = [row for row in rows if reports(row)]
    assert waited or at == 0.8
    for row in waited:
        following = next(after for event, after in pairwise(row.events) if event in reports(row))
        # Not only when its pause of half a minute is over: the end of the halt makes it due.
        assert 0 <= (following.at - row.events[0].at).total_seconds() - at - 120 < 6


def test_promise_26_a_halt_lets_what_was_signed_before_be_settled() -> None:
    rows = lived(orders(5), WELL, 30, halting(5, 1_000))
    assert [row.status for row in rows] == [Status.CONFIRMED] * 5


def test_an_order_that_is_halted_until_its_deadline_expires_with_that_reason() -> None:
    [row] = lived(orders(1, 20_000), WELL, 60, halting(0, 1_000))
    last = row.events[-1]
    assert (row.status, row.failure_reason, last.detail["reason"]) == (Status.EXPIRED, "halted", "halted")
    assert "signing is halted for this service" in str(last.detail["detail"])
    assert row.attempt_count == 0


def test_the_halt_of_a_key_leaves_the_orders_of_others_their_way() -> None:
    own, others = orders(2)
    rows = lived([replace(own, owner=1), replace(others, owner=2)], WELL, 40, halting(0, 1_000, owner=1))
    assert [row.status for row in rows] == [Status.WAITING, Status.CONFIRMED]


@pytest.mark.parametrize("once", [TimeInForce.IOC, TimeInForce.FOK])
def test_an_order_that_is_tried_once_keeps_its_try_during_a_halt(once: TimeInForce) -> None:
    terms = Terms(time_in_force=once)
    [row] = lived(orders(1, type=OrderType.LIMIT, terms=terms), WELL, 200, halting(0, 100))
    assert row.status is Status.CONFIRMED


def test_a_dry_run_goes_on_during_a_halt() -> None:
    [row] = lived(orders(1, dry_run=True), WELL, 40, halting(0, 1_000))
    assert row.status is Status.SIMULATED


@pytest.mark.parametrize("end", [lambda n: n, lambda n: n + 0.5])
def test_promise_26_halts_that_come_and_go_lose_no_order_and_double_none(end: Callable[[float], float]) -> None:
    async def flapping(database: MemoryDatabase, clock: VirtualClock) -> None:
        for n in range(20):
            database.halt(EVERYBODY, f"number {n}")
            await clock.sleep(end(n % 3) + 0.01)
            database.resume(EVERYBODY)
            await clock.sleep(0.2 * (n % 4))

    rows = lived(orders(30), WELL, 250, flapping)
    assert [row.status for row in rows] == [Status.CONFIRMED] * 30
    assert all(row.attempt_count == 1 for row in rows)
