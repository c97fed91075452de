"""Stores new orders: each with its first event and its idempotency key, many orders per commit.

Between intake and the queue on an order's way. No order is stored after its client was answered 503: orders that are
too late are left out when the statement is sent, and by the statement itself if it had to wait for a lock.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from dexexec.clock import Clock
from dexexec.domain.api_key import chosen_name
from dexexec.domain.event import Event
from dexexec.domain.handout import payer_detail
from dexexec.domain.order import FOREVER_MS, NewOrder
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.policy_check import Breach
from dexexec.domain.share import amount_text
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.wait_reason import wait_detail
from dexexec.domain.wallet_policy import NO_WALLET_POLICIES, WalletPolicies
from dexexec.errors import (
    IN_THE_PAST,
    DexexecError,
    FieldProblem,
    IdempotencyInFlightError,
    IdempotencyMismatchError,
    InvalidOrderError,
    UnavailableError,
)
from dexexec.operator_errors import PolicyError
from dexexec.store import policies, restored_keys
from dexexec.store.database import Connection, Database
from dexexec.store.postgres_errors import REFUSALS
from dexexec.store.rows import fetch_rows, json_rows

# `k`: the advisory lock of a key means that another statement is storing an order with it ("in flight"). It is only
# tried, so that two batches never wait for each other's keys in opposite order.
# `o`: only orders without a key, or whose key this statement has stored, are inserted.
# `known`: an order that is not inserted finds the order of its key. LIMIT keeps this a lookup by index, even where the
# planner takes the table for small.
# `restored_keys`: of orders that came back from the chain only the digests of their keys are known (docs/adr/0015).
# They are compared in a scalar subquery, since a join would read them all.
# `pg_logical_emit_message`: answering with an order that exists is an acknowledgement as well. The message makes the
# commit wait for a synchronous standby, which then has everything before it.
#
# now() is when the statement arrived, before any wait for a lock: the times that were counted until it was sent go on
# from there. clock_timestamp() is after the wait.
CREATE = """
WITH t AS MATERIALIZED (
    SELECT t.*, clock_timestamp() >= now() + wait_ms * interval '1 ms' AS late,
           key_digest(key_secret, key, decode(body_hash, 'hex')) AS digest
    FROM json_to_recordset(%(rows)t::json)
    AS t(id uuid, side text, amount numeric, mode text, input_mint text, output_mint text, amount_base numeric,
         slippage_bps int, deadline_in_ms float8, wait_ms float8, client text, key text,
         body_hash text, detail jsonb, min_out numeric, max_in numeric, bound_open bool,
         max_price_impact_bps int, type text, terms jsonb, tag text, dry_run bool, oco_group text, rests bool,
         wake_in_ms float8, waits jsonb, owner int, wallet text, request_id text, traceparent text), installation
), k AS (
    INSERT INTO idempotency_keys (key, body_hash, order_id)
    SELECT key, decode(body_hash, 'hex'), id FROM t
    WHERE NOT late AND key IS NOT NULL
      AND (SELECT order_id FROM restored_keys r WHERE r.key_digest = left(t.digest, 12)) IS NULL
      AND pg_try_advisory_xact_lock(2, hashtext(key))
    ON CONFLICT DO NOTHING
    RETURNING order_id
), o AS (
    INSERT INTO orders (id, side, amount, status, mode, input_mint, output_mint, amount_base, slippage_bps,
                        deadline_at, client, min_out, max_in, bound_open, max_price_impact_bps, key_digest,
                        type, terms, tag, dry_run, oco_group, version, resting,
                        rested_xid, due_at, wake_at, owner, wallet, request_id, traceparent)
    SELECT t.id, side, amount, CASE WHEN rests THEN 'waiting' ELSE 'pending' END, mode, input_mint, output_mint,
           amount_base, slippage_bps, now() + deadline_in_ms * interval '1 ms', client, min_out, max_in, bound_open,
           max_price_impact_bps, digest, type, terms, tag, dry_run, oco_group, 1 + rests::int, rests,
           CASE WHEN rests THEN pg_current_xact_id() END,
           CASE WHEN rests THEN 'infinity' ELSE clock_timestamp() END,
           now() + wake_in_ms * interval '1 ms', owner, wallet, request_id, traceparent
    FROM t
    WHERE NOT late AND (key IS NULL OR t.id IN (SELECT order_id FROM k))
    RETURNING id, created_at
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail)
    SELECT o.id, 1, 'pending', o.created_at, t.detail FROM o JOIN t USING (id)
    UNION ALL
    SELECT o.id, 2, 'waiting', o.created_at, t.waits FROM o JOIN t USING (id) WHERE t.rests
)
SELECT t.id, t.late, o.created_at, known.order_id, known.same_body, known.restored,
       CASE WHEN known.order_id IS NOT NULL THEN pg_logical_emit_message(true, 'dexexec', 'replay'::text) END
           AS replay_logged
