"""The service through PgBouncer: as usual where it keeps sessions, refused at the start where it shares them."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from dexexec.store import Address, connect
from tests.conftest import Servers
from tests.support.hostile_database import HOSTILE, database_of_a_role
from tests.support.pgbouncer import needs_pgbouncer, pgbouncer
from tests.support.service.client import http, watching
from tests.support.service.process import QUICK, Launcher, servers_at
from tests.support.service.promise_checks import check_promises, rows

pytestmark = needs_pgbouncer

DROPPING = {"ignore_startup_parameters": "options,extra_float_digits", "server_reset_query": ""}
"""Start-up options are accepted and ignored, and a session is handed on in the state that its last user left."""

LOCKS_HERE = """
SELECT FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory' AND datname = current_database()
"""


@pytest.fixture
def database(servers: Servers) -> Iterator[Address]:
    """For a role whose sessions begin with foreign settings."""
    with database_of_a_role(servers.postgres, **HOSTILE) as address:
        yield address


@pytest.mark.parametrize(("settings", "starts"), [({}, 1), (DROPPING, 2)], ids=["refusing", "dropping"])
async def test_orders_go_their_whole_way_through_a_pooler_that_keeps_sessions(
    servers: Servers, database: Address, redis_prefix: str, settings: dict[str, str], starts: int
) -> None:
    with pgbouncer(database, "session", **settings) as pooled, Launcher(**QUICK) as launcher:
        order_ids = []
        for _ in range(starts):
            process = launcher.start(**servers_at(pooled, servers.redis_url, redis_prefix))
            await asyncio.to_thread(process.ready)
            order_ids += await ten_orders(process.url)
            assert await asyncio.to_thread(process.stop) == 0
        assert (
            check_promises(replace(servers.postgres, database=database.database), order_ids).statuses["confirmed"]
            == 10 * starts
        )


async def ten_orders(url: str) -> list[str]:
    """Their ids, once all have ended."""
    async with http() as calls:
        order_ids = await asyncio.gather(*(calls.accepted(url) for _ in range(10)))
    async with watching(lambda: url, order_ids):
        return order_ids


async def test_locks_and_statements_of_an_earlier_client_are_cleared(database: Address) -> None:
    """A lock would seem to be held by a worker that lives, and names of statements would collide."""
    with pgbouncer(database, "session", default_pool_size="1", **DROPPING) as pooled:
        with psycopg.connect(pooled.conninfo(), autocommit=True) as other:
            other.execute("SELECT pg_advisory_lock(1, 7)")
            other.execute("PREPARE _pg3_0 AS SELECT 1")
            backend = other.execute("SELECT pg_backend_pid()").fetchone()
        with connect(pooled) as ours:
            assert ours.execute("SELECT pg_backend_pid()").fetchone() == backend
            assert ours.execute(LOCKS_HERE.encode()).fetchall() == []
            assert ours.execute("SELECT FROM pg_prepared_statements WHERE name = '_pg3_0'").fetchall() == []


@pytest.mark.parametrize("pool_mode", ["transaction", "statement"])
def test_a_pooler_that_shares_sessions_is_refused_in_one_line_and_nothing_is_left_on_it(
    servers: Servers, database: Address, redis_prefix: str, pool_mode: str
) -> None:
    with pgbouncer(database, pool_mode) as pooled, Launcher(**QUICK) as launcher:
        process = launcher.start(**servers_at(pooled, servers.redis_url, redis_prefix))
        assert process.wait() == 2
        [line] = process.err.splitlines()
        assert line.startswith(f"dexexec: Postgres at {pooled.host}:{pooled.port}/")
        assert "shares sessions" in line
        assert "pool_mode = session" in line
        postgres = replace(servers.postgres, database=database.database)
        assert rows(postgres, LOCKS_HERE) == []
        assert rows(postgres, "SELECT FROM pg_tables WHERE schemaname = 'public'") == []
