"""The schema at the start: whose tables are there, what our role may do, and whether this program is new enough."""

import re
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import psycopg
import pytest

from dexexec.domain.status import Status
from dexexec.errors import UnusableError
from dexexec.store import Address, Database, WorkerSession, archive, migrate, schema
from dexexec.store.migrate import TABLE
from dexexec.store.permissions import RIGHTS
from dexexec.store.schema import migrations
from tests.conftest import Servers
from tests.integration.conftest import open_scripted_workers
from tests.support.aged_orders import open_retention
from tests.support.hostile_database import HOSTILE, database_of_a_role
from tests.support.parts import open_database, open_store, running

DOCUMENTED = """
CREATE TABLE orders (
    id uuid PRIMARY KEY, side text, amount {amount}, venue text, tx_hash text, status {status}, failure_reason text,
    created_at {created_at} DEFAULT now())
"""
KINDS = [
    {"amount": "numeric", "status": "text", "created_at": "timestamptz"},
    {"amount": "text", "status": "varchar(20)", "created_at": "timestamp"},
    {"amount": "double precision", "status": "order_status", "created_at": "timestamp with time zone"},
]
OLD = {
    "confirmed": UUID("11111111-1111-4111-8111-111111111111"),
    "failed": UUID("22222222-2222-4222-8222-222222222222"),
    "submitted": UUID("33333333-3333-4333-8333-333333333333"),
    "pending": UUID("44444444-4444-4444-8444-444444444444"),
}
SHOWN = (
    "SELECT id, side, status, venue, tx_hash, failure_reason, created_at FROM orders ORDER BY created_at, id LIMIT 10"
)


