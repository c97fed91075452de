"""The SQLite file of a localnet: blocks, accounts, transactions, and what accounts held before recent slots.

A transaction, the accounts it changed and what they held before are one commit, made before anybody is answered: after
kill -9 either all of it is there or nothing. `synchronous=NORMAL` does not wait for the disk. That is enough for the
death of the process; when the machine dies the last commits may be gone, but whole and from the end: a transaction is
then forgotten together with its effects, so it still cannot count twice.

The file is locked as long as it is open: one process owns a data folder.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dexexec.errors import StartupError
from dexexec.localnet.blocks import KEPT, Block

FILE = "ledger.sqlite3"
VERSION = 1
KEPT_TIMES = 432_000
"""Blocks whose time stays known: about two days."""

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


@dataclass(frozen=True, slots=True)
class LandedTransaction:
    """A transaction that landed, succeeded or not. `meta` is as `getTransaction` answers it."""

    signature: bytes
    slot: int
    time: int
    raw: bytes
    meta: dict[str, Any]

    @property
    def err(self) -> Any:
        """Why it failed on chain, None if it did not."""
        return self.meta["err"]


class Journal:
    """What a localnet must not forget. Raises `StartupError` when the file cannot be used."""

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
        self._db.execute("PRAGMA synchronous = NORMAL")
        with self._commit():
            [version] = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise sqlite3.DatabaseError(f"its format is {version}, this is for {VERSION}")

    def close(self) -> None:
        """Give the file free."""
        self._db.close()

    # Reading

    def meta(self, name: str) -> bytes | None:
        """A value that is kept under a name."""
        row: tuple[bytes] | None
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def blocks(self) -> list[Block]:
        """The newest blocks, oldest first."""
        rows = self._db.execute("SELECT slot, height, hash, time FROM blocks ORDER BY slot DESC LIMIT ?", (KEPT,))
        return [Block(*row) for row in rows][::-1]

    def time_of(self, slot: int) -> int | None:
        """When a block was made (Unix seconds); None if there is none in that slot."""
        row: tuple[int] | None = self._db.execute("SELECT time FROM blocks WHERE slot = ?", (slot,)).fetchone()
        return row[0] if row else None

    def accounts(self) -> Iterator[tuple[bytes, bytes]]:
        """All accounts that are kept."""
        return self._db.execute("SELECT address, account FROM accounts")

    def before(self) -> Iterator[tuple[int, bytes, bytes | None]]:
        """Slot, address, and what it held before the slot; oldest first."""
        return self._db.execute("SELECT slot, address, account FROM before ORDER BY slot")

    def transaction(self, signature: bytes) -> LandedTransaction | None:
        """The transaction with that signature, if it landed."""
        row = self._db.execute(f"{SELECT} WHERE signature = ?", (signature,)).fetchone()
        return _landed(row) if row else None

    def count(self) -> int:
        """How many transactions landed since genesis."""
        row = self._db.execute("SELECT max(id) FROM transactions").fetchone()
        return row[0] or 0

    def mentioning(
        self, address: bytes, newest_slot: int, before: bytes | None, until: bytes | None, limit: int
    ) -> list[LandedTransaction]:
        """Transactions that name an address, up to a slot, newest first."""
        rows = self._db.execute(
            f"{SELECT} NATURAL JOIN mentions WHERE address = ? AND slot <= ?"  # noqa: S608 - of constants
            " AND (?3 IS NULL OR id < (SELECT id FROM transactions WHERE signature = ?3))"
            " AND (?4 IS NULL OR id > coalesce((SELECT id FROM transactions WHERE signature = ?4), 0))"
            " ORDER BY id DESC LIMIT ?5",
            (address, newest_slot, before, until, limit),
        )
        return [_landed(row) for row in rows]

    # Writing, each of these is one commit

    def found(self, meta: Mapping[str, bytes], accounts: Mapping[bytes, bytes | None], genesis: Block) -> None:
        """The beginning of a chain."""
        with self._commit():
            self._db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            self._put(accounts)
            self._block(genesis)

    def put(self, accounts: Mapping[bytes, bytes | None]) -> None:
        """Accounts from outside the chain."""
        with self._commit():
            self._put(accounts)

    def block(self, block: Block, oldest_kept: int) -> None:
        """A new block; what accounts held before `oldest_kept` is needed no more."""
        with self._commit():
            self._block(block)
            self._db.execute("DELETE FROM before WHERE slot <= ?", (oldest_kept,))
            self._db.execute("DELETE FROM blocks WHERE slot < ?", (block.slot - KEPT_TIMES,))

    def land(
        self,
        landed: LandedTransaction,
        mentioned: Iterable[bytes],
        accounts: Mapping[bytes, bytes | None],
        before: Mapping[bytes, bytes | None],
    ) -> None:
        """A transaction, whom it names, what changed accounts hold now, and before its slot if that is not known."""
        with self._commit():
            row = (landed.signature, landed.slot, landed.time, landed.raw, json.dumps(landed.meta))
            inserted = self._db.execute(
                "INSERT INTO transactions (signature, slot, time, bytes, meta) VALUES (?, ?, ?, ?, ?)", row
            )
            self._db.executemany("INSERT INTO mentions VALUES (?, ?)", [(one, inserted.lastrowid) for one in mentioned])
            self._db.executemany("INSERT INTO before VALUES (?, ?, ?)", [(landed.slot, *one) for one in before.items()])
            self._put(accounts)

    def fork(self, slot: int, accounts: Mapping[bytes, bytes | None], marks: Mapping[str, int]) -> list[bytes]:
        """Nothing after `slot` ever was: put `accounts` back, keep `marks`; the signatures that are gone."""
        with self._commit():
            gone = self._db.execute("DELETE FROM transactions WHERE slot > ? RETURNING signature, id", (slot,))
            rows: Sequence[tuple[bytes, int]] = gone.fetchall()
            self._db.executemany("DELETE FROM mentions WHERE id = ?", [(id_,) for _, id_ in rows])
            self._db.execute("DELETE FROM blocks WHERE slot > ?", (slot,))
            self._db.execute("DELETE FROM before WHERE slot > ?", (slot,))
            self._put(accounts)
            rows_of_marks = [(name, str(mark).encode()) for name, mark in marks.items()]
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows_of_marks)
        return [signature for signature, _ in rows]

    def _block(self, block: Block) -> None:
        self._db.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", (block.slot, block.height, block.hash, block.time))

    def _put(self, accounts: Mapping[bytes, bytes | None]) -> None:
        kept = [(address, account) for address, account in accounts.items() if account is not None]
        gone = [(address,) for address, account in accounts.items() if account is None]
        self._db.executemany("INSERT OR REPLACE INTO accounts VALUES (?, ?)", kept)
        self._db.executemany("DELETE FROM accounts WHERE address = ?", gone)

    @contextmanager
    def _commit(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


SELECT = "SELECT signature, slot, time, bytes, meta FROM transactions"


def _landed(row: tuple[bytes, int, int, bytes, str]) -> LandedTransaction:
    signature, slot, time, raw, meta = row
    return LandedTransaction(signature, slot, time, raw, json.loads(meta))
