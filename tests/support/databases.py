"""Databases for tests. Most are used again after they were cleared: to create and migrate one takes longer than a test.

A test gets the tables of the service without rows, unless it is about making those tables.
"""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import LiteralString, Self

import psycopg
from psycopg import sql

from dexexec.store import Address, Database, migrate
from dexexec.store.migrate import migrations

MOST_USES = 100
"""The system tables of a database grow with each use."""

SCHEMAS = """
SELECT nspname::text FROM pg_namespace WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
"""
# Everything that a test may change about a database but its rows.
FINGERPRINT = """
SELECT md5(concat(
    (SELECT string_agg(concat_ws(' ', nspname, nspacl), ',' ORDER BY nspname) FROM pg_namespace),
    (SELECT string_agg(concat_ws(' ', oid, relname, relkind, relnatts, relchecks, reltriggers, relacl, reloptions), ','
            ORDER BY oid)
     FROM (SELECT *, (SELECT count(*) FROM pg_trigger WHERE tgrelid = pg_class.oid) AS reltriggers FROM pg_class
           WHERE oid >= 16384 AND relkind <> 't') AS tables),
    (SELECT string_agg(concat_ws(' ', proname, md5(prosrc), proacl), ',' ORDER BY oid) FROM pg_proc WHERE oid >= 16384),
    (SELECT string_agg(concat_ws(' ', attrelid, attname, attnotnull, atthasdef), ',' ORDER BY attrelid, attnum)
     FROM pg_attribute WHERE attrelid >= 16384),
    (SELECT string_agg(setconfig::text, ',') FROM pg_db_role_setting
     WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())),
    (SELECT string_agg(concat_ws(' ', datacl, datallowconn, datconnlimit), ',') FROM pg_database
     WHERE datname = current_database()),
    (SELECT string_agg(oid::text, ',' ORDER BY oid) FROM pg_type WHERE oid >= 16384)))
"""
LARGEST = """
SELECT coalesce(max(pg_relation_size(oid)), 0) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
NEWEST = "SELECT max(name) FROM schema_migrations"
MOST_BYTES = 1_000_000
"""Of the rows of a table: it takes longer to remove more than to make another database."""
TABLES = """
SELECT relname::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND NOT relispartition
    AND relname NOT IN ('schema_migrations', 'installation')
ORDER BY oid DESC  -- a table that refers to another one is younger
"""
RESTART_SEQUENCES = """
SELECT setval(oid, 1, false) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
"""

# Waits for each, since a session may hold locks of its test.
END_SESSIONS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


LENT: set[Address] = set()
"""Those that are in use by a test, and had all tables and no rows when they were lent to it."""


@cache
def newest_migration() -> str:
    """The name of the newest one of this program."""
    return migrations()[-1][0]


@contextmanager
def new_database(postgres: Address) -> Iterator[Address]:
    """A new, empty database, gone at the end."""
    name = f"dexexec_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield replace(postgres, database=name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@dataclass
class Databases:
    """The databases of one run, on a Postgres whose user may create some."""

    postgres: Address
    kept: bool = False
    """Whether the server outlives the run, so that its databases are dropped at the end: each costs a checkpoint."""
    _made: list[str] = field(default_factory=list)
    _free: list[tuple[str, int]] = field(default_factory=list)
    _migrated: list[tuple[str, int]] = field(default_factory=list)
    _fingerprints: dict[str, object] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.kept:
            return
        with self._connect() as connection:
            for name in self._made:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def empty(self) -> Iterator[Address]:
        """An empty database, as it is after CREATE DATABASE."""
        name, uses = self._free.pop() if self._free else (self._create(), 0)
        yield replace(self.postgres, database=name)
        # Not after an error, which may have left anything in it. It is dropped at the end of the run.
        if uses + 1 < MOST_USES:
            self._empty(name)
            self._free.append((name, uses + 1))

    @contextmanager
    def migrated(self) -> Iterator[Address]:
        """A database with the tables of the service, and no rows."""
        name, uses = self._migrated.pop() if self._migrated else (self._create_migrated(), 0)
        address = replace(self.postgres, database=name)
        LENT.add(address)
        yield address
        LENT.remove(address)
        if uses + 1 < MOST_USES and self._clear(name):
            self._migrated.append((name, uses + 1))

    def _create_migrated(self) -> str:
        name = self._create()
        # A loop of its own: that of the test is not running yet, and remains the current one.
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(_migrate(replace(self.postgres, database=name)))
        finally:
            loop.close()
        with self._connect(name) as connection:
            self._fingerprints[name] = _only(connection, FINGERPRINT)
        return name

    def _clear(self, name: str) -> bool:
        """Remove all rows. Whether the database is as it was when it was made."""
        with self._connect(name) as connection:
            connection.execute(END_SESSIONS)
            if (
                _only(connection, FINGERPRINT) != self._fingerprints[name]
                or _only(connection, NEWEST) != newest_migration()
            ):
                return False
            if int(str(_only(connection, LARGEST))) > MOST_BYTES:
                return False
            with connection.transaction():
                for (table,) in connection.execute(TABLES).fetchall():
                    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(str(table))))
                connection.execute("DELETE FROM installation")
                connection.execute("INSERT INTO installation DEFAULT VALUES")
                connection.execute(RESTART_SEQUENCES)
        return True

    def _create(self) -> str:
        name = f"dexexec_{uuid.uuid4().hex[:12]}"
        with self._connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        self._made.append(name)
        return name

    def _empty(self, name: str) -> None:
        with self._connect(name) as connection:
            connection.execute(END_SESSIONS)
            for (schema,) in connection.execute(SCHEMAS).fetchall():
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(str(schema))))
            connection.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
            connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(name)))

    def _connect(self, name: str | None = None) -> psycopg.Connection[tuple[object, ...]]:
        address = self.postgres if name is None else replace(self.postgres, database=name)
        return psycopg.connect(address.conninfo(), autocommit=True)


def all_rows(address: Address) -> dict[str, list[tuple[object, ...]]]:
    """All rows of each table in the schema, as texts."""
    with psycopg.connect(address.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(address.schema)))
        listed = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = %s::regnamespace ORDER BY 1"
        names = [str(name) for (name,) in connection.execute(listed, (address.schema,))]
        read = sql.SQL("SELECT t::text FROM {} t ORDER BY 1")
        return {name: connection.execute(read.format(sql.Identifier(name))).fetchall() for name in names}


async def _migrate(address: Address) -> None:
    database = Database(address)
    await database.open()
    try:
        await migrate(database)
    finally:
        await database.close()


def _only(connection: psycopg.Connection[tuple[object, ...]], query: LiteralString) -> object:
    """The only value of a query."""
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]
