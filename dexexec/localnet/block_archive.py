"""Reads blocks by slot from the localnet's file: those of about the last day, also when they are long final."""

import sqlite3
from dataclasses import dataclass

from dexexec.localnet.blocks import Block

SAMPLE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Blocks and transactions of a period. `slot` is that of its newest block."""

    slot: int
    slots: int
    seconds: int
    transactions: int


class BlockArchive:
    """The blocks in a database that is open."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    def block_at(self, slot: int) -> Block | None:
        """The block in a slot. None: the slot was skipped, or is too old."""
        return self._block("slot = ?", slot)

    def block_before(self, slot: int) -> Block | None:
        """The newest block before a slot."""
        return self._block("slot < ? ORDER BY slot DESC LIMIT 1", slot)

    def slots(self, first: int, last: int, limit: int) -> list[int]:
        """The first `limit` slots that have blocks, from `first` to `last`."""
        rows = self._db.execute(
            "SELECT slot FROM blocks WHERE slot BETWEEN ? AND ? ORDER BY slot LIMIT ?", (first, last, limit)
        )
        return [slot for (slot,) in rows]

    def first_slot(self) -> int:
        """The oldest slot whose block is stored."""
        [slot] = self._db.execute("SELECT min(slot) FROM blocks").fetchone()
        return int(slot)

    def samples(self, newest_slot: int, limit: int) -> list[Sample]:
        """One for each minute up to a slot, newest first. One that is not over counts only if it is alone."""
        # An index for times would be written with every block, and be read almost never.
        rows = self._db.execute(
            "SELECT time / ?2, max(slot), count(*), min(time), max(time) FROM blocks WHERE slot <= ?1"
            " GROUP BY 1 ORDER BY 1 DESC LIMIT ?3",
            (newest_slot, SAMPLE_SECONDS, limit + 1),
        ).fetchall()
        landed: dict[int, int] = dict(
            self._db.execute(
                "SELECT time / ?, count(*) FROM transactions WHERE time >= ? AND slot <= ? GROUP BY 1",
                (SAMPLE_SECONDS, rows[-1][3], newest_slot),
            ).fetchall()
        )
        if len(rows) == 1:
            [(period, slot, slots, first, last)] = rows
            elapsed = max(1, last - first)
            return [Sample(slot=slot, slots=slots, seconds=elapsed, transactions=landed.get(period, 0))]
        return [
            Sample(slot=slot, slots=slots, seconds=SAMPLE_SECONDS, transactions=landed.get(period, 0))
            for period, slot, slots, _, _ in rows[1:]
        ]

    def _block(self, condition: str, slot: int) -> Block | None:
        query = f"SELECT slot, height, hash, time FROM blocks WHERE {condition}"  # noqa: S608 - of constants
        row: tuple[int, int, str, int] | None = self._db.execute(query, (slot,)).fetchone()
        return Block(*row) if row else None
