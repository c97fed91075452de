"""Stuck orders, for operators: orders that rest after crashes, and orders that an earlier version has set aside.

Earlier versions set an order aside (`set_aside_at`) after crashes if its swap might land. Workers never claim such an
order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from dexexec.store.database import Database
from dexexec.store.rows import fetch_rows
from dexexec.store.steps import SUSPECT_AFTER

STUCK = f"""
SELECT id, status, claims, set_aside_at, tx_hash, created_at FROM orders
WHERE finished_at IS NULL AND NOT resting AND (set_aside_at IS NOT NULL OR claims > {SUSPECT_AFTER})
ORDER BY created_at, id LIMIT %(limit)s
"""  # noqa: S608 - a constant

# An order rests because of `claims`. At 0 and due now, the next sweep puts it on the queue.
RETRY = """
UPDATE orders SET set_aside_at = NULL, claims = 0, due_at = clock_timestamp()
WHERE id = ANY(%(ids)s) AND finished_at IS NULL AND NOT resting
RETURNING id
"""
RETRY_ALL = f"""
UPDATE orders SET set_aside_at = NULL, claims = 0, due_at = clock_timestamp()
WHERE finished_at IS NULL AND NOT resting AND (set_aside_at IS NOT NULL OR claims > {SUSPECT_AFTER})
RETURNING id
"""  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckOrder:
    """A stuck order. `claims` is how many claims in a row ended in a crash, `tx_hash` the last attempt's signature."""

    id: UUID
    status: str
    claims: int
    set_aside_at: datetime | None
    tx_hash: str | None
    created_at: datetime


async def find_stuck(database: Database, limit: int) -> list[StuckOrder]:
    """Return stuck orders, oldest first. Raises `UnavailableError`."""
    async with database.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(StuckOrder))
        return await (await cursor.execute(STUCK, {"limit": limit})).fetchall()


async def retry(database: Database, order_ids: Sequence[UUID] | None) -> list[UUID]:
    """Let workers claim these orders now, or all stuck orders (None). Returns the ids of those that have not ended.
    Raises `UnavailableError`."""
    async with database.connection() as connection:
        if order_ids is None:
            rows = await fetch_rows(connection, RETRY_ALL)
        else:
            rows = await fetch_rows(connection, RETRY, {"ids": list(order_ids)})
    return [row.id for row in rows]
