"""Orders that rest: reads them for the oracle, and ends their rest when they are triggered or expire.

Beside `claims`, before the queue: a resting order is not work, and only these statements make it due. Each of them
decides by the order's row, so of two processes that trigger an order, or a trigger and a cancel, one has an effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from dexexec.domain.bound import Bound
from dexexec.domain.event import Detail, Event
from dexexec.domain.order import Side
from dexexec.domain.quote import Mode
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms
from dexexec.store.claims import Unreadable, read_each
from dexexec.store.database import Database
from dexexec.store.rows import fetch_row, fetch_rows, json_rows

PAGE = 1_000
"""Resting orders that one statement reads at most when all are read."""
WAKES = 500
"""Orders that one statement wakes at most."""
BEFORE_ALL = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))

RESTING_COLUMNS = """
    id, version, created_at, side, mode, input_mint, output_mint, amount_base, slippage_bps, min_out, max_in, type,
    terms, triggered_at IS NOT NULL AS triggered, high_water, max_price_impact_bps, wallet,
    greatest(0, extract(epoch FROM quiet_until - clock_timestamp()) * 1000)::float8 AS quiet_ms
"""

# Every transaction that was running or had not begun when this was read commits with a number from here on. So a reader
# that continues from it misses no change, whatever the order of commits.
HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xid"
CHANGED = f"SELECT {RESTING_COLUMNS} FROM orders WHERE resting AND rested_xid >= %(xid)s::text::xid8"  # noqa: S608
ALL = f"""
SELECT {RESTING_COLUMNS} FROM orders
WHERE resting AND (created_at, id) > (%(created_at)s, %(after)s)
ORDER BY created_at, id LIMIT %(limit)s
"""  # noqa: S608 - the column list is ours
AMONG = f"SELECT {RESTING_COLUMNS} FROM orders WHERE id = ANY(%(ids)s) AND resting"  # noqa: S608 - the column list is ours

# The version is compared since the order may have been amended: a stop that was moved must not be triggered by its
# former price. SKIP LOCKED: whatever holds the row is cancelling, amending or triggering it.
#
# A recurring order is never triggered: a worker would swap its whole amount at once. It makes orders instead.
#
# After a long time without a trigger, the pauses after triggers that come to nothing start small again.
TRIGGER = """
WITH t AS (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS t(id uuid, version int, detail jsonb, stop bool,
                                                                min_out numeric, max_in numeric, decimals int)
), free AS (
    SELECT o.id FROM orders o JOIN t ON t.id = o.id AND t.version = o.version
    WHERE o.resting AND o.finished_at IS NULL AND o.type <> 'recurring'
    ORDER BY o.id FOR UPDATE OF o SKIP LOCKED
), u AS (
    UPDATE orders o SET resting = false, due_at = now.at, version = o.version + 1, waiting = NULL,
                        -- Of an order whose bound is known only now. A bound can only become stricter.
                        min_out = greatest(o.min_out, t.min_out), max_in = least(o.max_in, t.max_in),
                        bound_open = o.bound_open AND t.min_out IS NULL,
                        terms = CASE WHEN t.decimals IS NULL THEN o.terms
                                ELSE o.terms || jsonb_build_object('mintDecimals', t.decimals) END,
                        triggered_at = coalesce(o.triggered_at, CASE WHEN t.stop THEN now.at END),
                        rests = CASE WHEN o.quiet_until > now.at - interval '5 min' THEN o.rests ELSE 0 END
    FROM t JOIN free USING (id), (SELECT clock_timestamp() AS at) now
    WHERE o.id = t.id
    RETURNING o.id, o.version, now.at, t.detail
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail) SELECT id, version, 'waiting', at, detail FROM u
)
SELECT id, version, at FROM u
"""

# `statement_timestamp()`, since an index cannot be searched by the volatile `clock_timestamp()`: each turn would read
# all orders that expire at some time. Their worker finds that the deadline has passed, and ends them. A recurring order
# wakes for its slices instead.
WAKE = """
UPDATE orders o SET resting = false, due_at = clock_timestamp()
FROM (
    SELECT id FROM orders
    WHERE resting AND wake_at <= statement_timestamp() AND type <> 'recurring'
    ORDER BY wake_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) due
