"""Stores orders that the service itself makes for another order: the exits of a bracket, in the caller's transaction.

Their ids follow from the parent's (`dexexec.domain.child_id`), so storing them again changes nothing.
"""

from collections.abc import Sequence
from datetime import datetime

from dexexec.domain.event import Event
from dexexec.domain.order import FOREVER_MS, NewOrder
from dexexec.domain.status import Status
from dexexec.domain.wait_reason import wait_detail
from dexexec.store.database import Connection
from dexexec.store.orders import first_detail
from dexexec.store.rows import fetch_rows, json_rows

# A child may exist: it came back from the chain after the record had lost it together with its parent's follow-up
# (docs/adr/0015). What restored it did not know its parent and group; with them, its end has its consequences.
# A child is its parent's owner's, and paid by the same wallet. `xmax = 0`: the row was inserted, and not there before.
INSERT = """
WITH t AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json)
    AS t(id uuid, side text, amount numeric, mode text, input_mint text, output_mint text, amount_base numeric,
         slippage_bps int, deadline_in_ms float8, client text, detail jsonb, min_out numeric, max_in numeric,
         bound_open bool, max_price_impact_bps int, type text, terms jsonb, tag text, dry_run bool, parent uuid,
         oco_group text, rests bool, expires bool, waits jsonb)
), o AS (
    INSERT INTO orders (id, side, amount, status, mode, input_mint, output_mint, amount_base, slippage_bps,
                        deadline_at, client, min_out, max_in, bound_open, max_price_impact_bps, type, terms, tag,
                        dry_run, parent, oco_group, version, resting, rested_xid, due_at, wake_at, owner, wallet,
                        request_id, traceparent)
    SELECT t.id, side, amount, CASE WHEN rests THEN 'waiting' ELSE 'pending' END, mode, input_mint, output_mint,
           amount_base, slippage_bps, clock_timestamp() + deadline_in_ms * interval '1 ms', client, min_out, max_in,
           bound_open, max_price_impact_bps, type, terms, tag, dry_run, parent, oco_group, 1 + rests::int, rests,
           CASE WHEN rests THEN pg_current_xact_id() END,
           CASE WHEN rests THEN 'infinity' ELSE clock_timestamp() END,
           CASE WHEN expires THEN clock_timestamp() + deadline_in_ms * interval '1 ms' END,
           p.owner, p.wallet, p.request_id, p.traceparent
    FROM t LEFT JOIN LATERAL (
        SELECT owner, wallet, request_id, traceparent FROM orders WHERE id = t.parent OFFSET 0
    ) p ON true
    WHERE NOT EXISTS (SELECT FROM archived_orders a WHERE a.id = t.id)
    ON CONFLICT (id) DO UPDATE SET
        parent = excluded.parent, oco_group = excluded.oco_group, tag = excluded.tag,
        owner = excluded.owner, wallet = excluded.wallet,
        terms = CASE WHEN excluded.terms ? 'slice' THEN excluded.terms ELSE orders.terms END
        WHERE orders.parent IS NULL
    RETURNING id, created_at, xmax = 0 AS is_new
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail)
    SELECT o.id, 1, 'pending', o.created_at, t.detail FROM o JOIN t USING (id) WHERE is_new
    UNION ALL
    SELECT o.id, 2, 'waiting', o.created_at, t.waits FROM o JOIN t USING (id) WHERE is_new AND t.rests
)
SELECT id, created_at FROM o WHERE is_new
"""


async def insert(connection: Connection, orders: Sequence[NewOrder]) -> list[Event]:
    """Store those of the orders that do not exist yet; returns their events."""
    rows = {row.id: row for row in await fetch_rows(connection, INSERT, {"rows": json_rows(list(map(_row, orders)))})}
    return [event for order in orders if order.id in rows for event in _events(order, rows[order.id].created_at)]


def _row(order: NewOrder) -> dict[str, object]:
    detail = first_detail(order)
    return {
        "id": order.id,
        "side": order.side,
        "amount": detail["amount"],
        "mode": order.mode,
        "input_mint": order.input_mint,
        "output_mint": order.output_mint,
        "amount_base": order.amount_base,
        "slippage_bps": order.slippage_bps,
        "deadline_in_ms": float(order.deadline_ms),
        "client": order.client,
        "detail": detail,
        "min_out": order.bound.min_out if order.bound else None,
        "max_in": order.bound.max_in if order.bound else None,
        "bound_open": order.bound_open,
        "max_price_impact_bps": order.max_price_impact_bps,
        "type": order.type,
        "terms": order.terms.detail() if order.terms else None,
        "tag": order.tag,
        "dry_run": order.dry_run,
        "parent": order.parent,
        "oco_group": order.oco_group,
        "rests": order.rests,
        "expires": order.rests and order.deadline_ms < FOREVER_MS,
        "waits": wait_detail(order) if order.rests else None,
    }


def _events(order: NewOrder, at: datetime) -> list[Event]:
    kind = order.type.value
    events = [Event(order_id=order.id, seq=1, status=Status.PENDING, at=at, detail=first_detail(order), kind=kind)]
    if order.rests:
        events.append(Event(order_id=order.id, seq=2, status=Status.WAITING, at=at, detail=wait_detail(order)))
    return events
