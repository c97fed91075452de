"""Sums of costs over the database in memory: straight from the proofs of the attempts, one by one."""

from datetime import UTC

from dexexec.domain.cost import AttemptCost, CostSum
from dexexec.domain.outcome import Outcome
from dexexec.store import CostQuery, CostReport, GroupBy
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.rows import AttemptRow, OrderRow, moment


def read_costs(database: MemoryDatabase, query: CostQuery) -> CostReport:
    """As `dexexec.store.costs.read_costs`, without its limits."""
    until = query.until or moment(database.now())
    total = CostSum()
    groups: dict[tuple[tuple[GroupBy, str | None], ...], CostSum] = {}
    for row in database.orders.values():
        if query.owner not in (None, row.new.owner):
            continue
        for attempt in row.attempts:
            if attempt.resolved_at is None or not query.since <= moment(attempt.resolved_at) < until:
                continue
            cost = _cost_of(attempt)
            if cost is not None:
                total.add(cost)
                groups.setdefault(_key(query, row, attempt), CostSum()).add(cost)
    ordered = sorted(groups.items(), key=lambda item: [(value is None, value) for _, value in item[0]])
    return CostReport(
        until=until,
        more=False,
        groups=[(dict(key), group) for key, group in ordered] if query.group_by else [],
        total=total,
        groups_omitted=0,
        mints_omitted=False,
    )


def _cost_of(attempt: AttemptRow) -> AttemptCost | None:
    proof = attempt.proof or {}
    if attempt.outcome not in (Outcome.LANDED, Outcome.FAILED) or "cost" not in proof:
        return None
    cost = proof["cost"]
    assert isinstance(cost, dict)
    return AttemptCost.of(cost, landed=attempt.outcome is Outcome.LANDED)


def _key(query: CostQuery, row: OrderRow, attempt: AttemptRow) -> tuple[tuple[GroupBy, str | None], ...]:
    values = {
        GroupBy.VENUE: attempt.attempt.venue,
        GroupBy.DAY: f"{moment(attempt.resolved_at or 0).astimezone(UTC):%Y-%m-%d}",
        GroupBy.TAG: row.new.tag,
    }
    return tuple((key, values[key]) for key in GroupBy if key in query.group_by)
