"""/readyz on real servers that answer but take no writes: it reports the cause before an order is refused."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from dexexec.api import readiness
from dexexec.api.readiness import Readiness
from dexexec.clock import SystemClock
from dexexec.embedded import lifecycle
from dexexec.store import Address
from tests.conftest import Servers
from tests.support.parts import open_queue, open_store
from tests.support.redis_nodes import Node, a_server, wait_for_server
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def looks_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question is a look, so that no test waits for the next second."""
    monkeypatch.setattr(readiness, "FRESH_SECONDS", 0)


@asynccontextmanager
async def readiness_of(address: Address, redis_url: str, prefix: str) -> AsyncIterator[Readiness]:
    """With a worker that lives."""
    async with open_store(address) as store, open_queue(redis_url, prefix) as queue:
        worker = await store.begin("w", 20)
        yield Readiness(store, queue, SystemClock())
        await worker.end()


async def causes(found: Readiness) -> dict[str, str]:
    return (await found.answer()).causes


# Redis


def out_of_memory(node: Node) -> None:
    node.ask("CONFIG", "SET", "maxmemory", "1")


def a_replica(node: Node) -> None:
    node.ask("REPLICAOF", "127.0.0.1", "9")


def unsaved(node: Node) -> None:
    """Its snapshots fail, as on a full disk: a folder is in their place."""
    (node.folder / "dump.rdb").mkdir()
    node.ask("CONFIG", "SET", "save", "3600 1000000")
    node.ask("BGSAVE")
    wait_for_server(lambda: node.info()["rdb_last_bgsave_status"] == "err", "the snapshot to fail")


TROUBLES = {"OOM": out_of_memory, "READONLY": a_replica, "MISCONF": unsaved}


@pytest.mark.parametrize("code", TROUBLES)
async def test_a_redis_that_takes_no_writes_is_missing(
    tmp_path: Path, database_address: Address, redis_prefix: str, code: str
) -> None:
    with a_server(tmp_path / "alone") as node:
        url = f"redis://127.0.0.1:{node.port}"
        async with readiness_of(database_address, url, redis_prefix) as found:
            assert await causes(found) == {}
            TROUBLES[code](node)
            assert await causes(found) == {"redis": f"Redis refuses commands ({code})"}


# Postgres


@pytest.fixture
def small_disk(servers: Servers) -> Iterator[tuple[Address, Path]]:
    """A database whose files are on a file system of some megabytes, and that file system."""
    if "TEST_PG_HOST" in os.environ:
        pytest.skip("the server's disk is not ours to fill")
    folder = Path(tempfile.mkdtemp(prefix="dxd"))
    database = f"small_{uuid4().hex[:12]}"
    name = sql.Identifier(database)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        mounting = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
        if subprocess.run(mounting, capture_output=True, check=False).returncode:
            pytest.skip("no right to mount a small file system: a full disk cannot be tried here")
        stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
        place = folder / "tables"
        place.mkdir()
        if os.geteuid() == 0:
            os.chown(place, lifecycle.UNPRIVILEGED_UID, lifecycle.UNPRIVILEGED_UID)
            folder.chmod(0o755)
        connection = stack.enter_context(psycopg.connect(servers.postgres.conninfo(), autocommit=True))
        connection.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(name, sql.Literal(str(place))))
        stack.callback(connection.execute, sql.SQL("DROP TABLESPACE {}").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {} TABLESPACE {}").format(name, name))
        stack.callback(connection.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        yield replace(servers.postgres, database=database), folder


async def test_a_full_disk_is_reported_before_an_order_is_refused(
    small_disk: tuple[Address, Path], servers: Servers, redis_prefix: str
) -> None:
    address, folder = small_disk
    async with readiness_of(address, servers.redis_url, redis_prefix) as found:
        assert await causes(found) == {}
        filler = folder / "filler"
        free = os.statvfs(folder)
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)

        async def full() -> bool:
            return await causes(found) == {"postgres": "Postgres has no room left on its disk"}

        await until(full)  # a probe of the last second counts as one that found room
        filler.unlink()
        await until(lambda: ready(found))


async def ready(found: Readiness) -> bool:
    return (await found.answer()).ready


async def test_a_backup_that_reads_the_probe_is_not_waited_for(
    database_address: Address, servers: Servers, redis_prefix: str
) -> None:
    async with (
        readiness_of(database_address, servers.redis_url, redis_prefix) as found,
        await psycopg.AsyncConnection.connect(database_address.conninfo()) as backup,
    ):
        await backup.execute("LOCK TABLE write_probes IN ACCESS SHARE MODE")
        assert await causes(found) == {}


async def test_a_worker_whose_session_is_over_does_not_count_although_its_lease_is_valid(
    database_address: Address, servers: Servers, redis_prefix: str
) -> None:
    async with open_store(database_address) as store, open_queue(servers.redis_url, redis_prefix) as queue:
        found = Readiness(store, queue, SystemClock())
        worker = await store.begin("killed", 20)
        assert await causes(found) == {}
        await worker._connection.close()
        await until(lambda: gone(found))


async def gone(found: Readiness) -> bool:
    return await causes(found) == {"worker": "none is alive"}
