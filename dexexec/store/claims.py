"""Claims orders for workers, gives them back, and finds orders that no worker holds.

Between the queue and the pipeline on an order's way. Each claim raises `orders.claim`, and every later write repeats
that number: a worker whose order another one has claimed since then writes nothing more.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from dexexec.domain.bound import Bound
from dexexec.domain.order import NewOrder, Order, Side
from dexexec.domain.quote import Mode
from dexexec.domain.status import Status
from dexexec.domain.swap import SignedSwap
from dexexec.domain.terms import OrderType, Terms
from dexexec.store.database import Database
from dexexec.store.rows import fetch_rows
from dexexec.store.steps import SUSPECT_AFTER, Attempt, Claimed, Release

T = TypeVar("T")
Unreadable = Callable[[UUID, Exception], None]
"""Called for an order whose row cannot be read."""

# The statements find rows by their primary keys. To the planner the small indexes `orders_active` and `attempts_open`
# look cheaper, but through them each batch would read all orders in flight. `ended IS NULL` (a generated column) and
# `coalesce` keep the planner from using them.

# How long an order `o` rests after a claim that did not end normally: not at all after the first three, then 0.5 s, 1 s
# ... 30 s, times a random factor from 0.5 to 1. The factor is a hash of order and claim, so that each statement that
# looks at the order computes the same one.
PAUSE = """(CASE WHEN o.claims <= 3 THEN interval '0' ELSE
    least(interval '30 s', interval '0.5 s' * 2 ^ least(o.claims - 4, 10))
    * (0.5 + (hashtext(o.id::text || o.claim) & 65535) / 131072.0) END)"""

# What is read of the claimed orders `c`. The slot is cast to numeric, since it comes from a node and may be of any
# size: a cast to bigint that fails would fail for all orders of the statement.
CLAIMED = """
SELECT c.id, c.side, c.amount, c.amount_base, c.mode, c.input_mint, c.output_mint, c.slippage_bps, c.status, c.version,
       c.claim, c.claims, c.attempts, c.rounds,
       (extract(epoch FROM c.deadline_at - clock_timestamp()) * 1000)::bigint AS deadline_in_ms, c.created_at,
       (extract(epoch FROM clock_timestamp() - c.created_at) * 1000)::float8 AS order_age_ms,
       CASE WHEN c.attempts > 0
           THEN ARRAY(SELECT signature FROM attempts p WHERE p.order_id = c.id ORDER BY n) END AS signatures,
       c.refusals, c.min_out, c.max_in, c.bound_open, c.quoted_in, c.quoted_out, c.max_price_impact_bps, c.key_digest,
       c.type, c.terms, c.tag, c.dry_run, c.parent, c.oco_group, c.triggered_at IS NOT NULL AS triggered, c.high_water,
       c.rests AS rested, c.owner, c.wallet, c.request_id, c.traceparent,
       CASE WHEN c.oco_group IS NOT NULL THEN ARRAY(
           SELECT p.signature FROM orders s JOIN attempts p ON p.order_id = s.id
           WHERE s.oco_group = c.oco_group AND s.dry_run = c.dry_run AND s.id <> c.id AND s.attempts > 0)
           END AS group_signatures,
       CASE WHEN c.version > 1 THEN (
           SELECT ARRAY[detail->>'reason', detail->>'detail'] FROM order_events e
           WHERE e.order_id = c.id AND e.seq = c.version AND detail ? 'reason') END AS cause,
       a.n, a.venue, a.signature, a.payload, a.last_valid_height, a.quote, (a.proof->>'slot')::numeric AS slot,
       coalesce(a.network, '') AS network, coalesce(a.genesis, '') AS genesis,
       greatest(0, extract(epoch FROM clock_timestamp() - a.created_at) * 1000)::bigint AS age_ms
