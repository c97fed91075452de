"""A session with Postgres whose settings are ours, whatever the server, the database, the role or a pooler sets.

Every connection of the service is a `Session`: settled in one round trip after it was made, which reads back what is
then in force, and looked at again when it is taken from the pool. docs/adr/0016-session-settings.md lists every
setting that was decided on.
"""

import asyncio
import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Self
from zlib import crc32

import psycopg
from psycopg import waiting
from psycopg.abc import RV, PQGen
from psycopg.rows import TupleRow, dict_row, namedtuple_row

from dexexec.config.postgres_url import DEFAULT_SCHEMA, Address

STATEMENT_SECONDS = 10
PATIENCE_SECONDS = STATEMENT_SECONDS + 2.0
"""How long one answer is waited for. Postgres ends a statement before, but not a commit that waits for a standby, and
nothing at all once it hangs."""
STANDSTILL_SECONDS = 5
"""A process that stands still in the middle of a transaction loses it, and with it the orders and the wallet that the
transaction has locked for everybody else."""
CANCEL_SECONDS = 2.0
"""How long a statement may take to end that was given up; then the connection is closed."""
ANSWER_SECONDS = 2.0
"""How long the answer to a look may take: past that the network between has forgotten the connection."""
LOOK_SECONDS = 5.0
"""A session is looked at when it is taken and the last look was longer ago: a look costs a round trip."""
TAKES = frozenset({"UTF8", "SQL_ASCII"})
"""Encodings of a database that store every text: SQL_ASCII keeps the bytes as they come, and ours are UTF-8."""

# As `SHOW` prints them. A setting that this version of Postgres does not have needs no value.
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
    # Each statement of ours finds its rows by an index. A plan is kept as long as the planner's statistics, and those
    # of a table that was empty a minute ago say that it is quickest read whole, however large it has become since.
    "enable_seqscan": "off",
    "enable_indexscan": "on",
    "enable_nestloop": "on",
    "plan_cache_mode": "auto",
}
SEARCH_PATH = "search_path"
"""Where our tables are (PG_SCHEMA). Temporary tables come last, so that none that a pooler left behind hides ours."""
READ_ONLY = "default_transaction_read_only"
"""What the whole server says stays in force: so is an old primary fenced, and one whose disk is full protected. What
the role, the database or a pooler says gives way."""
COMMIT = "synchronous_commit"
DURABLE = frozenset({"on", "remote_apply"})
"""A commit is on disk, and on that of a synchronous standby; what is stronger stays as it was configured."""
REPLICATION_ROLE = "session_replication_role"
"""Only a superuser may set it, so it is only looked at."""

LOOKED_AT = (*SETTINGS, SEARCH_PATH, READ_ONLY, COMMIT, REPLICATION_ROLE)
_LOOK = ", ".join(
    [
        *(f"current_setting('{name}', true) AS \"{name}\"" for name in LOOKED_AT),
        "current_setting('server_encoding') AS server_encoding",
        "pg_is_in_recovery() AS standby",
        "pg_backend_pid() AS backend",
    ]
)
LOOK = f"SELECT {_LOOK}"
_VALUES = ", ".join(
    [
        *(
            f"CASE WHEN current_setting('{name}', true) IS NOT NULL THEN set_config('{name}', '{value}', false) END"
            for name, value in SETTINGS.items()
        ),
        f"CASE WHEN (SELECT source FROM pg_settings WHERE name = '{READ_ONLY}') NOT IN"  # noqa: S608 - ours
        f" ('default', 'configuration file', 'command line') THEN set_config('{READ_ONLY}', 'off', false) END",
        f"set_config('{COMMIT}', CASE current_setting('{COMMIT}') WHEN 'remote_apply' THEN 'remote_apply'"
        " ELSE 'on' END, false)",
    ]
)
# One message of several statements, so one round trip. The time limit comes first, since one of the database's may be
# shorter than the rest takes. A pooler may hand out a session with the locks and the prepared statements of whoever
# had it before: the names of ours would collide with those.
_SETTLE = (
    f"SET statement_timeout = '{STATEMENT_SECONDS}s'; SELECT pg_advisory_unlock_all(); DEALLOCATE ALL;"
    f" SELECT set_config('{SEARCH_PATH}', '{{}}', false), {_VALUES}; {LOOK}"
)


