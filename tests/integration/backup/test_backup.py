"""A backup of a real Postgres, and what a restored record is: whole, of one moment, and compared with nothing yet."""

import asyncio
import dataclasses
import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from dexexec.backup.archive_file import new_archive
from dexexec.backup.record_copy import back_up, restore
from dexexec.domain.status import Status
from dexexec.errors import BackupError, IdempotencyMismatchError, UnusableError
from dexexec.store import Address, ChainComparisons, Created, Database, migrate
from dexexec.store.migrate import apply_migrations, migrations
from tests.conftest import Servers
from tests.integration.conftest import open_scripted_workers
from tests.support.aged_orders import ArchiveSetup, open_retention
from tests.support.databases import all_rows, new_database
from tests.support.parts import new_order, open_database, open_store, running
from tests.support.resting_rows import rest
from tests.support.scripted_workers import ALIVE, LANDED, OpenScriptedWorkers
from tests.support.waiting import until

COMPARED = """
INSERT INTO chain_comparisons (genesis, wallet, identity, compared_at) VALUES ('g', 'w', record_identity(), now())
"""
MIGRATIONS = """
CREATE TABLE schema_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())
"""
AN_ORDER = "INSERT INTO orders (id, side, amount, status, mode, client) VALUES (%s, 'buy', 1, 'pending', 'exactIn', '')"
BEHIND = """
SELECT count(*) FROM restored.orders o
WHERE version <> (SELECT max(seq) FROM restored.order_events WHERE order_id = o.id)
"""
STRAY = """
SELECT count(*) FROM restored.order_events e WHERE NOT EXISTS (SELECT FROM restored.orders WHERE id = e.order_id)
"""
ORDERS = "tables/orders.copy"


def quiet(_: str) -> None:
    """No progress."""


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(one.name for one in folder.iterdir())


def fresh(address: Address, schema: str = "restored") -> Address:
    """An empty schema in the same database, which is in the same Postgres."""
    return dataclasses.replace(address, schema=schema)


async def saved(address: Address, path: Path) -> Path:
    async with open_database(address) as database:
        await back_up(database, path, quiet)
    return path


async def restored(address: Address, path: Path) -> tuple[int, int]:
    database = Database(address)
    await database.open()
    try:
        done = await restore(database, path, quiet)
    finally:
        await database.close()
    return done.orders, done.open


def is_empty(address: Address) -> bool:
    return tables_or_none(address) in (None, {})


def tables_or_none(address: Address) -> dict[str, list[Any]] | None:
    with psycopg.connect(address.conninfo(), autocommit=True) as connection:
        row = connection.execute("SELECT to_regnamespace(%s)", (address.schema,)).fetchone()
    return all_rows(address) if row and row[0] else None


async def fill(address: Address) -> list[UUID]:
    """Orders in every place: archived in two partitions, ended, resting, open and new, with keys."""
    async with open_store(address) as store:
        setup = ArchiveSetup(address, store)
        ids = [await setup.confirmed(days) for days in (9, 9, 3)]
        ids.append(await setup.failed(9))
        async with open_retention(address) as archiver:
            await archiver.round()
        ids.append(await setup.confirmed())
        ids.append((await setup.submitted()).order.id)
        ids.append((await store.create(new_order(key="k", body_hash=b"1"))).order_id)
        resting = await asyncio.to_thread(rest, address.conninfo(), 1)
        return [*ids, *resting]


async def test_a_restored_record_is_the_record_and_answers_keys_and_every_question_alike(
    database_address: Address, tmp_path: Path
) -> None:
    ids = await fill(database_address)
    path = await saved(database_address, tmp_path / "record.backup")
    target = fresh(database_address)
    assert await restored(target, path) == (len(ids), 3)
    async with open_store(database_address) as before, open_store(target) as after:
        one, other = ArchiveSetup(database_address, before), ArchiveSetup(target, after)
        assert await one.everything(ids) == await other.everything(ids)
        again = await after.create(new_order(key="k", body_hash=b"1"))
        assert again == Created(ids[6], replayed=True)
        with pytest.raises(IdempotencyMismatchError):
            await after.create(new_order(key="k", body_hash=b"2"))
    there, here = all_rows(database_address), all_rows(target)
    changed = {"orders", "installation", "schema_migrations", "workers", "write_probes", "idempotency_keys"}
    for name in there.keys() - changed:
        assert here[name] == there[name], name
    assert len([name for name in here if name.startswith("archived_orders_")]) == 2, "the partitions are made again"


