"""Makes the orders of recurring orders' slices when they are due, many parents in one transaction.

The parent's row lock and ids that follow from parent and number make each slice once: two processes never do the same
parent, and after a crash either the order and the parent's progress are both there, or neither is.
"""

from dataclasses import dataclass
from uuid import UUID

from dexexec.domain.event import Event
from dexexec.domain.recurring_order import take_turn
from dexexec.domain.token import Tokens
from dexexec.store import child_orders, parents
from dexexec.store.claims import Unreadable
from dexexec.store.database import Database
from dexexec.store.rows import fetch_rows

PAGE = 100
"""Parents in one transaction at most."""

# Not while the record lacks what the chain has (docs/adr/0015): a slice that was swapped must not end as missed.
# `statement_timestamp()`: as in `resting.WAKE`. SKIP LOCKED: another process does it, or a client cancels the order at
# this moment.
DUE = f"""
SELECT {parents.COLUMNS} FROM orders o
WHERE o.resting AND o.wake_at <= statement_timestamp() AND o.type = 'recurring'
  AND NOT EXISTS (SELECT FROM chain_comparisons WHERE stopped_at > clock_timestamp() - interval '30 s')
ORDER BY o.wake_at LIMIT %(limit)s FOR UPDATE OF o SKIP LOCKED
"""  # noqa: S608 - the column list is ours

# An order that this version cannot read must not keep the others waiting at the head of each page.
POSTPONE = "UPDATE orders SET wake_at = clock_timestamp() + interval '1 min' WHERE id = ANY(%(ids)s)"


@dataclass(frozen=True, slots=True)
class SliceTurn:
    """What a transaction did: how many parents it looked at, the orders that it made, and all new events."""

    parents: int
    made: list[UUID]
    events: list[Event]


async def make_due(database: Database, tokens: Tokens, unreadable: Unreadable, limit: int = PAGE) -> SliceTurn:
    """Make the slices that are due, of up to `limit` parents, and end the parents that nothing is left of."""
    async with database.connection() as connection, connection.transaction():
        rows = await fetch_rows(connection, DUE, {"limit": limit})
        changes = []
        postponed = []
        for row in rows:
            try:
                parent = parents.read(row, tokens)
                changes.append((parent, take_turn(parent.order, parent.now)))
            except (ValueError, TypeError, ArithmeticError, LookupError) as error:
                unreadable(row.id, error)
                postponed.append(row.id)
        if postponed:
            await connection.execute(POSTPONE, {"ids": postponed})
        children = [change.child for _, change in changes if change.child is not None]
        events = await child_orders.insert(connection, children) if children else []
        if changes:
            events = [*await parents.write(connection, changes), *events]
    return SliceTurn(len(rows), [child.id for child in children], events)
