"""Reads orders for clients: one order with its history, the list of orders, and the events for a stream.

Orders that are not in the main tables are read from the archive (`dexexec.store.archive_queries`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import DictRow, dict_row

from dexexec.domain.api_key import chosen_name
from dexexec.domain.event import Event, timestamp
from dexexec.domain.handout import payer_detail
from dexexec.domain.order import FOREVER_MS
from dexexec.domain.order_filter import OrderFilter
from dexexec.domain.outcome import Outcome
from dexexec.domain.share import share_text
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.store import archive_queries, order_lists
from dexexec.store.archive_queries import SUMMARY
from dexexec.store.cancellations import OWNED
from dexexec.store.children import has_children, progress_of, read_children
from dexexec.store.costs import read_costs_of_children
from dexexec.store.database import Database
from dexexec.store.order_costs import order_cost
from dexexec.store.order_lists import Cursor
from dexexec.store.rows import fetch_rows
from dexexec.store.wait_reasons import waiting_for

ORDER = f"SELECT {SUMMARY}, waiting FROM orders o WHERE id = %(id)s AND {OWNED}"  # noqa: S608 - the column list is ours

NEWEST_EVENTS = 200
"""How many events of an order one request returns, besides the first and those of transactions. An order that retries
for a day has thousands, of some kilobytes each. The WebSocket sends all of them, at the client's pace."""

EVENTS = f"""
SELECT seq, status, at, detail FROM order_events
WHERE order_id = %(id)s AND (seq > %(version)s - {NEWEST_EVENTS} OR seq = 1 OR detail ? 'txHash')
ORDER BY seq
"""  # noqa: S608

ATTEMPTS = """
SELECT n, venue, signature, last_valid_height, quote, created_at, outcome, resolved_at, proof, sends
FROM attempts WHERE order_id = %s ORDER BY n
"""

# An order that exists has at least one event: a row without an event means "nothing new", and no row "no such order".
# OFFSET 0 keeps the subqueries lookups by index: as joins, the planner reads whole tables that it takes for small.
EVENTS_AFTER = """
SELECT t.id, e.seq, e.status, e.at, e.detail
FROM unnest(%b::uuid[], %b::int[]) AS t(id, after)
CROSS JOIN LATERAL (SELECT FROM orders WHERE id = t.id OFFSET 0) o
LEFT JOIN LATERAL (
    SELECT seq, status, at, detail FROM order_events WHERE order_id = t.id AND seq > t.after OFFSET 0
) e ON true
ORDER BY t.id, e.seq
"""

VERSIONS = "SELECT id, version FROM orders WHERE id = ANY(%b)"
OWNERS = "SELECT id, owner FROM orders WHERE id = ANY(%b)"


async def read_order(database: Database, order_id: UUID, owner: int | None = None) -> dict[str, object] | None:
    """Return an order as clients see it, with its events, quotes and attempts; None if `owner` (None: any) has no
    such order. Of a long history only some events are read (`NEWEST_EVENTS`); `eventsOmitted` is how many are not."""
    async with database.connection() as connection, connection.transaction():
        # One snapshot for all statements: otherwise an event between them would contradict the row, or the order could
        # move to the archive and be found in neither place.
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor = connection.cursor(row_factory=dict_row)
        row = await (await cursor.execute(ORDER, {"id": order_id, "owner": owner})).fetchone()
        if row is None:
            row = await archive_queries.order(connection, order_id, owner)
            if row is None:
                return None
            first = row["version"] - NEWEST_EVENTS
            events = [e for e in row["events"] if e["seq"] > first or e["seq"] == 1 or "txHash" in e["detail"]]
            attempts = row["tries"]
        else:
            values = {"id": order_id, "version": row["version"]}
            events = await (await cursor.execute(EVENTS, values)).fetchall()
            attempts = await (await cursor.execute(ATTEMPTS, (order_id,))).fetchall()
        children = await read_children(connection, order_id) if has_children(row) else None
        # A recurring order has no attempts of its own.
        is_recurring = row["type"] == OrderType.RECURRING
        slices_cost = await read_costs_of_children(connection, order_id) if is_recurring else None
    messages = [
        Event(order_id=order_id, seq=e["seq"], status=Status(e["status"]), at=e["at"], detail=e["detail"]).message()
        for e in events
    ]
    return {
        **_summary(row),
        "waitingFor": waiting_for(
            Status(row["status"]), row.get("waiting"), messages[-1], ended=bool(row["finished_at"])
        ),
        "fill": _fill(row, messages),
        "feesPaid": str(_fees(messages)),
        "cost": order_cost(attempts, messages, slices_cost, ended=row["finished_at"] is not None),
        "events": messages,
        **({"eventsOmitted": row["version"] - len(messages)} if len(messages) < row["version"] else {}),
        "quotes": [quote for message in messages for quote in _quotes(message)],
        "attempts": [_attempt(attempt) for attempt in attempts],
        **({"children": children} if children is not None else {}),
    }


async def read_orders(
    database: Database, limit: int, before: Cursor | None, wanted: OrderFilter
) -> list[dict[str, object]]:
    """Return summaries of orders, newest first; each has its `Cursor` as `_cursor`."""
    rows = await order_lists.read_page(database, limit, before, wanted)
    return [{**_summary(row), "_cursor": Cursor(row["created_at"], row["id"])} for row in rows]


