"""Looks once, at the start, whether a pooler in front of Postgres keeps sessions; leases are session locks.

Nothing is set and nothing is locked meanwhile, so that nothing is left on a pooler that does not.
"""

import asyncio
from typing import Any

import psycopg

from dexexec.store.session import UnfitSessionError, ask_unsettled

ROUNDS = 5
SECOND_SECONDS = 5.0
"""How long a second session may take to be given."""
SHARED = (
    "the pooler shares sessions between clients: each has to keep a connection of its own to Postgres. With PgBouncer"
    " set pool_mode = session"
)

Connection = psycopg.AsyncConnection[Any]


async def refuse_shared_sessions(first: Connection, conninfo: str) -> None:
    """Raises `UnfitSessionError` when statements of `first`, a new connection to `conninfo`, may go to different
    sessions of the server, and what psycopg raises."""
    backend = await _backend(first)
    if first.info.backend_pid == backend:
        return  # no pooler is between: those give out keys for cancelling that are their own
    try:
        async with asyncio.timeout(SECOND_SECONDS):
            async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as second:
                shared = await _share(first, second, backend)
    except psycopg.errors.ProtocolViolation:  # PgBouncer's answer to a transaction with pool_mode = statement
        raise UnfitSessionError(SHARED) from None
    except TimeoutError:
        raise UnfitSessionError(
            f"the pooler gave no second session within {SECOND_SECONDS:g} s: raise its pool_size"
        ) from None
    if shared:
        raise UnfitSessionError(SHARED)


async def _share(first: Connection, second: Connection, backend: int) -> bool:
    """Whether `first`, whose process on the server was `backend`, does not have it for itself. While it rests, `second`
    holds one: a pooler that shares gives it the one that has just become free, or `first` another one afterwards."""
    for _ in range(ROUNDS):
        shared = await _backend(second, stay=True) == backend or await _backend(first) != backend
        await second.execute("ROLLBACK")
        if shared or await _backend(first) != backend:
            return True
    return False


async def _backend(connection: Connection, *, stay: bool = False) -> int:
    [row] = await ask_unsettled(connection, "SELECT pg_backend_pid() AS backend", stay=stay)
    return int(row.backend)
