"""`backup` and `restore` that are killed or lose Postgres half way: there is no file, or no record."""

import asyncio
import io
import subprocess
import sys
import zipfile
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from dexexec.backup.record_copy import back_up, restore
from dexexec.bootstrap.servers import Servers as OpenedServers
from dexexec.cli import backup as command
from dexexec.errors import UnavailableError
from dexexec.store import Address, Database
from tests.support.parts import new_order, open_database, open_store

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from dexexec.backup import record_copy
from dexexec.store import Address, Database

def killed_by(line):
    if line.startswith("orders:"):
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    database = Database(Address(**eval(sys.argv[2])))
    await database.open()
    await getattr(record_copy, sys.argv[1])(database, Path(sys.argv[3]), killed_by)

asyncio.run(main())
"""
"""A process that ends at once when the orders are copied; other tables follow them."""
RELATIONS = "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('restored')"
END_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = %s"


def killed(what: str, address: Address, path: Path) -> None:
    """Run one of both in a process that is killed half way."""
    fields = {"host": address.host, "port": address.port, "user": address.user, "password": address.password}
    about = fields | {"database": address.database, "schema": address.schema}
    done = subprocess.run([sys.executable, "-c", KILLED, what, repr(about), str(path)], timeout=50, check=False)
    assert done.returncode == -9


def relations(address: Address) -> int:
    """How many tables and indexes are in the schema `restored`."""
    with psycopg.connect(address.conninfo(), autocommit=True) as connection:
        row = connection.execute(RELATIONS).fetchone()
    assert row is not None
    return int(row[0])


async def fill(address: Address) -> None:
    async with open_store(address) as store:
        for _ in range(3):
            await store.create(new_order())


async def test_a_killed_backup_leaves_no_file_and_a_killed_restore_no_record(
    database_address: Address, tmp_path: Path
) -> None:
    await fill(database_address)
    path, target = tmp_path / "record.backup", replace(database_address, schema="restored")
    await asyncio.to_thread(killed, "back_up", database_address, path)
    assert [one.name for one in tmp_path.iterdir()] == ["record.backup.partial"]  # noqa: ASYNC240
    async with open_database(database_address) as database:
        await back_up(database, path, lambda _: None)
    assert [one.name for one in tmp_path.iterdir()] == ["record.backup"]  # noqa: ASYNC240
    await asyncio.to_thread(killed, "restore", target, path)
    assert relations(database_address) == 0
    database = Database(target)
    await database.open()
    try:
        assert (await restore(database, path, lambda _: None)).orders == 3
    finally:
        await database.close()


async def test_without_postgres_half_way_there_is_no_file_and_no_record(
    database_address: Address, tmp_path: Path
) -> None:
    await fill(database_address)
    path, target = tmp_path / "record.backup", replace(database_address, schema="restored")

    def end_session(line: str) -> None:
        if line.startswith("orders:"):
            with psycopg.connect(database_address.conninfo(), autocommit=True) as connection:
                connection.execute(END_OTHERS, ("idle in transaction",))

    async with open_database(database_address) as database:
        with pytest.raises(UnavailableError):
            await back_up(database, path, end_session)
        assert not any(tmp_path.iterdir())  # noqa: ASYNC240
        await back_up(database, path, lambda _: None)
    database = Database(target)
    await database.open()
    try:
        with pytest.raises(UnavailableError):
            await restore(database, path, end_session)
        assert relations(database_address) == 0
    finally:
        await database.close()


async def test_the_commands_write_progress_to_stderr_and_the_result_to_stdout(
    database_address: Address, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(database_address)
    out = io.StringIO()
    options = Namespace(command="backup", file=tmp_path / "record.backup")
    assert await command.run(options, OpenedServers(database_address, "", ()), lambda text: print(text, file=out)) == 0
    assert out.getvalue().startswith(f"{tmp_path / 'record.backup'}: ")
    shown = capsys.readouterr()
    assert "orders: 3 rows, " in shown.err
    assert shown.out == ""
    with zipfile.ZipFile(tmp_path / "record.backup") as archive:
        assert archive.testzip() is None
    options.command = "restore"
    target = replace(database_address, schema="restored")
    out.truncate(0)
    assert await command.run(options, OpenedServers(target, "", ()), lambda text: print(text, file=out)) == 0
    assert "3 orders are restored into the schema restored" in out.getvalue()
    assert "3 of them have not ended" in out.getvalue()
