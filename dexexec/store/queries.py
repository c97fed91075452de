"""Reading: one order with everything that happened to it, the list, and the events that a stream asks for.

What is not in the hot tables is looked for in the archive (`dexexec.store.archive_queries`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from psycopg.rows import DictRow, dict_row

from dexexec.domain.event import Event, timestamp
from dexexec.domain.outcome import Outcome
from dexexec.domain.status import TERMINAL, Status
from dexexec.store import archive_queries
from dexexec.store.archive_queries import SUMMARY
from dexexec.store.database import Database, fetch_rows
from dexexec.store.wait_reasons import waiting_for

ORDER = f"SELECT {SUMMARY}, waiting FROM orders WHERE id = %s"  # noqa: S608 - the column list is ours

NEWEST_EVENTS = 200
"""Events of an order that are read at once for a client, besides the first and those of transactions. An order that
rests for a day has thousands, of some kilobytes each; the WebSocket sends all of them, at the client's pace."""

EVENTS = f"""
SELECT seq, status, at, detail FROM order_events
WHERE order_id = %(id)s AND (seq > %(version)s - {NEWEST_EVENTS} OR seq = 1 OR detail ? 'txHash')
ORDER BY seq
"""  # noqa: S608

ATTEMPTS = """
SELECT n, venue, signature, last_valid_height, quote, created_at, outcome, resolved_at, proof
FROM attempts WHERE order_id = %s ORDER BY n
"""

