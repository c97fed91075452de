"""New orders: the order, its first event and its idempotency key in one commit, many orders per commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dexexec.domain.event import Event
from dexexec.domain.order import NewOrder, Order
from dexexec.domain.status import Status
from dexexec.errors import DexexecError, IdempotencyInFlightError, IdempotencyMismatchError
from dexexec.store.database import Database, json_rows
from dexexec.store.seats import Seats
from dexexec.store.work import Claimed

# A key is taken by whoever gets its lock first; a concurrent holder of the lock means "in flight". The lock also keeps
# two batches from waiting for each other's keys in opposite order. `o` only inserts orders without a key, or whose key
# was taken in this statement; an order that is not inserted finds the one its key belongs to (OFFSET 0 keeps that a
# look-up, whatever the planner thinks of the table's size). That answer is an acknowledgement, so it leaves a trace in
# the log: its commit then waits for a synchronous standby to have all before.
CREATE = """
WITH t AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)t::json)
    AS t(id uuid, side text, amount numeric, mode text, input_mint text, output_mint text, amount_base numeric,
         slippage_bps int, deadline_ms int, client text, key text, body_hash text, detail jsonb, seated bool)
), me AS (
    SELECT id FROM workers WHERE id = %(worker)s::int AND lease_until > clock_timestamp()
), k AS (
    INSERT INTO idempotency_keys (key, body_hash, order_id)
    SELECT key, decode(body_hash, 'hex'), id FROM t
    WHERE key IS NOT NULL AND pg_try_advisory_xact_lock(2, hashtext(key))
    ON CONFLICT DO NOTHING
    RETURNING order_id
), o AS (
    INSERT INTO orders (id, side, amount, status, mode, input_mint, output_mint, amount_base, slippage_bps,
                        deadline_at, client, worker, claim, claims)
    SELECT t.id, side, amount, 'pending', mode, input_mint, output_mint, amount_base, slippage_bps,
           clock_timestamp() + deadline_ms * interval '1 ms', client, me.id, (me.id IS NOT NULL)::int,
           (me.id IS NOT NULL)::int
    FROM t LEFT JOIN me ON t.seated
    WHERE key IS NULL OR t.id IN (SELECT order_id FROM k)
    RETURNING id, created_at, claim
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail)
    SELECT o.id, 1, 'pending', o.created_at, t.detail FROM o JOIN t USING (id)
)
SELECT t.id, o.created_at, o.claim, known.order_id, known.body_hash = decode(t.body_hash, 'hex'),
       CASE WHEN known.order_id IS NOT NULL THEN pg_logical_emit_message(true, 'dexexec', 'replay'::text) END
FROM t LEFT JOIN o USING (id)
       LEFT JOIN LATERAL (
           SELECT order_id, body_hash FROM idempotency_keys WHERE key = t.key AND o.id IS NULL OFFSET 0
       ) known ON true
"""


@dataclass(frozen=True, slots=True)
class Created:
    """`replayed`: the Idempotency-Key was seen before with the same body, and this is the order of then. `taken`: a
    worker of this process has it already."""

    order_id: UUID
    replayed: bool
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of each new order, the events that are now durable, and the orders that are claimed."""

    answers: list[Created | DexexecError]
    events: list[Event]
    claimed: list[Claimed]


def first_detail(order: NewOrder) -> dict[str, object]:
    """What event 1 tells: the order as it was understood."""
    return {
        "side": order.side.value,
        "amount": format(order.amount, "f"),
        "mode": order.mode.value,
        "inputMint": order.input_mint,
        "outputMint": order.output_mint,
        "slippageBps": order.slippage_bps,
    }


async def create(database: Database, orders: Sequence[NewOrder], seats: Seats | None) -> Stored:
    """Store the orders in one commit, the first of them under the claim of a worker that has seats for them, if its
    lease lives. A row that is refused for its key does not fail the others: its error is its answer."""
    details = [first_detail(order) for order in orders]
    seated = seats.count if seats else 0
    rows = [
        _row(order, detail, place < seated) for place, (order, detail) in enumerate(zip(orders, details, strict=True))
    ]
    values = {"rows": json_rows(rows), "worker": seats.worker if seats else None}
    async with database.connection() as connection:
        answered = await (await connection.execute(CREATE, values, prepare=True, binary=True)).fetchall()
    found = {row[0]: row[1:5] for row in answered}
    stored = Stored([], [], [])
    for order, detail in zip(orders, details, strict=True):
        at, claim, known, same_body = found[order.id]
        if at is not None:
            stored.answers.append(Created(order.id, replayed=False, taken=claim > 0))
            stored.events.append(Event(order.id, 1, Status.PENDING, at, detail))
            if claim > 0:
                stored.claimed.append(Claimed(_under_claim(order, claim, at), None))
        elif known is None:
            stored.answers.append(
                IdempotencyInFlightError("the first request with this key is not finished: repeat it shortly")
            )
        elif same_body:
            stored.answers.append(Created(known, replayed=True))
        else:
            stored.answers.append(
                IdempotencyMismatchError("this key belongs to an order with another body: use a new key")
            )
    return stored


def _row(order: NewOrder, detail: dict[str, object], seated: bool) -> dict[str, object]:
    return {
        "id": order.id,
        "side": order.side,
        "amount": detail["amount"],
        "mode": order.mode,
        "input_mint": order.input_mint,
        "output_mint": order.output_mint,
        "amount_base": order.amount_base,
        "slippage_bps": order.slippage_bps,
        "deadline_ms": order.deadline_ms,
        "client": order.client,
        "key": order.idempotency_key,
        "body_hash": order.body_hash.hex(),
        "detail": detail,
        "seated": seated,
    }


def _under_claim(order: NewOrder, claim: int, at: datetime) -> Order:
    """As `work.claim` would read it."""
    return Order(
        order.id, order.side, order.amount, order.amount_base, order.mode, order.input_mint, order.output_mint,
        order.slippage_bps, Status.PENDING, version=1, claim=claim, claims=claim, attempts=0, rounds=0,
        deadline_in_ms=order.deadline_ms, created_at=at,
    )  # fmt: skip