async def test_a_file_is_whole_private_and_never_replaces_another(database_address: Address, tmp_path: Path) -> None:
    path = tmp_path / "record.backup"
    mask = os.umask(0)
    try:
        await saved(database_address, path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == [path.name]
    content = path.read_bytes()
    with pytest.raises(BackupError, match="exists already"):
        await saved(database_address, path)
    assert path.read_bytes() == content
    with pytest.raises(BackupError, match="nowhere"):
        await saved(database_address, tmp_path / "nowhere" / "record.backup")


async def test_what_an_interrupted_backup_left_is_replaced_and_one_that_runs_is_not_disturbed(
    database_address: Address, tmp_path: Path
) -> None:
    path, partial = tmp_path / "record.backup", tmp_path / "record.backup.partial"
    partial.write_bytes(b"x" * 10_000_000)
    partial.chmod(0o644)
    await saved(database_address, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size < 1_000_000
    assert await restored(fresh(database_address), path) == (0, 0)
    second = tmp_path / "second.backup"

    def while_it_runs(_: str) -> None:
        with pytest.raises(BackupError, match="another backup is writing"), new_archive(second):
            pytest.fail("two write one file")

    async with open_database(database_address) as database:
        await back_up(database, second, while_it_runs)
    assert await restored(fresh(database_address, "another"), second) == (0, 0)


async def test_a_backup_shows_one_moment_while_orders_go_on(
    scripted_workers: OpenScriptedWorkers, database_address: Address, tmp_path: Path
) -> None:
    """Each table is copied later than the one before, and more orders end meanwhile."""
    async with scripted_workers() as b:
        posted: list[UUID] = []
        ended = asyncio.Event()

        async def post() -> None:
            while not ended.is_set():
                posted.append(await b.post())
                await asyncio.sleep(0.002)

        async with running(b.worker().run()):
            poster = asyncio.create_task(post())
            await until(lambda: len(posted) > 20)
            async with open_database(database_address) as database:
                seen: list[int] = []

                def progress(_: str) -> None:
                    seen.append(len(posted))

                await back_up(database, tmp_path / "record.backup", progress)
            ended.set()
            await poster
        target = fresh(database_address)
        orders, still_open = await restored(target, tmp_path / "record.backup")
        assert 20 <= orders < len(posted) + 1
        assert 0 <= still_open <= orders
    setup = ArchiveSetup(target, None)  # type: ignore[arg-type]
    assert (setup.sql(BEHIND), setup.sql(STRAY)) == ([(0,)], [(0,)]), "every order has exactly its events"


async def test_the_restored_service_finishes_open_orders_once(
    scripted_workers: OpenScriptedWorkers, servers: Servers, database_address: Address, tmp_path: Path
) -> None:
    async with scripted_workers() as b:
        b.chain.statuses = [ALIVE]
        sent = await b.post()
        async with running(b.worker().run()):
            await b.reached(sent, Status.SUBMITTED)
            # Backed up in the middle: the worker of the original holds the order.
            async with open_database(database_address) as database:
                await back_up(database, tmp_path / "record.backup", quiet)
    with new_database(servers.postgres) as target:
        assert await restored(target, tmp_path / "record.backup") == (1, 1)
        async with open_scripted_workers(target, servers.redis_url, f"t{uuid4().hex[:10]}") as c:
            c.chain.statuses = [LANDED]
            async with running(c.worker().run(), c.sweeper().run()):
                events = await c.ended(sent)
            assert events[-1].status is Status.CONFIRMED
            assert [e.status for e in events].count(Status.SUBMITTED) == 1, "the attempt that was there, no other"


async def test_a_restored_record_is_compared_with_the_chain_also_in_the_postgres_that_it_came_from(
    database_address: Address, tmp_path: Path
) -> None:
    async with open_database(database_address) as database:
        async with database.connection() as connection:
            await connection.execute(COMPARED)
        state = await ChainComparisons(database, lambda _: None).state("g", "w")
        assert state.compared == state.identity
        name = await ChainComparisons(database, lambda _: None).record_name()
    path = await saved(database_address, tmp_path / "record.backup")
    await restored(fresh(database_address), path)
    async with open_database(fresh(database_address)) as database:
        comparisons = ChainComparisons(database, lambda _: None)
        for genesis in ("g", "another"):
            state = await comparisons.state(genesis, "w")
            assert state.compared != state.identity, "no worker may sign before it has compared"
            assert state.pending is None
        assert await comparisons.record_name() == name, "the memos on chain still name this record"


async def test_what_numbers_of_the_other_postgres_mean_is_made_new(database_address: Address, tmp_path: Path) -> None:
    async with open_store(database_address) as store:
        await asyncio.to_thread(rest, database_address.conninfo(), 1)
        claimed = (await store.create(new_order())).order_id
        worker = await store.begin("w", 20)
        assert await store.claim(worker.id, [claimed])
        setup = ArchiveSetup(database_address, store)
        setup.sql("UPDATE orders SET rested_xid = '9000000000000'::xid8 WHERE rested_xid IS NOT NULL")
        path = await saved(database_address, tmp_path / "record.backup")
        await worker.end()
    await restored(fresh(database_address), path)
    async with open_store(fresh(database_address)) as store:
        again = await store.begin("w2", 20)
        assert again.id > worker.id, "no worker gets the number of an earlier one"
        [one] = await store.claim(again.id, [claimed])
        assert one.order.claims == 1, "the claim that the backup interrupted is not counted as a crash"
        await again.end()
    setup = ArchiveSetup(database_address, store)
    rows = setup.sql("SELECT rested_xid < pg_current_xact_id() FROM restored.orders WHERE resting")
    assert rows == [(True,)]


async def test_a_backup_of_an_older_version_is_restored_and_migrated(empty_database: Address, tmp_path: Path) -> None:
    old = [(name, text) for name, text in migrations() if name < "0024"]
    database = Database(empty_database)
    await database.open()
    try:
        async with database.connection() as connection:
            await connection.execute(MIGRATIONS)
            await apply_migrations(connection, old, [])
            await connection.execute(AN_ORDER, (UUID(int=7),))
        await back_up(database, tmp_path / "record.backup", quiet)
        async with database.connection() as connection:
            rows = await (await connection.execute("SELECT name FROM schema_migrations ORDER BY 1")).fetchall()
        assert [name for (name,) in rows] == [name for name, _ in old], "a backup migrates nothing"
    finally:
        await database.close()
    assert await restored(fresh(empty_database), tmp_path / "record.backup") == (1, 1)
    async with open_database(fresh(empty_database)) as database:
        assert await migrate(database) == []


# What is refused


def middle_of(path: Path, name: str) -> int:
    """Where in the file the middle of an entry's compressed rows is. What is between the entries has bytes that mean
    nothing, such as times."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    header = path.read_bytes()[info.header_offset : info.header_offset + 30]
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return info.header_offset + len(header) + names + info.compress_size // 2


def changed(path: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """A copy of a file with other entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    change(entries)
    other = path.with_name(f"{uuid4().hex}.backup")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return other


def edit(entries: dict[str, bytes], **values: object) -> None:
    entries["manifest.json"] = json.dumps(json.loads(entries["manifest.json"]) | values).encode()


def swap_rows(entries: dict[str, bytes]) -> None:
    """A changed table whose checksum in the manifest was changed with it, but not its number of rows."""
    entries["tables/orders.copy"] = b""
    manifest = json.loads(entries["manifest.json"])
    for entry in manifest["tables"]:
        if entry["name"] == "orders":
            entry |= {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    entries["manifest.json"] = json.dumps(manifest).encode()


def without_table(entries: dict[str, bytes]) -> None:
    """A table less, in the manifest too."""
    del entries["tables/attempts.copy"]
    manifest = json.loads(entries["manifest.json"])
    manifest["tables"] = [entry for entry in manifest["tables"] if entry["name"] != "attempts"]
    entries["manifest.json"] = json.dumps(manifest).encode()


def foreign_table(entries: dict[str, bytes]) -> None:
    """A table with a name that is no name."""
    manifest = json.loads(entries["manifest.json"])
    for entry in manifest["tables"]:
        if entry["name"] == "orders":
            entry["name"] = 'orders"; DROP TABLE x; --'
    entries["manifest.json"] = json.dumps(manifest).encode()


CHANGES: list[tuple[Callable[[dict[str, bytes]], object], str]] = [
    (lambda e: e.update({ORDERS: e[ORDERS][:-9]}), "checksum differs"),
    (lambda e: e.update({ORDERS: e[ORDERS].replace(b"buy", b"bux")}), "checksum differs"),
    (lambda e: e.update({ORDERS: e[ORDERS] * 2}), "checksum differs"),
    (swap_rows, "0 rows, and 3 in its manifest"),
    (without_table, "not those of its schema's version"),
    (foreign_table, "manifest is damaged"),
    (lambda e: e.pop(ORDERS), "exactly the tables of its manifest"),
    (lambda e: e.update({"tables/more.copy": b""}), "exactly the tables of its manifest"),
    (lambda e: e.pop("manifest.json"), "no backup of dexexec"),
    (lambda e: e.update({"manifest.json": b"{}"}), "manifest is damaged"),
    (lambda e: edit(e, version=2), "its format has version 2"),
    (lambda e: edit(e, migrations=["0001_orders.sql", "9999_later.sql"]), "a newer dexexec made it"),
    (lambda e: edit(e, migrations=["../../etc/passwd"]), "manifest is damaged"),
    (lambda e: edit(e, extra=1), "manifest is damaged"),
]


async def test_a_file_that_was_changed_is_refused_and_changes_nothing(
    database_address: Address, tmp_path: Path
) -> None:
    async with open_store(database_address) as store:
        for _ in range(3):
            await store.create(new_order())
    good = await saved(database_address, tmp_path / "record.backup")
    for change, words in CHANGES:
        path = changed(good, change)
        with pytest.raises((BackupError, UnusableError), match=words) as refused:
            await restored(fresh(database_address), path)
        assert str(path) in str(refused.value)
        assert is_empty(fresh(database_address))
    assert await restored(fresh(database_address), good) == (3, 3)


async def test_a_file_that_was_cut_off_or_overwritten_is_refused(database_address: Address, tmp_path: Path) -> None:
    async with open_store(database_address) as store:
        await store.create(new_order())
    good = await saved(database_address, tmp_path / "record.backup")
    content = good.read_bytes()
    inside = middle_of(good, ORDERS)
    broken = tmp_path / "broken.backup"
    for wrong in (
        b"",
        content[:100],
        content[: len(content) // 2],
        content[:-1],
        content[:50] + bytes(20) + content[70:],
        content[:inside] + bytes([content[inside] ^ 0xFF]) + content[inside + 1 :],
        os.urandom(500),
    ):
        broken.write_bytes(wrong)
        with pytest.raises(BackupError, match=r"broken\.backup cannot be used"):
            await restored(fresh(database_address), broken)
        assert is_empty(fresh(database_address))
    with pytest.raises(BackupError, match="No such file"):
        await restored(fresh(database_address), tmp_path / "none.backup")


async def test_a_schema_that_is_not_empty_is_refused_and_left_alone(database_address: Address, tmp_path: Path) -> None:
    path = await saved(database_address, tmp_path / "record.backup")
    before = all_rows(database_address)
    with pytest.raises(UnusableError, match=r"empty schema.*PG_SCHEMA"):
        await restored(database_address, path)
    assert all_rows(database_address) == before
    with psycopg.connect(database_address.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA restored; CREATE TABLE restored.theirs (a int)")
    with pytest.raises(UnusableError, match="theirs"):
        await restored(fresh(database_address), path)
    assert all_rows(fresh(database_address)) == {"theirs": []}


async def test_without_a_record_there_is_nothing_to_back_up(empty_database: Address, tmp_path: Path) -> None:
    database = Database(empty_database)
    await database.open()
    try:
        with pytest.raises(UnusableError, match="has no record"):
            await back_up(database, tmp_path / "record.backup", quiet)
    finally:
        await database.close()
    assert names(tmp_path) == []
