"""Claims deliveries of webhooks, under a session lock that ends with the process that tries them.

A claim is a lease. Its token is in every write, so a process that comes back after its lease changes nothing. Times are
Postgres': the clocks of the processes may differ.
"""

import asyncio
from collections.abc import Callable

from dexexec.domain.webhook import ClaimedDelivery
from dexexec.store.database import Connection, Database
from dexexec.store.postgres_errors import translate_postgres_errors
from dexexec.store.rows import fetch_rows
from dexexec.store.session_locks import SessionLock, lock_class
from dexexec.store.webhook_rows import read_claimed, waiting

PROBE_AFTER = 3
"""After so many failed tries in a row, a target gets one request at a time, and pauses between them."""

# Of two processes at once only one claims for a webhook, or both would count the same free places. A webhook whose row
# is locked is looked at again in the next round.
#
# The planner disables the webhooks of a key that has ended, but only some seconds later or after its next start: until
# then nothing may be sent either.
LOCK = f"""
SELECT w.id FROM webhooks w
WHERE w.disabled_at IS NULL AND coalesce(w.paused_until <= clock_timestamp(), true)
  AND EXISTS (SELECT FROM webhook_deliveries d
              WHERE d.webhook = w.id AND {waiting("d")} AND d.next_at <= clock_timestamp())
  AND NOT EXISTS (SELECT FROM api_keys k
                  WHERE k.id = w.owner AND (k.revoked_at IS NOT NULL OR k.expires_at <= clock_timestamp()))
FOR NO KEY UPDATE OF w SKIP LOCKED
"""  # noqa: S608 - constants
# A statement of its own, after the lock: it sees what the process that had the lock before has committed.
#
# `first`: of each order only its first delivery that waits, so an order's events arrive in order. One that has failed
# for good makes way for the next.
#
# While a target fails, what was tried least comes first, and the newest of that: events that the target can never take
# must not be what it is judged by. Then all that is due is sorted, which is rare since such a target pauses. Otherwise
# the index has the order, and only the first rows are read.
_DUE = f"""
WHERE d.webhook = t.id AND {waiting("d")} AND d.next_at <= clock_timestamp()
  AND coalesce(d.lease_until <= clock_timestamp(), true)
  AND NOT EXISTS (
      SELECT FROM webhook_deliveries e
      WHERE e.webhook = d.webhook AND e.order_id = d.order_id AND e.seq < d.seq AND {waiting("e")})
"""
CLAIM = f"""
WITH t AS MATERIALIZED (
    SELECT w.id, w.name, w.owner, w.url, w.secret, w.failures, w.failures >= {PROBE_AFTER} AS probing,
           CASE WHEN w.former_secret_until > clock_timestamp() THEN w.former_secret END AS former_secret
    FROM webhooks w WHERE w.id = ANY(%(webhooks)s)
), busy AS MATERIALIZED (
    SELECT d.webhook, w.owner, count(*) AS n FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook
    WHERE d.lease IS NOT NULL AND d.lease_until > clock_timestamp() GROUP BY d.webhook, w.owner
), first AS (
    SELECT d.id, t.owner, row_number() OVER (PARTITION BY t.owner ORDER BY d.next_at, d.id) AS of_owner
    FROM t LEFT JOIN busy b ON b.webhook = t.id CROSS JOIN LATERAL (
        (SELECT d.id, d.next_at FROM webhook_deliveries d {_DUE} AND NOT t.probing
         ORDER BY d.next_at LIMIT greatest(0, %(per_webhook)s - coalesce(b.n, 0)))
        UNION ALL
        (SELECT d.id, d.next_at FROM webhook_deliveries d {_DUE} AND t.probing
         ORDER BY d.tries, d.id DESC LIMIT greatest(0, 1 - coalesce(b.n, 0)))
    ) d
), ranked AS (
    SELECT f.id, f.of_owner + coalesce(
        (SELECT sum(b.n) FROM busy b WHERE b.owner IS NOT DISTINCT FROM f.owner), 0) AS rank FROM first f
)
UPDATE webhook_deliveries d SET lease = %(lease)s, lease_until = clock_timestamp() + %(seconds)s * interval '1 s',
    lease_holder = %(holder)s, tries = d.tries + 1
FROM (SELECT id FROM ranked WHERE rank <= %(per_owner)s ORDER BY rank LIMIT %(limit)s) chosen, t
WHERE d.id = chosen.id AND t.id = d.webhook AND {waiting("d")} AND coalesce(d.lease_until <= clock_timestamp(), true)
RETURNING d.id, d.webhook, t.name, t.owner, t.url, t.secret, t.former_secret, d.order_id, d.seq, d.type, d.payload,
          d.tries, t.failures, d.lease
"""  # noqa: S608 - constants
# If the lock of a holder can be taken, its session has ended. The lock is freed again at the end of the statement. A
# process of an older version has no number: its leases end by their time.
#
# SKIP LOCKED: a row that is locked is just being written, perhaps by the very process that seems to be gone.
FREE_LOST = """
WITH lost AS MATERIALIZED (
    SELECT h.holder FROM (
        SELECT DISTINCT d.lease_holder AS holder FROM webhook_deliveries d
        WHERE d.lease IS NOT NULL AND d.lease_until > clock_timestamp() + %(seconds)s * interval '1 s'
    ) h WHERE pg_try_advisory_xact_lock(%(locks)s, h.holder)
)
UPDATE webhook_deliveries SET lease_until = clock_timestamp() + %(seconds)s * interval '1 s'
WHERE id = ANY(ARRAY(
    SELECT d.id FROM webhook_deliveries d JOIN lost l ON l.holder = d.lease_holder
    WHERE d.lease IS NOT NULL AND d.lease_until > clock_timestamp() + %(seconds)s * interval '1 s'
    FOR UPDATE OF d SKIP LOCKED))
"""


