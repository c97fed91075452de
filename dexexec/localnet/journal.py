"""The SQLite file of a localnet: blocks, accounts, transactions, and what accounts held before recent slots.

Each write is one commit, made before the client gets an answer, so that after `kill -9` it is stored whole or not at
all. One process owns the file: it stays locked while it is open.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dexexec.errors import StartupError
from dexexec.localnet.block_archive import BlockArchive
from dexexec.localnet.blocks import KEPT_BLOCKS, Block

FILE = "ledger.sqlite3"
FORMAT_VERSION = 1
KEPT_TIMES = 432_000
"""Blocks whose time is stored: about two days."""

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (slot INTEGER PRIMARY KEY, height INTEGER NOT NULL, hash TEXT NOT NULL, time INTEGER NOT NULL);
CREATE TABLE accounts (address BLOB PRIMARY KEY, account BLOB NOT NULL);
CREATE TABLE before (slot INTEGER, address BLOB, account BLOB, PRIMARY KEY (slot, address)) WITHOUT ROWID;
CREATE TABLE transactions (id INTEGER PRIMARY KEY AUTOINCREMENT, signature BLOB NOT NULL UNIQUE, slot INTEGER NOT NULL,
                           time INTEGER NOT NULL, bytes BLOB NOT NULL, meta TEXT NOT NULL);
CREATE INDEX transactions_slot ON transactions (slot);
CREATE TABLE mentions (address BLOB, id INTEGER, PRIMARY KEY (address, id)) WITHOUT ROWID;
"""
SELECT_TRANSACTIONS = "SELECT signature, slot, time, bytes, meta FROM transactions"


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedTransaction:
    """A transaction that landed, successfully or failed. `meta` is that of `getTransaction`."""

    signature: bytes
    slot: int
    time: int
    raw: bytes
    meta: dict[str, Any]

    @property
    def err(self) -> Any:
        """Why it failed on the chain; None if it did not."""
        return self.meta["err"]


