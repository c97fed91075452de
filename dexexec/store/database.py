"""The pool of connections to Postgres. Each database of the service has one or several."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg_pool import AsyncConnectionPool

from dexexec.concurrency.cancellation import cancelled
from dexexec.config.postgres_url import Address
from dexexec.errors import UnavailableError
from dexexec.store.pooler_check import refuse_shared_sessions
from dexexec.store.postgres_errors import OUTAGES, SPOILED, translate_postgres_errors
from dexexec.store.session import Session
from dexexec.store.unsettled_session import refuse_another_schema

Connection = Session

KEPT_READY = 4
"""Free sessions that do not go back to the pool at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUsage:
    """Connections of a pool, and callers that wait for one."""

    used: int
    idle: int
    waiting: int


class Database:
    """A pool of sessions in autocommit mode."""

    def __init__(self, address: Address, *, size: int = 8, timeout: float = 5.0) -> None:
        self.address = address
        self.timeout = timeout
        self._checking: asyncio.Task[None] | None = None
        self._suspect_before = 0.0
        """Sessions whose last check was before this time of the event loop are treated as dead."""
        self._ready: list[Connection] = []
        """Sessions that are free and were used last. The pool regards them as lent: to lend and return one costs more
        than a statement."""
        self._waiting = 0
        """Callers that wait for the pool. What becomes free goes to them."""
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            address.conninfo(),
            connection_class=Session,
            min_size=1,
            max_size=size,
            timeout=timeout,
            reconnect_timeout=2,  # short, so that the next caller tries again instead of waiting for a long back-off
            configure=self._settle,
            open=False,
            name="dexexec",
        )

    async def _settle(self, session: Session) -> None:
        await session.settle(self.address.schema)

    def usage(self) -> "PoolUsage":
        """How many connections of the pool are used and idle, and how many callers wait for one."""
        stats = self._pool.get_stats()
        idle = stats.get("pool_available", 0) + len(self._ready)
        return PoolUsage(used=stats.get("pool_size", 0) - idle, idle=idle, waiting=stats.get("requests_waiting", 0))

    async def open(self) -> None:
        """Start the pool; connections are made when needed."""
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection."""
        if self._checking is not None:
            await cancelled([self._checking])
        await self._return_ready()
        await self._pool.close(timeout=2)

    @asynccontextmanager
    async def connection(self, passing: tuple[type[Exception], ...] = ()) -> AsyncIterator[Connection]:
        """Lend a connection for one or a few statements. Raises `UnavailableError` if none is free in time, and for
        every error of Postgres inside the block except those of `passing`."""
        try:
            with translate_postgres_errors(passing):
                connection = await self._take()
                try:
                    yield connection
                except SPOILED:
                    # The same session would be lent again, and its next statement would fail as well.
                    await connection.close()
                    raise
                finally:
                    await self._give_back(connection)
        except UnavailableError:
            self._check()
            raise

    async def _take(self) -> Connection:
        """Take a connection that works, and drop those that have died while they were idle."""
        # The pool's own check pauses after each dead connection, longer each time: after a failover, when all are dead,
        # a caller would wait too long.
        loop = asyncio.get_running_loop()
        until = loop.time() + self.timeout
        while True:
            connection = await self._free(max(0.0, until - loop.time()))
            try:
                await connection.check_if_due(self._suspect_before)
            except BaseException as error:
                await connection.close()
                await self._pool.putconn(connection)
                if isinstance(error, TimeoutError):
                    self._suspect_before = loop.time()  # one timed out: do not wait as long for each of the others
                if not isinstance(error, OUTAGES) or loop.time() >= until:
                    raise
            else:
                return connection

    async def _free(self, seconds: float) -> Connection:
        if self._ready:
            return self._ready.pop()
        self._waiting += 1
        try:
            return await self._pool.getconn(seconds)
        finally:
            self._waiting -= 1

    async def _give_back(self, connection: Connection) -> None:
        is_kept = not self._waiting and len(self._ready) < KEPT_READY and not self._pool.closed
        is_young = connection.age() < self._pool.max_lifetime
        if is_kept and is_young and connection.is_between_transactions():
            self._ready.append(connection)
        else:
            # It ends an open transaction, and replaces what is broken, or so old that Postgres has cached a lot for it.
            await self._pool.putconn(connection)

    async def _return_ready(self) -> None:
        while self._ready:
            await self._pool.putconn(self._ready.pop())

    def _check(self) -> None:
        """Check all idle connections in the background, and drop those that do not answer."""
        # If one connection is broken, others probably are too. Without the check, each would fail one caller.
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check_idle())

    async def _check_idle(self) -> None:
        await self._return_ready()
        await self._pool.check()

    async def dedicated(self) -> Connection:
        """Open a session outside the pool, for callers that need one of their own. Raises `UnavailableError`."""
        with translate_postgres_errors():
            async with self._connecting():
                return await Session.begin(self.address)

    async def check_first_contact(self) -> None:
        """Raise `UnavailableError` unless Postgres answers and can be used, without a pooler or through one that keeps
        sessions. The cause of the error is what must be changed."""
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
