"""`Session`: a connection to Postgres with checked settings and with a bound on every wait.

Every connection of the service is one. Its settings are made and read back in one round trip after it was opened, and
checked again when it is taken from the pool.
"""

import asyncio
import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from psycopg import generators, waiting
from psycopg.abc import RV, PQGen
from psycopg.rows import TupleRow, dict_row

from dexexec.config.postgres_url import DEFAULT_SCHEMA, Address
from dexexec.store.direct_execution import DirectExecution, Values
from dexexec.store.session_settings import (
    CHECK,
    STATEMENT_SECONDS,
    UnfitSessionError,
    backend_of_fit,
    settle_statements,
)

PATIENCE_SECONDS = STATEMENT_SECONDS + 2.0
"""How long to wait for one answer. Postgres itself ends a statement earlier, but not a commit that waits for a standby,
and nothing while it hangs."""
CANCEL_SECONDS = 2.0
"""How long a cancelled statement may take to end; then the connection is closed."""
ANSWER_SECONDS = 2.0
"""How long the answer to a check may take. Without one, a firewall or NAT has probably dropped the connection."""
CHECK_SECONDS = 5.0
"""A session is checked when it is taken from the pool and the last check is older. A check costs a round trip."""


class Session(psycopg.AsyncConnection[TupleRow]):
    """A connection in autocommit mode: each statement is a transaction of its own.

    Every wait for the server is bounded. A statement that was given up may still have been executed.
    """

    patience: float | None = PATIENCE_SECONDS
    """How long to wait for one answer (seconds; None: without a bound)."""
    _backend = 0
    _begun_at = 0.0
    _checked_at = 0.0
    _schema = DEFAULT_SCHEMA
    _direct: DirectExecution | None = None

    @classmethod
    async def begin(cls, address: Address) -> Self:
        """Connect and make the settings. Raises `UnfitSessionError` and errors of psycopg."""
        session = await cls.connect(address.conninfo())
        await session.settle(address.schema)
        return session

    async def settle(self, schema: str) -> None:
        """Make the settings of a new session, with our tables in `schema`. Raises `UnfitSessionError` and closes the
        session if they do not hold."""
        self._schema = schema
        with _closing_on_error(self):
            await self.set_autocommit(True)
            self.prepare_threshold = 1
            self._backend = backend_of_fit(await self._read(settle_statements(schema)), schema)
        self._begun_at = self._checked_at = asyncio.get_running_loop().time()

    def age(self) -> float:
        """Seconds since its settings were made."""
        return asyncio.get_running_loop().time() - self._begun_at

    async def check_if_due(self, suspect_before: float = 0.0) -> None:
        """Check the session unless that was done a moment ago. If the last check was before `suspect_before`, close the
        session without one. Raises `UnfitSessionError`, TimeoutError and errors of psycopg."""
        if self._checked_at < suspect_before:
            await self.close()
            raise UnfitSessionError("it has been idle since before another session was found dead")
        if asyncio.get_running_loop().time() - self._checked_at >= CHECK_SECONDS or not self.is_quiet():
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.check()

    def is_quiet(self) -> bool:
        """Whether the connection is open and has no data to read, as while no statement runs."""
        # Data without a statement is as a rule the message that the server or a pooler has ended the session.
        return not self.closed and not _is_readable(self.pgconn.socket)

    async def check(self) -> None:
        """Check that the session still has its settings and its server process; close it if not. Raises
        `UnfitSessionError`, and errors of psycopg."""
        with _closing_on_error(self):
            if backend_of_fit(await self._read(CHECK), self._schema) != self._backend:
                raise UnfitSessionError(
                    "a pooler has exchanged the session behind this connection: configure it to keep sessions"
                    " (PgBouncer: pool_mode = session)"
                )
        self._checked_at = asyncio.get_running_loop().time()

    @contextmanager
    def without_time_limits(self) -> Iterator[None]:
        """Let statements in the block run without a time limit on the answer."""
        self.patience = None
        try:
            yield
        finally:
            self.patience = PATIENCE_SECONDS

    def is_between_transactions(self) -> bool:
        """Whether a statement would be a transaction of its own."""
        return self.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE

    async def run_prepared(self, statement: str, values: Values) -> list[Any]:
        """Run a statement as a transaction of its own, prepared, and return its rows with their columns as attributes:
        as a cursor does, at less cost. Raises errors of psycopg and TimeoutError."""
        async with self.lock:
            if self._direct is None:
                self._direct = DirectExecution(self)
            try:
                async with asyncio.timeout(self.patience):
                    return await self._direct.run(statement, values)
            except (asyncio.CancelledError, TimeoutError):
                self._direct.release()
                await self._give_up(generators.fetch_many(self.pgconn))
                raise

    async def close(self) -> None:
        """Close the connection."""
        self._release()
        await super().close()

    def finish(self) -> None:
        """Close the connection at once, whatever it does."""
        self._release()
        self.pgconn.finish()

    def _release(self) -> None:
        if self._direct is not None:
            self._direct.release()

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:  # noqa: ASYNC109
        """Wait like psycopg, but at most `patience` seconds. Raises TimeoutError."""
        self._release()
        try:
            async with asyncio.timeout(self.patience):
                return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except (asyncio.CancelledError, TimeoutError):
            await self._give_up(gen)
            raise

    async def _give_up(self, gen: PQGen[Any]) -> None:
        """Cancel the statement on the server. This also ends a commit's wait for a standby."""
        # Otherwise the statement would run on, with its locks, and could still commit after its client was answered.
        if self.pgconn.transaction_status != psycopg.pq.TransactionStatus.ACTIVE:
            return
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await self.cancel_safe(timeout=CANCEL_SECONDS)
                await waiting.wait_async(gen, self.pgconn.socket, interval=CANCEL_SECONDS)
        except psycopg.errors.QueryCanceled:
            return
        except (psycopg.Error, OSError):
            self.finish()
        except BaseException:
            self.finish()
            raise

    async def _read(self, statements: str) -> Mapping[str, Any]:
        cursor = self.cursor(row_factory=dict_row)
        await cursor.execute(statements.encode(), prepare=None if statements is CHECK else False)
        await cursor.set_result(-1)
        return await cursor.fetchone() or {}


def connect(address: Address) -> psycopg.Connection[TupleRow]:
    """Return a session that blocks, with checked settings, for tools. Raises `UnfitSessionError` and errors of
    psycopg."""
    connection = psycopg.connect(address.conninfo(), autocommit=True)
    with _closing_on_error(connection), connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(settle_statements(address.schema).encode())
        backend_of_fit(cursor.set_result(-1).fetchone() or {}, address.schema)
    return connection


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _closing_on_error(session: psycopg.AsyncConnection[Any] | psycopg.Connection[Any]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        session.finish() if isinstance(session, Session) else session.pgconn.finish()
        raise
