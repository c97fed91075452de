"""Promise 25: what a worker does with orders that are over a limit of their key, in virtual time."""

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from dexexec.domain.order import NewOrder
from dexexec.domain.policy import Policy
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms, TimeInForce
from dexexec.domain.token import WSOL
from tests.simulation.clock import VirtualClock
from tests.simulation.single_worker import Meanwhile, Trouble, lived
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.rows import OrderRow
from tests.support.parts import new_order

OWNER = 1
OWN = 10_000_000
WELL: dict[str, Trouble] = {"a": lambda _: None, "b": lambda _: None}


def orders(count: int, deadline_ms: int = 60_000, **changes: Any) -> list[NewOrder]:
    """Orders of the key, accepted before it had a policy."""
    return [
        replace(new_order(order_id=UUID(int=n + 1), deadline_ms=deadline_ms), owner=OWNER, **changes)
        for n in range(count)
    ]


def with_policy(policy: Policy, then: Meanwhile | None = None) -> Meanwhile:
    """The key has this policy before a worker takes an order up."""

    async def meanwhile(database: MemoryDatabase, clock: VirtualClock) -> None:
        database.policies[OWNER] = policy
        if then is not None:
            await then(database, clock)

    return meanwhile


def quotes(row: OrderRow) -> dict[str, Any]:
    """The answers of the first round, by venue."""
    found: Any = next(event.detail["quotes"] for event in row.events if "quotes" in event.detail)
    return {quote["venue"]: quote for quote in found}


def test_promise_25_a_venue_outside_of_the_policy_gets_no_request() -> None:
    asked: list[float] = []
    troubles: dict[str, Trouble] = {"a": asked.append, "b": lambda _: None}
    [row] = lived(orders(1), troubles, 40, with_policy(Policy(venues=frozenset({"b"}))))
    assert (row.status, row.venue) == (Status.CONFIRMED, "b")
    assert asked == []
    assert quotes(row)["a"]["reason"] == "policy"


def test_promise_25_an_order_that_no_venue_may_execute_fails_at_once() -> None:
    [row] = lived(orders(1), WELL, 40, with_policy(Policy(venues=frozenset())))
    assert (row.status, row.failure_reason, row.attempt_count) == (Status.FAILED, "policy", 0)


def test_promise_25_what_breaks_a_limit_by_itself_fails_without_an_attempt() -> None:
    for policy in (
        Policy(max_per_order={WSOL: OWN - 1}),
        Policy(max_per_day={WSOL: OWN - 1}),
        Policy(max_slippage_bps=49),
        Policy(mints=frozenset({WSOL})),
        Policy(kinds=frozenset({OrderType.SNIPER})),
        Policy(wallets=frozenset({"another"})),
    ):
        [row] = lived(orders(1), WELL, 40, with_policy(policy))
        assert (row.status, row.failure_reason, row.attempt_count) == (Status.FAILED, "policy", 0), policy
        assert "over the key's policy" in str(row.events[-1].detail["detail"])


def test_promise_25_a_dry_run_fails_as_the_order_would() -> None:
    [row] = lived(orders(1, dry_run=True), WELL, 40, with_policy(Policy(max_per_order={WSOL: OWN - 1})))
    assert (row.status, row.failure_reason) == (Status.FAILED, "policy")
    [free] = lived(orders(1, dry_run=True), WELL, 40, with_policy(Policy(max_per_day={WSOL: OWN})))
    assert free.status is Status.SIMULATED


def test_promise_25_over_a_days_limit_orders_wait_and_no_more_than_fit_are_signed() -> None:
    rows = lived(orders(10), WELL, 80, with_policy(Policy(max_per_day={WSOL: 3 * OWN})))
    filled = [row for row in rows if row.status is Status.CONFIRMED]
    waited = [row for row in rows if row.status is Status.EXPIRED]
    assert (len(filled), len(waited)) == (3, 7)
    for row in waited:
        assert (row.failure_reason, row.attempt_count) == ("policy", 0)
        assert "maxPerDay" in str(row.events[-1].detail["detail"])


def test_promise_25_on_the_next_day_orders_that_waited_are_filled() -> None:
    async def midnight(database: MemoryDatabase, clock: VirtualClock) -> None:
        await clock.sleep(20)
        database.today = date(2026, 1, 2)

    rows = lived(orders(6), WELL, 80, with_policy(Policy(max_per_day={WSOL: 3 * OWN}), midnight))
    assert [row.status for row in rows] == [Status.CONFIRMED] * 6
    assert all(row.attempt_count == 1 for row in rows)


def test_an_order_that_is_tried_once_does_not_wait_for_the_next_day() -> None:
    terms = Terms(time_in_force=TimeInForce.IOC)
    rows = lived(orders(2, type=OrderType.LIMIT, terms=terms), WELL, 40, with_policy(Policy(max_per_day={WSOL: OWN})))
    assert sorted(row.status for row in rows) == [Status.CONFIRMED, Status.EXPIRED]


def test_an_order_that_the_service_made_for_another_one_may_be_of_any_kind() -> None:
    child = orders(1, parent=UUID(int=99))
    [row] = lived(child, WELL, 40, with_policy(Policy(kinds=frozenset({OrderType.RECURRING}))))
    assert row.status is Status.CONFIRMED
