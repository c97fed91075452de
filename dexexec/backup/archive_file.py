"""The file of a backup: a ZIP with one entry for each table, in the text format of COPY, and the manifest at the end.

It appears under its name only when it is complete and on disk. Until then it is `NAME.partial`, which a later backup to
the same name uses again.
"""

import fcntl
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import IO, Self

from dexexec.backup.manifest import MAX_BYTES, Manifest, TableEntry, read_manifest
from dexexec.errors import BackupError
from dexexec.store import CopiedTable

MANIFEST = "manifest.json"
BLOCK = 1 << 18
LEVEL = 6


class TableWriter:
    """Writes one table, and counts what the manifest has of it."""

    def __init__(self, table: CopiedTable, entry: IO[bytes]) -> None:
        self._table = table
        self._entry = entry
        self._digest = sha256()
        self.bytes = 0

    def write(self, block: bytes | memoryview) -> None:
        """Add a block. Raises OSError."""
        self._entry.write(block)
        self._digest.update(block)
        self.bytes += len(block)

    def entry(self, rows: int) -> TableEntry:
        """What the manifest has of the table."""
        table = self._table
        return TableEntry(
            name=table.name,
            kind=table.kind,
            columns=table.columns,
            start=table.start,
            end=table.end,
            rows=rows,
            bytes=self.bytes,
            sha256=self._digest.hexdigest(),
        )


class ArchiveWriter:
    """Writes the file of a backup."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    @contextmanager
    def table(self, table: CopiedTable) -> Iterator[TableWriter]:
        """Write a table in the block."""
        with self._file.open(_entry_name(table.name), "w", force_zip64=True) as entry:
            yield TableWriter(table, entry)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, after all tables."""
        self._file.writestr(MANIFEST, manifest.model_dump_json(indent=1))


@contextmanager
def new_archive(path: Path) -> Iterator[ArchiveWriter]:
    """Write a file that only its owner may read. It gets its name at the end of the block, if nothing was raised.
    Raises `BackupError` if something has that name, or it cannot be written."""
    if path.exists() or path.is_symlink():
        raise BackupError(f"{path} exists already: a backup replaces nothing")
    partial = path.with_name(f"{path.name}.partial")
    with _explaining(path):
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupError(f"another backup is writing {partial}") from None
            # What an interrupted backup has left, perhaps under other rights.
            os.fchmod(descriptor, 0o600)
            file.truncate()
            try:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
                    yield ArchiveWriter(archive)
                file.flush()
                os.fsync(descriptor)
                # The file has its name only now, complete and on disk.
                # A link fails if the name was taken meanwhile, and a rename would replace what has it.
                os.link(partial, path)
            finally:
                with suppress(FileNotFoundError):
                    partial.unlink()
            _sync_folder(path.parent)


class ArchiveReader:
    """Reads the file of a backup, and checks each table against the manifest."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        found = [info.filename for info in file.infolist()]
        if MANIFEST not in found or file.getinfo(MANIFEST).file_size > MAX_BYTES:
            raise BackupError("it has no manifest, so it is no backup of dexexec")
        self.manifest = read_manifest(file.read(MANIFEST))
        wanted = [MANIFEST, *(_entry_name(entry.name) for entry in self.manifest.tables)]
        if sorted(found) != sorted(wanted):
            odd = sorted(set(found) ^ set(wanted)) or ["an entry that is there twice"]
            raise BackupError(f"it does not have exactly the tables of its manifest ({odd[0]})")

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open a file. Raises `BackupError`, also from the block, if it cannot be read or is damaged."""
        with _explaining(path), path.open("rb") as file, zipfile.ZipFile(file) as archive:
            yield cls(archive)

    def blocks(self, entry: TableEntry) -> Iterator[bytes]:
        """The bytes of a table. Raises `BackupError` at the end, at the latest, if they are not those of the
        manifest: the caller must not have committed anything by then."""
        digest = sha256()
        size = 0
        with self._file.open(_entry_name(entry.name)) as table:
            while block := table.read(BLOCK):
                digest.update(block)
                size += len(block)
                if size > entry.bytes:
                    break
                yield block
        if size != entry.bytes or digest.hexdigest() != entry.sha256:
            raise BackupError(f"its table {entry.name} is not the one of the manifest: the checksum differs")


def _entry_name(table: str) -> str:
    return f"tables/{table}.copy"


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    """Raise `BackupError` with the file's name for every error of the file."""
    try:
        yield
    except BackupError as error:
        text = str(error)
        raise BackupError(text if str(path) in text else f"{path} cannot be used: {text}") from error
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, zlib.error) as error:
        raise BackupError(f"{path} cannot be used: it is damaged, incomplete, or no backup ({error})") from error
    except OSError as error:
        raise BackupError(f"{path} cannot be used: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # makes the name itself durable
    finally:
        os.close(descriptor)
