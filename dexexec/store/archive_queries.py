"""Reads the archive: finished orders, one row each, with their events and attempts inside.

Used for orders that are not in the main tables. Readers look there first and here second: an order moves in one commit
and never back, so it is found in one of the two.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow, dict_row

from dexexec.store.database import Connection
from dexexec.store.rows import fetch_rows

SUMMARY = """
    id, side, amount, mode, input_mint, output_mint, slippage_bps, status, venue, tx_hash, failure_reason,
    amount_in, amount_out, attempts, deadline_at, created_at, finished_at, finalized_at, version, min_out, max_in,
    max_price_impact_bps, type, terms, tag, dry_run, parent, oco_group, progress, wallet
"""

# None of these statements is prepared: planned with their values, they open only the partitions that they need.
ORDER = "SELECT * FROM archived_orders WHERE id = %(id)s AND (%(owner)s::int IS NULL OR owner = %(owner)s)"

EVENTS_AFTER = """
SELECT o.id, e.seq, e.status, e.at, e.detail
FROM unnest(%s::uuid[], %s::int[]) AS t(id, after)
JOIN archived_orders o ON o.id = t.id
LEFT JOIN LATERAL json_to_recordset(o.events) AS e(seq int, status text, at timestamptz, detail jsonb)
    ON e.seq > t.after
ORDER BY o.id, e.seq
"""

VERSIONS = "SELECT id, version FROM archived_orders WHERE id = ANY(%s)"

OWNERS = "SELECT id, owner FROM archived_orders WHERE id = ANY(%s)"


async def order(connection: Connection, order_id: UUID, owner: int | None) -> DictRow | None:
    """Return the row of an order, with `events` and `tries` as lists of dicts; None if it is not archived."""
    cursor = connection.cursor(row_factory=dict_row)
    row = await (await cursor.execute(ORDER, {"id": order_id, "owner": owner}, prepare=False)).fetchone()
    if row is not None:
        # Times inside JSON are texts; readers expect the types of the main tables.
        for entry in (*row["events"], *row["tries"]):
            for name in ("at", "created_at", "resolved_at"):
                if entry.get(name):
                    entry[name] = datetime.fromisoformat(entry[name])
    return row


async def events_after(connection: Connection, wanted: Sequence[tuple[UUID, int]]) -> list[Any]:
    """Return rows with `id`, `seq`, `status`, `at` and `detail`, in order. An order without newer events has one row
    whose `seq` is None."""
    values = ([order_id for order_id, _ in wanted], [seq for _, seq in wanted])
    return await fetch_rows(connection, EVENTS_AFTER, values, prepare=False)


async def versions(connection: Connection, order_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the `seq` of the last event of each archived order."""
    return {row.id: row.version for row in await fetch_rows(connection, VERSIONS, (list(order_ids),), prepare=False)}


async def owners(connection: Connection, order_ids: Sequence[UUID]) -> dict[UUID, int | None]:
    """Return whose each archived order is."""
    return {row.id: row.owner for row in await fetch_rows(connection, OWNERS, (list(order_ids),), prepare=False)}