# Where a session that nobody has settled finds our tables.
ELSEWHERE = f"""
SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE c.oid = to_regclass('order_events') AND NOT EXISTS (
    SELECT FROM pg_class WHERE relname = 'order_events' AND relnamespace = to_regnamespace('{DEFAULT_SCHEMA}'))"""  # noqa: S608 - a constant
UNHURRIED = (
    f"BEGIN READ ONLY; SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s';"
    " SET LOCAL idle_in_transaction_session_timeout = 0;"
)


def search_path(schema: str) -> str:
    """The `search_path` of sessions whose tables are in `schema`, as `SHOW` prints it."""
    return f'"{schema}", pg_temp'


def lock_class(schema: str, kind: int) -> int:
    """The first number of a session lock of ours. Locks belong to the database: without this, installations in several
    schemas of one would wait for each other's workers. Locks that last a statement may well be shared."""
    return kind if schema == DEFAULT_SCHEMA else (crc32(schema.encode()) & 0x7FF_FFFF) << 4 | kind


@cache
def settling(schema: str) -> str:
    """The message that makes a session ours, and reads back what is then in force."""
    return _SETTLE.format(search_path(schema))


class UnfitSessionError(psycopg.OperationalError):
    """A session that must not be used; the text says why. It counts as an outage: another session may be fit."""


class UnwritableError(UnfitSessionError):
    """A server that takes no writes for now: a standby, or one that is read-only as a whole."""


class Session(psycopg.AsyncConnection[TupleRow]):
    """A connection in autocommit mode: each statement of ours is a transaction of its own.

    No wait for the server is without a bound, whoever waits and whatever the server does. What was given up may have
    happened all the same.
    """

    patience: float | None = PATIENCE_SECONDS
    """How long one answer is waited for (seconds; None: for ever)."""
    _backend = 0
    _looked_at = 0.0
    _schema = DEFAULT_SCHEMA

    @classmethod
    async def begin(cls, address: Address) -> Self:
        """Connect and settle. Raises `UnfitSessionError` and what psycopg raises."""
        session = await cls.connect(address.conninfo())
        await session.settle(address.schema)
        return session

    async def settle(self, schema: str) -> None:
        """Make a new session ours, with our tables in `schema`; one that cannot be is closed. Raises
        `UnfitSessionError`."""
        self._schema = schema
        with _closing_on_error(self):
            await self.set_autocommit(True)
            self.prepare_threshold = 1
            self._backend = _backend_of_fit(await self._read(settling(schema)), schema)
        self._looked_at = asyncio.get_running_loop().time()

    async def check_if_due(self, suspect_before: float = 0.0) -> None:
        """Look whether the session is still the one that was settled, unless that was done lately; if it is not, it is
        closed, and so it is without a look when the last one was before `suspect_before`. Raises `UnfitSessionError`,
        TimeoutError and what psycopg raises."""
        if self._looked_at < suspect_before:
            await self.close()
            raise UnfitSessionError("it has rested since before another one was found dead")
        if asyncio.get_running_loop().time() - self._looked_at >= LOOK_SECONDS or self._has_news():
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.check()

    def _has_news(self) -> bool:
        """Whether there is something to read, while nothing was asked: as a rule that the server or a pooler has ended
        the session, or a network broken it."""
        return self.closed or _is_readable(self.pgconn.socket)

    async def check(self) -> None:
        """The same at once."""
        with _closing_on_error(self):
            if _backend_of_fit(await self._read(LOOK), self._schema) != self._backend:
                raise UnfitSessionError(
                    "a pooler put another session of the server in its place: let it keep sessions"
                    " (PgBouncer: pool_mode = session)"
                )
        self._looked_at = asyncio.get_running_loop().time()

    @contextmanager
    def without_time_limits(self) -> Iterator[None]:
        """Statements in the block take as long as they take; the commit after it does not."""
        self.patience = None
        try:
            yield
        finally:
            self.patience = PATIENCE_SECONDS

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:  # noqa: ASYNC109
        """As psycopg's, within `patience`. Raises TimeoutError."""
        try:
            async with asyncio.timeout(self.patience):
                return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except (asyncio.CancelledError, TimeoutError):
            await self._give_up(gen)
            raise

    async def _give_up(self, gen: PQGen[Any]) -> None:
        """Have the server end what it does for us. That ends a commit's wait for a standby, too."""
        if self.pgconn.transaction_status != psycopg.pq.TransactionStatus.ACTIVE:
            return
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await self.cancel_safe(timeout=CANCEL_SECONDS)
                await waiting.wait_async(gen, self.pgconn.socket, interval=CANCEL_SECONDS)
        except psycopg.errors.QueryCanceled:
            return
        except (psycopg.Error, OSError):
            self.pgconn.finish()
        except BaseException:
            self.pgconn.finish()
            raise

    async def _read(self, statements: str) -> Mapping[str, Any]:
        cursor = self.cursor(row_factory=dict_row)
        await cursor.execute(statements.encode(), prepare=None if statements is LOOK else False)
        await cursor.set_result(-1)
        return await cursor.fetchone() or {}