class ClaimSession:
    """A process that delivers, as Postgres sees it: a connection with a session lock, over which it claims. So what is
    not claimed over a living connection is not in flight."""

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection = connection
        self._number = number

    @property
    def is_lost(self) -> bool:
        """Whether its lock is gone: other processes take over what was claimed."""
        return self._connection.closed

    async def claim(
        self, lease: str, *, seconds: float, limit: int, per_webhook: int, per_owner: int
    ) -> list[ClaimedDelivery]:
        """Claim up to `limit` deliveries that are due, for `seconds`. At most `per_webhook` of a webhook are in flight,
        and `per_owner` of the webhooks of an owner, over all processes. `lease` is a token that is used once. With a
        `limit` of 0 it only checks the session. Raises `UnavailableError`."""
        with translate_postgres_errors():
            await self._connection.check_if_due()
            if not limit:
                return []
            async with self._connection.transaction():
                webhooks = [row.id for row in await fetch_rows(self._connection, LOCK.encode())]
                if not webhooks:
                    return []
                values = {
                    "webhooks": webhooks,
                    "holder": self._number,
                    "lease": lease,
                    "seconds": seconds,
                    "limit": limit,
                    "per_webhook": per_webhook,
                    "per_owner": per_owner,
                }
                return [read_claimed(row) for row in await fetch_rows(self._connection, CLAIM.encode(), values)]

    async def end(self) -> None:
        """Close the connection, which frees the lock."""
        await self._connection.close()


class ClaimTable:
    """Sessions of processes that deliver. `new_number` returns numbers from 0 to 2**31 - 1, as good as unique: two
    living sessions with one number would wait for each other."""

    def __init__(self, database: Database, new_number: Callable[[], int]) -> None:
        self._database = database
        self._new_number = new_number

    async def begin_session(self) -> ClaimSession:
        """Open a session. Raises `UnavailableError`."""
        number = self._new_number()
        connection = await self._database.dedicated()
        try:
            with translate_postgres_errors():
                async with asyncio.timeout(self._database.timeout):
                    await connection.execute("SELECT pg_advisory_lock(%s, %s)", (self._locks, number))
        except BaseException:
            await connection.close()
            raise
        return ClaimSession(connection, number)

    async def free_lost(self, seconds: float) -> int:
        """Let the leases of sessions that are gone end in `seconds`; returns how many. Raises `UnavailableError`."""
        values = {"seconds": seconds, "locks": self._locks}
        # Over a connection of the pool: the session itself could take its own lock a second time.
        async with self._database.connection() as connection:
            return (await connection.execute(FREE_LOST, values)).rowcount

    @property
    def _locks(self) -> int:
        return lock_class(self._database.address.schema, SessionLock.DELIVERY)