NEWEST = f"""
SELECT {SUMMARY} FROM orders
WHERE (created_at, id) < (%(created_at)s, %(id)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608

NEWEST_LIVE = f"""
SELECT {SUMMARY} FROM orders
WHERE status = %(status)s AND finished_at IS NULL AND (created_at, id) < (%(created_at)s, %(id)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608

NEWEST_FINISHED = f"""
SELECT {SUMMARY} FROM orders
WHERE ended = %(status)s AND (created_at, id) < (%(created_at)s, %(id)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608

# Confirmed orders are on both sides of the line, and each side has its own index.
NEWEST_CONFIRMED = f"""
SELECT * FROM (({NEWEST_LIVE}) UNION ALL ({NEWEST_FINISHED})) both_sides
ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608

# An order that exists always has event 1, so a row without an event means "nothing new", and no row "no such order".
# OFFSET 0 keeps these look-ups: joined, the tables would be read whole where the planner thinks that they are small.
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


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in the newest-first list: what follows is older."""

    created_at: datetime
    id: UUID


NEWEST_OF_ALL = Cursor(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))
ENDS = TERMINAL | {Status.CONFIRMED}
OLDEST = datetime.min.replace(tzinfo=UTC)


async def read_order(database: Database, order_id: UUID) -> dict[str, object] | None:
    """The order as clients see it, with its events, quotes and attempts; None when there is none. Of a long history
    only some events are read (`NEWEST_EVENTS`), and how many are not is told."""
    async with database.connection() as connection, connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor = connection.cursor(row_factory=dict_row)
        row = await (await cursor.execute(ORDER, (order_id,))).fetchone()
        if row is None:
            row = await archive_queries.order(connection, order_id)
            if row is None:
                return None
            first = row["version"] - NEWEST_EVENTS
            events = [e for e in row["events"] if e["seq"] > first or e["seq"] == 1 or "txHash" in e["detail"]]
            attempts = row["tries"]
        else:
            values = {"id": order_id, "version": row["version"]}
            events = await (await cursor.execute(EVENTS, values)).fetchall()
            attempts = await (await cursor.execute(ATTEMPTS, (order_id,))).fetchall()
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
        "events": messages,
        **({"eventsOmitted": row["version"] - len(messages)} if len(messages) < row["version"] else {}),
        "quotes": [quote for message in messages for quote in _quotes(message)],
        "attempts": [_attempt(attempt) for attempt in attempts],
    }


async def read_orders(
    database: Database, limit: int, before: Cursor | None, status: Status | None
) -> list[dict[str, object]]:
    """Summaries, newest first; each carries its `Cursor` as `_cursor`."""
    statement = NEWEST
    if status is Status.CONFIRMED:
        statement = NEWEST_CONFIRMED
    elif status is not None:
        statement = NEWEST_FINISHED if status in TERMINAL else NEWEST_LIVE
    before = before or NEWEST_OF_ALL
    values = {"created_at": before.created_at, "id": before.id, "limit": limit, "status": status and status.value}
    async with database.connection() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        # A plan that is to fit all statuses would look for a rare one through the whole list.
        rows = await (await cursor.execute(statement, values, prepare=None if status is None else False)).fetchall()
        if status is None or status in ENDS:
            since = rows[-1]["created_at"] if len(rows) == limit else OLDEST
            older = await archive_queries.newest(connection, limit, since, (before.created_at, before.id), status)
            merged = {row["id"]: row for row in (*older, *rows)}  # one that moved in between was read twice
            rows = sorted(merged.values(), key=lambda row: (row["created_at"], row["id"].int), reverse=True)[:limit]
    return [{**_summary(row), "_cursor": Cursor(row["created_at"], row["id"])} for row in rows]


async def read_events_after(database: Database, wanted: Sequence[tuple[UUID, int]]) -> dict[UUID, list[Event]]:
    """Events with a `seq` above the given one, per order; an order that does not exist is absent."""
    async with database.connection() as connection:
        values = ([i for i, _ in wanted], [seq for _, seq in wanted])
        rows = await fetch_rows(connection, EVENTS_AFTER, values, prepare=True, binary=True)
        there = {row.id for row in rows}
        if elsewhere := [item for item in wanted if item[0] not in there]:
            rows += await archive_queries.events_after(connection, elsewhere)
    found: dict[UUID, list[Event]] = {}
    for row in rows:
        events = found.setdefault(row.id, [])
        if row.seq is not None:
            status = Status(row.status)
            events.append(Event(order_id=row.id, seq=row.seq, status=status, at=row.at, detail=row.detail))
    return found


async def read_versions(database: Database, order_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The `seq` of the last event of each order that exists."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, VERSIONS, (list(order_ids),), prepare=True, binary=True)
        found: dict[UUID, int] = {row.id: row.version for row in rows}
        if elsewhere := [order_id for order_id in order_ids if order_id not in found]:
            found |= await archive_queries.versions(connection, elsewhere)
    return found


def _summary(row: DictRow) -> dict[str, object]:
    return {
        "orderId": str(row["id"]),
        "status": row["status"],
        "side": row["side"],
        "amount": format(row["amount"], "f"),
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
        "deadlineAt": row["deadline_at"] and timestamp(row["deadline_at"]),
        "createdAt": timestamp(row["created_at"]),
        "finishedAt": row["finished_at"] and timestamp(row["finished_at"]),
        "finalizedAt": row["finalized_at"] and timestamp(row["finalized_at"]),
    }


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
    }


FILL = (
    "price", "amountIn", "amountOut", "minOut", "maxIn", "quotedIn", "quotedOut", "slippageBps", "venueQuotedIn",
    "venueQuotedOut", "venueSlippageBps", "networkFee", "slot", "finalized",
)  # fmt: skip


def _fill(row: DictRow, messages: Sequence[dict[str, object]]) -> dict[str, object] | None:
    """What the swap brought, beside what was quoted, as its last event tells."""
    return {name: messages[-1].get(name) for name in FILL} if row["status"] == Status.CONFIRMED else None


def _fees(messages: Sequence[dict[str, object]]) -> int:
    """Lamports paid to the network: for the swap, and for every attempt that failed on chain. One transaction may be
    told of in several events."""
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
    """u64 amounts go out as strings: many JSON readers would round them."""
    return None if amount is None else str(amount)
