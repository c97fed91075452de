"""Work on orders: claims, and the steps written under them.

A claim raises `orders.claim` and every later write says `WHERE claim = ...`: a worker whose order was taken over
writes nothing more. A step raises `version` under the row lock and writes its events in the same statement, so `seq`
has no gaps, whoever dies when.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dexexec.domain.bound import Bound
from dexexec.domain.event import Event
from dexexec.domain.funds import Shortfall
from dexexec.domain.order import Order, Side
from dexexec.domain.quote import Mode
from dexexec.domain.status import Status
from dexexec.domain.swap import SignedSwap
from dexexec.store import reservations
from dexexec.store.database import REFUSALS, Connection, Database, fetch_rows, json_rows
from dexexec.store.reservations import Rooms
from dexexec.store.steps import SUSPECT_AFTER, Attempt, Claimed, NewAttempt, Release, Resolution, Step

Unreadable = Callable[[UUID, Exception], None]
"""Is told of an order whose row cannot be read."""

# Rows are found by their keys here. To the planner the small indexes `orders_live` and `attempts_open` look cheaper,
# but each batch would read all that is in flight: `ended IS NULL` and `coalesce` rule them out.

# How long an order `o` rests after a turn that did not end in good order: not at all after the first three, then 0.5 s,
# 1 s ... 30 s, of which a part from half to all is waited. The part is drawn from what names the turn: so it is random,
# and found again.
PAUSE = """(CASE WHEN o.claims <= 3 THEN interval '0' ELSE
    least(interval '30 s', interval '0.5 s' * 2 ^ least(o.claims - 4, 10))
    * (0.5 + (hashtext(o.id::text || o.claim) & 65535) / 131072.0) END)"""

# What a claim reads of the orders `c`, whose claims it has just raised. The slot is what a node told, of whatever size:
# a cast that fails would fail for all orders of the statement.
CLAIMED = """
SELECT c.id, c.side, c.amount, c.amount_base, c.mode, c.input_mint, c.output_mint, c.slippage_bps, c.status, c.version,
       c.claim, c.claims, c.attempts, c.rounds,
       (extract(epoch FROM c.deadline_at - clock_timestamp()) * 1000)::bigint AS deadline_in_ms, c.created_at,
       CASE WHEN c.attempts > 0
           THEN ARRAY(SELECT signature FROM attempts p WHERE p.order_id = c.id ORDER BY n) END AS signatures,
       c.refusals, c.min_out, c.max_in, c.bound_open, c.quoted_in, c.quoted_out, c.max_price_impact_bps, c.key_digest,
       CASE WHEN c.version > 1 THEN (
           SELECT ARRAY[detail->>'reason', detail->>'detail'] FROM order_events e
           WHERE e.order_id = c.id AND e.seq = c.version AND detail ? 'reason') END AS cause,
       a.n, a.venue, a.signature, a.payload, a.last_valid_height, a.quote, (a.proof->>'slot')::numeric AS slot,
       coalesce(a.network, '') AS network, coalesce(a.genesis, '') AS genesis,
       greatest(0, extract(epoch FROM clock_timestamp() - a.created_at) * 1000)::bigint AS age_ms
