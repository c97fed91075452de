"""Writes what became of tries to deliver: to the delivery, and to its webhook.

Every statement that changes a webhook and its deliveries locks the webhook first, so that no two wait for each
other.
"""

from dexexec.domain.webhook import TEST, ClaimedDelivery
from dexexec.store.database import Database
from dexexec.store.rows import fetch_row
from dexexec.store.webhook_claims import PROBE_AFTER
from dexexec.store.webhook_rows import waiting

LOCK = "SELECT FROM webhooks WHERE id = %(webhook)s FOR NO KEY UPDATE"
DELIVERED = """
WITH w AS (
    -- Only after failures: the rows of webhooks are not written with each delivery.
    UPDATE webhooks SET failures = 0, failing_days = 0, failing_since = NULL, paused_until = NULL
    WHERE id = %(webhook)s AND failures > 0
      AND EXISTS (SELECT FROM webhook_deliveries WHERE id = %(id)s AND lease = %(lease)s)
    RETURNING id
), d AS (
    UPDATE webhook_deliveries
    SET delivered_at = clock_timestamp(), answer = %(answer)s, lease = NULL, lease_until = NULL
    -- The count lets this wait until `w` has the lock of the webhook.
    WHERE id = %(id)s AND lease = %(lease)s AND (SELECT count(*) FROM w) >= 0 RETURNING id
)
SELECT EXISTS (SELECT FROM d) AS written
"""
# The later events of the order wait with the failed one: otherwise each claim would look at them in vain.
#
# A failure counts once for the requests that were in flight together, so that the pauses of a target do not grow by how
# many those were. Test messages do not count: they are sent while somebody is still setting the target up.
FAILED = f"""
WITH d AS (
    UPDATE webhook_deliveries SET lease = NULL, lease_until = NULL, answer = %(answer)s,
        failed_at = CASE WHEN give_up_at <= clock_timestamp() OR %(give_up)s THEN clock_timestamp() END,
        next_at = least(give_up_at, clock_timestamp() + %(pause)s * interval '1 s')
    WHERE id = %(id)s AND lease = %(lease)s RETURNING webhook, order_id, seq, type, next_at, failed_at
), later AS (
    UPDATE webhook_deliveries l SET next_at = d.next_at FROM d
    WHERE l.webhook = d.webhook AND l.order_id = d.order_id AND l.seq > d.seq AND d.failed_at IS NULL
      AND {waiting("l")} AND l.next_at < d.next_at
), w AS (
    UPDATE webhooks w SET failures = w.failures + 1, failing_since = coalesce(w.failing_since, clock_timestamp()),
        failing_days = w.failing_days + CASE
            WHEN w.failing_days > 0 AND w.last_failure_at::date = clock_timestamp()::date THEN 0 ELSE 1 END,
        last_failure_at = clock_timestamp(),
        paused_until = clock_timestamp() + greatest(
            %(target_pause)s, CASE WHEN w.failures + 1 >= {PROBE_AFTER} THEN %(probe_pause)s ELSE 0 END
        ) * interval '1 s',
        disabled_at = CASE WHEN %(disable)s THEN coalesce(w.disabled_at, clock_timestamp()) ELSE w.disabled_at END,
        disabled_why = CASE WHEN %(disable)s AND w.disabled_at IS NULL THEN %(answer)s ELSE w.disabled_why END
    FROM d WHERE w.id = d.webhook AND d.type <> '{TEST}'
      AND (coalesce(w.paused_until <= clock_timestamp(), true) OR %(disable)s)
), paused AS (
    -- A target's wish counts, whatever it was sent.
    UPDATE webhooks w SET paused_until =
        greatest(w.paused_until, clock_timestamp() + %(target_pause)s * interval '1 s')
    FROM d WHERE w.id = d.webhook AND d.type = '{TEST}' AND %(target_pause)s > 0
)
SELECT (SELECT failed_at FROM d) IS NOT NULL AS given_up, EXISTS (SELECT FROM d) AS written
"""  # noqa: S608


class OutcomeTable:
    """What became of tries, as the deliverer writes it. Every method raises `UnavailableError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delivered(self, claimed: ClaimedDelivery, answer: str) -> bool:
        """Write that the target took it. Returns False if the lease is no longer valid."""
        values = {"id": claimed.id, "webhook": claimed.webhook, "lease": claimed.lease, "answer": answer}
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
        `disable` ends it. A test message changes nothing about the webhook but the first of these. Returns whether the
        delivery is given up; None if the lease is no longer valid."""
        values = {
            "id": claimed.id,
            "webhook": claimed.webhook,
            "lease": claimed.lease,
            "answer": answer,
            "pause": pause,
            "probe_pause": probe_pause,
            "target_pause": target_pause,
            "give_up": give_up,
            "disable": disable,
        }
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(LOCK, values)
            row = await fetch_row(connection, FAILED.encode(), values)
        return bool(row.given_up) if row.written else None
