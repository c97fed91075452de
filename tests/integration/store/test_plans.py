"""How Postgres goes about the statements of an order's way when the history is long: by keys and small indexes, never
through a whole table, and with the partitions that are needed only.

Plans are asserted, not times. They are the generic ones, which is what prepared statements come to.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from dexexec.domain.cancellation import Pair
from dexexec.domain.order_filter import ALL_ORDERS, OrderFilter
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.settlement.simulated import postgres_ledger
from dexexec.store import (
    Address,
    ArchiveSession,
    GroupBy,
    archive,
    cancellations,
    child_orders,
    claims,
    confirmed_orders,
    connect,
    costs,
    follow_ups,
    launches,
    mass_cancellations,
    oco_groups,
    order_lists,
    orders,
    paper,
    parents,
    queries,
    reservations,
    resting,
    resting_marks,
    slice_cancellations,
    slices,
    step_writes,
)
from dexexec.store.archive_queries import SUMMARY
from dexexec.store.order_lists import NEWEST_OF_ALL
from tests.conftest import Servers
from tests.support.aged_orders import ArchiveSetup
from tests.support.databases import new_database
from tests.support.long_history import fill
from tests.support.parts import open_database, open_store
from tests.support.resting_rows import rest
from tests.support.waiting import until

ORDERS = 50_000
DAYS = 40
COSTS = """
INSERT INTO attempt_costs (order_id, n, at, venue, landed, fee)
SELECT order_id, n, created_at + interval '1 s', venue, true, 5000 FROM attempts
"""
SNIPERS = """
UPDATE orders o SET type = 'sniper', output_mint = 'mint ' || n % 5
FROM (SELECT id, row_number() OVER () AS n FROM orders) t WHERE t.id = o.id AND n % 2 = 0
"""
"""Half of all orders wait for the launch of one of five mints."""
SMALL = {
    "workers", "workers_pkey", "attempts_open", "installation", "chain_comparisons", "chain_comparisons_pkey", "halts",
    "webhooks",
}  # fmt: skip
"""May be read through: a row per worker, an entry per attempt in flight, one row, a row per wallet, a row per key
that is halted, and a row per webhook."""


@pytest.fixture(scope="module")
def long_history(servers: Servers) -> Iterator[Address]:
    """A database with 50,000 finished orders, none of them archived."""
    with new_database(servers.postgres) as address:
        yield address


async def ready(address: Address) -> None:
    """Fill it, once."""
    async with open_database(address):
        with psycopg.connect(address.conninfo(), autocommit=True) as connection:
            if connection.execute("SELECT FROM orders LIMIT 1").fetchone() is None:
                fill(address.conninfo(), ORDERS, DAYS)
                connection.execute(COSTS)
                connection.execute("ANALYZE attempt_costs")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All nodes of a plan."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def generic(address: Address, statement: str) -> list[dict[str, Any]]:
    """The nodes of a statement's generic plan."""
    numbers: dict[str, int] = {}

    def numbered(match: re.Match[str]) -> str:
        name = match[1] or f"place {len(numbers)}"
        return f"${numbers.setdefault(name, len(numbers) + 1)}"

    text = re.sub(r"%(?:\((\w+)\))?[sbt]", numbered, statement)
    with connect(address) as connection:
        # Without parameters the text goes out as it is, so that Postgres sees $1.
        row = connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {text}".encode()).fetchone()
    assert row is not None
    return list(nodes(row[0][0]["Plan"]))


