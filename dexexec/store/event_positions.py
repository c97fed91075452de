"""Reads the events of all orders as one stream, a page at a time, from a position that a reader may keep for good.

A position names an event and its place, so that a record without that event refuses it instead of leaving something out
(docs/adr/0049). Used by the feed and by the webhooks' planner.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from psycopg import sql

from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.errors import DexexecError, RequestError, UnavailableError
from dexexec.store.database import Connection, Database
from dexexec.store.rows import fetch_row, fetch_rows

START = "start"
"""The position before the oldest event that the main tables have."""
EMPTY = "0"
"""The position of a record without any event in the stream."""
MAX_PAGE = 1_000
TIMEOUT = 5.0
"""Seconds that a page may take."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POSITION = re.compile(r"(?P<place>[0-9a-f]{1,15})-(?P<digest>[0-9a-f]{16})", re.ASCII)
NO_ORDER = UUID(int=0)

DIGEST = """
left(encode(sha256(convert_to(format('%%s %%s %%s', c.order_id, c.seq, (extract(epoch FROM c.at) * 1000000)::bigint),
                              'UTF8')), 'hex'), 16)
"""

# Transactions below the horizon have ended, and what they wrote is visible to this statement. A later one has a higher
# number, so nothing will ever be committed below it.
_HORIZON = """
SELECT event_base() + pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon
"""

# `known` is the event of the position, or no row. Its order and seq are looked up and not taken from the caller, since
# a position must not show another key's order. `lost`: an event behind it is in the archive.
#
# Events of other owners are passed over without their detail: so a reader with few orders gets ahead in the stream.
PAGE = f"""
WITH s AS MATERIALIZED ({_HORIZON}),
last_archived AS MATERIALIZED (SELECT position, order_id, seq, at FROM archived_events),
known AS MATERIALIZED (
    SELECT c.position, c.order_id, c.seq FROM (
        SELECT e.position, e.order_id, e.seq, e.at FROM order_events e WHERE e.position = %(place)s
        UNION ALL
        SELECT position, order_id, seq, at FROM last_archived WHERE position = %(place)s
    ) c WHERE {DIGEST} = %(digest)s
    UNION ALL
    SELECT 0, '{NO_ORDER}', 0 WHERE %(digest)s = ''
    LIMIT 1
), page AS (
    SELECT e.position, e.order_id, e.seq, e.at, e.status, e.detail FROM order_events e
    WHERE e.position >= (SELECT position FROM known) AND e.position < (SELECT horizon FROM s)
      AND (e.position, e.order_id, e.seq) >
          ((SELECT position FROM known), (SELECT order_id FROM known), (SELECT seq FROM known))
    ORDER BY e.position, e.order_id, e.seq LIMIT %(limit)s
), waiting AS (
    SELECT (SELECT e.at FROM order_events e WHERE e.position >= (SELECT horizon FROM s) ORDER BY e.position LIMIT 1)
        AS since
)
SELECT EXISTS (SELECT FROM known) AS known, s.horizon,
       (SELECT (a.position, a.order_id, a.seq) > (k.position, k.order_id, k.seq) FROM known k, last_archived a) AS lost,
       extract(epoch FROM clock_timestamp() - w.since)::float8 AS waiting_seconds,
       p.position, p.order_id, p.seq, p.at, p.status, o.owner,
       CASE WHEN %(owner)s::int IS NULL OR o.owner = %(owner)s THEN p.detail END AS detail
FROM s CROSS JOIN waiting w LEFT JOIN page p ON true LEFT JOIN orders o ON o.id = p.order_id
ORDER BY p.position, p.order_id, p.seq
"""  # noqa: S608 - constants

LAST = f"""
WITH s AS MATERIALIZED ({_HORIZON})
SELECT * FROM (
    (SELECT position, order_id, seq, at FROM order_events WHERE position < (SELECT horizon FROM s)
     ORDER BY position DESC, order_id DESC, seq DESC LIMIT 1)
    UNION ALL
    SELECT position, order_id, seq, at FROM archived_events
) newest ORDER BY position DESC, order_id DESC, seq DESC LIMIT 1
"""  # noqa: S608 - a constant

# Positions that the next transactions would not exceed, as in a dump that was restored where numbers are smaller.
AHEAD = """
SELECT highest, highest >= event_base() + next AS ahead, next
FROM (SELECT greatest((SELECT max(position) FROM order_events), (SELECT max(position) FROM archived_events)) AS highest,
             pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) n
"""
RAISE_BASE = "CREATE OR REPLACE FUNCTION event_base() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS {}"


