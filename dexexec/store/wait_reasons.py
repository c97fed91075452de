"""What a waiting order waits for: written by its worker, and read with the order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from dexexec.domain.event import timestamp
from dexexec.domain.status import Status
from dexexec.domain.wait_reason import NOT_FINAL, WaitsFor
from dexexec.store.database import Database

# `since` is kept while the reason is the same: a detail that changes does not restart the wait.
NOTE = """
UPDATE orders o SET waiting = jsonb_build_object('reason', t.reason, 'detail', t.detail, 'since',
    CASE WHEN o.waiting->>'reason' = t.reason THEN o.waiting->'since' ELSE to_jsonb(clock_timestamp()) END)
FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::text[]) AS t(id, claim, reason, detail)
WHERE o.id = t.id AND o.claim = t.claim AND o.ended IS NULL
"""


@dataclass(frozen=True, slots=True)
class WaitNote:
    """What an order waits for, from the worker with this claim."""

    order_id: UUID
    claim: int
    reason: WaitsFor
    detail: str


async def write_notes(database: Database, notes: Sequence[WaitNote]) -> list[None]:
    """Store what orders wait for, in one commit; stale claims are ignored."""
    rows = ((note.order_id, note.claim, note.reason, note.detail) for note in notes)
    async with database.connection() as connection:
        await connection.execute(NOTE, [list(column) for column in zip(*rows, strict=True)])
    return [None] * len(notes)


def waiting_for(
    status: Status, noted: Mapping[str, Any] | None, last: Mapping[str, Any], *, ended: bool
) -> dict[str, object] | None:
    """Return what an order waits for, as JSON values: from the worker's note, or from the last event without one. None
    when the order has ended or is being executed."""
    if ended:
        return None
    if noted:
        since = timestamp(datetime.fromisoformat(noted["since"]))
        return {"reason": noted["reason"], "detail": noted["detail"], "since": since}
    since = last["at"]
    if last.get("retryInMs") is not None and "reason" in last:
        until = datetime.fromisoformat(since) + timedelta(milliseconds=last["retryInMs"])
        detail = last.get("detail") or last["reason"]
        return {"reason": last["reason"], "detail": detail, "since": since, "until": timestamp(until)}
    return _by_status(status, last, since)


def _by_status(status: Status, last: Mapping[str, Any], since: str) -> dict[str, object] | None:
    if status is Status.CONFIRMED:
        return {"reason": NOT_FINAL.reason, "detail": NOT_FINAL.detail, "since": since}
    if status is Status.WAITING and "waitsFor" in last:
        return {"reason": last["waitsFor"], "detail": last["detail"], "since": since}
    if status in (Status.PENDING, Status.WAITING):
        return {"reason": WaitsFor.WORKER, "detail": "no worker has taken it up yet", "since": since}
    return None
