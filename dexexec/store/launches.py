"""Launches: the pools that snipers may be executed in, and the pairs and orders that wait for one.

The leader's launch watch writes them and reads who waits; a worker reads them before it executes a sniper.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from dexexec.domain.launch import NewPool, PoolToken
from dexexec.store.claims import Unreadable
from dexexec.store.database import Database
from dexexec.store.resting import RESTING_COLUMNS, RestingOrder, read_resting
from dexexec.store.rows import fetch_rows, json_rows

MAX_PAIRS = 1_000
"""Pairs that are watched at the same time, at most."""
PAGE = 250
"""Snipers of a pair that one statement reads."""
KEPT = timedelta(days=30)
"""How long a launch is kept after its pool was first seen, unless an order still waits for its pair."""

# Jumps from pair to pair in the index, from the last to the first: the cost grows with pairs, not with orders. The
# newest transaction of a pair shows whether another order waits for it.
PAIRS = """
WITH RECURSIVE pairs AS (
    (SELECT input_mint, output_mint, rested_xid FROM orders
     WHERE resting AND type = 'sniper' ORDER BY input_mint DESC, output_mint DESC, rested_xid DESC LIMIT 1)
    UNION ALL
    SELECT n.* FROM pairs p CROSS JOIN LATERAL (
        SELECT input_mint, output_mint, rested_xid FROM orders
        WHERE resting AND type = 'sniper' AND (input_mint, output_mint) < (p.input_mint, p.output_mint)
        ORDER BY input_mint DESC, output_mint DESC, rested_xid DESC LIMIT 1) n
)
SELECT input_mint, output_mint, rested_xid::text::bigint AS newest FROM pairs LIMIT %(limit)s
"""

# In the order in which they were accepted, which is the order in which they are triggered. Materialized, or the planner
# would read all resting orders in that order until it has found a page of snipers.
WAITING = f"""
WITH of_pair AS MATERIALIZED (
    SELECT {RESTING_COLUMNS} FROM orders
    WHERE resting AND type = 'sniper' AND input_mint = %(spent)s AND output_mint = %(wanted)s
)
SELECT * FROM of_pair WHERE (created_at, id) > (%(created_at)s, %(after)s) ORDER BY created_at, id LIMIT %(limit)s
"""  # noqa: S608 - the column list is ours

# Two leaders for a moment may both write: the newer reading stays. `first_seen` never changes.
RECORD = """
INSERT INTO launches AS l (pool, venue, mints, tokens, slot, launched_at)
SELECT pool, venue, mints, tokens, slot, 'epoch'::timestamptz + launched_at_ms * interval '1 ms'
FROM json_to_recordset(%(rows)s::json)
     AS t(pool text, venue text, mints text[], tokens jsonb, slot bigint, launched_at_ms float8)
ON CONFLICT (pool) DO UPDATE
    SET tokens = excluded.tokens, slot = excluded.slot, launched_at = excluded.launched_at
    WHERE l.slot <= excluded.slot AND l.venue = excluded.venue
"""
# The deepest pools first is the caller's concern: anybody can create pools, so their number has to be bounded there.
OF_PAIR = """
SELECT pool, venue, tokens, slot, extract(epoch FROM launched_at) * 1000 AS launched_at_ms FROM launches
WHERE mints = %(mints)s ORDER BY first_seen DESC LIMIT %(limit)s
"""
FORGET = """
DELETE FROM launches l WHERE first_seen < clock_timestamp() - %(kept)s AND NOT EXISTS (
    SELECT FROM orders o WHERE o.resting AND o.type = 'sniper' AND l.mints @> ARRAY[o.input_mint, o.output_mint])
"""
MOST_OF_PAIR = 1_000


NOTED = """
SELECT order_id, detail->>'pool' AS pool, detail->>'condition' AS condition,
       coalesce(detail->>'seen', detail->>'reason', '') AS figure
FROM order_events WHERE order_id = ANY(%s) AND status = 'waiting' AND detail ? 'pool'
ORDER BY order_id, seq
"""


@dataclass(frozen=True, slots=True)
class NotedStop:
    """What kept an order from a pool by its events: the condition (None: there was no quote), and the figure."""

    order_id: UUID
    pool: str
    condition: str | None
    figure: str


@dataclass(frozen=True, slots=True)
class SniperPair:
    """A pair that resting snipers wait for. `newest` changes when another order waits for it."""

    spent: str
    wanted: str
    newest: int


async def pairs(database: Database) -> list[SniperPair]:
    """Return the pairs that resting snipers wait for."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, PAIRS, {"limit": MAX_PAIRS})
    return [SniperPair(row.input_mint, row.output_mint, int(row.newest)) for row in rows]


async def waiting(
    database: Database, pair: tuple[str, str], behind: tuple[datetime, UUID], unreadable: Unreadable
) -> list[RestingOrder]:
    """Return a page of the resting snipers of a pair (spent, wanted), oldest first, from behind the given order."""
    values = {"spent": pair[0], "wanted": pair[1], "created_at": behind[0], "after": behind[1], "limit": PAGE}
    async with database.connection() as connection:
        return read_resting(await fetch_rows(connection, WAITING, values), unreadable)


async def record(database: Database, pools: Sequence[NewPool]) -> None:
    """Record pools, or what they are like now, in one commit."""
    rows: list[dict[str, object]] = [
        {
            "pool": pool.address,
            "venue": pool.venue,
            "mints": sorted(pool.mints),
            "tokens": [asdict(token) for token in pool.tokens],
            "slot": pool.slot,
            "launched_at_ms": pool.launched_at_ms,
        }
        for pool in pools
    ]
    async with database.connection() as connection:
        await connection.execute(RECORD, {"rows": json_rows(rows)})


async def of_pair(database: Database, mints: tuple[str, str]) -> list[NewPool]:
    """Return the recorded pools of two mints, in any order."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, OF_PAIR, {"mints": sorted(mints), "limit": MOST_OF_PAIR})
    return [_read(row) for row in rows]


async def noted(database: Database, order_ids: Sequence[UUID]) -> list[NotedStop]:
    """Return what the events of these orders have of pools that stopped them, the latest last."""
    async with database.connection() as connection:
        rows = await fetch_rows(connection, NOTED, (list(order_ids),))
    return [NotedStop(row.order_id, row.pool, row.condition, row.figure) for row in rows]


async def forget(database: Database) -> None:
    """Delete launches that were first seen long ago."""
    async with database.connection() as connection:
        await connection.execute(FORGET, {"kept": KEPT})


def _read(row: Any) -> NewPool:
    first, second = (PoolToken(**token) for token in row.tokens)
    return NewPool(
        venue=row.venue,
        address=row.pool,
        tokens=(first, second),
        slot=row.slot,
        launched_at_ms=round(row.launched_at_ms),
    )
