"""A database whose role and database set everything otherwise than the service needs it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
from psycopg import sql

from dexexec.store import Address

HOSTILE = {
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kolkata",
    "bytea_output": "escape",
    "extra_float_digits": "-10",
    "array_nulls": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "search_path": "pg_catalog",
    "transform_null_equals": "on",
    "statement_timeout": "1s",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1s",
    "idle_session_timeout": "3s",
    "exit_on_error": "on",
    "enable_seqscan": "on",
    "enable_indexscan": "off",
    "plan_cache_mode": "force_custom_plan",
    "jit": "on",
    "synchronous_commit": "off",
}
"""What an ordinary role may be given by its administrator."""


@contextmanager
def database_of_a_role(postgres: Address, encoding: str = "UTF8", **settings: str) -> Iterator[Address]:
    """A new database and a role that owns it, whose sessions begin with `settings`."""
    name = f"dexexec_{secrets.token_hex(6)}"
    database, role = sql.Identifier(name), sql.Identifier(f"{name}_owner")
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, postgres.password or "x"))
        try:
            made = "CREATE DATABASE {} OWNER {} ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
            connection.execute(sql.SQL(made).format(database, role, sql.Literal(encoding)))
            for setting, value in settings.items():
                alter = "ALTER ROLE {} IN DATABASE {} SET {} = {}"
                connection.execute(sql.SQL(alter).format(role, database, sql.Identifier(setting), value))
            yield replace(postgres, user=f"{name}_owner", database=name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))