FROM c LEFT JOIN attempts a ON a.order_id = c.id AND coalesce(a.outcome, '') = ''
"""

# Only a worker whose own lease lives may claim, and only what no living worker holds. What is confirmed is left to the
# watcher (`store.confirmed_orders`). Of suspects it claims `suspects` at most, and only when its session has lasted as
# long as their pause: so that a process which is restarted again and again does not count against them.
OPEN_ATTEMPT = "EXISTS (SELECT FROM attempts p WHERE p.order_id = o.id AND coalesce(p.outcome, '') = '')"
CLAIM = f"""
WITH me AS (
    SELECT id, started_at FROM workers WHERE id = %(worker)s AND lease_until > clock_timestamp()
), free AS (
    SELECT o.id, me.started_at <= clock_timestamp() - {PAUSE} AS ripe,
           o.claims >= {SUSPECT_AFTER} AND NOT {OPEN_ATTEMPT} AS suspect
    FROM orders o, me
    WHERE o.id = ANY(%(ids)s) AND o.ended IS NULL AND o.set_aside_at IS NULL AND o.status <> 'confirmed'
      AND o.due_at <= clock_timestamp() - {PAUSE}
      AND NOT EXISTS (SELECT FROM workers w WHERE w.id = o.worker AND w.lease_until > clock_timestamp())
    ORDER BY o.id
    FOR UPDATE OF o SKIP LOCKED
), numbered AS (
    SELECT id, suspect, count(*) FILTER (WHERE suspect) OVER (ORDER BY id) AS nth FROM free WHERE ripe OR NOT suspect
), c AS (
    UPDATE orders o SET claim = o.claim + 1, claims = o.claims + 1, worker = me.id, due_at = clock_timestamp()
    FROM numbered f, me WHERE o.id = f.id AND (NOT f.suspect OR f.nth <= %(suspects)s)
    RETURNING o.*
)
{CLAIMED}"""  # noqa: S608 - all that is put in is ours

ADVANCE = """
WITH t AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%t::json)
    AS t(id uuid, claim int, version int, steps int, last int, status text, venue text, tx_hash text, reason text,
         amount_in numeric, amount_out numeric, rounds int, attempts int, refusals int, final bool,
         resume_in_ms float8, min_out numeric, max_in numeric, quoted_in numeric, quoted_out numeric,
         written_to text)
), u AS (
    UPDATE orders o SET
        status = t.status, version = o.version + t.steps, waiting = NULL,
        claims = CASE WHEN t.attempts > 0 OR t.final OR t.resume_in_ms IS NOT NULL THEN 0 ELSE o.claims END,
        venue = coalesce(t.venue, o.venue), tx_hash = coalesce(t.tx_hash, o.tx_hash),
        failure_reason = coalesce(t.reason, o.failure_reason),
        amount_in = CASE WHEN t.status = 'confirmed' THEN coalesce(t.amount_in, o.amount_in) END,
        amount_out = CASE WHEN t.status = 'confirmed' THEN coalesce(t.amount_out, o.amount_out) END,
        rounds = o.rounds + t.rounds, attempts = o.attempts + t.attempts, refusals = o.refusals + t.refusals,
        worker = CASE WHEN t.resume_in_ms IS NULL THEN o.worker END,
        due_at = now.at + coalesce(t.resume_in_ms, 0) * interval '1 ms',
        -- A bound that stands is never loosened.
        min_out = greatest(o.min_out, t.min_out), max_in = least(o.max_in, t.max_in),
        bound_open = o.bound_open AND t.min_out IS NULL,
        quoted_in = coalesce(o.quoted_in, t.quoted_in), quoted_out = coalesce(o.quoted_out, t.quoted_out),
        finished_at = CASE WHEN t.final THEN now.at END,
        finalized_at = CASE WHEN t.final AND t.status = 'confirmed' THEN now.at END
    FROM t, (SELECT clock_timestamp() AS at) now
    WHERE o.id = t.id AND o.claim = t.claim AND o.version = t.version AND o.ended IS NULL
      AND t.last = t.version + t.steps
      AND (t.written_to IS NULL OR t.written_to = (SELECT record_identity()))
    RETURNING o.id, t.version AS base, now.at
), a AS (
    INSERT INTO attempts (order_id, n, venue, signature, payload, last_valid_height, quote, network, genesis, wallet,
                          spends)
    SELECT id, n, n.venue, signature, decode(payload, 'base64'), last_valid_height, quote, network, genesis, wallet,
           spends
    FROM json_to_recordset(%t::json) AS n(id uuid, n int, venue text, signature text, payload text,
                                          last_valid_height bigint, quote jsonb, network text, genesis text,
                                          wallet text, spends jsonb)
    JOIN u USING (id)
), r AS (
    UPDATE attempts a SET outcome = r.outcome, proof = r.proof,
        resolved_at = CASE WHEN r.outcome IS NOT NULL THEN u.at END
    FROM json_to_recordset(%t::json) AS r(id uuid, n int, outcome text, proof jsonb, corrects bool) JOIN u USING (id)
    WHERE a.order_id = r.id AND a.n = r.n AND (coalesce(a.outcome, '') = '' OR r.corrects)
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail)
    SELECT id, u.base + e.step, e.status, u.at, e.detail
    FROM json_to_recordset(%t::json) AS e(id uuid, step int, status text, detail jsonb) JOIN u USING (id)
)
SELECT id, at FROM u
"""

RELEASE = """
UPDATE orders o SET worker = NULL, claims = CASE WHEN t.blame THEN o.claims ELSE 0 END,
                    due_at = clock_timestamp() + t.resume_in_ms * interval '1 ms'
