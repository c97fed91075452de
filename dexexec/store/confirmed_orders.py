"""Pages of confirmed orders, for the watcher that looks up whether their swaps are finalized.

The worker that confirmed an order holds it until it is final (`execution.watched_orders`); these are left over where
one has ended or has no room. Taking a page raises the claims of its orders, so that an earlier watcher writes nothing
more, and makes them due again, so that another watcher goes on if this one dies (docs/adr/0018).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from dexexec.store.claims import CLAIMED, Unreadable, read_all
from dexexec.store.database import Database
from dexexec.store.rows import fetch_rows
from dexexec.store.steps import Claimed

BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0)

# Two watchers never take the same order: SKIP LOCKED leaves out those that another page is taking, and those that it
# has taken are not due. Attempts from before networks were stored belong to the network of their venue.
TAKE = f"""
WITH me AS (
    SELECT id FROM workers WHERE id = %(worker)s AND lease_until > clock_timestamp()
), page AS (
    SELECT o.id
    FROM me, orders o JOIN attempts a ON a.order_id = o.id AND coalesce(a.outcome, '') = ''
    WHERE o.finished_at IS NULL AND NOT o.resting AND o.set_aside_at IS NULL AND o.status = 'confirmed'
      AND o.due_at <= clock_timestamp() - %(overdue_ms)s * interval '1 ms'
      AND NOT EXISTS (SELECT FROM workers w WHERE w.id = o.worker AND w.lease_until > clock_timestamp())
      AND o.created_at >= %(since)s AND (o.created_at, o.id) > (%(since)s, %(after)s)
      AND (%(network)s::text IS NULL
           OR a.network = %(network)s AND coalesce(a.genesis, '') IN ('', %(genesis)s)
           OR a.network = %(network)s AND %(genesis)s = ''
           OR coalesce(a.network, '') = '' AND a.venue = ANY(%(venues)s))
    ORDER BY o.created_at, o.id LIMIT %(limit)s
    FOR UPDATE OF o SKIP LOCKED
), c AS (
    UPDATE orders o SET claim = o.claim + 1, worker = NULL,
                        due_at = clock_timestamp() + %(next_look_ms)s * interval '1 ms'
    FROM page WHERE o.id = page.id
    RETURNING o.*
)
{CLAIMED}"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedPage:
    """Which confirmed orders to take, and when they are due again (`next_look_ms`).

    Up to `limit` orders that have been due for `overdue_ms`, oldest first, behind the order that `behind` names by its
    creation time and id. Only of `network` (None: of all), whose genesis hash is `genesis` (empty: it has none) and
    where `venues` settle.
    """

    next_look_ms: float
    network: str | None = None
    genesis: str = ""
    venues: Sequence[str] = ()
    overdue_ms: float = 0
    limit: int = 256
    behind: tuple[datetime, UUID] = BEFORE_ALL


async def take_confirmed(database: Database, worker: int, page: ConfirmedPage, unreadable: Unreadable) -> list[Claimed]:
    """Take a page for a worker with a valid lease, in one commit; returns it oldest first."""
    values = {
        "worker": worker,
        "next_look_ms": float(page.next_look_ms),
        "network": page.network,
        "genesis": page.genesis,
        "venues": list(page.venues),
        "overdue_ms": float(page.overdue_ms),
        "limit": page.limit,
        "since": page.behind[0],
        "after": page.behind[1],
    }
    async with database.connection() as connection:
        rows = await fetch_rows(connection, TAKE, values, prepare=True, binary=True)
    taken = read_all(rows, unreadable)
    # An UPDATE ... RETURNING does not keep the order of its page.
    return sorted(taken, key=lambda claimed: (claimed.order.created_at, claimed.order.id))
