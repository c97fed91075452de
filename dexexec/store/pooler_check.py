"""Checks at the start that a pooler in front of Postgres keeps a session for each client.

Leases are session locks, so they need it. The check makes no settings and takes no locks, which a pooler that shares
sessions would pass on to other clients.
"""

import asyncio
from typing import Any

import psycopg

from dexexec.store.session_settings import UnfitSessionError
from dexexec.store.unsettled_session import query_unsettled

ROUNDS = 5
SECOND_SECONDS = 5.0
"""How long the pooler may take to open a second session."""
SHARED = (
    "the pooler shares sessions between clients: each has to keep a connection of its own to Postgres. With PgBouncer"
    " set pool_mode = session"
)

Connection = psycopg.AsyncConnection[Any]


async def refuse_shared_sessions(first: Connection, conninfo: str) -> None:
    """Raise `UnfitSessionError` if statements of `first`, a new connection to `conninfo`, may go to different sessions
    of the server. Raises errors of psycopg."""
    backend = await _backend(first)
    if first.info.backend_pid == backend:
        return  # without a pooler: a pooler would give the connection a cancellation key of its own
    try:
        async with asyncio.timeout(SECOND_SECONDS):
            async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as second:
                shared = await _share(first, second, backend)
    except psycopg.errors.ProtocolViolation:  # PgBouncer's answer to a transaction with pool_mode = statement
        raise UnfitSessionError(SHARED) from None
    except TimeoutError:
        raise UnfitSessionError(
            f"the pooler opened no second session within {SECOND_SECONDS:g} s: raise its pool_size"
        ) from None
    if shared:
        raise UnfitSessionError(SHARED)


async def _share(first: Connection, second: Connection, backend: int) -> bool:
    """Whether `first`, whose server process was `backend`, shares its session with `second`."""
    # While `first` is idle, `second` takes a session. A pooler that shares gives it the one that has just become free,
    # or gives `first` another one afterwards. It may give the right ones by chance, so this is repeated.
    for _ in range(ROUNDS):
        shared = await _backend(second, stay=True) == backend or await _backend(first) != backend
        await second.execute("ROLLBACK")
        if shared or await _backend(first) != backend:
            return True
    return False


async def _backend(connection: Connection, *, stay: bool = False) -> int:
    [row] = await query_unsettled(connection, "SELECT pg_backend_pid() AS backend", stay=stay)
    return int(row.backend)
