"""Transactions that clients sign: written by the step that hands them out, and read when the client has signed.

There is one per order, the newest: an older one can no longer be completed. The row goes with the attempt that it
becomes.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from dexexec.domain.funds import Need, Spending
from dexexec.domain.handout import AwaitedOrder, Handout
from dexexec.domain.status import Status
from dexexec.store.cancellations import OWNED
from dexexec.store.database import Connection, Database
from dexexec.store.rows import fetch_row, fetch_rows, json_rows
from dexexec.store.steps import Step

INSTALLATION_KEY = "SELECT key_secret FROM installation"

WRITE = """
INSERT INTO handouts (order_id, n, venue, message, signers, cosigned, last_valid_height, network, genesis, quote,
                      spends, most_in, impact_ppm)
SELECT order_id, n, venue, decode(message, 'base64'), signers, cosigned, last_valid_height, network, genesis, quote,
       spends, most_in, impact_ppm
FROM json_to_recordset(%s::json) AS t(order_id uuid, n int, venue text, message text, signers text[], cosigned jsonb,
    last_valid_height bigint, network text, genesis text, quote jsonb, spends jsonb, most_in numeric, impact_ppm bigint)
ON CONFLICT (order_id) DO UPDATE SET
    n = excluded.n, venue = excluded.venue, message = excluded.message, signers = excluded.signers,
    cosigned = excluded.cosigned, last_valid_height = excluded.last_valid_height, network = excluded.network,
    genesis = excluded.genesis, quote = excluded.quote, spends = excluded.spends, most_in = excluded.most_in,
    impact_ppm = excluded.impact_ppm, made_at = clock_timestamp(), signature = NULL
"""
# Also of an order that ended without a signature: what was handed out can no longer be completed.
REMOVE = "DELETE FROM handouts WHERE order_id = ANY(%s)"

READ = """
SELECT *, (extract(epoch FROM clock_timestamp() - made_at) * 1000)::bigint AS age_ms FROM handouts WHERE order_id = %s
"""

AWAITED = f"""
SELECT o.status, o.finished_at IS NOT NULL AS ended, o.wallet, h.*,
       (extract(epoch FROM clock_timestamp() - h.made_at) * 1000)::bigint AS age_ms,
       a.n AS recorded_n, a.payload AS recorded
FROM orders o LEFT JOIN handouts h ON h.order_id = o.id AND o.finished_at IS NULL
LEFT JOIN LATERAL (SELECT n, payload FROM attempts WHERE order_id = o.id ORDER BY n DESC LIMIT 1) a ON true
WHERE o.id = %(id)s AND {OWNED}
"""  # noqa: S608 - constants
ARCHIVED = f"SELECT status, wallet FROM archived_orders o WHERE id = %(id)s AND {OWNED}"  # noqa: S608

# The row decides between the client and a worker that hands out another transaction at the same moment.
SIGN = """
WITH h AS (
    UPDATE handouts SET signature = %(signature)s
    WHERE order_id = %(id)s AND message = %(message)s AND (signature IS NULL OR signature = %(signature)s)
      AND EXISTS (SELECT FROM orders o WHERE o.id = order_id AND o.ended IS NULL)
    RETURNING order_id, n
), o AS (
    UPDATE orders SET due_at = clock_timestamp() FROM h WHERE id = h.order_id AND ended IS NULL
)
SELECT n FROM h
"""


async def co_signer_secret(database: Database) -> bytes:
    """Return the secret that the keys of co-signers come from."""
    async with database.connection() as connection:
        row = await fetch_row(connection, INSTALLATION_KEY)
    return bytes(row.key_secret)


async def write(connection: Connection, steps: Sequence[Step]) -> None:
    """Keep the transactions that these steps hand out, and remove those that became an attempt. In the transaction of
    the steps, which were written."""
    # Two hand-outs of one order cannot meet here: each step holds the lock of its order's row.
    new = [_row(step.order_id, step.handout) for step in steps if step.handout is not None]
    if new:
        await connection.execute(WRITE, (json_rows(new),))
    done = [step.order_id for step in steps if step.takes_handout]
    if done:
        await connection.execute(REMOVE, (done,))


async def read(database: Database, order_id: UUID) -> Handout | None:
    """Return the newest transaction that was handed out for an order, unless it became an attempt."""
    async with database.connection() as connection:
        for row in await fetch_rows(connection, READ, (order_id,)):
            return _handout(row)
    return None


async def read_awaited(database: Database, order_id: UUID, owner: int | None) -> AwaitedOrder | None:
    """Return an order as its client wants to sign for it; None if `owner` (None: any) has no such order."""
    values = {"id": order_id, "owner": owner}
    async with database.connection() as connection:
        for row in await fetch_rows(connection, AWAITED, values):
            return AwaitedOrder(
                status=Status(row.status),
                ended=row.ended,
                wallet=row.wallet,
                handout=_handout(row) if row.order_id is not None else None,
                recorded=bytes(row.recorded) if row.recorded is not None else None,
                recorded_n=row.recorded_n or 0,
            )
        # Not in one statement with the main tables: planned with its value, this opens one partition only.
        for row in await fetch_rows(connection, ARCHIVED, values):
            return AwaitedOrder(status=Status(row.status), ended=True, wallet=row.wallet)
    return None


async def sign(database: Database, order_id: UUID, message: bytes, signature: bytes) -> int | None:
    """Keep the client's signature of the newest transaction, and make the order due. Returns the number of its attempt;
    None if another transaction was handed out meanwhile, or the order goes on without one."""
    values = {"id": order_id, "message": message, "signature": signature}
    async with database.connection() as connection:
        for row in await fetch_rows(connection, SIGN, values):
            return int(row.n)
    return None


def _row(order_id: UUID, handout: Handout) -> dict[str, object]:
    spending = handout.spending
    return {
        "order_id": order_id,
        "n": handout.n,
        "venue": handout.venue,
        "message": b64encode(handout.message).decode(),
        "signers": list(handout.signers),
        "cosigned": {address: b64encode(signature).decode() for address, signature in handout.cosigned.items()},
        "last_valid_height": handout.last_valid_height,
        "network": handout.network,
        "genesis": handout.genesis,
        "quote": handout.quoted,
        "spends": spending_json(spending) if spending else {},
        "most_in": handout.most_in,
        "impact_ppm": handout.impact_ppm,
    }


def _handout(row: Any) -> Handout:
    return Handout(
        n=row.n,
        venue=row.venue,
        message=bytes(row.message),
        signers=tuple(row.signers),
        cosigned={address: b64decode(signature) for address, signature in row.cosigned.items()},
        last_valid_height=row.last_valid_height,
        network=row.network,
        genesis=row.genesis,
        quoted=row.quote,
        most_in=int(row.most_in),
        impact_ppm=row.impact_ppm,
        spending=spending_of(row.spends) if row.spends else None,
        signature=bytes(row.signature) if row.signature is not None else None,
        age_ms=row.age_ms,
    )


def spending_json(spending: Spending) -> dict[str, object]:
    """Amounts as text, since JSON readers may round a u64."""
    needs = [[need.mint, str(need.amount), str(need.balance)] for need in spending.needs]
    return {"wallet": spending.wallet, "slot": spending.slot, "needs": needs}


def spending_of(value: Mapping[str, Any]) -> Spending:
    """Inverse of `spending_json`."""
    needs = tuple(Need(mint, int(amount), int(balance)) for mint, amount, balance in value["needs"])
    return Spending(value["wallet"], value["slot"], needs)