async def ask_unsettled(fresh: psycopg.AsyncConnection[Any], question: str, *, stay: bool = False) -> list[Any]:
    """The rows of `question`, asked in a transaction that sets its time limits for itself alone, since it is not known
    yet whose session that is. With `stay` the transaction stays open."""
    cursor = fresh.cursor(row_factory=namedtuple_row)
    await cursor.execute(f"{UNHURRIED} {question}{'' if stay else '; COMMIT'}".encode(), prepare=False)
    await cursor.set_result(-1 if stay else -2)
    return await cursor.fetchall()


async def refuse_another_schema(fresh: psycopg.AsyncConnection[Any], schema: str) -> None:
    """Orders that were stored where the role's or the database's `search_path` points must not be forgotten. Raises
    `UnfitSessionError` when there are tables of ours there, and none in `public`, unless another `schema` is asked for;
    `fresh` is not settled."""
    for row in await ask_unsettled(fresh, ELSEWHERE) if schema == DEFAULT_SCHEMA else ():
        raise UnfitSessionError(
            f"its tables are in the schema {row.nspname}, and are looked for in {schema}: set PG_SCHEMA={row.nspname}"
        )


def connect(address: Address) -> psycopg.Connection[TupleRow]:
    """A settled session that blocks, for tools. Raises `UnfitSessionError` and what psycopg raises."""
    connection = psycopg.connect(address.conninfo(), autocommit=True)
    with _closing_on_error(connection), connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(settling(address.schema).encode())
        _backend_of_fit(cursor.set_result(-1).fetchone() or {}, address.schema)
    return connection


def _backend_of_fit(found: Mapping[str, Any], schema: str) -> int:
    """The server's process behind a session, if all is as it should be. Raises `UnfitSessionError`."""
    if found["server_encoding"] not in TAKES:
        raise UnfitSessionError(
            f"the database's encoding is {found['server_encoding']}, which does not hold every text: make another with"
            " CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    if found["standby"]:
        raise UnwritableError("it is a standby")
    if found[READ_ONLY] != "off":
        raise UnwritableError(
            f"{READ_ONLY} is on for the whole server, as on a primary that was fenced or whose disk is full"
        )
    other = [name for name, value in SETTINGS.items() if found[name] not in {value, None}]
    other += [SEARCH_PATH] if found[SEARCH_PATH] != search_path(schema) else []
    other += [COMMIT] if found[COMMIT] not in DURABLE else []
    other += [REPLICATION_ROLE] if found[REPLICATION_ROLE] == "replica" else []
    if other:
        raise UnfitSessionError(f"the session does not keep what was set: {', '.join(other)}")
    backend: int = found["backend"]
    return backend


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _closing_on_error(session: psycopg.AsyncConnection[Any] | psycopg.Connection[Any]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        session.pgconn.finish()
        raise