FROM unnest(%s::uuid[], %s::int[], %s::bool[], %s::float8[]) AS t(id, claim, blame, resume_in_ms)
WHERE o.id = t.id AND o.claim = t.claim AND o.ended IS NULL
"""

# Whatever the claim is by now: each turn was counted once, and this takes one back.
UNBLAME = "UPDATE orders SET claims = greatest(claims - 1, 0) WHERE id = ANY(%s) AND ended IS NULL"

HELD = "SELECT id, claim FROM orders WHERE finished_at IS NULL AND created_at > '-infinity' AND worker = %s"

# What should be moving and is not: nobody alive holds it and its time has come. Oldest first, so that a bounded look
# always starts with those that wait longest; the cursor goes on behind them. What is confirmed is the watcher's.
IDLE = f"""
SELECT o.id, o.created_at FROM orders o
WHERE o.finished_at IS NULL AND o.set_aside_at IS NULL AND o.status <> 'confirmed'
  AND o.due_at <= clock_timestamp() - %(grace)s * interval '1 ms' - {PAUSE}
  AND NOT EXISTS (SELECT FROM workers w WHERE w.id = o.worker AND w.lease_until > clock_timestamp())
  AND o.created_at >= %(since)s AND (o.created_at, o.id) > (%(since)s, %(after)s)
