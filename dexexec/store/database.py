"""Connections to Postgres, and the one place where its errors become ours."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import orjson
import psycopg
from psycopg.abc import Params, QueryNoTemplate
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool

from dexexec.concurrency.cancellation import cancelled
from dexexec.config.postgres_url import Address
from dexexec.errors import UnavailableError
from dexexec.store.pooler_check import refuse_shared_sessions
from dexexec.store.session import Session, UnwritableError, refuse_another_schema

Connection = Session

OUTAGES = (psycopg.Error, OSError)
"""Whatever psycopg raises is an outage: Postgres is gone, restarting, stalled or no primary, a right was revoked, a
table is broken. Whoever knows more about an error says so (`Database.connection`)."""
SPOILED = (psycopg.NotSupportedError, psycopg.InternalError)
"""What a session may raise again for the same statement, such as one that was prepared before a table changed: another
session may do it."""
REFUSALS = (psycopg.DataError, psycopg.IntegrityError)
"""A row is refused, not us."""


def json_rows(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows for `json_to_recordset`: one parameter for any number of columns, about half the work that arrays are."""
    return orjson.dumps(rows).decode()


async def fetch_rows(
    connection: psycopg.AsyncConnection[Any],
    statement: QueryNoTemplate,
    values: Params | None = None,
    *,
    prepare: bool | None = None,
    binary: bool | None = None,
) -> list[Any]:
    """Run a statement and return its rows, with their columns as attributes."""
    # Named tuples: against plain tuples they cost about 0.2 us per row of a claim, dictionaries five times as much.
    cursor = connection.cursor(row_factory=namedtuple_row)
    await cursor.execute(statement, values, prepare=prepare, binary=binary)
    return await cursor.fetchall()


async def fetch_row(
    connection: psycopg.AsyncConnection[Any], statement: QueryNoTemplate, values: Params | None = None
) -> Any:
    """Run a statement and return its first row, with its columns as attributes; None without one."""
    cursor = connection.cursor(row_factory=namedtuple_row)
    return await (await cursor.execute(statement, values)).fetchone()


WORDS = {
    "25006": "Postgres takes no writes",
    "53100": "Postgres has no room left on its disk",
    "53300": "Postgres has no connection left",
}


@contextmanager
def translate_postgres_errors(passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raise `UnavailableError` for every error of Postgres but those of `passing`; let everything else pass."""
    try:
        yield
    except passing:
        raise
    except OUTAGES as error:
        raise UnavailableError(_words(error)) from error


def _words(error: BaseException) -> str:
    """What clients and probers may be told of it."""
    if isinstance(error, UnwritableError):
        return WORDS["25006"]
    code = error.sqlstate if isinstance(error, psycopg.Error) else None
    if code in WORDS:
        return WORDS[code]
    # Class 08 is a lost connection, 57 a server that goes or a statement that was cancelled.
    return (
        "Postgres does not answer" if not code or code[:2] in {"08", "57"} else f"Postgres refuses a statement ({code})"
    )


class Database:
    """A pool of settled sessions in autocommit mode."""

    def __init__(self, address: Address, *, size: int = 8, timeout: float = 5.0) -> None:
        self.address, self.timeout = address, timeout
        self._checking: asyncio.Task[None] | None = None
        self._suspect_before = 0.0
        """Sessions that were looked at before that, by the event loop's clock, are taken for dead."""
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            address.conninfo(),
            connection_class=Session,
            min_size=1,
            max_size=size,
            timeout=timeout,
            reconnect_timeout=2,  # then the next caller starts afresh, instead of waiting out a long back-off
            configure=self._settle,
            open=False,
            name="dexexec",
        )

    async def _settle(self, session: Session) -> None:
        await session.settle(self.address.schema)

    async def open(self) -> None:
        """Start the pool; connections are made when needed."""
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection."""
        if self._checking is not None:
            await cancelled([self._checking])
        await self._pool.close(timeout=2)

    @asynccontextmanager
    async def connection(self, passing: tuple[type[Exception], ...] = ()) -> AsyncIterator[Connection]:
        """A connection for one or a few statements. Raises `UnavailableError` when there is none in time, or for any
        error of Postgres inside the block but those of `passing`."""
        try:
            with translate_postgres_errors(passing):
                connection = await self._take()
                try:
                    async with connection:
                        yield connection
                except SPOILED:
                    await connection.close()
                    raise
                finally:
                    await self._pool.putconn(connection)
        except UnavailableError:
            self._check()
            raise

    async def _take(self) -> Connection:
        """A connection that works. Those that died while they rested are dropped on the way, all of them if need be:
        the pool's own check pauses after each, longer each time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.timeout
        while True:
            connection = await self._pool.getconn(max(0.0, until - loop.time()))
            try:
                await connection.check_if_due(self._suspect_before)
            except BaseException as error:
                await connection.close()
                await self._pool.putconn(connection)
                if isinstance(error, TimeoutError):
                    self._suspect_before = loop.time()  # a silent one: the others need not take their time as well
                if not isinstance(error, OUTAGES) or loop.time() >= until:
                    raise
            else:
                return connection

    def _check(self) -> None:
        """One broken connection makes the others suspect: drop those that do not answer, instead of failing one
        caller for each."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._pool.check())

    async def dedicated(self) -> Connection:
        """A settled session outside the pool, for whoever needs one of its own. Raises `UnavailableError`."""
        with translate_postgres_errors():
            async with self._connecting():
                return await Session.begin(self.address)

    async def check_first_contact(self) -> None:
        """Raises `UnavailableError` unless Postgres answers, is fit for use, and is reached without a pooler or through
        one that keeps sessions; the cause says what is wrong."""
        conninfo = self.address.conninfo()
        with translate_postgres_errors():
            async with (
                self._connecting(),
                await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as fresh,
            ):
                await refuse_shared_sessions(fresh, conninfo)
                await refuse_another_schema(fresh, self.address.schema)
            await (await self.dedicated()).close()

    def _connecting(self) -> asyncio.Timeout:
        return asyncio.timeout(max(self.timeout, self.address.connect_seconds * len(self.address.hosts) + 1))
