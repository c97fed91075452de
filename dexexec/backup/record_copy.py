"""Copies the record from Postgres into a file, and from a file into Postgres."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dexexec import __version__
from dexexec.backup.archive_file import ArchiveReader, new_archive
from dexexec.backup.manifest import Manifest
from dexexec.errors import BackupError
from dexexec.store import Database, Restoring, Snapshot
from dexexec.store.migrate import migrations

Report = Callable[[str], None]
REPORT_SECONDS = 5.0
"""Seconds between two lines about the same table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored: the backup, and its orders, of which some have not ended."""

    manifest: Manifest
    orders: int
    open: int


async def back_up(database: Database, path: Path, report: Report) -> Manifest:
    """Write the record to a new file. `report` gets lines about the progress. Raises `BackupError`, `UnusableError` and
    `UnavailableError`; then there is no file."""
    # The file first: a name that is taken, or a folder that is missing, is noticed before Postgres has any work.
    with new_archive(path) as archive:
        async with Snapshot.begin(database) as snapshot:
            entries = []
            for table in snapshot.facts.tables:
                progress = _Progress(table.name, report)
                with archive.table(table) as writer:
                    rows = await snapshot.copy(table, progress.counting(writer.write))
                entries.append(writer.entry(rows))
                progress.end(rows)
            facts = snapshot.facts
        manifest = Manifest(
            dexexec=__version__,
            postgres=facts.postgres,
            taken_at=facts.taken_at,
            record=facts.record,
            migrations=facts.migrations,
            numbers=dict(facts.numbers),
            tables=tuple(entries),
        )
        archive.finish(manifest)
    return manifest


async def restore(database: Database, path: Path, report: Report) -> Restored:
    """Fill an empty schema from a file, in one transaction. Raises `BackupError`, `UnusableError` and
    `UnavailableError`; then nothing was changed."""
    with ArchiveReader.open(path) as archive:
        manifest = archive.manifest
        if newer := sorted(set(manifest.migrations) - {name for name, _ in migrations()}):
            raise BackupError(f"a newer dexexec made it ({newer[-1]}): restore it with that one")
        async with Restoring.begin(database, manifest.migrations) as restoring:
            await restoring.check_tables([entry.table for entry in manifest.tables])
            for entry in manifest.tables:
                progress = _Progress(entry.name, report)
                rows = await restoring.fill(entry.table, progress.each(archive.blocks(entry)))
                # The checksum was right, so the manifest itself was changed, or Postgres took rows for others.
                if rows != entry.rows:
                    raise BackupError(f"its table {entry.name} has {rows} rows, and {entry.rows} in its manifest")
                progress.end(rows)
            orders, still_open = await restoring.finish(manifest.numbers)
    return Restored(manifest=manifest, orders=orders, open=still_open)


class _Progress:
    """Reports how much of a table is copied."""

    def __init__(self, name: str, report: Report) -> None:
        self._name = name
        self._report = report
        self._bytes = 0
        self._reported_at = time.monotonic()

    def counting(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """`write`, with its bytes counted."""

        def counted(block: bytes) -> None:
            write(block)
            self._count(block)

        return counted

    def each(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The blocks, with their bytes counted."""
        for block in blocks:
            yield block
            self._count(block)

    def end(self, rows: int) -> None:
        """Report the whole table."""
        self._report(f"{self._name}: {rows} row{'' if rows == 1 else 's'}, {_size(self._bytes)}")

    def _count(self, block: bytes) -> None:
        self._bytes += len(block)
        now = time.monotonic()
        if now - self._reported_at >= REPORT_SECONDS:
            self._reported_at = now
            self._report(f"{self._name}: {_size(self._bytes)} …")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count} bytes"
