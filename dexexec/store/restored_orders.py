"""Writes what the record lacks of an order and the chain has: its attempts, events and end.

Used by the chain comparison (`dexexec.recovery`) after Postgres was replaced.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from psycopg.rows import DictRow, dict_row

from dexexec.domain.event import Event
from dexexec.domain.order import Side
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.recovered_orders import RecordedAttempt, RecordedOrder, Restoration
from dexexec.domain.status import Status
from dexexec.store import costs, oco_groups, restored_keys
from dexexec.store.database import Connection
from dexexec.store.rows import fetch_row, json_rows, json_value

# Orders that were copied from an older table lack these columns. They have ended, so the defaults are never used.
REQUEST = """coalesce(o.input_mint, '') AS input_mint, coalesce(o.output_mint, '') AS output_mint,
       coalesce(o.amount_base, 0) AS amount_base, coalesce(o.slippage_bps, 0) AS slippage_bps"""
ORDERS = f"""
SELECT o.id, o.side, o.mode, {REQUEST}, o.status, o.version, o.finished_at IS NOT NULL AS ended,
       coalesce((SELECT json_agg(a ORDER BY a.n) FROM (
           SELECT n, signature, last_valid_height, outcome FROM attempts WHERE order_id = o.id) a), '[]') AS tries
FROM orders o WHERE o.id = ANY(%(ids)s)
UNION ALL
SELECT o.id, o.side, o.mode, {REQUEST}, o.status, o.version, true, o.tries
FROM archived_orders o WHERE o.id = ANY(%(ids)s)
"""  # noqa: S608 - constants

# The claim is raised, so that a worker that still holds the order writes nothing more. `version` in the condition: if
# the order has changed since it was compared, nothing is written.
UPDATE_ORDER = """
UPDATE orders SET
    status = %(status)s, version = version + %(steps)s, claim = claim + 1, claims = 0, worker = NULL,
    venue = %(venue)s, tx_hash = %(tx_hash)s, attempts = greatest(attempts, %(attempts)s),
    failure_reason = coalesce(%(reason)s, failure_reason), amount_in = %(amount_in)s, amount_out = %(amount_out)s,
    due_at = %(at)s, finished_at = %(ended)s, finalized_at = %(finalized)s, set_aside_at = NULL, waiting = NULL,
    resting = false
WHERE id = %(id)s AND version = %(version)s AND finished_at IS NULL
RETURNING id
"""

INSERT_ORDER = """
INSERT INTO orders (id, side, amount, mode, input_mint, output_mint, amount_base, slippage_bps, deadline_at, client,
                    created_at, status, version, venue, tx_hash, attempts, failure_reason, amount_in, amount_out,
                    finished_at, finalized_at, wallet)
VALUES (%(id)s, %(side)s, %(amount)s, 'exactIn', %(input_mint)s, %(output_mint)s, %(amount_base)s, 0, %(created_at)s,
        'unknown', %(created_at)s, %(status)s, %(steps)s, %(venue)s, %(tx_hash)s, %(attempts)s, %(reason)s,
        %(amount_in)s, %(amount_out)s, %(ended)s, %(finalized)s, %(wallet)s)
ON CONFLICT (id) DO NOTHING
RETURNING id
"""

INSERT_EVENTS = """
INSERT INTO order_events (order_id, seq, status, at, detail, position)
SELECT %(id)s, seq, status, %(at)s, detail, event_position(%(id)s, seq)
FROM json_to_recordset(%(events)s::json) AS e(seq int, status text, detail jsonb)
"""

INSERT_ATTEMPTS = """
INSERT INTO attempts (order_id, n, venue, signature, payload, last_valid_height, quote, created_at, outcome,
                      resolved_at, proof)
SELECT %(id)s, n, venue, signature, decode(payload, 'base64'), 0, '{}', to_timestamp(landed_at), outcome, %(at)s, proof
FROM json_to_recordset(%(attempts)s::json)
    AS a(n int, venue text, signature text, payload text, landed_at bigint, outcome text, proof jsonb)