FROM t LEFT JOIN o USING (id)
       LEFT JOIN LATERAL (
           SELECT order_id, body_digest = right(t.digest, 4) AS same_body, true AS restored FROM restored_keys
           WHERE key_digest = left(t.digest, 12) AND o.id IS NULL
           UNION ALL
           SELECT order_id, body_hash = decode(t.body_hash, 'hex'), false FROM idempotency_keys
           WHERE key = t.key AND o.id IS NULL
           LIMIT 1
       ) known ON true
"""


DAY_MS = 86_400_000
_PREPARED: weakref.WeakSet[Connection] = weakref.WeakSet()
"""Connections on which `CREATE` is prepared."""


@dataclass(slots=True, kw_only=True)
class CreateRequest:
    """An order to store. `read_at` is when its request had been read, from which its deadline counts; `answer_by` is
    when its client is answered at the latest (both in monotonic seconds). `policy` is that of the order's owner.

    `committed` is called when the order is committed, before the caller gets its answer; not for a repetition.
    `abandoned`: the caller does not wait any more. `sent`: a statement that stores the order was sent to Postgres.
    """

    order: NewOrder
    read_at: float
    answer_by: float
    policy: Policy = NO_LIMITS
    committed: Callable[[], None] = lambda: None
    abandoned: bool = False
    sent: bool = False

    def deadline_in_ms(self, now: float) -> float:
        """Return the time left until the order's deadline."""
        return self.order.deadline_ms - (now - self.read_at) * 1000