def read_through(plan: list[dict[str, Any]]) -> set[str]:
    """Tables and indexes that are read from end to end."""
    scans = {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan"}
    whole = [node for node in plan if node["Node Type"] in scans and "Index Cond" not in node]
    return {node.get("Index Name") or node["Relation Name"] for node in whole} - SMALL


def indexes(plan: list[dict[str, Any]]) -> set[str]:
    return {node["Index Name"] for node in plan if "Index Name" in node}


@pytest.mark.parametrize(
    ("statement", "used"),
    [
        (orders.CREATE, {"idempotency_keys_pkey", "restored_keys_pkey"}),
        (claims.CLAIM, {"orders_pkey", "attempts_pkey", "order_events_pkey", "orders_oco_group"}),
        (step_writes.ADVANCE, {"orders_pkey", "attempts_pkey"}),
        (claims.RELEASE, {"orders_pkey"}),
        (claims.UNCOUNT, {"orders_pkey"}),
        (claims.HELD, {"orders_active"}),
        (reservations.RESERVED, {"attempts_of_wallet"}),
        (claims.IDLE, {"orders_active"}),
        (
            confirmed_orders.TAKE,
            {"orders_active", "orders_pkey", "attempts_pkey", "order_events_pkey", "orders_oco_group"},
        ),
        (paper.LEDGER, {"orders_dry", "order_events_pkey"}),
        (queries.ORDER, {"orders_pkey"}),
        (queries.EVENTS, {"order_events_pkey"}),
        (queries.ATTEMPTS, {"attempts_pkey"}),
        (queries.EVENTS_AFTER, {"orders_pkey", "order_events_pkey"}),
        (queries.VERSIONS, {"orders_pkey"}),
        (order_lists.main_page(ALL_ORDERS), {"orders_newest"}),
        (archive.ENDED, {"orders_newest", "orders_oco_group"}),
        (
            archive.MOVE,
            {"orders_pkey", "order_events_pkey", "attempts_pkey", "policy_spending_pkey", "handouts_pkey"},
        ),
        (archive.DROP_SWAPS, {"simulated_swaps_pkey"}),
        (
            archive.DROP_RECORDS,
            {
                "idempotency_keys_order",
                "attempt_costs_pkey",
                "restored_keys_order",
                "oco_groups_filled_by",
                "policy_spending_pkey",
            },
        ),
        (costs.ENDS, {"attempt_costs_at"}),
        (costs.sums_statement(tuple(GroupBy)).decode(), {"attempt_costs_at"}),
        (costs.KEEP, {"attempts_pkey", "orders_pkey"}),
        (costs.sums_statement((), costs.OF_CHILDREN).decode(), {"orders_parent", "attempt_costs_pkey"}),
        (cancellations.CANCEL, {"orders_pkey", "attempts_pkey"}),
        (mass_cancellations.CANCEL_PAGE, {"orders_resting", "orders_active", "orders_pkey", "attempts_pkey"}),
        (parents.WRITE, {"orders_pkey"}),
        (slice_cancellations.CANCEL, {"orders_parent", "orders_pkey", "attempts_pkey"}),
        (mass_cancellations.LEFT, {"orders_resting", "orders_active", "attempts_pkey"}),
        (oco_groups.MEMBERS, {"orders_pkey", "orders_oco_group", "attempts_pkey", "oco_groups_pkey"}),
        (oco_groups.WAKE, {"orders_oco_group", "orders_pkey", "attempts_pkey"}),
        (follow_ups.ENDED, {"orders_follow_up"}),
        (follow_ups.TAKE, {"orders_pkey"}),
        (follow_ups.CANCEL_OTHERS, {"orders_oco_group", "orders_pkey", "attempts_pkey"}),
        (follow_ups.OTHERS, {"orders_oco_group"}),
        (follow_ups.JOINING, {"orders_joining"}),
        (follow_ups.CANCEL_LATE, {"orders_pkey", "attempts_pkey", "oco_groups_pkey"}),
        (follow_ups.JOINED, {"orders_pkey", "oco_groups_pkey"}),
        (child_orders.INSERT, {"orders_pkey"}),
    ],
    ids=[
        *(
            "create",
            "claim",
            "step",
            "release",
            "uncount_claims",
            "held",
            "reservations",
            "sweep",
            "watch",
            "paper",
            "order",
            "events",
            "attempts",
            "replay",
            "versions",
        ),
        *(
            "list",
            "ended",
            "archive",
            "forget swaps",
            "forget keys",
            "end of a sum",
            "sums",
            "keep costs",
            "costs of slices",
            "cancel",
            "cancel many",
            "progress",
            "cancel slices",
            "count the rest",
        ),
        *("members of a group", "wake a member", "to follow up", "follow up", "cancel a group", "left of a group"),
        *("to join", "cancel the late", "join", "store exits"),
    ],
)
async def test_no_statement_scans_a_long_history(long_history: Address, statement: str, used: set[str]) -> None:
    await ready(long_history)
    plan = generic(long_history, statement)
    assert read_through(plan) == set()
    assert indexes(plan) - SMALL == used


@pytest.mark.parametrize("statement", [resting.WAKE, slices.DUE], ids=["wake", "due slices"])
async def test_what_is_due_is_found_among_many_that_wait_for_later(empty_database: Address, statement: str) -> None:
    async with open_database(empty_database):
        rest(empty_database.conninfo(), 5_000)
        with psycopg.connect(empty_database.conninfo(), autocommit=True) as connection:
            connection.execute("UPDATE orders SET wake_at = clock_timestamp() + interval '1 h' * random()")
            connection.execute("ANALYZE orders")
        plan = generic(empty_database, statement)
        [found] = [node for node in plan if node.get("Index Name") == "orders_wake"]
        assert "wake_at <=" in found["Index Cond"]
        assert read_through(plan) == set()


@pytest.mark.parametrize(
    ("statement", "used"),
    [
        (resting.CHANGED, {"orders_rested"}),
        (resting.ALL, {"orders_resting"}),
        (resting.AMONG, {"orders_pkey"}),
        (resting.TRIGGER, {"orders_pkey"}),
        (resting_marks.RAISE, {"orders_pkey"}),
        (resting_marks.NOTE, {"orders_pkey"}),
    ],
    ids=["changed", "all", "among", "trigger", "raise", "note"],
)
async def test_the_oracle_finds_its_orders_by_indexes(empty_database: Address, statement: str, used: set[str]) -> None:
    async with open_database(empty_database):
        rest(empty_database.conninfo(), 5_000)
        plan = generic(empty_database, statement)
        assert read_through(plan) == set()
        assert indexes(plan) == used


async def test_the_launch_watch_reads_pairs_and_not_orders(empty_database: Address) -> None:
    async with open_database(empty_database):
        rest(empty_database.conninfo(), 10_000)
        with psycopg.connect(empty_database.conninfo(), autocommit=True) as connection:
            connection.execute(SNIPERS)
            connection.execute("VACUUM ANALYZE orders")
            explained = connection.execute(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {launches.PAIRS}".encode(), {"limit": launches.MAX_PAIRS}
            )
            (found,) = explained.fetchone() or ()
            scans = [node for node in nodes(found[0]["Plan"]) if node.get("Relation Name") == "orders"]
            assert {node["Index Name"] for node in scans} == {"orders_snipers"}
            assert {node["Actual Rows"] * node["Actual Loops"] for node in scans} == {1, 4}, "five pairs"
        for statement, used in (
            (launches.WAITING, {"orders_snipers"}),
            (launches.OF_PAIR, {"launches_mints"}),
            (launches.NOTED, {"order_events_pkey"}),
        ):
            plan = generic(empty_database, statement)
            assert read_through(plan) == set()
            assert indexes(plan) == used


async def test_the_sweeper_and_a_worker_s_check_read_no_resting_order(empty_database: Address) -> None:
    async with open_database(empty_database):
        rest(empty_database.conninfo(), 5_000)
        idle = {"grace": 0, "since": datetime(1970, 1, 1, tzinfo=UTC), "after": UUID(int=0), "limit": 500}
        with psycopg.connect(empty_database.conninfo(), autocommit=True) as connection:
            # Entries that an index lost with the last update stay in it until they are removed.
            connection.execute("VACUUM ANALYZE orders")
            for statement, values in ((claims.IDLE, idle), (claims.HELD, (1,))):
                explained = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}".encode(), values)
                (found,) = explained.fetchone() or ()
                scans = [node for node in nodes(found[0]["Plan"]) if node.get("Relation Name") == "orders"]
                assert {node["Index Name"] for node in scans} == {"orders_active"}
                assert sum(node["Shared Hit Blocks"] + node["Shared Read Blocks"] for node in scans) <= 3


