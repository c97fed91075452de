"""Groups and brackets in a scenario: some orders of all types share a group, and some are entries with exits."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import UUID

from dexexec.domain.bracket import Bracket, Exit
from dexexec.domain.order import NewOrder
from dexexec.domain.status import Status
from dexexec.domain.terms import Terms
from tests.support.fakes.rows import OrderRow

GROUPED_SHARE = 0.4
GROUPS = ("pair", "other")
"""Few, so that orders of one scenario meet in them."""
ENTRY_SHARE = 0.2
EXITS = Bracket(take_profit=Exit(bps=10), stop=Exit(bps=10))
RESTORED = "unknown"
"""The client of orders that came back from the chain."""
FILLED = (Status.CONFIRMED, Status.SIMULATED)


def perhaps_grouped(order: NewOrder) -> NewOrder:
    """The order, perhaps in a group, and perhaps with exits."""
    own = random.Random(order.id.int + 3)  # so that the other draws do not depend on it
    if own.random() < GROUPED_SHARE:
        order = replace(order, oco_group=own.choice(GROUPS))
    if own.random() < ENTRY_SHARE:
        order = replace(order, terms=replace(order.terms or Terms(), bracket=EXITS))
    return order


def broken_groups(orders: Mapping[UUID, OrderRow], landed: Iterable[UUID]) -> list[str]:
    """How promise 22 was broken. `landed` are the orders whose swaps are on the chain for good."""
    swapped = set(landed) | {order_id for order_id, row in orders.items() if row.status in FILLED}
    groups: dict[tuple[str, bool], list[UUID]] = {}
    for order_id, row in orders.items():
        if row.new.oco_group is not None:
            groups.setdefault((row.new.oco_group, row.new.dry_run), []).append(order_id)
    problems = []
    for (group, _), members in groups.items():
        filled = [order_id for order_id in members if order_id in swapped]
        if len(filled) > 1:
            problems.append(f"promise 22: {len(filled)} orders of the group {group} are filled: {filled}")
        if filled and any(orders[order_id].finished_at is None for order_id in members):
            problems.append(f"promise 22: an order of the filled group {group} has not ended")
    return problems


def unarmed(orders: Mapping[UUID, OrderRow]) -> list[str]:
    """Entries whose exits are missing, or spend another amount than was received."""
    problems = []
    for order_id, row in orders.items():
        if row.new.terms is None or row.new.terms.bracket is None:
            continue
        exits = [other for other in orders.values() if other.new.parent == order_id]
        expected = 2 if row.status in FILLED and row.amount_in and row.amount_out else 0
        if len(exits) != expected:
            problems.append(f"promise 22: {row.status} with {len(exits)} exits: {order_id}")
        if any(leg.new.amount_base != row.amount_out and leg.new.client != RESTORED for leg in exits):
            problems.append(f"promise 22: an exit spends another amount than was received: {order_id}")
    return problems
