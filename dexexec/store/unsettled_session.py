"""Questions to a new session whose settings are not known yet."""

from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from dexexec.config.postgres_url import DEFAULT_SCHEMA
from dexexec.store.session_settings import STATEMENT_SECONDS, UnfitSessionError

# Another schema where this session finds our tables, unless `public` has them too.
ELSEWHERE = f"""
SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE c.oid = to_regclass('order_events') AND NOT EXISTS (
    SELECT FROM pg_class WHERE relname = 'order_events' AND relnamespace = to_regnamespace('{DEFAULT_SCHEMA}'))"""  # noqa: S608 - a constant
UNHURRIED = (
    f"BEGIN READ ONLY; SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s';"
    " SET LOCAL idle_in_transaction_session_timeout = 0;"
)


async def query_unsettled(fresh: psycopg.AsyncConnection[Any], query: str, *, stay: bool = False) -> list[Any]:
    """Return the rows of a query. With `stay` the transaction stays open."""
    # The time limits are set for this transaction alone: through a pooler, the session may belong to another client
    # next.
    cursor = fresh.cursor(row_factory=namedtuple_row)
    await cursor.execute(f"{UNHURRIED} {query}{'' if stay else '; COMMIT'}".encode(), prepare=False)
    await cursor.set_result(-1 if stay else -2)
    return await cursor.fetchall()


async def refuse_another_schema(fresh: psycopg.AsyncConnection[Any], schema: str) -> None:
    """Raise `UnfitSessionError` if the `search_path` of the role or the database leads to our tables in another
    schema than `public`, while no `schema` is configured."""
    # An earlier version stored orders where the `search_path` led. They must not be left behind silently.
    for row in await query_unsettled(fresh, ELSEWHERE) if schema == DEFAULT_SCHEMA else ():
        raise UnfitSessionError(
            f"its tables are in the schema {row.nspname} and not in {schema}: set PG_SCHEMA={row.nspname}"
        )