async def read_events_after(database: Database, wanted: Sequence[tuple[UUID, int]]) -> dict[UUID, list[Event]]:
    """Return per order the events with a `seq` above the given one; an order that does not exist is absent."""
    async with database.connection() as connection:
        values = ([i for i, _ in wanted], [seq for _, seq in wanted])
        rows = await fetch_rows(connection, EVENTS_AFTER, values, prepare=True, binary=True)
        present = {row.id for row in rows}
        if absent := [item for item in wanted if item[0] not in present]:
            rows += await archive_queries.events_after(connection, absent)
    events_of: dict[UUID, list[Event]] = {}
    for row in rows:
        events = events_of.setdefault(row.id, [])
        if row.seq is not None:
            status = Status(row.status)
            events.append(Event(order_id=row.id, seq=row.seq, status=status, at=row.at, detail=row.detail))
    return events_of


async def read_versions(database: Database, order_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the `seq` of the last event of each order that exists."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, VERSIONS, (list(order_ids),), prepare=True, binary=True)
        versions: dict[UUID, int] = {row.id: row.version for row in rows}
        if absent := [order_id for order_id in order_ids if order_id not in versions]:
            versions |= await archive_queries.versions(connection, absent)
    return versions


async def read_owners(database: Database, order_ids: Sequence[UUID]) -> dict[UUID, int | None]:
    """Return whose each order is that exists."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, OWNERS, (list(order_ids),), prepare=True, binary=True)
        owners: dict[UUID, int | None] = {row.id: row.owner for row in rows}
        if absent := [order_id for order_id in order_ids if order_id not in owners]:
            owners |= await archive_queries.owners(connection, absent)
    return owners


def _summary(row: DictRow) -> dict[str, object]:
    return {
        "orderId": str(row["id"]),
        "type": row["type"],
        "status": row["status"],
        "side": row["side"],
        "amount": _amount(row),
        "mode": row["mode"],
        "inputMint": row["input_mint"],
        "outputMint": row["output_mint"],
        "slippageBps": row["slippage_bps"],
        "minOut": _text(row["min_out"]),
        "maxIn": _text(row["max_in"]),
        "maxPriceImpactBps": row["max_price_impact_bps"],
        "venue": row["venue"],
        "txHash": row["tx_hash"],
        "failureReason": row["failure_reason"],
        "amountIn": _text(row["amount_in"]),
        "amountOut": _text(row["amount_out"]),
        "attemptCount": row["attempts"],
        "seq": row["version"],
        "deadlineAt": _deadline(row),
        "createdAt": timestamp(row["created_at"]),
        "finishedAt": row["finished_at"] and timestamp(row["finished_at"]),
        "finalizedAt": row["finalized_at"] and timestamp(row["finalized_at"]),
        "tag": row["tag"],
        **payer_detail(row["wallet"]),
        "dryRun": row["dry_run"],
        **({"parentId": str(row["parent"])} if row["parent"] else {}),
        **({"ocoGroup": chosen_name(row["oco_group"])} if row["oco_group"] else {}),
        **(row["terms"] or {}),
        **(progress_of(row) if row["type"] == OrderType.RECURRING else {}),
    }


def _amount(row: DictRow) -> str:
    """The amount as the client gave it: a number of tokens, or a share of the balance."""
    share_bps = (row["terms"] or {}).get("shareBps")
    return format(row["amount"], "f") if share_bps is None else share_text(share_bps)


def _deadline(row: DictRow) -> str | None:
    """None for an order that rests until it is cancelled."""
    at: datetime | None = row["deadline_at"]
    if at is None or at - row["created_at"] > timedelta(milliseconds=FOREVER_MS / 2):
        return None
    return timestamp(at)


def _attempt(row: DictRow) -> dict[str, object]:
    return {
        "attempt": row["n"],
        "venue": row["venue"],
        "txHash": row["signature"],
        "lastValidHeight": row["last_valid_height"],
        "quote": row["quote"],
        "at": timestamp(row["created_at"]),
        "outcome": row["outcome"] or Outcome.OPEN,
        "resolvedAt": row["resolved_at"] and timestamp(row["resolved_at"]),
        "proof": row["proof"],
        "endpoints": row.get("sends") or [],
    }


FILL = (
    "price", "amountIn", "amountOut", "minOut", "maxIn", "quotedIn", "quotedOut", "slippageBps", "venueQuotedIn",
    "venueQuotedOut", "venueSlippageBps", "networkFee", "slot", "finalized",
)  # fmt: skip


def _fill(row: DictRow, messages: Sequence[dict[str, object]]) -> dict[str, object] | None:
    """The fill beside its quote, from the last event. That of a dry run says so: nothing has moved."""
    if row["status"] not in {Status.CONFIRMED, Status.SIMULATED}:
        return None
    fill = {name: messages[-1].get(name) for name in FILL}
    return {**fill, "simulated": True} if row["status"] == Status.SIMULATED else fill


def _fees(messages: Sequence[dict[str, object]]) -> int:
    """Lamports paid to the network: for the swap, and for every attempt that failed on chain."""
    # By transaction, since several events may report the same one.
    paid = {m["txHash"]: _fee_of(m) for m in messages if "txHash" in m}
    return sum(paid.values())


def _fee_of(message: dict[str, object]) -> int:
    proof = message.get("proof")
    failed = proof.get("fee") if isinstance(proof, dict) else None
    return int(str(message.get("networkFee") or failed or 0))


def _quotes(message: dict[str, object]) -> list[dict[str, object]]:
    quotes = message.get("quotes")
    return [{"seq": message["seq"], **quote} for quote in quotes] if isinstance(quotes, list) else []


def _text(amount: object) -> str | None:
    """An amount for JSON. As a string, since many JSON readers would round a u64."""
    return None if amount is None else str(amount)
