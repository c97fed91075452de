"""Databases for tests. Most are used again after they were emptied: to create and drop one takes longer than a test."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

import psycopg
from psycopg import sql

from dexexec.store import Address

MOST_USES = 100
"""The system tables of a database grow with each use."""

SCHEMAS = """
SELECT nspname::text FROM pg_namespace WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
"""
# Waits for each, since a session may hold locks of its test.
END_SESSIONS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


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
    _made: list[str] = field(default_factory=list)
    _free: list[tuple[str, int]] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
