"""Servers given by the environment, over TCP: they are used, nothing is embedded, and no password shows.

By default these are the wheels' programs on loopback ports, with a separate Postgres role and Redis password.
With TEST_PG_HOST and TEST_REDIS_URL set, the first test runs on those instead.
"""

import asyncio
import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import redis

from dexexec.cli.main import main
from dexexec.embedded import lifecycle
from dexexec.store import Address
from tests.support.ports import free_port
from tests.support.service.client import http, watching
from tests.support.service.process import QUICK, Launcher, Process, servers_at
from tests.support.service.promise_checks import check_promises, rows
from tests.support.waiting import wait_until

PG_SECRET, REDIS_SECRET = "pg hunter2 '\\", "redis-hunter2/@:%"
REDIS_SECRET_IN_URL = quote(REDIS_SECRET, safe="")


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[Address, str]]:
    """A Postgres and a Redis on TCP that want a password; the URL has it in it."""
    root = Path(tempfile.mkdtemp(prefix="dxt"))
    pg_port, redis_port = free_port(), free_port()
    with lifecycle.postgres(root, tcp_port=pg_port) as pg, lifecycle.valkey(root, tcp_port=redis_port) as url:
        with psycopg.connect(pg.conninfo(), autocommit=True) as connection:
            role = psycopg.sql.SQL("CREATE ROLE trader LOGIN PASSWORD {}").format(PG_SECRET)
            connection.execute(role)
            connection.execute("CREATE DATABASE trades OWNER trader")
            rules = root / "postgres" / "data" / "pg_hba.conf"
            rules.write_text(f"host all trader 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
            connection.execute("SELECT pg_reload_conf()")
        with redis.Redis.from_url(url) as client:
            client.config_set("requirepass", REDIS_SECRET)
            try:
                address = Address(host="127.0.0.1", port=pg_port, user="trader", database="trades", password=PG_SECRET)
                wait_for_the_rules(address)
                yield address, f"redis://:{REDIS_SECRET_IN_URL}@127.0.0.1:{redis_port}/3"
            finally:
                client.config_set("requirepass", "")
    shutil.rmtree(root)


def wait_for_the_rules(address: Address) -> None:
    """Wait until a connection without a password fails: a reload takes effect a moment after it was requested."""

    def is_refused() -> bool:
        try:
            psycopg.connect(replace(address, password="").conninfo()).close()
        except psycopg.OperationalError:
            return True
        return False

    wait_until(is_refused, 10, "the rules to apply")


@pytest.fixture
def nothing_embedded() -> Iterator[Launcher]:
    """Processes whose embedded servers would lie in the default place; it must not be made."""
    with Launcher(**QUICK) as launcher:
        yield launcher
        made = [path for path in launcher.home.rglob("*") if path.name in {"dexexec", "postgres", "valkey"}]
        assert made == []


async def orders_go_through(launcher: Launcher, settings: dict[str, str], address: Address) -> list[Process]:
    """Both halves in one process, then apart."""
    both = launcher.start(**settings)
    await asyncio.to_thread(both.ready)
    assert "embedded" not in both.banner()
    assert "Data" not in both.banner()
    async with http() as calls, asyncio.timeout(50):
        order_ids = await asyncio.gather(*(calls.accepted(both.url) for _ in range(20)))
        async with watching(lambda: both.url, order_ids):
            pass
        assert await asyncio.to_thread(both.stop) == 0
        api, worker = launcher.start("api", **settings), launcher.start("worker", **settings)
        await asyncio.to_thread(api.ready)
        order_ids += await asyncio.gather(*(calls.accepted(api.url) for _ in range(20)))
        async with watching(lambda: api.url, order_ids):
            pass
    assert check_promises(address, order_ids).statuses["confirmed"] == 40
    return [api, worker]


async def test_given_servers_are_used_and_nothing_is_embedded(
    nothing_embedded: Launcher, guarded: tuple[Address, str], request: pytest.FixtureRequest
) -> None:
    address, url = guarded
    if "TEST_PG_HOST" in os.environ:
        address = request.getfixturevalue("database_address")
    url = os.environ.get("TEST_REDIS_URL", url)
    prefix = str(request.getfixturevalue("redis_prefix"))
    await orders_go_through(nothing_embedded, servers_at(address, url, prefix), address)
    users = rows(address, "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'dexexec'")
    assert [row["usename"] for row in users] == [address.user]
    with redis.Redis.from_url(url) as client:
        groups = client.xinfo_groups(f"{{{prefix}}}:work")
        assert [group["name"] for group in groups] == [b"workers"]
        client.delete(*client.keys(f"{{{prefix}}}:*"))
    for process in nothing_embedded.processes:
        for secret in (PG_SECRET, REDIS_SECRET, REDIS_SECRET_IN_URL, "hunter2", *secrets_in_environment()):
            assert secret not in process.out + process.err


def secrets_in_environment() -> list[str]:
    password = os.environ.get("TEST_PG_PASSWORD")
    return [password] if password else []


@pytest.mark.parametrize("wrong", ["PG_PASSWORD", "REDIS_URL"])
def test_a_wrong_password_is_an_error_of_one_line_without_it(
    nothing_embedded: Launcher, guarded: tuple[Address, str], wrong: str
) -> None:
    address, url = guarded
    settings = servers_at(address, url, "dexexec")
    settings |= {wrong: {"PG_PASSWORD": "wrong-hunter2", "REDIS_URL": url.replace("redis-", "wrong-")}[wrong]}
    process = nothing_embedded.start(**settings)
    assert process.wait() == 2
    [line] = process.err.splitlines()
    assert line.startswith("dexexec: ")
    assert wrong in line
    assert "hunter2" not in line
    assert process.out == ""


@pytest.mark.parametrize("name", ["DATABASE_URL", "PG_HOST"])
def test_a_url_or_a_conninfo_of_postgres_is_taken(
    nothing_embedded: Launcher, guarded: tuple[Address, str], name: str
) -> None:
    at, password = guarded[0], quote(PG_SECRET, safe="")
    url = f"postgresql://{at.user}:{password}@{at.host}:{at.port}/{at.database}?sslmode=prefer"
    process = nothing_embedded.start("migrate", **{name: url if name == "DATABASE_URL" else at.pg_host_value()})
    assert process.wait() == 0, process.err
    assert "schema" in process.out or "applied" in process.out


WRONG_PLACES = {
    "PG_HOST": "postgresql://me:pg-hunter2@127.0.0.1:1/db",
    "DATABASE_URL": "postgresql://me:pg-hunter2@127.0.0.1:1/db?sslmode=disable",
    "PG_DATABASE": "postgresql://me:pg-hunter2@127.0.0.1:1/db",
    "PG_USER": "host=127.0.0.1 port=1 password=pg-hunter2",
    "PG_PORT": "postgresql://me:pg-hunter2@127.0.0.1:1/db",
    "DEXEXEC_HOST": "redis://me:pg-hunter2@127.0.0.1:1/0",
    "DEXEXEC_LOG_LEVEL": "redis://me:pg-hunter2@127.0.0.1:1/0",
}


def test_promise_14_an_address_that_cannot_be_used_is_reported_without_its_password(nothing_embedded: Launcher) -> None:
    """All reasons in one test, since each takes a start."""
    redis_url = "redis://127.0.0.1:1/0"
    processes = {
        name: nothing_embedded.start(REDIS_URL=redis_url, **{name: text}) for name, text in WRONG_PLACES.items()
    }
    for name, process in processes.items():
        assert process.wait() == 2, name
        [line] = process.err.splitlines()
        assert name in line
        assert "hunter2" not in line
        assert process.out == ""


@pytest.mark.parametrize("command", [["demo", "--orders"], ["adapters", "check"], []])
def test_promise_14_a_value_in_a_wrong_variable_is_reported_without_its_password(command: list[str]) -> None:
    with pytest.raises(SystemExit), contextlib.redirect_stderr(io.StringIO()) as err:
        raise SystemExit(main([*command, "postgresql://me:hunter2@db/x"]))
    assert "postgresql://***@db/x" in err.getvalue()
    assert "hunter2" not in err.getvalue()


def test_migrate_needs_no_redis(nothing_embedded: Launcher, guarded: tuple[Address, str]) -> None:
    """With a Postgres given, there is nothing to embed for it."""
    settings = servers_at(guarded[0], "", "dexexec")
    del settings["REDIS_URL"]
    process = nothing_embedded.start("migrate", **settings)
    assert process.wait() == 0, process.err