"""

GROUP = "SELECT oco_group FROM orders WHERE id = %(id)s AND oco_group IS NOT NULL"

RESOLVE = """
UPDATE attempts SET outcome = %(outcome)s, proof = %(proof)s::jsonb, resolved_at = %(at)s
WHERE order_id = %(id)s AND n = %(n)s AND outcome IS NULL
"""


async def read(connection: Connection, order_ids: Sequence[UUID]) -> dict[UUID, RecordedOrder]:
    """Return those of the orders that the record has, in the main tables or the archive."""
    cursor = connection.cursor(row_factory=dict_row)
    rows = await (await cursor.execute(ORDERS, {"ids": list(order_ids)})).fetchall()
    return {row["id"]: _recorded(row) for row in rows}


async def write(connection: Connection, restoration: Restoration) -> list[Event] | None:
    """Write what the record lacks of an order; returns its new events, or None if the order has changed meanwhile. Runs
    in the caller's transaction."""
    now = await fetch_row(connection, "SELECT clock_timestamp() AS at")
    if restoration.status is Status.CONFIRMED and restoration.lost is None:
        restoration = await _reported(connection, restoration)
    values = _values(restoration, now.at)
    lost = restoration.lost
    if lost is not None and lost.key_digest is not None:
        # Before the order: from then on a client that repeats its request gets this order, and not a second attempt.
        await restored_keys.keep(connection, lost.key_digest, restoration.order_id)
    if await fetch_row(connection, UPDATE_ORDER if lost is None else INSERT_ORDER, values) is None:
        return None
    if restoration.resolved is not None:
        resolved = {
            "n": restoration.resolved.n,
            "outcome": restoration.resolved.outcome,
            "proof": json_value(restoration.resolved.proof),
        }
        await connection.execute(RESOLVE, values | resolved)
    await connection.execute(INSERT_ATTEMPTS, values | {"attempts": json_rows(_attempt_rows(restoration))})
    await connection.execute(costs.KEEP, values)
    await connection.execute(INSERT_EVENTS, values | {"events": json_rows(_event_rows(restoration))})
    return [
        Event(order_id=restoration.order_id, seq=seq, status=status, at=now.at, detail=detail)
        for seq, (status, detail) in enumerate(restoration.events, restoration.version + 1)
    ]


async def _reported(connection: Connection, restoration: Restoration) -> Restoration:
    """The restoration of a swap; if another order of its group was filled meanwhile, its last event reports that."""
    row = await fetch_row(connection, GROUP, {"id": restoration.order_id})
    if row is None:
        return restoration
    groups = await oco_groups.lock_for(connection, [(restoration.order_id, row.oco_group)])
    events = groups.reporting(restoration.order_id, row.oco_group, restoration.events)
    return replace(restoration, events=events)


def _recorded(row: DictRow) -> RecordedOrder:
    mints = (row["input_mint"], row["output_mint"])
    mint_in, mint_out = mints if row["side"] == Side.BUY else mints[::-1]
    amount = int(row["amount_base"])
    return RecordedOrder(
        order_id=row["id"],
        status=Status(row["status"]),
        version=row["version"],
        ended=row["ended"],
        request=SwapRequest(
            mint_in=mint_in, mint_out=mint_out, amount=amount, mode=Mode(row["mode"]), slippage_bps=row["slippage_bps"]
        ),
        attempts=tuple(
            RecordedAttempt(
                attempt["n"],
                attempt["signature"],
                attempt["last_valid_height"],
                attempt["outcome"] and Outcome(attempt["outcome"]),
            )
            for attempt in row["tries"]
        ),
    )


def _values(restoration: Restoration, at: datetime) -> dict[str, object]:
    last = next(
        (attempt for attempt in restoration.attempts if attempt.outcome is Outcome.LANDED), restoration.attempts[-1]
    )
    confirmed = restoration.status is Status.CONFIRMED
    values: dict[str, object] = {
        "id": restoration.order_id,
        "at": at,
        "version": restoration.version,
        "status": restoration.status,
        "steps": len(restoration.events),
        "venue": last.venue,
        "tx_hash": last.signature,
        "attempts": max(attempt.n for attempt in restoration.attempts),
        "reason": restoration.reason,
        "amount_in": restoration.fill.amount_in if restoration.fill else None,
        "amount_out": restoration.fill.amount_out if restoration.fill else None,
        "ended": at if restoration.ended else None,
        "finalized": at if confirmed else None,
    }
    if restoration.lost is not None:
        lost = restoration.lost
        values |= {
            "side": lost.side,
            "amount": lost.amount,
            "input_mint": lost.input_mint,
            "output_mint": lost.output_mint,
            "amount_base": lost.amount_base,
            "created_at": lost.created_at,
            "wallet": lost.wallet,
        }
    return values


def _attempt_rows(restoration: Restoration) -> list[Mapping[str, object]]:
    return [
        {
            "n": attempt.n,
            "venue": attempt.venue,
            "signature": attempt.signature,
            "payload": b64encode(attempt.payload).decode(),
            "landed_at": attempt.landed_at,
            "outcome": attempt.outcome,
            "proof": attempt.proof,
        }
        for attempt in restoration.attempts
    ]


def _event_rows(restoration: Restoration) -> list[Mapping[str, object]]:
    return [
        {"seq": seq, "status": status, "detail": detail}
        for seq, (status, detail) in enumerate(restoration.events, restoration.version + 1)
    ]
