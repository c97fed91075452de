"""The service with exactly the rights that the documents list, in Postgres and in Redis, and with one right less."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from psycopg import sql

from dexexec.bootstrap.connections import open_redis
from dexexec.bootstrap.servers import Servers as Addresses
from dexexec.errors import UnusableError
from dexexec.store import Address, check_ownership
from tests.conftest import Servers
from tests.support.hostile_database import HOSTILE, database_of_a_role
from tests.support.parts import open_database
from tests.support.pgbouncer import PROGRAM, pgbouncer
from tests.support.service.client import http, watching
from tests.support.service.process import QUICK, Launcher, servers_at

SCALING = (Path(__file__).parents[3] / "docs" / "SCALING.md").read_text()
PASSWORD = "x"  # noqa: S105


def documented(start: str) -> str:
    """The block of the documents that begins with `start`."""
    _, _, rest = SCALING.partition(start)
    assert rest, start
    return start + rest.partition("```")[0]


@pytest.fixture
def least_postgres(servers: Servers) -> Iterator[tuple[Address, Address]]:
    """The owner of the tables, and the role that runs: its sessions begin with foreign settings."""
    with (
        database_of_a_role(servers.postgres) as service,
        database_of_a_role(servers.postgres, **HOSTILE) as owner,
        psycopg.connect(replace(servers.postgres, database=owner.database).conninfo(), autocommit=True) as connection,
    ):
        connection.execute(words("CREATE SCHEMA dexexec", owner, service))
        for setting, value in HOSTILE.items():
            alter = sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}")
            names = (sql.Identifier(name) for name in (service.user, owner.database, setting))
            connection.execute(alter.format(*names, value))
        yield (
            replace(owner, schema="dexexec"),
            replace(service, database=owner.database, schema="dexexec"),
        )


def words(start: str, owner: Address, service: Address) -> bytes:
    """A block of the documents, for these roles."""
    text = documented(start).replace("dexexec_owner", owner.user).replace("dexexec_service", service.user)
    return text.encode()


@pytest.fixture
def least_redis(servers: Servers, redis_prefix: str) -> Iterator[tuple[redis.Redis, str]]:
    """A client that may do everything, and the URL of a user that may do what the documents list."""
    acl = documented("ACL SETUSER dexexec").split()
    acl = [word.replace("{dexexec}", f"{{{redis_prefix}}}").replace("&dexexec:", f"&{redis_prefix}:") for word in acl]
    acl[2:5] = [redis_prefix, "on", f">{PASSWORD}"]
    with redis.Redis.from_url(servers.redis_url) as client:
        client.execute_command(*acl)
        client.acl_log_reset()
        try:
            yield client, as_user(servers.redis_url, redis_prefix)
        finally:
            client.acl_deluser(redis_prefix)
            client.delete(*client.keys(f"{{{redis_prefix}}}:*"), "-")


def as_user(url: str, user: str) -> str:
    found = urlsplit(url)
    return urlunsplit(found._replace(netloc=f"{user}:{PASSWORD}@{found.netloc.rpartition('@')[2]}"))


LIMITS = {"DEXEXEC_ORDERS_PER_MINUTE": "1000", "DEXEXEC_CLIENT_ORDERS_PER_MINUTE": "1000"}


async def test_the_service_runs_with_the_documented_least_rights_and_any_initial_session_settings(
    least_postgres: tuple[Address, Address],
    least_redis: tuple[redis.Redis, str],
    redis_prefix: str,
) -> None:
    owner, service = least_postgres
    administrator, url = least_redis
    async with open_database(owner) as database, database.connection() as connection:
        await connection.execute(words("GRANT USAGE ON SCHEMA dexexec", owner, service))
        await check_ownership(database)
    with contextlib.ExitStack() as stack:
        through = stack.enter_context(pgbouncer(service, "session")) if PROGRAM else service
        launcher = stack.enter_context(Launcher(PG_SCHEMA="dexexec", **QUICK, **LIMITS))
        process = launcher.start(**servers_at(through, url, redis_prefix))
        await asyncio.to_thread(process.ready)
        async with http() as calls:
            order_ids = await asyncio.gather(*(calls.accepted(process.url) for _ in range(5)))
        async with watching(lambda: process.url, order_ids):
            pass
        assert await asyncio.to_thread(process.stop) == 0
        assert not [line for line in process.err.splitlines() if '"level": "error"' in line]
    with psycopg.connect(owner.conninfo()) as connection:
        found = connection.execute("SELECT DISTINCT status FROM dexexec.orders").fetchall()
    assert found == [("confirmed",)]
    assert [entry for entry in administrator.acl_log() if entry["username"] == redis_prefix] == []


async def test_a_role_that_owns_no_tables_cannot_archive(least_postgres: tuple[Address, Address]) -> None:
    owner, service = least_postgres
    async with open_database(owner) as database, database.connection() as connection:
        await connection.execute(words("GRANT USAGE ON SCHEMA dexexec", owner, service))
    async with open_database(service) as database:
        with pytest.raises(UnusableError, match=f"DEXEXEC_KEEP_DAYS is set.*run workers as {owner.user}"):
            await check_ownership(database)


LESS = ["-evalsha", "-script", "-xautoclaim", "-publish", "-subscribe", "-pexpire", "resetchannels", "resetkeys"]


@pytest.mark.parametrize("less", LESS)
async def test_a_missing_right_in_redis_ends_the_start_with_its_name(
    least_redis: tuple[redis.Redis, str], redis_prefix: str, less: str
) -> None:
    administrator, url = least_redis
    administrator.execute_command("ACL", "SETUSER", redis_prefix, less)  # type: ignore[no-untyped-call]
    with pytest.raises(UnusableError, match=r"it refuses [A-Z ]+ to the user .*docs/SCALING\.md") as raised:
        async with open_redis(Addresses(Address(host="/nowhere"), url, ()), redis_prefix):
            pass
    assert less.removeprefix("-").upper() in str(raised.value) or less.startswith("reset")
    assert administrator.keys(f"{{{redis_prefix}}}:rights") == []
