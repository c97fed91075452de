"""New orders: the order, its first event and its idempotency key in one commit, many orders per commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from dexexec.domain.event import Event
from dexexec.domain.order import NewOrder
from dexexec.domain.status import Status
from dexexec.errors import DexexecError, IdempotencyInFlightError, IdempotencyMismatchError
from dexexec.store.database import Database

# A key is taken by whoever gets its lock first; a concurrent holder of the lock means "in flight". The lock also keeps
# two batches from waiting for each other's keys in opposite order. `o` only inserts orders without a key, or whose key
# was taken in this statement; an order that is not inserted finds the one its key belongs to (OFFSET 0 keeps that a
# look-up, whatever the planner thinks of the table's size). That answer is an acknowledgement, so it leaves a trace in
# the log: its commit then waits for a synchronous standby to have all before.
CREATE = """
WITH t AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%t::json)
    AS t(id uuid, side text, amount numeric, mode text, input_mint text, output_mint text, amount_base numeric,
         slippage_bps int, deadline_ms int, client text, key text, body_hash text, detail jsonb)
), k AS (
    INSERT INTO idempotency_keys (key, body_hash, order_id)
    SELECT key, decode(body_hash, 'hex'), id FROM t
    WHERE key IS NOT NULL AND pg_try_advisory_xact_lock(2, hashtext(key))
    ON CONFLICT DO NOTHING
    RETURNING order_id
), o AS (
    INSERT INTO orders (id, side, amount, status, mode, input_mint, output_mint, amount_base, slippage_bps,
                        deadline_at, client)
    SELECT id, side, amount, 'pending', mode, input_mint, output_mint, amount_base, slippage_bps,
           clock_timestamp() + deadline_ms * interval '1 ms', client
    FROM t WHERE key IS NULL OR id IN (SELECT order_id FROM k)
    RETURNING id
), e AS (
    INSERT INTO order_events (order_id, seq, status, detail)
    SELECT o.id, 1, 'pending', t.detail FROM o JOIN t USING (id)
    RETURNING order_id, at
)
SELECT t.id, e.at, known.order_id, known.body_hash = decode(t.body_hash, 'hex'),
       CASE WHEN known.order_id IS NOT NULL THEN pg_logical_emit_message(true, 'dexexec', 'replay'::text) END
FROM t LEFT JOIN e ON e.order_id = t.id
       LEFT JOIN LATERAL (
           SELECT order_id, body_hash FROM idempotency_keys WHERE key = t.key AND e.at IS NULL OFFSET 0
       ) known ON true
"""


@dataclass(frozen=True, slots=True)
class Created:
    """`replayed`: the Idempotency-Key was seen before with the same body, and this is the order of then."""

    order_id: UUID
    replayed: bool


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


async def create(database: Database, orders: Sequence[NewOrder]) -> tuple[list[Created | DexexecError], list[Event]]:
    """Store the orders in one commit. Answers each with what became of it, and the events that are now durable.

    A row that is refused for its key does not fail the others: its error is its answer.
    """
    details = [first_detail(order) for order in orders]
    rows = [
        {
            "id": o.id,
            "side": o.side,
            "amount": detail["amount"],
            "mode": o.mode,
            "input_mint": o.input_mint,
            "output_mint": o.output_mint,
            "amount_base": o.amount_base,
            "slippage_bps": o.slippage_bps,
            "deadline_ms": o.deadline_ms,
            "client": o.client,
            "key": o.idempotency_key,
            "body_hash": o.body_hash.hex(),
            "detail": detail,
        }
        for o, detail in zip(orders, details, strict=True)
    ]
    values = [orjson.dumps(rows).decode()]
    async with database.connection() as connection:
        answered = await (await connection.execute(CREATE, values, prepare=True, binary=True)).fetchall()
    found = {row[0]: row[1:4] for row in answered}
    answers: list[Created | DexexecError] = []
    events: list[Event] = []
    for order, detail in zip(orders, details, strict=True):
        at, known, same_body = found[order.id]
        if at is not None:
            answers.append(Created(order.id, replayed=False))
            events.append(Event(order.id, 1, Status.PENDING, at, detail))
        elif known is None:
            answers.append(
                IdempotencyInFlightError("the first request with this key is not finished: repeat it shortly")
            )
        elif same_body:
            answers.append(Created(known, replayed=True))
        else:
            answers.append(IdempotencyMismatchError("this key belongs to an order with another body: use a new key"))
    return answers, events