@dataclass(frozen=True, slots=True)
class Created:
    """The answer for a new order. `replayed`: the same Idempotency-Key and body were posted before, and this is that
    order."""

    order_id: UUID
    replayed: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer for each new order, and the committed events."""

    answers: list[Created | DexexecError]
    events: list[Event]


def first_detail(order: NewOrder) -> dict[str, object]:
    """The detail of event 1: the order as the service has read it."""
    detail: dict[str, object] = {
        "side": order.side.value,
        "amount": amount_text(order),
        "mode": order.mode.value,
        "inputMint": order.input_mint,
        "outputMint": order.output_mint,
        "slippageBps": order.slippage_bps,
    }
    if order.bound is not None:
        detail |= {"minOut": str(order.bound.min_out), "maxIn": str(order.bound.max_in)}
    if order.max_price_impact_bps is not None:
        detail["maxPriceImpactBps"] = order.max_price_impact_bps
    if order.type is not OrderType.MARKET:
        detail["type"] = order.type.value
    if order.terms is not None:
        detail |= order.terms.detail()
    if order.oco_group is not None:
        detail["ocoGroup"] = chosen_name(order.oco_group)
    if order.parent is not None:
        detail["parentId"] = str(order.parent)
    if order.tag is not None:
        detail["tag"] = order.tag
    if order.wallet is not None:
        detail |= payer_detail(order.wallet)
    if order.dry_run:
        detail["dryRun"] = True
    if order.request_id is not None:
        detail["requestId"] = order.request_id
    return detail


async def create(
    database: Database,
    requests: Sequence[CreateRequest],
    clock: Clock,
    *,
    today: date | None = None,
    wallets: WalletPolicies = NO_WALLET_POLICIES,
) -> Stored:
    """Store the orders in one commit. An order that is refused for its key or by its policy, or comes too late, gets an
    error as its answer; the others are stored."""
    details = {request.order.id: first_detail(request.order) for request in requests}
    broken: Mapping[UUID, Sequence[Breach]] = {}
    async with database.connection(REFUSALS) as connection:
        await _prepare(connection)
        # Read the clock after the wait for a connection, which counts towards deadlines, and wait for nothing more. In
        # a transaction the times of the statement count from its beginning, so that the wait for a key's lock counts.
        now = clock.monotonic()
        sent = [request for request in requests if not request.abandoned and now < request.answer_by]
        if any(request.policy != NO_LIMITS or wallets.of(request.order.wallet) for request in sent):
            async with connection.transaction():
                orders = [(request.order, request.policy) for request in sent]
                limits, broken = await policies.check_new(connection, orders, today, wallets)
                answers = await _insert(connection, sent, details, broken, now=now)
                written = {row.id for row in answers if row.created_at is not None}
                await policies.write_spends(connection, limits, written)
        else:
            answers = await _insert(connection, sent, details, broken, now=now)
        owner_of = {request.order.id: request.order.owner for request in sent}
        await restored_keys.adopt(
            connection,
            # The digest is of the owner's number too: only the key that posted the order can repeat it.
            {row.order_id: owner for row in answers if row.restored and row.same_body and (owner := owner_of[row.id])},
        )
    row_of = {row.id: row for row in answers}
    stored = Stored([], [])
    for request in requests:
        order = request.order
        row = row_of.get(order.id)
        if row is None or row.created_at is None:
            stored.answers.append(_not_stored(row, order, broken.get(order.id, ())))
            continue
        stored.answers.append(Created(order.id, replayed=False))
        stored.events.append(
            Event(
                order_id=order.id,
                seq=1,
                status=Status.PENDING,
                at=row.created_at,
                detail=details[order.id],
                kind=order.type.value,
            )
        )
        if order.rests:
            waits = wait_detail(order)
            stored.events.append(
                Event(order_id=order.id, seq=2, status=Status.WAITING, at=row.created_at, detail=waits)
            )
    return stored


async def _insert(
    connection: Connection,
    requests: Sequence[CreateRequest],
    details: Mapping[UUID, dict[str, object]],
    broken: Mapping[UUID, Sequence[Breach]],
    *,
    now: float,
) -> list[Any]:
    """Run `CREATE` for the requests. Those in `broken` are not stored, and find the order of their key."""
    rows: list[dict[str, object]] = []
    for request in requests:
        request.sent = True
        rows.append(_row(request, details[request.order.id], now, refused=request.order.id in broken))
    values = {"rows": json_rows(rows)}
    return await fetch_rows(connection, CREATE, values, prepare=True, binary=True) if rows else []


def _not_stored(row: Any, order: NewOrder, broken: Sequence[Breach]) -> Created | DexexecError:
    """The answer for an order that was not inserted; `row` is None when it was not sent."""
    if row is not None and row.order_id is not None:
        if row.same_body:
            return Created(row.order_id, replayed=True)
        return IdempotencyMismatchError("this key belongs to an order with another body: use a new key")
    if order.passed and row is not None:
        return in_the_past(order)
    if broken:
        return PolicyError(broken)
    if row is None or row.late:
        return UnavailableError("Postgres did not answer in time: nothing was stored")
    return IdempotencyInFlightError("the first request with this key is not finished: repeat it shortly")


def in_the_past(order: NewOrder) -> InvalidOrderError:
    """The error for an order that repeats no earlier one, and whose time has passed."""
    return InvalidOrderError([FieldProblem(name, IN_THE_PAST, "a time in the future") for name in order.passed])


async def _prepare(connection: Connection) -> None:
    """Prepare `CREATE` on a connection, by running it without orders."""
    # Preparing can wait for locks on the tables. Within the first real statement, `wait_ms` would not include that
    # time.
    if connection not in _PREPARED:
        await fetch_rows(connection, CREATE, {"rows": "[]"}, prepare=True, binary=True)
        _PREPARED.add(connection)


def _row(request: CreateRequest, detail: dict[str, object], now: float, *, refused: bool) -> dict[str, object]:
    order = request.order
    return {
        "id": order.id,
        "side": order.side,
        "amount": format(order.amount, "f"),
        "mode": order.mode,
        "input_mint": order.input_mint,
        "output_mint": order.output_mint,
        "amount_base": order.amount_base,
        "slippage_bps": order.slippage_bps,
        "deadline_in_ms": request.deadline_in_ms(now),
        # An order whose time has passed, or that is refused, is too late in any case, also while the server's clock is
        # set back.
        "wait_ms": -DAY_MS if order.passed or refused else (request.answer_by - now) * 1000,
        "client": order.client,
        "key": order.idempotency_key,
        "body_hash": order.body_hash.hex(),
        "detail": detail,
        "min_out": order.bound.min_out if order.bound else None,
        "max_in": order.bound.max_in if order.bound else None,
        "bound_open": order.bound_open,
        "max_price_impact_bps": order.max_price_impact_bps,
        "type": order.type,
        "terms": order.terms.detail() if order.terms else None,
        "tag": order.tag,
        "dry_run": order.dry_run,
        "oco_group": order.oco_group,
        "owner": order.owner,
        "wallet": order.wallet,
        "request_id": order.request_id,
        "traceparent": order.traceparent,
        "rests": order.rests,
        "wake_in_ms": _wake_in_ms(request, now),
        "waits": wait_detail(order) if order.rests else None,
    }


def _wake_in_ms(request: CreateRequest, now: float) -> float | None:
    """When to look at a resting order without a trigger: when it expires. At once for a recurring order, whose schedule
    begins by the clock of Postgres."""
    order = request.order
    if not order.rests:
        return None
    if order.type is OrderType.RECURRING:
        return 0.0
    return request.deadline_in_ms(now) if order.deadline_ms < FOREVER_MS else None