@pytest.mark.parametrize(
    "statement",
    [
        orders.CREATE,
        claims.CLAIM,
        step_writes.ADVANCE,
        claims.RELEASE,
        queries.EVENTS_AFTER,
        queries.VERSIONS,
        postgres_ledger.RECORD,
        postgres_ledger.FIND,
    ],
    ids=["create", "claim", "step", "release", "replay", "versions", "land", "find"],
)
async def test_plans_from_empty_tables_stay_good_when_the_tables_grow(empty_database: Address, statement: str) -> None:
    """A session keeps its plans until the tables are analyzed anew, which takes a minute: by then there may be many
    thousands of orders, and a plan that reads a whole table is made for none."""
    async with open_database(empty_database):
        assert read_through(generic(empty_database, statement)) == set()


@pytest.mark.parametrize(
    "statement", [claims.CLAIM, step_writes.ADVANCE, claims.RELEASE], ids=["claim", "step", "release"]
)
async def test_statements_on_some_orders_do_not_read_all_orders_in_flight(
    long_history: Address, statement: str
) -> None:
    await ready(long_history)
    assert indexes(generic(long_history, statement)) & {"orders_active", "attempts_open"} == set()


LISTS: list[tuple[OrderFilter, set[str]]] = [
    (OrderFilter(statuses=frozenset({Status.FAILED})), {"orders_ended"}),
    (OrderFilter(statuses=frozenset({Status.PENDING, Status.ROUTING})), {"orders_active"}),
    (OrderFilter(statuses=frozenset({Status.WAITING})), {"orders_active", "orders_resting"}),
    (OrderFilter(statuses=frozenset({Status.EXPIRED, Status.CANCELLED})), {"orders_ended"}),
    (OrderFilter(venue="rare"), {"orders_venue", "orders_active", "orders_resting"}),
    (OrderFilter(reason="rare"), {"orders_reason"}),
    (OrderFilter(pair=Pair("a", "b")), {"orders_pair"}),
    (OrderFilter(type=OrderType.LIMIT), {"orders_kind"}),
    (OrderFilter(type=OrderType.SNIPER, dry_run=True), {"orders_kind"}),
    (OrderFilter(dry_run=True), {"orders_kind"}),
    (OrderFilter(tag="rare"), {"orders_tag"}),
    (OrderFilter(parent=UUID(int=7)), {"orders_parent"}),
    (OrderFilter(oco_group="rare"), {"orders_oco_group"}),
    (OrderFilter(wallet="rare"), {"orders_wallet"}),
    (OrderFilter(owners=(7,)), {"orders_owner"}),
    (OrderFilter(owners=(7, 8)), {"orders_owner"}),
]
"""Lists of which a long history has no order at all: the worst case for a walk through the newest ones."""


