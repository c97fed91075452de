"""What the record is compared with the chain by: which Postgres it is in, what it knows of orders, and what it learns.

A record can be another than the one that was worked with a moment ago: a standby that was promoted without the last
commits, a backup that was restored. Its identity (`record_identity()` in Postgres) tells the first; both lack what came
last. Comparing is the business of `dexexec.recovery`.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import DictRow, dict_row

from dexexec.domain.event import Event
from dexexec.domain.order import Side
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.recovered_orders import RecordedAttempt, RecordedOrder, Restoration
from dexexec.domain.status import Status
from dexexec.store import restored_keys
from dexexec.store.database import Database, fetch_row, json_rows, translate_postgres_errors
from dexexec.store.restored_keys import Duplicate
from dexexec.store.session import lock_class

LOCK_CLASS = 4

NAME = "SELECT name FROM installation"

LOCK = "SELECT pg_try_advisory_lock(%s, hashtext(%s)) AS locked"

# What was committed before the newest attempt is here, whatever is missing: a copy lacks only what came last. Orders do
# not tell that: new ones are taken in at once, attempts are only recorded after the comparison.
STANDING = """
SELECT record_identity() AS identity, coalesce(c.identity, i.identity) AS compared, c.pending, c.dead_height, c.back_to,
       coalesce(greatest(0, extract(epoch FROM clock_timestamp() - c.begun_at)), 0)::float8 AS begun_seconds,
       extract(epoch FROM greatest(
           coalesce(c.compared_at, i.made_at),
           (SELECT created_at FROM attempts ORDER BY order_id DESC, n DESC LIMIT 1),
           (SELECT max(created_at) FROM archived_orders)
       ))::bigint AS complete_until
FROM installation i LEFT JOIN chain_comparisons c ON c.genesis = %s AND c.wallet = %s
"""

BEGIN = """
INSERT INTO chain_comparisons (genesis, wallet, pending, dead_height, back_to, stopped_at, begun_at)
VALUES (%s, %s, %s, %s, %s, clock_timestamp(), clock_timestamp())
ON CONFLICT (genesis, wallet) DO UPDATE SET
    pending = excluded.pending, dead_height = excluded.dead_height, back_to = excluded.back_to,
    stopped_at = excluded.stopped_at, begun_at = excluded.begun_at
"""

STOPPED = """
INSERT INTO chain_comparisons (genesis, wallet, stopped_at) VALUES (%s, %s, clock_timestamp())
ON CONFLICT (genesis, wallet) DO UPDATE SET stopped_at = excluded.stopped_at
"""

COMPARED = """
INSERT INTO chain_comparisons (genesis, wallet, identity, compared_at)
SELECT %(genesis)s, %(wallet)s, %(identity)s, clock_timestamp() WHERE record_identity() = %(identity)s
ON CONFLICT (genesis, wallet) DO UPDATE SET
    identity = excluded.identity, compared_at = excluded.compared_at, pending = NULL, dead_height = NULL,
    back_to = NULL, stopped_at = NULL, begun_at = NULL
RETURNING identity
"""

IS_STOPPED = """
SELECT EXISTS (SELECT FROM chain_comparisons WHERE stopped_at > clock_timestamp() - interval '30 s') AS stopped
"""

# Orders that were taken over lack most of it. They have ended, so nobody asks for it.
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
"""  # noqa: S608 - all that is put in is ours

# The claim is raised, so that a worker that still holds the order writes nothing more.
UPDATE_ORDER = """
UPDATE orders SET
    status = %(status)s, version = version + %(steps)s, claim = claim + 1, claims = 0, worker = NULL,
    venue = %(venue)s, tx_hash = %(tx_hash)s, attempts = greatest(attempts, %(attempts)s),
    failure_reason = coalesce(%(reason)s, failure_reason), amount_in = %(amount_in)s, amount_out = %(amount_out)s,
    due_at = %(at)s, finished_at = %(ended)s, finalized_at = %(finalized)s, set_aside_at = NULL, waiting = NULL
WHERE id = %(id)s AND version = %(version)s AND finished_at IS NULL
RETURNING id
"""