FROM c LEFT JOIN attempts a ON a.order_id = c.id AND coalesce(a.outcome, '') = ''
"""

# Only a worker with a valid lease may claim, and only orders that no other worker with a valid lease holds. Confirmed
# orders are left to the watcher (`store.confirmed_orders`). At most `suspects` suspects are claimed, and only by a
# session that is older than their pause: a process that restarts again and again does not raise their crash counts.
#
# SKIP LOCKED: another worker is about to claim a locked order, so waiting for the lock would gain nothing.
#
# synchronous_commit: the commit does not wait for the disk. Postgres has one log, so the commit that records an attempt
# of this claim makes the claim durable as well; a claim that a crash of Postgres loses is one under which nothing was
# recorded, and so nothing sent. docs/adr/0045 goes through the cases.
#
# IDS: behind the subquery the planner does not see how many ids there are. Otherwise a plan for one id looks cheaper
# than the general plan, and each execution is planned anew, which takes four times as long as the execution.
IDS = "ARRAY(SELECT unnest(%(ids)s::uuid[]))"
OPEN_ATTEMPT = "EXISTS (SELECT FROM attempts p WHERE p.order_id = o.id AND coalesce(p.outcome, '') = '')"
CLAIM = f"""
WITH me AS (
    SELECT id, started_at, set_config('synchronous_commit', 'off', true)
    FROM workers WHERE id = %(worker)s AND lease_until > clock_timestamp()
), free AS (
    SELECT o.id, me.started_at <= clock_timestamp() - {PAUSE} AS ripe,
           o.claims >= {SUSPECT_AFTER} AND NOT {OPEN_ATTEMPT} AS suspect
    FROM orders o, me
    WHERE o.id = ANY({IDS}) AND o.ended IS NULL AND o.set_aside_at IS NULL AND o.status <> 'confirmed'
      AND NOT o.resting AND o.type <> 'recurring'
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
{CLAIMED}"""  # noqa: S608 - constants

# A new order that the process of its worker has accepted itself: only what Postgres has added to it is read. As long as
# it was never claimed and has one event, nothing else about it has changed since then.
CLAIM_NEW = f"""
WITH me AS (
    SELECT id, set_config('synchronous_commit', 'off', true)
    FROM workers WHERE id = %(worker)s AND lease_until > clock_timestamp()
), free AS (
    SELECT o.id FROM orders o, me
    WHERE o.id = ANY({IDS}) AND o.ended IS NULL AND o.set_aside_at IS NULL AND o.status = 'pending'
      AND o.claim = 0 AND o.version = 1
    ORDER BY o.id
    FOR UPDATE OF o SKIP LOCKED
)
UPDATE orders o SET claim = o.claim + 1, claims = o.claims + 1, worker = me.id, due_at = clock_timestamp()
FROM free f, me WHERE o.id = f.id
RETURNING o.id, o.created_at, o.key_digest,
          (extract(epoch FROM o.deadline_at - clock_timestamp()) * 1000)::bigint AS deadline_in_ms,
          (extract(epoch FROM clock_timestamp() - o.created_at) * 1000)::float8 AS age_ms
"""  # noqa: S608 - constants

RELEASE = """
UPDATE orders o SET worker = NULL, claims = CASE WHEN t.blame THEN o.claims ELSE 0 END,
                    due_at = clock_timestamp() + t.resume_in_ms * interval '1 ms'
FROM unnest(%s::uuid[], %s::int[], %s::bool[], %s::float8[]) AS t(id, claim, blame, resume_in_ms)
WHERE o.id = t.id AND o.claim = t.claim AND o.ended IS NULL
"""

# Without a condition on `claim`: another worker may have claimed the order since then, and the claim that was counted
# for the interrupted one must be taken back all the same.
UNCOUNT = "UPDATE orders SET claims = greatest(claims - 1, 0) WHERE id = ANY(%s) AND ended IS NULL"

# The first conditions match the index `orders_active`, which holds only open orders that do not rest.
HELD = """
SELECT id, claim FROM orders WHERE finished_at IS NULL AND NOT resting AND created_at > '-infinity' AND worker = %s
"""

# Orders that are due and that no living worker holds, without confirmed ones, which the watcher looks up. Oldest first,
# so that a limited page starts with those that have waited longest; the next page begins behind its last order.
IDLE = f"""
SELECT o.id, o.created_at FROM orders o
WHERE o.finished_at IS NULL AND NOT o.resting AND o.set_aside_at IS NULL AND o.status <> 'confirmed'
  AND o.due_at <= clock_timestamp() - %(grace)s * interval '1 ms' - {PAUSE}
  AND NOT EXISTS (SELECT FROM workers w WHERE w.id = o.worker AND w.lease_until > clock_timestamp())
  AND o.created_at >= %(since)s AND (o.created_at, o.id) > (%(since)s, %(after)s)
ORDER BY o.created_at, o.id LIMIT %(limit)s
"""  # noqa: S608


async def claim(
    database: Database, worker: int, order_ids: Sequence[UUID], suspects: int, unreadable: Unreadable
) -> list[Claimed]:
    """Claim for `worker` those of the orders that are free, in one commit; at most `suspects` suspects among them."""
    values = {"worker": worker, "ids": list(order_ids), "suspects": suspects}
    async with database.connection() as connection:
        rows = await fetch_rows(connection, CLAIM, values, prepare=True, binary=True)
    return read_all(rows, unreadable)


async def claim_new(database: Database, worker: int, orders: Mapping[UUID, NewOrder]) -> list[Claimed]:
    """Claim for `worker` those of the new orders that were never claimed, in one commit."""
    values = {"worker": worker, "ids": list(orders)}
    async with database.connection() as connection:
        rows = await fetch_rows(connection, CLAIM_NEW, values, prepare=True, binary=True)
    return [Claimed(order=_first_claimed(orders[row.id], row), attempt=None) for row in rows]


async def release(database: Database, items: Sequence[Release]) -> list[None]:
    """Give orders back in one commit; stale claims are ignored."""
    # Always float: psycopg refuses a list with both int and float.
    rows = ((item.order_id, item.claim, item.blame, float(item.resume_in_ms)) for item in items)
    columns = [list(column) for column in zip(*rows, strict=True)]
    async with database.connection() as connection:
        await connection.execute(RELEASE, columns)
    return [None] * len(items)


async def held(database: Database, worker: int) -> dict[UUID, int]:
    """Return the orders that `worker` holds, with their claims."""
    async with database.connection() as connection:
        return {row.id: row.claim for row in await fetch_rows(connection, HELD, (worker,))}


async def uncount_claims(database: Database, order_ids: Sequence[UUID]) -> None:
    """Take back one counted claim of each order: the turn was interrupted by a stop of the worker, not by the order."""
    async with database.connection() as connection:
        await connection.execute(UNCOUNT, (list(order_ids),))


async def idle(
    database: Database, grace_ms: int, since: datetime, after: UUID, limit: int
) -> list[tuple[UUID, datetime]]:
    """Return due orders that no worker holds, oldest first, from behind (`since`, `after`)."""
    values = {"grace": grace_ms, "since": since, "after": after, "limit": limit}
    async with database.connection() as connection:
        return [(row.id, row.created_at) for row in await fetch_rows(connection, IDLE, values)]


def read_all(rows: Sequence[Any], unreadable: Unreadable) -> list[Claimed]:
    """Read rows of `CLAIMED`. A row that cannot be read is passed to `unreadable` and left out."""
    return read_each(rows, _read, unreadable)


def read_each(rows: Sequence[Any], read: Callable[[Any], T], unreadable: Unreadable) -> list[T]:
    """Read each row by `read`. A row that cannot be read is passed to `unreadable` and left out."""
    # A newer version or a person may have written it. Raising here would stop all other orders of the batch.
    values = []
    for row in rows:
        try:
            values.append(read(row))
        except (ValueError, TypeError, ArithmeticError, LookupError) as error:
            unreadable(row.id, error)
    return values


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
        type=OrderType(row.type),
        terms=Terms.of(row.terms) if row.terms is not None else None,
        tag=row.tag,
        dry_run=row.dry_run,
        parent=row.parent,
        oco_group=row.oco_group,
        triggered=row.triggered,
        high_water=row.high_water,
        rested=row.rested,
        owner=row.owner,
        wallet=row.wallet,
        request_id=row.request_id,
        traceparent=row.traceparent,
        age_ms=row.order_age_ms,
    )
    cause = (row.cause[0], row.cause[1] or row.cause[0]) if row.cause else None
    return Claimed(
        order=order,
        attempt=_attempt(row),
        signatures=tuple(row.signatures or ()),
        group_signatures=tuple(row.group_signatures or ()),
        cause=cause,
    )


def _first_claimed(order: NewOrder, row: Any) -> Order:
    """The order as `claim` would read it."""
    return Order(
        id=order.id,
        side=order.side,
        amount=order.amount,
        amount_base=order.amount_base,
        mode=order.mode,
        input_mint=order.input_mint,
        output_mint=order.output_mint,
        slippage_bps=order.slippage_bps,
        status=Status.PENDING,
        version=1,
        claim=1,
        claims=1,
        attempts=0,
        rounds=0,
        deadline_in_ms=row.deadline_in_ms,
        created_at=row.created_at,
        bound=order.bound,
        bound_open=order.bound_open,
        max_price_impact_bps=order.max_price_impact_bps,
        key_digest=row.key_digest,
        type=order.type,
        terms=order.terms,
        tag=order.tag,
        dry_run=order.dry_run,
        owner=order.owner,
        wallet=order.wallet,
        request_id=order.request_id,
        traceparent=order.traceparent,
        age_ms=row.age_ms,
    )


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
