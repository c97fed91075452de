"""Claims deliveries of webhooks and writes their outcomes: what the deliverer of the room `webhooks` writes.

A claim is a lease. Its token is in every write, so a process that comes back after its lease changes nothing. Times are
Postgres': the clocks of the processes may differ.
"""

from collections.abc import Sequence

from dexexec.domain.webhook import ClaimedDelivery
from dexexec.store.database import Database
from dexexec.store.rows import fetch_row, fetch_rows
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
    tries = d.tries + 1
FROM (SELECT id FROM ranked WHERE rank <= %(per_owner)s ORDER BY rank LIMIT %(limit)s) chosen, t
WHERE d.id = chosen.id AND t.id = d.webhook AND {waiting("d")} AND coalesce(d.lease_until <= clock_timestamp(), true)
RETURNING d.id, d.webhook, t.name, t.owner, t.url, t.secret, t.former_secret, d.order_id, d.seq, d.type, d.payload,
          d.tries, t.failures, d.lease
"""  # noqa: S608 - constants
DELIVERED = """
WITH d AS (
    UPDATE webhook_deliveries
    SET delivered_at = clock_timestamp(), answer = %(answer)s, lease = NULL, lease_until = NULL
    WHERE id = %(id)s AND lease = %(lease)s RETURNING webhook
), w AS (
    -- Only after failures: the rows of webhooks are not written with each delivery.
    UPDATE webhooks SET failures = 0, failing_since = NULL, paused_until = NULL
    WHERE id = (SELECT webhook FROM d) AND failures > 0
)
SELECT EXISTS (SELECT FROM d) AS written
"""
# The later events of the order wait with the failed one: otherwise each claim would look at them in vain.
#
# A failure counts once for the requests that were in flight together, so that the pauses of a target do not grow by how
# many those were.
FAILED = f"""
WITH d AS (
    UPDATE webhook_deliveries SET lease = NULL, lease_until = NULL, answer = %(answer)s,
        failed_at = CASE WHEN give_up_at <= clock_timestamp() OR %(give_up)s THEN clock_timestamp() END,
        next_at = least(give_up_at, clock_timestamp() + %(pause)s * interval '1 s')
    WHERE id = %(id)s AND lease = %(lease)s RETURNING webhook, order_id, seq, next_at, failed_at
), later AS (
    UPDATE webhook_deliveries l SET next_at = d.next_at FROM d
    WHERE l.webhook = d.webhook AND l.order_id = d.order_id AND l.seq > d.seq AND d.failed_at IS NULL
      AND {waiting("l")} AND l.next_at < d.next_at
), w AS (
    UPDATE webhooks w SET failures = w.failures + 1, failing_since = coalesce(w.failing_since, clock_timestamp()),
        paused_until = clock_timestamp() + greatest(
            %(target_pause)s, CASE WHEN w.failures + 1 >= {PROBE_AFTER} THEN %(probe_pause)s ELSE 0 END
        ) * interval '1 s',
        disabled_at = CASE WHEN %(disable)s THEN coalesce(w.disabled_at, clock_timestamp()) ELSE w.disabled_at END,
        disabled_why = CASE WHEN %(disable)s AND w.disabled_at IS NULL THEN %(answer)s ELSE w.disabled_why END
    FROM d WHERE w.id = d.webhook AND (coalesce(w.paused_until <= clock_timestamp(), true) OR %(disable)s)
)
SELECT (SELECT failed_at FROM d) IS NOT NULL AS given_up, EXISTS (SELECT FROM d) AS written
"""  # noqa: S608
RELEASE = """
UPDATE webhook_deliveries SET lease = NULL, lease_until = NULL, tries = tries - 1
WHERE id = ANY(%(ids)s) AND lease = %(lease)s
"""


class ClaimTable:
    """The deliveries as the deliverer of one process claims them. Every method raises `UnavailableError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, lease: str, *, seconds: float, limit: int, per_webhook: int, per_owner: int
    ) -> list[ClaimedDelivery]:
        """Claim up to `limit` deliveries that are due, for `seconds`. At most `per_webhook` of a webhook are in flight,
        and `per_owner` of the webhooks of an owner, over all processes. `lease` is a token that is used once."""
        async with self._database.connection() as connection, connection.transaction():
            webhooks = [row.id for row in await fetch_rows(connection, LOCK.encode())]
            if not webhooks:
                return []
            values = {
                "webhooks": webhooks,
                "lease": lease,
                "seconds": seconds,
                "limit": limit,
                "per_webhook": per_webhook,
                "per_owner": per_owner,
            }
            return [read_claimed(row) for row in await fetch_rows(connection, CLAIM.encode(), values)]

    async def delivered(self, claimed: ClaimedDelivery, answer: str) -> bool:
        """Write that the target took it. Returns False if the lease is no longer valid."""
        values = {"id": claimed.id, "lease": claimed.lease, "answer": answer}
        async with self._database.connection() as connection:
            return bool((await fetch_row(connection, DELIVERED.encode(), values)).written)

    async def failed(
        self,
        claimed: ClaimedDelivery,
        answer: str,
        *,
        pause: float,
        probe_pause: float,
        target_pause: float = 0.0,
        give_up: bool = False,
        disable: bool = False,
    ) -> bool | None:
        """Write that the try failed. The delivery is due again after `pause` seconds, unless its time is over or
        `give_up`. The webhook pauses for `target_pause` seconds, and for `probe_pause` if it has failed several times;
        `disable` ends it. Returns whether the delivery is given up; None if the lease is no longer valid."""
        values = {
            "id": claimed.id,
            "lease": claimed.lease,
            "answer": answer,
            "pause": pause,
            "probe_pause": probe_pause,
            "target_pause": target_pause,
            "give_up": give_up,
            "disable": disable,
        }
        async with self._database.connection() as connection:
            row = await fetch_row(connection, FAILED.encode(), values)
        return bool(row.given_up) if row.written else None

    async def release(self, claimed: Sequence[ClaimedDelivery]) -> None:
        """Give back deliveries that were claimed with one lease and not tried."""
        if not claimed:
            return
        values = {"ids": [each.id for each in claimed], "lease": claimed[0].lease}
        async with self._database.connection() as connection:
            await connection.execute(RELEASE.encode(), values)