ORDER BY o.created_at, o.id LIMIT %(limit)s
"""  # noqa: S608


async def claim(
    database: Database, worker: int, order_ids: Sequence[UUID], suspects: int, unreadable: Unreadable
) -> list[Claimed]:
    """Claim what can be claimed of `order_ids` for `worker`, in one commit; of suspects, up to `suspects`."""
    values = {"worker": worker, "ids": list(order_ids), "suspects": suspects}
    async with database.connection() as connection:
        rows = await fetch_rows(connection, CLAIM, values, prepare=True, binary=True)
    return read_all(rows, unreadable)


async def advance(
    database: Database, steps: Sequence[Step], identity: str | None
) -> list[list[Event] | Shortfall | None]:
    """Write the steps in one commit; if an identity is given, those that need a comparison go to that Postgres alone.
    Answers each with its events, with why its attempt may not be recorded (then nothing of it is written), or None when
    its claim was stale, or the record is another."""
    spending = [step.attempt.spending for step in steps if step.attempt and step.attempt.spending]
    if not spending:
        async with database.connection(REFUSALS) as connection:
            return [*await _advance(connection, steps, identity)]
    async with database.connection(REFUSALS) as connection, connection.transaction():
        rooms = await reservations.lock(connection, [one.wallet for one in spending])
        refused = {place: why for place, step in enumerate(steps) if (why := _refusal(rooms, step))}
        written = iter(await _advance(connection, [step for n, step in enumerate(steps) if n not in refused], identity))
        return [refused[n] if n in refused else next(written) for n in range(len(steps))]


def _refusal(rooms: Rooms, step: Step) -> Shortfall | None:
    attempt = step.attempt
    return rooms.refuse(attempt.spending, attempt.signed.genesis) if attempt and attempt.spending else None


async def _advance(connection: Connection, steps: Sequence[Step], identity: str | None) -> list[list[Event] | None]:
    attempts = [_attempt_row(step.order_id, step.attempt) for step in steps if step.attempt]
    resolutions = [_resolution_row(step.order_id, step.resolution) for step in steps if step.resolution]
    resolutions += [_resolution_row(step.order_id, one, corrects=True) for step in steps for one in step.corrections]
    events = [row for step in steps for row in _event_rows(step)]
    values = [
        json_rows(rows) for rows in ([_order_row(step, identity) for step in steps], attempts, resolutions, events)
    ]
    rows = await fetch_rows(connection, ADVANCE, values, prepare=True, binary=True)
    times: dict[UUID, datetime] = {row.id: row.at for row in rows}
    return [_written(step, times.get(step.order_id)) for step in steps]


async def release(database: Database, items: Sequence[Release]) -> list[None]:
    """Hand orders back in one commit; stale claims are passed over."""
    # One type each: psycopg refuses a list of both int and float.
    rows = ((item.order_id, item.claim, item.blame, float(item.resume_in_ms)) for item in items)
    columns = [list(column) for column in zip(*rows, strict=True)]
    async with database.connection() as connection:
        await connection.execute(RELEASE, columns)
    return [None] * len(items)


async def held(database: Database, worker: int) -> dict[UUID, int]:
    """The orders that `worker` holds, with their claims."""
    async with database.connection() as connection:
        return {row.id: row.claim for row in await fetch_rows(connection, HELD, (worker,))}


async def unblame(database: Database, order_ids: Sequence[UUID]) -> None:
    """Do not count the turn of these orders that was cut short, by no fault of theirs."""
    async with database.connection() as connection:
        await connection.execute(UNBLAME, (list(order_ids),))


async def idle(
    database: Database, grace_ms: int, since: datetime, after: UUID, limit: int
) -> list[tuple[UUID, datetime]]:
    """Orders that should be moving and are not, oldest first, behind (`since`, `after`)."""
    values = {"grace": grace_ms, "since": since, "after": after, "limit": limit}
    async with database.connection() as connection:
        return [(row.id, row.created_at) for row in await fetch_rows(connection, IDLE, values)]


def _order_row(step: Step, identity: str | None) -> dict[str, object]:
    fill, size, fixed = step.fill, len(step.events), step.bound
    return {
        "id": step.order_id,
        "claim": step.claim,
        "version": step.version,
        "steps": size,
        "last": step.version + size,
        "status": step.events[-1][0],
        "venue": step.venue,
        "tx_hash": step.attempt.signed.signature if step.attempt else step.tx_hash,
        "reason": step.reason,
        "amount_in": fill.amount_in if fill else None,
        "amount_out": fill.amount_out if fill else None,
        "rounds": step.rounds,
        "attempts": 1 if step.attempt else 0,
        "refusals": step.refusals,
        "final": step.final,
        "resume_in_ms": step.resume_in_ms,
        "min_out": fixed.bound.min_out if fixed else None,
        "max_in": fixed.bound.max_in if fixed else None,
        "quoted_in": fixed.quoted_in if fixed else None,
        "quoted_out": fixed.quoted_out if fixed else None,
        "written_to": identity if step.needs_comparison else None,
    }


def _attempt_row(order_id: UUID, attempt: NewAttempt) -> dict[str, object]:
    return {
        "id": order_id,
        "n": attempt.n,
        "venue": attempt.venue,
        "signature": attempt.signed.signature,
        "payload": b64encode(attempt.signed.payload).decode(),
        "last_valid_height": attempt.signed.last_valid_height,
        "quote": attempt.quoted,
        "network": attempt.signed.network,
        "genesis": attempt.signed.genesis,
        "wallet": attempt.spending.wallet if attempt.spending else None,
        "spends": attempt.spending.amounts() if attempt.spending else None,
    }


def _resolution_row(order_id: UUID, resolution: Resolution, *, corrects: bool = False) -> dict[str, object]:
    return {
        "id": order_id,
        "n": resolution.n,
        "outcome": resolution.outcome,
        "proof": resolution.proof,
        "corrects": corrects,
    }


def _event_rows(step: Step) -> list[dict[str, object]]:
    return [
        {"id": step.order_id, "step": number, "status": status, "detail": detail}
        for number, (status, detail) in enumerate(step.events, 1)
    ]


def _written(step: Step, at: datetime | None) -> list[Event] | None:
    if at is None:
        return None
    return [
        Event(order_id=step.order_id, seq=seq, status=status, at=at, detail=detail)
        for seq, (status, detail) in enumerate(step.events, step.version + 1)
    ]


def read_all(rows: Sequence[Any], unreadable: Unreadable) -> list[Claimed]:
    """Rows of `CLAIMED`. One that cannot be read (a newer version wrote it, or a person) is told of and left out: it
    must keep no other order waiting."""
    claimed = []
    for row in rows:
        try:
            claimed.append(_read(row))
        except (ValueError, TypeError, ArithmeticError) as error:
            unreadable(row.id, error)
    return claimed


def _read(row: Any) -> Claimed:
    bound = None if row.min_out is None or row.max_in is None else Bound(int(row.min_out), int(row.max_in))
    order = Order(
        id=row.id,
        side=Side(row.side),
        amount=row.amount,
        amount_base=int(row.amount_base),
        mode=Mode(row.mode),
        input_mint=row.input_mint,
        output_mint=row.output_mint,
        slippage_bps=row.slippage_bps,
        status=Status(row.status),
        version=row.version,
        claim=row.claim,
        claims=row.claims,
        attempts=row.attempts,
        rounds=row.rounds,
        deadline_in_ms=row.deadline_in_ms,
        created_at=row.created_at,
        refusals=row.refusals,
        bound=bound,
        bound_open=row.bound_open,
        first_quote=None if row.quoted_in is None else (int(row.quoted_in), int(row.quoted_out)),
        max_price_impact_bps=row.max_price_impact_bps,
        key_digest=row.key_digest,
    )
    cause = (row.cause[0], row.cause[1] or row.cause[0]) if row.cause else None
    return Claimed(order=order, attempt=_attempt(row), signatures=tuple(row.signatures or ()), cause=cause)


def _attempt(row: Any) -> Attempt | None:
    if row.n is None:
        return None
    return Attempt(
        n=row.n,
        venue=row.venue,
        signed=SignedSwap(
            signature=row.signature,
            payload=bytes(row.payload),
            last_valid_height=row.last_valid_height,
            network=row.network,
            genesis=row.genesis,
        ),
        quoted=row.quote,
        landed_slot=None if row.slot is None else int(row.slot),
        age_ms=row.age_ms,
    )