WHERE o.id = due.id
RETURNING o.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestingOrder:
    """A resting order as the oracle sees it. It is not triggered for another `quiet_ms`."""

    id: UUID
    version: int
    created_at: datetime
    side: Side
    mode: Mode
    input_mint: str
    output_mint: str
    amount_base: int
    slippage_bps: int
    type: OrderType
    terms: Terms
    triggered: bool = False
    bound: Bound | None = None
    high_water: Decimal | None = None
    max_price_impact_bps: int | None = None
    quiet_ms: float = 0.0
    wallet: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggering:
    """An order to trigger, as it was at `version`. `detail` has the figures seen. `stop`: its stop has been reached,
    for good, also if this execution comes to nothing. `bound` is the order's from now on, if only the trigger shows
    which one its price means. `mint_decimals` are those of a sniper's mint."""

    order_id: UUID
    version: int
    detail: Detail
    stop: bool = False
    bound: Bound | None = None
    mint_decimals: int | None = None


async def horizon(database: Database) -> int:
    """Return the transaction number from which `changed` finds everything that is not committed yet."""
    async with database.connection() as connection:
        row: Any = await fetch_row(connection, HORIZON, ())
    return int(row.xid)


async def changed(database: Database, since: int, unreadable: Unreadable) -> tuple[list[RestingOrder], int]:
    """Return the orders that began to rest, or were amended, since the transaction number `since`, and the number for
    the next call. An order may come again."""
    async with database.connection() as connection:
        # Before the orders are read: what is committed in between comes again, and nothing is missed.
        row: Any = await fetch_row(connection, HORIZON, ())
        rows = await fetch_rows(connection, CHANGED, {"xid": str(since)}, prepare=True)
    return read_resting(rows, unreadable), int(row.xid)


async def page(database: Database, behind: tuple[datetime, UUID], unreadable: Unreadable) -> list[RestingOrder]:
    """Return a page of all resting orders, oldest first, from behind the given order."""
    values = {"created_at": behind[0], "after": behind[1], "limit": PAGE}
    async with database.connection() as connection:
        return read_resting(await fetch_rows(connection, ALL, values), unreadable)


async def among(database: Database, order_ids: Sequence[UUID], unreadable: Unreadable) -> list[RestingOrder]:
    """Return those of the orders that rest."""
    async with database.connection() as connection:
        return read_resting(await fetch_rows(connection, AMONG, {"ids": list(order_ids)}), unreadable)


async def trigger(database: Database, items: Sequence[Triggering]) -> list[Event]:
    """Trigger the orders in one commit; returns the events of those that still rested at that version."""
    rows: list[dict[str, object]] = [
        {
            "id": item.order_id,
            "version": item.version,
            "detail": item.detail,
            "stop": item.stop,
            "min_out": item.bound.min_out if item.bound else None,
            "max_in": item.bound.max_in if item.bound else None,
            "decimals": item.mint_decimals,
        }
        for item in items
    ]
    async with database.connection() as connection:
        written = await fetch_rows(connection, TRIGGER, {"rows": json_rows(rows)})
    return waiting_events({item.order_id: item.detail for item in items}, written)


def waiting_events(details: Mapping[UUID, Detail], written: Sequence[Any]) -> list[Event]:
    """The `waiting` events with these details, in their order, of the orders whose rows (id, version, at) were
    written."""
    row_of = {row.id: row for row in written}
    return [
        Event(
            order_id=order_id,
            seq=row_of[order_id].version,
            status=Status.WAITING,
            at=row_of[order_id].at,
            detail=detail,
        )
        for order_id, detail in details.items()
        if order_id in row_of
    ]


async def wake(database: Database) -> list[UUID]:
    """Make resting orders due whose time has come, those that are due longest first; returns up to `WAKES`."""
    async with database.connection() as connection:
        return [row.id for row in await fetch_rows(connection, WAKE, {"limit": WAKES})]


def read_resting(rows: Sequence[Any], unreadable: Unreadable) -> list[RestingOrder]:
    """Read rows with `RESTING_COLUMNS`. `unreadable` is called for those that this version cannot read."""
    return read_each(rows, _read, unreadable)


def _read(row: Any) -> RestingOrder:
    bound = None if row.min_out is None or row.max_in is None else Bound(int(row.min_out), int(row.max_in))
    return RestingOrder(
        id=row.id,
        version=row.version,
        created_at=row.created_at,
        side=Side(row.side),
        mode=Mode(row.mode),
        input_mint=row.input_mint,
        output_mint=row.output_mint,
        amount_base=int(row.amount_base),
        slippage_bps=row.slippage_bps,
        type=OrderType(row.type),
        terms=Terms.of(row.terms),
        triggered=row.triggered,
        bound=bound,
        high_water=row.high_water,
        max_price_impact_bps=row.max_price_impact_bps,
        quiet_ms=row.quiet_ms or 0.0,
        wallet=row.wallet,
    )
