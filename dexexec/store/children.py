"""What an order's answer shows of the orders that were made for it, and of a recurring order's progress."""

from uuid import UUID

from psycopg.rows import DictRow, dict_row

from dexexec.domain.bracket import ExitRole
from dexexec.domain.bracket_exits import exit_id
from dexexec.domain.event import timestamp
from dexexec.domain.recurring import Schedule
from dexexec.domain.slice_progress import Progress
from dexexec.domain.terms import OrderType, Terms
from dexexec.store.database import Connection

MOST_CHILDREN = 1_000

# Not prepared, as all statements that read the archive. Old children may have left it.
CHILDREN = """
SELECT id, type, status, amount, amount_in, amount_out, venue, tx_hash, failure_reason, terms, created_at, finished_at
FROM orders WHERE parent = %(id)s
UNION ALL
SELECT id, type, status, amount, amount_in, amount_out, venue, tx_hash, failure_reason, terms, created_at, finished_at
FROM archived_orders WHERE parent = %(id)s
ORDER BY created_at, id LIMIT %(limit)s
"""


def has_children(row: DictRow) -> bool:
    """Whether the service makes orders for this one."""
    return row["type"] == OrderType.RECURRING or "bracket" in (row["terms"] or {})


async def read_children(connection: Connection, parent: UUID) -> list[dict[str, object]]:
    """Return the orders that were made for `parent`, oldest first, as JSON values."""
    cursor = connection.cursor(row_factory=dict_row)
    values = {"id": parent, "limit": MOST_CHILDREN}
    rows = await (await cursor.execute(CHILDREN, values, prepare=False)).fetchall()
    # The id of an exit shows what it is for. Its type does not: a stop with a limit is a limit order too.
    roles = {exit_id(parent, role): role.value for role in ExitRole}
    return [_child(row, roles.get(row["id"])) for row in rows]


def _child(row: DictRow, role: str | None) -> dict[str, object]:
    terms = row["terms"] or {}
    return {
        "orderId": str(row["id"]),
        **({"slice": terms["slice"]["number"]} if "slice" in terms else {}),
        **({"role": role} if role is not None else {}),
        "type": row["type"],
        "status": row["status"],
        "amount": format(row["amount"], "f"),
        "amountIn": None if row["amount_in"] is None else str(row["amount_in"]),
        "amountOut": None if row["amount_out"] is None else str(row["amount_out"]),
        "venue": row["venue"],
        "txHash": row["tx_hash"],
        "failureReason": row["failure_reason"],
        "createdAt": timestamp(row["created_at"]),
        "finishedAt": row["finished_at"] and timestamp(row["finished_at"]),
    }


def progress_of(row: DictRow) -> dict[str, object]:
    """Return what a recurring order shows of its slices, and when the next one is due (None: no more)."""
    progress = Progress.of(row["progress"])
    terms = Terms.of(row["terms"])
    due = None
    if terms.recurring is not None and row["finished_at"] is None:
        schedule = Schedule.of(terms.recurring, row["created_at"], terms.expires_at)
        if progress.next_slice <= schedule.slices:
            due = timestamp(schedule.due_at(progress.next_slice))
    return {**progress.shown(), "nextSliceAt": due}