INSERT_ORDER = """
INSERT INTO orders (id, side, amount, mode, input_mint, output_mint, amount_base, slippage_bps, deadline_at, client,
                    created_at, status, version, venue, tx_hash, attempts, failure_reason, amount_in, amount_out,
                    finished_at, finalized_at)
VALUES (%(id)s, %(side)s, %(amount)s, 'exactIn', %(input_mint)s, %(output_mint)s, %(amount_base)s, 0, %(created_at)s,
        'unknown', %(created_at)s, %(status)s, %(steps)s, %(venue)s, %(tx_hash)s, %(attempts)s, %(reason)s,
        %(amount_in)s, %(amount_out)s, %(ended)s, %(finalized)s)
ON CONFLICT (id) DO NOTHING
RETURNING id
"""

INSERT_EVENTS = """
INSERT INTO order_events (order_id, seq, status, at, detail)
SELECT %(id)s, seq, status, %(at)s, detail
FROM json_to_recordset(%(events)s::json) AS e(seq int, status text, detail jsonb)
"""

INSERT_ATTEMPTS = """
INSERT INTO attempts (order_id, n, venue, signature, payload, last_valid_height, quote, created_at, outcome,
                      resolved_at, proof)
SELECT %(id)s, n, venue, signature, decode(payload, 'base64'), 0, '{}', to_timestamp(landed_at), outcome, %(at)s, proof
FROM json_to_recordset(%(attempts)s::json)
    AS a(n int, venue text, signature text, payload text, landed_at bigint, outcome text, proof jsonb)
"""

RESOLVE = """
UPDATE attempts SET outcome = %(outcome)s, proof = %(proof)s::jsonb, resolved_at = %(at)s
WHERE order_id = %(id)s AND n = %(n)s AND outcome IS NULL
"""


@dataclass(frozen=True, slots=True)
class BegunComparison:
    """A comparison for the Postgres with this identity, that may be taken up by another process. Past the finalized
    height `dead_height` nothing can land that was signed before; what is older on chain than `back_to` (Unix seconds)
    is in the record."""

    identity: str
    dead_height: int
    back_to: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonState:
    """How a record stands to a chain, for one wallet. `identity` is that of the Postgres that answers, `compared` the
    one whose record was compared last. `pending`, `dead_height` and `back_to` are of a comparison that was begun, as in
    `BegunComparison`, so many seconds ago (`begun_seconds`; 0 when that is not known). All that was committed before
    `complete_until` (Unix seconds) is in the record."""

    identity: str
    compared: str
    pending: str | None
    dead_height: int | None
    back_to: int | None
    begun_seconds: float
    complete_until: int


