"""Recurring orders in a scenario: some orders become parents of slices, and what was made of them is checked."""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from dexexec.domain.order import FOREVER_MS, NewOrder
from dexexec.domain.recurring import Missed, Recurring
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms
from tests.support.fakes.rows import OrderRow

RECURRING_SHARE = 0.12
FILLED = (Status.CONFIRMED, Status.SIMULATED)


def perhaps_recurring(order: NewOrder) -> NewOrder:
    """The order, or its amount in slices. One of another kind stays as it is."""
    own = random.Random(order.id.int + 4)  # so that the other draws do not depend on it
    plain = order.type is OrderType.MARKET and order.terms is None and order.oco_group is None
    if not plain or order.amount_base < 10 or own.random() > RECURRING_SHARE:
        return order
    schedule = Recurring(
        slices=own.randint(2, 4),
        every=timedelta(seconds=own.choice((1, 2, 5))),
        missed=own.choice(list(Missed)),
        deadline_seconds=10,
    )
    return replace(order, type=OrderType.RECURRING, terms=Terms(recurring=schedule), deadline_ms=FOREVER_MS)


def miscounted(orders: Mapping[UUID, OrderRow]) -> list[str]:
    """How promise 24 was broken: slices that were made twice, for too much, or are not counted as they ended."""
    problems = []
    for order_id, row in orders.items():
        if row.new.type is not OrderType.RECURRING or row.progress is None:
            continue
        children = [other for other in orders.values() if other.new.parent == order_id]
        numbers = [one.new.terms.slice.number for one in children if one.new.terms and one.new.terms.slice]
        if len(numbers) != len(set(numbers)) or len(numbers) != len(children):
            problems.append(f"promise 24: {order_id} has the slices {sorted(numbers)}")
        if sum(one.new.amount_base for one in children) > row.new.amount_base:
            problems.append(f"promise 24: the slices of {order_id} are more than its amount")
        if (row.progress.made, row.progress.ended) != (len(children), len(children)):
            problems.append(f"promise 24: {order_id} counts {row.progress}, and has {len(children)} slices")
        swapped = [one for one in children if one.status is Status.CONFIRMED]
        filled = swapped or [one for one in children if one.status in FILLED]
        if row.progress.filled != len(filled) or row.progress.amount_out != sum(one.amount_out or 0 for one in filled):
            problems.append(f"promise 24: {order_id} counts {row.progress}, and {len(filled)} slices are filled")
    return problems
