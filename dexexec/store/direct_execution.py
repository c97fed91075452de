"""Runs a prepared statement on libpq itself, on a connection that the event loop watches from statement to statement.

Below `store.session`, for the statements that orders in flight need. psycopg makes a cursor for each statement, and
begins and ends to watch the connection with each wait: that costs several times as much as the statement. Its values
are still converted by psycopg.
"""

import asyncio
import re
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Any, cast

import psycopg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer

PLACEHOLDER = re.compile(r"%(?:(%)|(?:\((\w+)\))?([stb]))")
FORMATS = {"s": PyFormat.AUTO, "t": PyFormat.TEXT, "b": PyFormat.BINARY}

Values = Sequence[object] | Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeStatement:
    """A statement in Postgres' own form. `names` are those of its values (None: they have an order)."""

    text: bytes
    names: tuple[str, ...] | None
    formats: tuple[PyFormat, ...]

    def arranged(self, values: Values) -> Sequence[object]:
        """The values in the order of the placeholders."""
        if isinstance(values, Mapping):
            return [values[name] for name in self.names or ()]
        return values


@lru_cache(maxsize=128)
def native(statement: str) -> NativeStatement:
    """Convert a statement with psycopg's placeholders."""
    formats: list[PyFormat] = []
    places: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        percent, name, kind = found.groups()
        if percent:
            return "%"
        if name is None or name not in places:
            formats.append(FORMATS[kind])
            places[name or str(len(formats))] = len(formats)
        return f"${places[name or str(len(formats))]}"

    text = PLACEHOLDER.sub(number, statement).encode()
    names = tuple(places) if "%(" in statement else None
    return NativeStatement(text=text, names=names, formats=tuple(formats))


@dataclass(slots=True)
class _Prepared:
    """A statement that this connection has prepared, for values of certain types. `make_row` is known after the first
    result."""

    name: bytes
    make_row: Callable[[Sequence[Any]], Any] | None = None


@dataclass(slots=True)
class _Wait:
    """The results of what was sent, until the last of them is here."""

    done: asyncio.Future[None]
    results: list[pq.abc.PGresult] = field(default_factory=list)


class DirectExecution:
    """Runs prepared statements on one connection, one at a time. While it watches the connection, nothing else may wait
    for it: `release` ends that."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._pgconn = connection.pgconn
        self._encoding = connection.info.encoding
        self._transformer = Transformer(connection)
        self._prepared: dict[tuple[bytes, tuple[int, ...] | None], _Prepared] = {}
        self._numbers = count()
        self._watched: int | None = None
        self._wait: _Wait | None = None

    async def run(self, statement: str, values: Values) -> list[Any]:
        """Return the rows, with their columns as attributes. Not within a transaction. Raises errors of psycopg. After
        a cancellation the statement may still run."""
        try:
            return await self._run(statement, values)
        except psycopg.errors.InvalidSqlStatementName:
            # psycopg gives up all prepared statements of a connection after a rollback. Nothing was executed.
            self._prepared.clear()
            return await self._run(statement, values)

    async def _run(self, statement: str, values: Values) -> list[Any]:
        query = native(statement)
        parameters = self._transformer.dump_sequence(query.arranged(values), query.formats)
        types = self._transformer.types
        prepared = self._prepared.get((query.text, types))
        if prepared is None:
            prepared = _Prepared(b"direct_%d" % next(self._numbers))
            self._pgconn.send_prepare(prepared.name, query.text, types)
            await self._result()
            self._prepared[query.text, types] = prepared
        self._pgconn.send_query_prepared(
            prepared.name, parameters, self._transformer.formats, result_format=pq.Format.BINARY
        )
        result = await self._result()
        if prepared.make_row is None:
            names = [(result.fname(n) or b"").decode() for n in range(result.nfields)]
            prepared.make_row = cast("Any", namedtuple)("Row", names, rename=True)._make
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, prepared.make_row)

    def release(self) -> None:
        """Stop watching the connection. Before anything else waits for it, and before it is closed."""
        if self._watched is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._watched)
            loop.remove_writer(self._watched)
            self._watched = None

    async def _result(self) -> pq.abc.PGresult:
        """The last result of what was sent. Raises the error that it is."""
        loop = asyncio.get_running_loop()
        if self._watched is None:
            self._watched = self._pgconn.socket
            loop.add_reader(self._watched, self._read)
        wait = self._wait = _Wait(loop.create_future())
        try:
            if self._pgconn.flush():
                loop.add_writer(self._watched, self._write)
            await wait.done
        finally:
            self._wait = None
        for result in wait.results:
            if result.status not in {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK}:
                raise psycopg.errors.error_from_result(result, encoding=self._encoding)
        return wait.results[-1]

    def _write(self) -> None:
        """Send more of a statement that is larger than the socket's buffer."""
        try:
            if self._pgconn.flush():
                return
        except psycopg.Error as error:
            self._fail(error)
        if self._watched is not None:
            asyncio.get_running_loop().remove_writer(self._watched)

    def _read(self) -> None:
        """Take what the server has sent."""
        wait = self._wait
        if wait is None or wait.done.done():
            # Nothing was asked for: as a rule the server has ended the session. It is left in the socket, where the
            # check of the session finds it.
            self.release()
            return
        try:
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    wait.done.set_result(None)
                    return
                wait.results.append(result)
        except psycopg.Error as error:
            self._fail(error)

    def _fail(self, error: psycopg.Error) -> None:
        self.release()
        if self._wait is not None and not self._wait.done.done():
            self._wait.done.set_exception(error)