class ChainComparisons:
    """`announce` is told of events once they are durable. Every method raises `UnavailableError`."""

    def __init__(self, database: Database, announce: Callable[[Sequence[Event]], None]) -> None:
        self._database, self._announce = database, announce

    async def record_name(self) -> str:
        """What the record is called in memos: 8 hex digits."""
        async with self._database.connection() as connection:
            row = await fetch_row(connection, NAME)
        return str(row.name) if row else ""

    async def state(self, genesis: str, wallet: str) -> ComparisonState:
        """How record and chain compare."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            row = await (await cursor.execute(STANDING, (genesis, wallet))).fetchone()
        assert row is not None  # noqa: S101 - the migration made the one row
        return ComparisonState(**row)

    @asynccontextmanager
    async def exclusive(self, genesis: str, wallet: str) -> AsyncIterator[bool]:
        """Whether this process is the only one to compare for this wallet, as long as the block lasts: a session lock,
        which dies with the process."""
        connection = await self._database.dedicated()
        try:
            with translate_postgres_errors():
                values = (lock_class(self._database.address.schema, LOCK_CLASS), f"{genesis}/{wallet}")
                row = await fetch_row(connection, LOCK, values)
            yield bool(row and row.locked)
        finally:
            await connection.close()

    async def begin(self, genesis: str, wallet: str, begun: BegunComparison) -> None:
        """A comparison is needed: nothing is signed until it is done, by whoever."""
        await self._execute(BEGIN, (genesis, wallet, begun.identity, begun.dead_height, begun.back_to))

    async def stopped(self, genesis: str, wallet: str) -> None:
        """Nothing is signed for this wallet at present: to be said again within 30 seconds."""
        await self._execute(STOPPED, (genesis, wallet))

    async def compared(self, genesis: str, wallet: str, identity: str) -> bool:
        """The record of the Postgres with this identity has all that the chain has. False when another answers now."""
        values = {"genesis": genesis, "wallet": wallet, "identity": identity}
        async with self._database.connection() as connection:
            return await fetch_row(connection, COMPARED, values) is not None

    async def orders(self, order_ids: Sequence[UUID]) -> dict[UUID, RecordedOrder]:
        """Those of the orders that the record has, wherever they are kept."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            rows = await (await cursor.execute(ORDERS, {"ids": list(order_ids)})).fetchall()
        return {row["id"]: _recorded(row) for row in rows}

    async def restore(self, found: Restoration) -> bool:
        """Write what the record learns of an order, in one commit; False when the order has changed meanwhile."""
        async with self._database.connection() as connection, connection.transaction():
            now = await fetch_row(connection, "SELECT clock_timestamp() AS at")
            values = _values(found, now.at)
            if found.lost is not None and found.lost.key_digest is not None:
                await restored_keys.keep(connection, found.lost.key_digest, found.order_id)
            statement = UPDATE_ORDER if found.lost is None else INSERT_ORDER
            if await fetch_row(connection, statement, values) is None:
                return False
            if found.resolved is not None:
                resolved = {
                    "n": found.resolved.n,
                    "outcome": found.resolved.outcome,
                    "proof": json_rows([found.resolved.proof])[1:-1],
                }
                await connection.execute(RESOLVE, values | resolved)
            await connection.execute(INSERT_ATTEMPTS, values | {"attempts": json_rows(_attempt_rows(found))})
            await connection.execute(INSERT_EVENTS, values | {"events": json_rows(_event_rows(found))})
        events = enumerate(found.events, found.version + 1)
        self._announce(
            [
                Event(order_id=found.order_id, seq=seq, status=status, at=now.at, detail=detail)
                for seq, (status, detail) in events
            ]
        )
        return True

    async def end_duplicates(self) -> list[Duplicate]:
        """Let orders fail that have the Idempotency-Key of an order which came back after it had swapped. From here on
        whoever posts with such a key gets that order."""
        async with self._database.connection() as connection, connection.transaction():
            duplicates, events = await restored_keys.end_duplicates(connection)
        self._announce(events)
        return duplicates

    async def _execute(self, statement: str, values: Sequence[object]) -> None:
        async with self._database.connection() as connection:
            await connection.execute(statement.encode(), values)


async def is_stopped(database: Database) -> bool:
    """Whether a worker may not sign at present, as record and chain are not compared yet."""
    async with database.connection() as connection:
        row = await fetch_row(connection, IS_STOPPED)
    return bool(row and row.stopped)


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
                one["n"], one["signature"], one["last_valid_height"], one["outcome"] and Outcome(one["outcome"])
            )
            for one in row["tries"]
        ),
    )


def _values(found: Restoration, at: datetime) -> dict[str, object]:
    last = next((one for one in found.attempts if one.outcome is Outcome.LANDED), found.attempts[-1])
    confirmed = found.status is Status.CONFIRMED
    values: dict[str, object] = {
        "id": found.order_id,
        "at": at,
        "version": found.version,
        "status": found.status,
        "steps": len(found.events),
        "venue": last.venue,
        "tx_hash": last.signature,
        "attempts": max(one.n for one in found.attempts),
        "reason": found.reason,
        "amount_in": found.fill.amount_in if found.fill else None,
        "amount_out": found.fill.amount_out if found.fill else None,
        "ended": at if found.ended else None,
        "finalized": at if confirmed else None,
    }
    if found.lost is not None:
        lost = found.lost
        values |= {
            "side": lost.side,
            "amount": lost.amount,
            "input_mint": lost.input_mint,
            "output_mint": lost.output_mint,
            "amount_base": lost.amount_base,
            "created_at": lost.created_at,
        }
    return values


def _attempt_rows(found: Restoration) -> list[Mapping[str, object]]:
    return [
        {
            "n": one.n,
            "venue": one.venue,
            "signature": one.signature,
            "payload": b64encode(one.payload).decode(),
            "landed_at": one.landed_at,
            "outcome": one.outcome,
            "proof": one.proof,
        }
        for one in found.attempts
    ]


def _event_rows(found: Restoration) -> list[Mapping[str, object]]:
    return [
        {"seq": seq, "status": status, "detail": detail}
        for seq, (status, detail) in enumerate(found.events, found.version + 1)
    ]
