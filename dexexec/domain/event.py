"""An event: one numbered step of an order, as it is stored and sent to clients."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

import orjson

from dexexec.domain.stage import Stage
from dexexec.domain.status import Status, ends

Detail = Mapping[str, object]
NO_STAGES: Mapping[Stage, float] = {}  # plain, since the store of the tests copies its events, and a proxy has no copy


@lru_cache(maxsize=64)
def timestamp(at: datetime) -> str:
    """RFC 3339, UTC, milliseconds: `2026-01-31T12:00:00.123Z`. Cached, since all events of one commit share it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`detail` has the fields of this step: venue, quotes, txHash, reason, attempt ... (JSON values only).

    `kind` is the order's type, and `stages` the seconds that each stage took that ended with this event. Both are for
    the metrics and the log, not for clients, and empty where an event was read and not just written."""

    order_id: UUID
    seq: int
    status: Status
    at: datetime
    detail: Detail
    kind: str = field(default="", compare=False)
    stages: Mapping[Stage, float] = field(default_factory=lambda: NO_STAGES, compare=False)

    @property
    def final(self) -> bool:
        """Whether no event follows this one."""
        taken_over = self.detail.get("takenOver") is True  # from an old table: no worker continues such an order
        return taken_over or ends(self.status, finalized=self.detail.get("finalized") is True)

    def message(self) -> dict[str, object]:
        """The JSON object for clients, the same over HTTP and WebSocket."""
        return {
            "orderId": str(self.order_id),
            "seq": self.seq,
            "status": self.status.value,
            "at": timestamp(self.at),
            "final": self.final,
            **self.detail,
        }

    def encode(self) -> bytes:
        """`message()` as compact JSON: encoded once for all receivers."""
        return orjson.dumps(self.message())