class InvalidPositionError(DexexecError):
    """What was given as a position in the stream of all events cannot be one."""

    code = "invalid-position"


class PositionUnknownError(RequestError):
    """The stream of all events cannot go on from this position without leaving something out: read the state of the
    orders again, and follow the stream from now on."""

    code = "position-unknown"
    http_status = 410
    title = "The position in the stream is not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedEvent:
    """An event in the stream of all orders. `owner` is the key that its order belongs to (None: no key)."""

    event: Event
    position: str
    owner: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Events that follow a position, in the order of the stream."""

    events: tuple[PlacedEvent, ...]
    position: str
    """Behind all that was looked at, events of other owners included: the next page begins here."""
    more: bool
    """Whether the page was full, and the next one should be read at once."""
    waiting_seconds: float | None
    """For how long the oldest event has been waiting that is committed and cannot be read yet, since an earlier
    transaction is still open; None if there is none."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The parts of a position. `digest` is empty before the first event."""

    place: int
    digest: str


def check_position(position: str) -> None:
    """Raise `InvalidPositionError` unless this may be a position."""
    _read_position(position)


def encode_position(place: int, event: UUID, seq: int, at: datetime) -> str:
    """The position of an event, which shows neither its order nor whose it is."""
    micros = (at - _EPOCH) // timedelta(microseconds=1)
    digest = sha256(f"{event} {seq} {micros}".encode()).hexdigest()[:16]
    return f"{place:x}-{digest}"


def _read_position(position: str) -> _Place:
    if position in {START, EMPTY}:
        return _Place(0, "")
    match = _POSITION.fullmatch(position)
    if match is None:
        raise InvalidPositionError("it is not a position of this stream")
    return _Place(int(match["place"], 16), match["digest"])


class EventReader:
    """Reads the stream with connections of `database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, after: str, limit: int, owner: int | None = None) -> EventPage:
        """Return the events behind a position, up to `limit` (at most `MAX_PAGE`); of the orders of `owner` only
        (None: of all), and then perhaps fewer although more follow.

        Raises `InvalidPositionError`, `UnavailableError`, and `PositionUnknownError` if the record does not have the
        event of that position, or has moved events behind it to the archive.
        """
        place = _read_position(after)
        limit = min(limit, MAX_PAGE)
        values = {"place": place.place, "digest": place.digest, "limit": limit, "owner": owner}
        rows = await self._fetch(PAGE, values)
        if not rows[0].known:
            raise PositionUnknownError("the record does not have the event of this position")
        if rows[0].lost and after != START:
            raise PositionUnknownError("events behind this position were moved to the archive")
        found = [row for row in rows if row.position is not None]
        placed = [(row, encode_position(row.position, row.order_id, row.seq, row.at)) for row in found]
        return EventPage(
            events=tuple(_placed(row, position) for row, position in placed if row.detail is not None),
            # After `start` the archive may have something before: the empty position would not be known.
            position=placed[-1][1] if placed else after,
            more=len(found) == limit,
            waiting_seconds=rows[0].waiting_seconds,
        )

    async def last_position(self) -> str:
        """Return the position of the newest event that can be read. Raises `UnavailableError`."""
        rows = await self._fetch(LAST, {})
        return encode_position(rows[0].position, rows[0].order_id, rows[0].seq, rows[0].at) if rows else EMPTY

    async def _fetch(self, statement: str, values: dict[str, object]) -> Sequence[Any]:
        try:
            async with asyncio.timeout(TIMEOUT), self._database.connection() as connection:
                return await fetch_rows(connection, statement, values)
        except TimeoutError as error:
            raise UnavailableError("Postgres does not answer in time") from error


def _placed(row: Any, position: str) -> PlacedEvent:
    event = Event(order_id=row.order_id, seq=row.seq, status=Status(row.status), at=row.at, detail=row.detail)
    return PlacedEvent(event=event, position=position, owner=row.owner)


async def positions_are_ahead(connection: Connection) -> bool:
    """Whether the record has positions that new events would not exceed."""
    row = await fetch_row(connection, AHEAD)
    return bool(row.ahead)


async def settle_positions(connection: Connection) -> None:
    """Let new events have higher positions than all that the record has. Needs the owner of the schema's functions;
    runs in the caller's transaction, before which no event may be written."""
    row = await fetch_row(connection, AHEAD)
    if row.ahead:
        body = f"SELECT {row.highest + 1 - row.next}::bigint"
        await connection.execute(sql.SQL(RAISE_BASE).format(sql.Literal(body)))
