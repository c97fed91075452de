"""Lists orders for clients, newest first, by any combination of filters, from the main tables and the archive.

Each filter has an index in the order of the list (sql/0028), so a page reads little more than its own orders. Where a
filter would need several ranges of an index, each is a branch of a UNION, since only one range is in order.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from uuid import UUID

from psycopg.rows import DictRow, dict_row

from dexexec.domain.order_filter import ALL_ORDERS, OrderFilter, OrderTotals
from dexexec.domain.status import TERMINAL, Status
from dexexec.domain.terms import OrderType
from dexexec.store.archive_queries import SUMMARY
from dexexec.store.database import Connection, Database
from dexexec.store.rows import fetch_rows

COUNTED = 10_000
"""The most orders that are counted for one list: some 20 ms of Postgres' time."""

COUNTED_COLUMNS = "status, created_at, id"

ENDS = TERMINAL | {Status.CONFIRMED}
LIVE = frozenset(Status) - TERMINAL

_ENDED = "finished_at IS NOT NULL"
_ACTIVE = "finished_at IS NULL AND NOT resting"

_KIND = "(type || CASE WHEN dry_run THEN ' dry' ELSE '' END)"
"""The expression that the index on both columns has."""

_PAGE = """
SELECT {columns} FROM {table}
WHERE {conditions} AND (created_at, id) < (%(created_at)s, %(id)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""
_MERGED = """
SELECT * FROM ({branches}) branches ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""
OWNERS = "SELECT id FROM api_keys WHERE name = %s ORDER BY id"
_COUNT = "SELECT status, count(*) AS orders FROM ({page}) counted GROUP BY status"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in the list of orders, newest first."""

    created_at: datetime
    id: UUID


NEWEST_OF_ALL = Cursor(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))
OLDEST = datetime.min.replace(tzinfo=UTC)


async def read_page(database: Database, limit: int, before: Cursor | None, wanted: OrderFilter) -> list[DictRow]:
    """Return the rows of a page, newest first: those that come after `before` in the list."""
    values = _values(wanted, before, limit)
    async with database.connection() as connection:
        # With a filter it is planned for its values: a plan for any value would search the whole list for a rare one.
        prepare = None if wanted == ALL_ORDERS else False
        cursor = connection.cursor(row_factory=dict_row)
        rows = await (await cursor.execute(main_page(wanted).encode(), values, prepare=prepare)).fetchall()
        if not may_be_archived(wanted):
            return rows
        if len(rows) == limit:
            # The page is full. Only orders of the archive that are newer than its last one may replace some of it, so
            # the partitions before it are not opened.
            values["since"] = max(values["since"], rows[-1]["created_at"])
        statement = archive_page(wanted).encode()
        older = await (await cursor.execute(statement, values, prepare=False)).fetchall()
    merged = {row["id"]: row for row in (*older, *rows)}  # an order that was archived in between is in both
    return sorted(merged.values(), key=lambda row: (row["created_at"], row["id"].int), reverse=True)[:limit]


async def count(database: Database, wanted: OrderFilter) -> OrderTotals:
    """Count the orders of a list by status. If there are more than `COUNTED`, only so many are counted."""
    values = _values(wanted, None, COUNTED + 1)
    async with database.connection() as connection, connection.transaction():
        # One snapshot: an order that is archived in between would be counted twice.
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        counts = await _count(connection, main_page(wanted, COUNTED_COLUMNS), values)
        # One more than is counted: this shows that there are more.
        values["limit"] = COUNTED + 1 - counts.total()
        if values["limit"] and may_be_archived(wanted):
            counts += await _count(connection, archive_page(wanted, COUNTED_COLUMNS), values)
    return OrderTotals(
        by_status={status: counts[status.value] for status in Status if counts[status.value]},
        at_least=counts.total() > COUNTED,
    )


async def owners_named(database: Database, name: str) -> list[int]:
    """Return the numbers of all keys that have or had this name: it can be used again once its key is revoked."""
    async with database.connection() as connection:
        return [row.id for row in await fetch_rows(connection, OWNERS, (name,))]


async def _count(connection: Connection, page: str, values: Mapping[str, object]) -> "Counter[str]":
    rows = await fetch_rows(connection, _COUNT.format(page=page).encode(), values, prepare=False)
    return Counter({row.status: row.orders for row in rows})


def may_be_archived(wanted: OrderFilter) -> bool:
    """Whether orders of the list may be in the archive, which has only orders that have ended."""
    return not wanted.statuses or bool(wanted.statuses & ENDS)


def main_page(wanted: OrderFilter, columns: str = SUMMARY) -> str:
    """The statement of a page from `orders`."""
    return _statement("orders", columns, [*_branches(_main_states(wanted), wanted)])


def archive_page(wanted: OrderFilter, columns: str = SUMMARY) -> str:
    """The statement of a page from the archive. `since` and `created_at` choose the partitions; they are ordered by
    time, so the newest is read first, and LIMIT ends the search early."""
    ends = wanted.statuses & ENDS
    states = [f"status = '{status}'" for status in sorted(ends)] or ["true"]
    states = [" AND ".join([state, *_exact(wanted, "venue", "failure_reason")]) for state in states]
    bounds = "created_at >= %(since)s AND created_at <= %(created_at)s"
    return _statement("archived_orders", columns, [f"{bounds} AND {one}" for one in _branches(states, wanted)])


def _statement(table: str, columns: str, branches: Sequence[str]) -> str:
    pages = [_PAGE.format(table=table, columns=columns, conditions=conditions) for conditions in branches]
    if len(pages) == 1:
        return pages[0]
    return _MERGED.format(branches=" UNION ALL ".join(f"({page})" for page in pages))


def _main_states(wanted: OrderFilter) -> list[str]:
    """Conditions on what changes during execution. Each is one range of an index, and no order is in two of them."""
    if not (wanted.statuses or wanted.venue or wanted.reason):
        return ["true"]
    ended = _exact(wanted, "ended_venue", "ended_reason")
    if wanted.statuses:
        states = [" AND ".join([f"ended = '{status}'", *ended]) for status in sorted(wanted.statuses & ENDS)]
    else:
        states = [" AND ".join([_ENDED, *ended])]
    if wanted.reason is None:
        # An order that has not ended has no reason yet. The two indexes of such orders are small, so the conditions on
        # `venue` and `status`, which are in no index, are checked row by row.
        among = _exact(wanted, "venue", "")
        live = sorted(wanted.statuses & LIVE)
        chosen = [f"status IN ({', '.join(repr(status.value) for status in live)})"] if live else []
        if live or not wanted.statuses:
            states.append(" AND ".join([_ACTIVE, *chosen, *among]))
        if Status.WAITING in wanted.statuses or not wanted.statuses:
            states.append(" AND ".join(["resting", *among]))
    return states or ["false"]


def _exact(wanted: OrderFilter, venue: str, reason: str) -> list[str]:
    """The conditions on venue and reason, with the columns that have them."""
    conditions = [f"{venue} = %(venue)s"] if wanted.venue is not None else []
    return conditions + ([f"{reason} = %(reason)s"] if wanted.reason is not None else [])


def _branches(states: Sequence[str], wanted: OrderFilter) -> Iterator[str]:
    """The conditions of each branch: a state, an owner, and a kind."""
    common = [condition for name, condition in _CONDITIONS.items() if getattr(wanted, name) is not None]
    # Numbers and names of our own enums are written into the statement; what a client sent is a parameter.
    owners = [f"owner = {owner:d}" for owner in wanted.owners] or ["true"]
    if wanted.oco_group is not None and wanted.owners:
        # A group is stored behind its owner's number (`owned_name`).
        common.remove(_CONDITIONS["oco_group"])
        owners = [f"owner = {owner:d} AND oco_group = '{owner:d}/' || %(oco_group)s::text" for owner in wanted.owners]
    kinds = ["true"]
    if wanted.type is not None or wanted.dry_run is not None:
        types = [wanted.type] if wanted.type is not None else list(OrderType)
        dry = [wanted.dry_run] if wanted.dry_run is not None else [False, True]
        kinds = [f"{_KIND} = '{one}{' dry' if flag else ''}'" for one, flag in product(types, dry)]
    for state, owner, kind in product(states, owners, kinds):
        yield " AND ".join(part for part in (state, owner, kind, *common) if part != "true") or "true"


_CONDITIONS = {
    "since": "created_at >= %(since)s",
    "pair": "input_mint = %(input_mint)s AND output_mint = %(output_mint)s",
    "tag": "tag = %(tag)s",
    "parent": "parent = %(parent)s",
    "oco_group": "oco_group = %(oco_group)s",
    "wallet": "wallet = %(wallet)s",
}


def _values(wanted: OrderFilter, before: Cursor | None, limit: int) -> dict[str, object]:
    start = before or NEWEST_OF_ALL
    if wanted.until is not None and wanted.until <= start.created_at:
        # The same as `created_at < until`, as a place in the list: no id is below this one.
        start = Cursor(wanted.until, UUID(int=0))
    return {
        "created_at": start.created_at,
        "id": start.id,
        "limit": limit,
        "since": wanted.since or OLDEST,
        "venue": wanted.venue,
        "reason": wanted.reason,
        "input_mint": wanted.pair and wanted.pair.input_mint,
        "output_mint": wanted.pair and wanted.pair.output_mint,
        "tag": wanted.tag,
        "parent": wanted.parent,
        "oco_group": wanted.oco_group,
        "wallet": wanted.wallet,
    }
