"""Which orders a list has: the filters of `GET /api/orders`. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime

from dexexec.client.order_body import camel
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType

NAMES = {"since": "from", "until": "to"}
"""The parameters that have another name here, since `from` is a word of Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Only orders that match all of these. `since` and `until` are about when an order was created; `pair` is
    `"SOL/USDC"`, as symbols or mints; `key` is the name of an API key, for keys with the scope admin."""

    status: Status | str | Collection[Status | str] | None = None
    since: datetime | str | None = None
    until: datetime | str | None = None
    pair: str | None = None
    venue: str | None = None
    reason: str | None = None
    type: OrderType | str | None = None
    dry_run: bool | None = None
    tag: str | None = None
    oco_group: str | None = None
    wallet: str | None = None
    parent: str | None = None
    key: str | None = None

    def query(self) -> dict[str, object]:
        """The parameters, by their names in the API."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        if not isinstance(self.status, str | None):
            given["status"] = ",".join(self.status)
        return {NAMES.get(name, camel(name)): value for name, value in given.items()}
