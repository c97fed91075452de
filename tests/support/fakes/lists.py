"""The list of orders of the database in memory; see `dexexec.store.order_lists`."""

from collections import Counter

from dexexec.domain.api_key import owned_name
from dexexec.domain.cancellation import Pair
from dexexec.domain.order_filter import OrderFilter, OrderTotals
from dexexec.domain.status import Status
from dexexec.store.order_lists import COUNTED
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.rows import OrderRow, moment


def listed_orders(database: MemoryDatabase, wanted: OrderFilter) -> list[OrderRow]:
    """The orders of a list, newest first."""
    rows = sorted(database.orders.values(), key=lambda row: (row.created_at, row.new.id), reverse=True)
    return [row for row in rows if _is_wanted(row, wanted)]


def count_orders(database: MemoryDatabase, wanted: OrderFilter) -> OrderTotals:
    """How many orders of a list have each status."""
    rows = listed_orders(database, wanted)
    counts = Counter(row.status for row in rows[: COUNTED + 1])
    by_status = {status: counts[status] for status in Status if counts[status]}
    return OrderTotals(by_status=by_status, at_least=len(rows) > COUNTED)


def _is_wanted(row: OrderRow, wanted: OrderFilter) -> bool:
    new = row.new
    ended = row.finished_at is not None
    at = moment(row.created_at)
    return (
        (not wanted.statuses or row.status in wanted.statuses)
        and (wanted.since is None or at >= wanted.since)
        and (wanted.until is None or at < wanted.until)
        and wanted.venue in (None, row.venue)
        and wanted.pair in (None, Pair(new.input_mint, new.output_mint))
        and (wanted.reason is None or (ended and wanted.reason == row.failure_reason))
        and wanted.type in (None, new.type)
        and wanted.dry_run in (None, new.dry_run)
        and wanted.tag in (None, new.tag)
        and wanted.parent in (None, new.parent)
        and (wanted.oco_group is None or new.oco_group in _groups(wanted, wanted.oco_group))
        and wanted.wallet in (None, new.wallet)
        and (not wanted.owners or new.owner in wanted.owners)
    )


def _groups(wanted: OrderFilter, name: str) -> set[str]:
    """A group's name as it is stored, for each owner."""
    return {owned_name(owner, name) for owner in wanted.owners} or {name}