def list_values(wanted: OrderFilter) -> dict[str, object]:
    return order_lists._values(wanted, None, 20)


@pytest.mark.parametrize("columns", [SUMMARY, order_lists.COUNTED_COLUMNS], ids=["page", "totals"])
async def test_each_filter_of_the_list_is_one_range_of_an_index(long_history: Address, columns: str) -> None:
    await ready(long_history)
    with connect(long_history) as connection:
        for wanted, used in LISTS:
            statement = f"EXPLAIN (FORMAT JSON) {order_lists.main_page(wanted, columns)}"
            (found,) = connection.execute(statement.encode(), list_values(wanted)).fetchone() or ()
            plan = list(nodes(found[0]["Plan"]))
            through = {"orders_active", "orders_resting"}  # all that is in flight, or rests
            assert read_through(plan) <= through, wanted
            assert indexes(plan) == used, wanted


async def test_each_filter_of_the_list_is_one_range_of_an_index_of_the_archive(empty_database: Address) -> None:
    async with open_database(empty_database) as database, ArchiveSession.begin(database, 3_000) as session:
        fill(empty_database.conninfo(), 3_000, DAYS)
        assert session is not None
        place = archive.THE_BEGINNING
        while moved := await session.archive(place):
            place = moved[-1]
        with connect(empty_database) as connection:
            connection.execute("ANALYZE")
            for wanted, _ in LISTS:
                if order_lists.may_be_archived(wanted):
                    statement = f"EXPLAIN (FORMAT JSON) {order_lists.archive_page(wanted)}"
                    (found,) = connection.execute(statement.encode(), list_values(wanted)).fetchone() or ()
                    assert read_through(list(nodes(found[0]["Plan"]))) == set(), wanted


async def test_the_archive_opens_only_the_partitions_that_a_page_needs(empty_database: Address) -> None:
    async with open_database(empty_database) as database, ArchiveSession.begin(database, 60) as session:
        fill(empty_database.conninfo(), 2_000, DAYS)
        assert session is not None
        place = archive.THE_BEGINNING
        while moved := await session.archive(place):
            place = moved[-1]
        with connect(empty_database) as connection:
            connection.execute("ANALYZE")
            leaves = connection.execute("SELECT count(*) FROM pg_partition_tree('archived_orders') WHERE isleaf")
            assert leaves.fetchone() in {(DAYS,), (DAYS + 1,)}

            def tables(statement: str, **values: object) -> set[str]:
                explained = connection.execute(f"EXPLAIN (FORMAT JSON) {statement}".encode(), values)
                (found,) = explained.fetchone() or ()
                return {n["Relation Name"] for n in nodes(found[0]["Plan"]) if "Relation Name" in n}

            start = datetime.now(UTC) - timedelta(days=3)
            page = {"limit": 20, "created_at": NEWEST_OF_ALL.created_at, "id": NEWEST_OF_ALL.id}
            assert 1 <= len(tables(order_lists.archive_page(ALL_ORDERS), since=start, **page)) <= 4
            deep = {"limit": 20, "created_at": start, "id": UUID(int=0)}
            assert 1 <= len(tables(order_lists.archive_page(ALL_ORDERS), since=start - timedelta(hours=1), **deep)) <= 2
            assert tables("SELECT FROM archived_orders WHERE id = %(id)s LIMIT 0", id=uuid4()), "the check can see them"


async def test_an_orders_steps_are_hot_updates_up_to_its_last(empty_database: Address) -> None:
    async with open_store(empty_database) as store:
        setup = ArchiveSetup(empty_database, store)
        for _ in range(100):
            await setup.confirmed()

    statement = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'orders' AND n_tup_upd >= 500"
    ((updates, hot),) = await until(lambda: setup.sql(statement))
    assert updates == 500, "a claim, three steps, and the aging of this test"
    assert hot >= 280, "all but the last step and the aging, and some that found no room on their page"