class Journal:
    """What a localnet must not lose. Raises `StartupError` if the file cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=0.5)
        except (OSError, sqlite3.Error) as error:
            raise StartupError(f"{folder} cannot hold a localnet ({error}): give another --data-dir") from error
        try:
            self._open()
        except sqlite3.Error as error:
            self._db.close()
            if "locked" in str(error):
                raise StartupError(f"another localnet uses {folder}: stop it, or give another --data-dir") from error
            raise StartupError(f"{self.path} cannot be read ({error}): give another --data-dir") from error

    def _open(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        # NORMAL does not wait for the disk, which is enough when the process dies. When the machine dies, the last
        # commits may be lost, whole and from the end: a transaction is then lost with its effects, and cannot count
        # twice.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self.archive = BlockArchive(self._db)
        with self._commit():
            [version] = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            elif version != FORMAT_VERSION:
                raise sqlite3.DatabaseError(f"its format is {version}, this version reads {FORMAT_VERSION}")

    def close(self) -> None:
        """Closes and unlocks the file."""
        self._db.close()

    # Reading

    def meta(self, name: str) -> bytes | None:
        """A value that is stored under a name."""
        row: tuple[bytes] | None
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def blocks(self) -> list[Block]:
        """The newest blocks, oldest first."""
        rows = self._db.execute(
            "SELECT slot, height, hash, time FROM blocks ORDER BY slot DESC LIMIT ?", (KEPT_BLOCKS,)
        )
        return [Block(*row) for row in rows][::-1]

    def accounts(self) -> Iterator[tuple[bytes, bytes]]:
        """All stored accounts: address and content."""
        return self._db.execute("SELECT address, account FROM accounts")

    def before(self) -> Iterator[tuple[int, bytes, bytes | None]]:
        """Slot, address, and the account before that slot; oldest first."""
        return self._db.execute("SELECT slot, address, account FROM before ORDER BY slot")

    def transaction(self, signature: bytes) -> LandedTransaction | None:
        """The transaction with that signature, if it landed."""
        row = self._db.execute(f"{SELECT_TRANSACTIONS} WHERE signature = ?", (signature,)).fetchone()
        return _read_transaction(row) if row else None

    def between(self, first: int, last: int) -> list[LandedTransaction]:
        """The transactions of the slots from `first` to `last`, in their order."""
        rows = self._db.execute(f"{SELECT_TRANSACTIONS} WHERE slot BETWEEN ? AND ? ORDER BY id", (first, last))
        return [_read_transaction(row) for row in rows]

    def count(self) -> int:
        """How many transactions have landed since genesis."""
        row = self._db.execute("SELECT max(id) FROM transactions").fetchone()
        return row[0] or 0

    def mentioning(
        self, address: bytes, newest_slot: int, before: bytes | None, until: bytes | None, limit: int
    ) -> list[LandedTransaction]:
        """The transactions that name an address, up to a slot, newest first."""
        rows = self._db.execute(
            f"{SELECT_TRANSACTIONS} NATURAL JOIN mentions WHERE address = ? AND slot <= ?"  # noqa: S608 - of constants
            " AND (?3 IS NULL OR id < (SELECT id FROM transactions WHERE signature = ?3))"
            " AND (?4 IS NULL OR id > coalesce((SELECT id FROM transactions WHERE signature = ?4), 0))"
            " ORDER BY id DESC LIMIT ?5",
            (address, newest_slot, before, until, limit),
        )
        return [_read_transaction(row) for row in rows]

    # Writing: each method is one commit

    def create_genesis(self, meta: Mapping[str, bytes], accounts: Mapping[bytes, bytes | None], genesis: Block) -> None:
        """Stores the beginning of a chain."""
        with self._commit():
            self._db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            self._put(accounts)
            self._put_block(genesis)

    def put_meta(self, values: Mapping[str, bytes]) -> None:
        """Stores values under their names."""
        with self._commit():
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def put(self, accounts: Mapping[bytes, bytes | None]) -> None:
        """Stores accounts that no transaction wrote."""
        with self._commit():
            self._put(accounts)

    def add_block(self, block: Block, oldest_needed: int) -> None:
        """Stores a new block, and deletes what accounts held before the slot `oldest_needed`."""
        with self._commit():
            self._put_block(block)
            self._db.execute("DELETE FROM before WHERE slot <= ?", (oldest_needed,))
            self._db.execute("DELETE FROM blocks WHERE slot < ?", (block.slot - KEPT_TIMES,))

    def land(
        self,
        landed: LandedTransaction,
        mentioned: Iterable[bytes],
        accounts: Mapping[bytes, bytes | None],
        before: Mapping[bytes, bytes | None],
    ) -> None:
        """Stores a transaction, the addresses that it names, the accounts that it changed, and their content before its
        slot where that is not stored yet."""
        with self._commit():
            row = (landed.signature, landed.slot, landed.time, landed.raw, json.dumps(landed.meta))
            inserted = self._db.execute(
                "INSERT INTO transactions (signature, slot, time, bytes, meta) VALUES (?, ?, ?, ?, ?)", row
            )
            mentions = [(address, inserted.lastrowid) for address in mentioned]
            self._db.executemany("INSERT INTO mentions VALUES (?, ?)", mentions)
            earlier = [(landed.slot, address, account) for address, account in before.items()]
            self._db.executemany("INSERT INTO before VALUES (?, ?, ?)", earlier)
            self._put(accounts)

    def fork(self, slot: int, accounts: Mapping[bytes, bytes | None], marks: Mapping[str, int]) -> list[bytes]:
        """Deletes everything after `slot`, restores `accounts` and stores `marks`. Returns the signatures that are
        gone."""
        with self._commit():
            deleted = self._db.execute("DELETE FROM transactions WHERE slot > ? RETURNING signature, id", (slot,))
            rows: Sequence[tuple[bytes, int]] = deleted.fetchall()
            self._db.executemany("DELETE FROM mentions WHERE id = ?", [(row_id,) for _, row_id in rows])
            self._db.execute("DELETE FROM blocks WHERE slot > ?", (slot,))
            self._db.execute("DELETE FROM before WHERE slot > ?", (slot,))
            self._put(accounts)
            mark_rows = [(name, str(mark).encode()) for name, mark in marks.items()]
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", mark_rows)
        return [signature for signature, _ in rows]

    def _put_block(self, block: Block) -> None:
        self._db.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", (block.slot, block.height, block.hash, block.time))

    def _put(self, accounts: Mapping[bytes, bytes | None]) -> None:
        written = [(address, account) for address, account in accounts.items() if account is not None]
        removed = [(address,) for address, account in accounts.items() if account is None]
        self._db.executemany("INSERT OR REPLACE INTO accounts VALUES (?, ?)", written)
        self._db.executemany("DELETE FROM accounts WHERE address = ?", removed)

    @contextmanager
    def _commit(self) -> Iterator[None]:
        # IMMEDIATE takes the write lock now: with the default a second localnet would fail only at its first write.
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            # Some errors, such as a full disk, have rolled back already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _read_transaction(row: tuple[bytes, int, int, bytes, str]) -> LandedTransaction:
    signature, slot, time, raw, meta = row
    return LandedTransaction(signature=signature, slot=slot, time=time, raw=raw, meta=json.loads(meta))