def execute(address: Address, *statements: str) -> list[tuple[object, ...]]:
    """The rows of the last of these statements."""
    with psycopg.connect(address.conninfo(), autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def make_old_orders(address: Address, kind: dict[str, str]) -> None:
    enum = "CREATE TYPE order_status AS ENUM ('pending', 'routing', 'building', 'submitted', 'confirmed', 'failed')"
    rows = [
        f"('{OLD['confirmed']}', 'buy', 0.01, 'Raydium', '5VH2', 'confirmed', NULL, '2025-01-02 03:04:05Z')",
        f"('{OLD['failed']}', 'sell', 1.5, NULL, NULL, 'failed', 'no liquidity', '2025-01-03 03:04:05Z')",
        f"('{OLD['submitted']}', 'buy', 2, 'Meteora', '3kF5', 'submitted', NULL, '2025-01-04 03:04:05Z')",
        f"('{OLD['pending']}', 'buy', 3, NULL, NULL, 'pending', NULL, '2025-01-05 03:04:05Z')",
    ]
    execute(address, enum, DOCUMENTED.format(**kind), "INSERT INTO orders VALUES " + ", ".join(rows))  # noqa: S608 - ours


@pytest.mark.parametrize("kind", KINDS, ids=["numeric", "text", "double"])
async def test_the_documented_table_of_orders_is_taken_over_and_its_rows_stay_readable(
    empty_database: Address, kind: dict[str, str]
) -> None:
    make_old_orders(empty_database, kind)
    before = execute(empty_database, "SET TimeZone = 'UTC'", SHOWN)
    reported: list[str] = []
    database = Database(empty_database)
    await database.open()
    assert len(await migrate(database, reported.append)) == len(migrations())
    await database.close()
    assert ["4 of its 4 rows" in line for line in reported] == [True]
    after = execute(empty_database, "SET TimeZone = 'UTC'", SHOWN)
    assert [str(row[:6]) for row in after] == [str(row[:6]) for row in before]
    async with open_store(empty_database) as store:
        listed = await store.orders(10, None)
        assert [one["orderId"] for one in listed] == [str(order_id) for order_id in reversed(OLD.values())]
        for status, order_id in OLD.items():
            found = await store.order(order_id)
            assert found is not None
            assert found["status"] == status
            assert found["waitingFor"] is None
            [event] = (await store.events_after([(order_id, 0)]))[order_id]
            assert (event.seq, event.status, event.final) == (1, Status(status), True)
        confirmed = await store.order(OLD["confirmed"])
        assert confirmed is not None
        assert (confirmed["txHash"], confirmed["venue"], confirmed["amount"]) == ("5VH2", "Raydium", "0.01")
        assert confirmed["createdAt"] == "2025-01-02T03:04:05.000Z"
        assert (confirmed["deadlineAt"], confirmed["inputMint"], confirmed["slippageBps"]) == (None, None, None)
        assert execute(empty_database, "SELECT count(*) FROM orders WHERE finished_at IS NULL") == [(0,)]


async def test_rows_that_are_not_orders_stay_in_the_older_table(empty_database: Address) -> None:
    table = "CREATE TABLE orders (id text, side text, amount text, venue text, tx_hash text, status text,"
    table += " failure_reason text, created_at date)"
    good = f"('{OLD['pending']}', 'BUY', ' 3 ', NULL, NULL, 'Pending', NULL, 'infinity')"
    bad = [
        "('7', 'buy', '1', NULL, NULL, 'pending', NULL, NULL)",
        "(gen_random_uuid(), 'hold', '1', NULL, NULL, 'pending', NULL, NULL)",
        "(gen_random_uuid(), 'buy', 'NaN', NULL, NULL, 'pending', NULL, NULL)",
        "(gen_random_uuid(), 'buy', '1', NULL, NULL, 'done', NULL, NULL)",
        f"('{OLD['pending']}', 'sell', '1', NULL, NULL, 'failed', NULL, NULL)",
    ]
    execute(empty_database, table, "INSERT INTO orders VALUES " + ", ".join([good, *bad]))  # noqa: S608 - ours
    async with open_store(empty_database) as store:
        [listed] = await store.orders(10, None)
        assert (listed["orderId"], listed["side"], listed["status"]) == (str(OLD["pending"]), "buy", "pending")
        assert execute(empty_database, "SELECT count(*) FROM orders_taken_over") == [(6,)]


async def test_orders_that_were_taken_over_go_into_the_archive_and_are_read_there(empty_database: Address) -> None:
    make_old_orders(empty_database, KINDS[0])
    async with open_store(empty_database) as store, open_retention(empty_database) as keeping:
        before = [await store.order(order_id) for order_id in OLD.values()]
        await keeping.round()
        assert execute(empty_database, "SELECT count(*) FROM orders") == [(0,)]
        assert [await store.order(order_id) for order_id in OLD.values()] == before


OTHERS = {
    "orders": ["CREATE TABLE orders (id int PRIMARY KEY, user_id int, total numeric)"],
    "orders with a number for its time": [
        DOCUMENTED.format(**KINDS[0] | {"created_at": "bigint"}).replace("now()", "0")
    ],
    "orders as a view": ["CREATE VIEW orders AS SELECT 1 AS id"],
    "workers": ["CREATE TABLE workers (id bigint PRIMARY KEY, queue text)"],
    "schema_migrations of Rails": ["CREATE TABLE schema_migrations (version varchar PRIMARY KEY)"],
    "an index": ["CREATE TABLE shop (at date)", "CREATE INDEX orders_newest ON shop (at)"],
    "the documented table beside another": [DOCUMENTED.format(**KINDS[0]), "CREATE TABLE attempts (n int)"],
    "the documented table twice": [DOCUMENTED.format(**KINDS[0]), "CREATE TABLE orders_taken_over (n int)"],
}


@pytest.mark.parametrize("statements", OTHERS.values(), ids=OTHERS.keys())
async def test_foreign_tables_are_not_changed_and_the_error_names_a_solution(
    empty_database: Address, statements: list[str]
) -> None:
    execute(empty_database, *statements)
    relations = "SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    before = execute(empty_database, relations)
    with pytest.raises(UnusableError, match=r"which dexexec did not make.*PG_SCHEMA=dexexec.*PG_DATABASE") as raised:
        async with open_database(empty_database):
            pass
    assert "\n" not in str(raised.value)
    assert execute(empty_database, relations) == before
    async with open_store(replace(empty_database, schema="dexexec")) as store:  # which is made
        assert await store.orders(10, None) == []
    assert execute(empty_database, relations) == before


async def test_a_schema_that_a_newer_program_made_is_not_touched(empty_database: Address) -> None:
    async with open_database(empty_database) as database:
        execute(empty_database, "INSERT INTO schema_migrations (name) VALUES ('9999_more.sql')")
        with pytest.raises(UnusableError, match=r"newer dexexec \(9999_more\.sql\).*start the newer one"):
            await migrate(database)


@pytest.fixture
def role_without_rights(servers: Servers) -> Iterator[tuple[Address, Address]]:
    """A database of an owner, and the same as a role that may connect and nothing else."""
    with database_of_a_role(servers.postgres) as other, database_of_a_role(servers.postgres) as owner:
        yield owner, replace(other, database=owner.database)


async def test_a_role_that_may_not_make_tables_gets_an_error_with_the_missing_right(
    role_without_rights: tuple[Address, Address],
) -> None:
    """Since Postgres 15 only the owner of the schema public may."""
    _, other = role_without_rights
    with pytest.raises(UnusableError, match=rf"GRANT USAGE, CREATE ON SCHEMA public TO {other.user}\.$"):
        async with open_database(other):
            pass
    with pytest.raises(UnusableError, match=rf"CREATE SCHEMA trading AUTHORIZATION {other.user}\.$"):
        async with open_database(replace(other, schema="trading")):
            pass


async def test_a_role_that_only_runs_gets_errors_for_its_missing_rights_one_after_the_other(
    role_without_rights: tuple[Address, Address],
) -> None:
    owner, other = role_without_rights
    async with open_database(owner):
        pass
    execute(owner, "REVOKE USAGE ON SCHEMA public FROM public")
    granted = []
    for _ in range(2 + len(RIGHTS)):
        await Database(other).check_first_contact()
        with pytest.raises(UnusableError, match=r"GRANT .* TO ") as raised:
            async with open_database(other):
                pass
        words = str(raised.value)
        granted.append("GRANT " + words.partition("GRANT ")[2].partition(";")[0])
        execute(owner, granted[-1])
        if len(granted) == 1 + len(RIGHTS):
            break
    async with open_database(other):
        pass
    assert len(set(granted)) == 1 + len(RIGHTS)


async def test_new_migrations_are_left_to_the_owner_of_the_tables(
    role_without_rights: tuple[Address, Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, other = role_without_rights
    async with open_database(owner):
        pass
    execute(owner, f"GRANT SELECT ON schema_migrations TO {other.user}")
    newer = [*migrations(), (last := "9999_newer.sql", "SELECT 1")]
    monkeypatch.setattr(schema, "migrations", lambda: newer)
    with pytest.raises(UnusableError, match=rf"{last} must be applied first.*migrate` as {owner.user}\.$"):
        async with open_database(other):
            pass


def test_every_table_has_its_rights() -> None:
    text = "".join(text for _, text in migrations())
    made = {line.split()[2] for line in text.splitlines() if line.startswith("CREATE TABLE ")}
    assert made | {"schema_migrations"} == set(RIGHTS)


async def test_orders_are_executed_in_a_separate_schema_with_any_initial_session_settings(
    servers: Servers, redis_prefix: str
) -> None:
    """Beside other tables of the same names, and beside another installation, whose worker has the same number."""
    with database_of_a_role(servers.postgres, **HOSTILE) as address:
        execute(address, "SET default_transaction_read_only = off", "CREATE TABLE public.orders (id int, total int)")
        ours, theirs = replace(address, schema="dexexec"), replace(address, schema="Their-Orders")
        async with (
            open_scripted_workers(ours, servers.redis_url, redis_prefix) as scripted_workers,
            open_database(theirs) as other,
            open_retention(ours) as keeping,
        ):
            session = await WorkerSession.begin(other, "theirs", 20)
            worker = scripted_workers.worker()
            async with running(worker.run(), scripted_workers.sweeper().run()):
                order_ids = [await scripted_workers.post() for _ in range(10)]
                assert {(await scripted_workers.ended(order_id))[-1].status for order_id in order_ids} == {"confirmed"}
                worker.stop()
            await session.end()
            await keeping.round()
            assert len(await scripted_workers.store.orders(20, None)) == 10
            assert execute(address, "SELECT count(*) FROM dexexec.archived_orders") == [(10,)]
        tables = execute(address, "SELECT schemaname FROM pg_tables WHERE tablename = 'order_events' ORDER BY 1")
        assert tables == [("Their-Orders",), ("dexexec",)]


BEFORE_FINALITY = """
INSERT INTO orders (id, side, amount, venue, tx_hash, status, mode, input_mint, output_mint, amount_base, slippage_bps,
                    deadline_at, client, version, finished_at)
VALUES (%(id)s, 'buy', 0.01, 'mock-raydium', 'tx', 'confirmed', 'exactIn', 'a', 'b', 1, 50, now(), '', 5, now());
INSERT INTO order_events (order_id, seq, status, detail)
SELECT %(id)s, seq, (ARRAY['pending', 'routing', 'building', 'submitted', 'confirmed'])[seq], '{"price": "150"}'
FROM generate_series(1, 5) seq
"""


@pytest.mark.parametrize("archived", [False, True])
async def test_orders_that_were_confirmed_before_finality_was_stored_are_ended(
    empty_database: Address, archived: bool
) -> None:
    """Until 0003 `confirmed` was the end, and its event did not show it: a client that followed it waited for ever."""
    order_id = OLD["confirmed"]
    with psycopg.ClientCursor(psycopg.connect(empty_database.conninfo(), autocommit=True)) as cursor:
        cursor.execute(TABLE.encode())
        for name, text in migrations():
            if name < "0013":
                cursor.execute(text.encode())
                cursor.execute("INSERT INTO schema_migrations (name) VALUES (%s)", (name,))
            if name.startswith("0002"):
                cursor.execute(BEFORE_FINALITY, {"id": order_id})
        if archived:
            cursor.execute("CREATE TABLE of_all_time PARTITION OF archived_orders DEFAULT")
            # Without the columns and the tables that came later.
            before_types = re.sub(r"type, terms,.*?(?=events, tries|coalesce\(ee)", "", archive.MOVE, flags=re.DOTALL)
            before_policies = re.sub(r", [phw] AS \(.*?\n\)", "", before_types, flags=re.DOTALL)
            cursor.execute(before_policies, {"ids": [order_id]})
        cursor.connection.close()
    async with open_store(empty_database) as store:
        events = (await store.events_after([(order_id, 0)]))[order_id]
        assert [event.final for event in events] == [False] * 5 + [True]
        assert events[-1].message()["price"] == "150"
        assert await store.versions([order_id]) == {order_id: 6}
        found = await store.order(order_id)
        assert found is not None
        assert found["finalizedAt"] == found["finishedAt"] is not None
