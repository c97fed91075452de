"""The settings that every session with Postgres must have, the statement that sets them, and the check that they hold.

docs/adr/0016-session-settings.md has the reason for each setting.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import psycopg

STATEMENT_SECONDS = 10
STANDSTILL_SECONDS = 5
"""After this long without a statement Postgres ends an open transaction: the orders and the wallet that a hanging
process has locked become free for others."""
TEXT_ENCODINGS = frozenset({"UTF8", "SQL_ASCII"})
"""Database encodings that store every text. SQL_ASCII keeps bytes as they are, and the service sends UTF-8."""

# The values as `SHOW` prints them. A setting that this version of Postgres does not have is left out.
SETTINGS = {
    # How texts and values are read and written.
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "array_nulls": "on",
    # What a transaction is.
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # What a statement means.
    "transform_null_equals": "off",
    "row_security": "off",
    "default_table_access_method": "heap",
    "restrict_nonsystem_relation_kind": "",
    # How long a statement, a lock and a session last.
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": f"{STANDSTILL_SECONDS}s",
    "idle_session_timeout": "0",
    "exit_on_error": "off",
    # Every statement of the service finds its rows by an index. But a plan is kept while the planner's statistics are,
    # and by those of a table that was empty a minute ago a full scan is the cheapest, however large it has become.
    "enable_seqscan": "off",
    "enable_indexscan": "on",
    "enable_nestloop": "on",
    "plan_cache_mode": "auto",
    # Without sequential scans, a table that has no index for a statement looks so expensive that Postgres would compile
    # every execution, which takes seconds where the execution takes a millisecond.
    "jit": "off",
}
SEARCH_PATH = "search_path"
"""The schema of our tables (PG_SCHEMA), then temporary tables: one that a pooler left behind must not hide a table."""
READ_ONLY = "default_transaction_read_only"
"""A value that is set for the whole server is kept: operators fence an old primary with it, and protect a server whose
disk is full. A value of the role, the database or a pooler is overridden."""
COMMIT = "synchronous_commit"
DURABLE = frozenset({"on", "remote_apply"})
"""With these a commit is on disk, and on the disk of a synchronous standby. A stronger setting is kept."""
REPLICATION_ROLE = "session_replication_role"
"""Only superusers may set it, so it is only checked."""

CHECKED = (*SETTINGS, SEARCH_PATH, READ_ONLY, COMMIT, REPLICATION_ROLE)
_CHECK = ", ".join(
    [
        *(f"current_setting('{name}', true) AS \"{name}\"" for name in CHECKED),
        "current_setting('server_encoding') AS server_encoding",
        "pg_is_in_recovery() AS standby",
        "pg_backend_pid() AS backend",
    ]
)
CHECK = f"SELECT {_CHECK}"
_VALUES = ", ".join(
    [
        *(
            f"CASE WHEN current_setting('{name}', true) IS NOT NULL THEN set_config('{name}', '{value}', false) END"
            for name, value in SETTINGS.items()
        ),
        f"CASE WHEN (SELECT source FROM pg_settings WHERE name = '{READ_ONLY}') NOT IN"  # noqa: S608 - constants
        f" ('default', 'configuration file', 'command line') THEN set_config('{READ_ONLY}', 'off', false) END",
        f"set_config('{COMMIT}', CASE current_setting('{COMMIT}') WHEN 'remote_apply' THEN 'remote_apply'"
        " ELSE 'on' END, false)",
    ]
)
# Several statements in one message, so one round trip. The time limit comes first, since the one of the database may be
# shorter than the rest takes. A pooler may give out a session that still has the locks and prepared statements of its
# previous client; psycopg's names of prepared statements would collide with those.
_SETTLE = (
    f"SET statement_timeout = '{STATEMENT_SECONDS}s'; SELECT pg_advisory_unlock_all(); DEALLOCATE ALL;"
    f" SELECT set_config('{SEARCH_PATH}', '{{}}', false), {_VALUES}; {CHECK}"
)


class UnfitSessionError(psycopg.OperationalError):
    """A session that must not be used, with the reason. It counts as an outage, since another session may be usable."""


class UnwritableError(UnfitSessionError):
    """A server that takes no writes now: a standby, or a server that is read-only as a whole."""


def search_path(schema: str) -> str:
    """Return the `search_path` for tables in `schema`, as `SHOW` prints it."""
    return f'"{schema}", pg_temp'


@cache
def settle_statements(schema: str) -> str:
    """Return the statements that set all settings of a session and read back the values that are then in force."""
    return _SETTLE.format(search_path(schema))


def backend_of_fit(values: Mapping[str, Any], schema: str) -> int:
    """Return the process id of a session's server process. Raises `UnfitSessionError` if a setting is not as it must
    be."""
    if values["server_encoding"] not in TEXT_ENCODINGS:
        raise UnfitSessionError(
            f"the database's encoding is {values['server_encoding']}, which does not store every text: create one with"
            " CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    if values["standby"]:
        raise UnwritableError("it is a standby")
    if values[READ_ONLY] != "off":
        raise UnwritableError(
            f"{READ_ONLY} is on for the whole server, as on a primary that was fenced or whose disk is full"
        )
    changed = [name for name, wanted in SETTINGS.items() if values[name] not in {wanted, None}]
    changed += [SEARCH_PATH] if values[SEARCH_PATH] != search_path(schema) else []
    changed += [COMMIT] if values[COMMIT] not in DURABLE else []
    changed += [REPLICATION_ROLE] if values[REPLICATION_ROLE] == "replica" else []
    if changed:
        raise UnfitSessionError(f"the session does not keep the settings that were made: {', '.join(changed)}")
    backend: int = values["backend"]
    return backend
