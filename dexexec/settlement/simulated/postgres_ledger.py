"""The ledger of the simulated chain in Postgres: all processes see one chain, and a restart changes nothing.

The chain's time is Postgres' time, so that processes whose clocks disagree still see one chain.
"""

import asyncio
import math
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from dexexec.clock import Clock, SystemClock
from dexexec.concurrency.batcher import Batcher
from dexexec.errors import UnavailableError
from dexexec.settlement.simulated.ledger import Landing, LedgerUnavailable, Receipt
from dexexec.store.database import Connection, Database
from dexexec.store.rows import fetch_rows, json_rows

RECORD = """
WITH t AS (
    SELECT *, valid_until_ms < extract(epoch FROM clock_timestamp()) * 1000 AS late
    FROM json_to_recordset(%t::json)
    AS t(signature text, payload text, sent_height bigint, lands_at_ms bigint, last_valid_height bigint,
         valid_until_ms bigint, dropped bool)
), quick AS MATERIALIZED (
    -- No wait for the disk. Postgres has one log: any later commit that depends on a landing flushes it too. A landing
    -- that a crash loses is one that nothing durable refers to, and the engine sends it again.
    SELECT set_config('synchronous_commit', 'off', true)
), i AS (
    INSERT INTO simulated_swaps AS s
    SELECT signature, decode(payload, 'base64'), sent_height, lands_at_ms, last_valid_height, valid_until_ms, dropped
    FROM t, quick WHERE NOT late ORDER BY signature
    ON CONFLICT (signature) DO UPDATE SET lost = false, sent_height = excluded.sent_height,
                                          lands_at_ms = excluded.lands_at_ms
        WHERE s.lost
    RETURNING signature, lost
)
SELECT t.signature, CASE WHEN i.lost THEN 'lost' WHEN NOT i.lost THEN 'recorded'
                         WHEN late AND (SELECT s.lost FROM simulated_swaps s WHERE s.signature = t.signature)
                                       IS NOT FALSE THEN 'late'
                         ELSE 'known' END AS receipt
FROM t LEFT JOIN i USING (signature)
"""

FIND = """
SELECT signature, payload, sent_height, lands_at_ms, last_valid_height, valid_until_ms
FROM simulated_swaps WHERE signature = ANY(%b) AND NOT lost
"""


NOW = "SELECT extract(epoch FROM clock_timestamp()) * 1000 AS ms"
NOW_HOLDS = 1.0
"""Seconds for which the answer to `NOW` is extrapolated. A change of Postgres' clock is noticed after that."""
RECORDED_HOLDS = 1.0
"""Seconds for which a landing that this process has recorded is not read again."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A landing that this process has recorded, by which session and when (monotonic seconds)."""

    landing: Landing
    session: Connection
    at: float


class PostgresLedger:
    """Implements `dexexec.settlement.simulated.ledger.Ledger`. Concurrent calls share statements."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._offset_ms = 0.0  # the lowest possible difference between Postgres' clock and our monotonic one
        self._read_at = -math.inf
        self._reading = asyncio.Lock()
        self._recorded: OrderedDict[str, _Recorded] = OrderedDict()
        self._records: Batcher[Landing, Receipt] = Batcher(self._record)
        self._finds: Batcher[str, Landing | None] = Batcher(self._find)

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._records.run())
            tasks.create_task(self._finds.run())

    async def now_ms(self) -> int:
        """Returns Postgres' time: never ahead of it, and behind by a round trip at most."""
        if self._clock.monotonic() - self._read_at >= NOW_HOLDS:
            async with self._reading:
                # Another caller may have read the time while this one waited for the lock.
                if self._clock.monotonic() - self._read_at >= NOW_HOLDS:
                    with _unavailable():
                        await self._read_time()
        return int(self._clock.monotonic() * 1000 + self._offset_ms)

    async def _read_time(self) -> None:
        async with self._database.connection() as connection:
            [row] = await fetch_rows(connection, NOW, prepare=True)
        # Postgres read its clock before the answer arrived. Counted from now, we are behind it and never ahead.
        self._read_at = self._clock.monotonic()
        self._offset_ms = float(row.ms) - self._read_at * 1000

    async def record(self, landings: Sequence[Landing]) -> list[Receipt]:
        """As in the protocol."""
        with _unavailable():
            return [await self._records.put(landing) for landing in landings]

    async def find(self, signatures: Sequence[str]) -> list[Landing | None]:
        """As in the protocol."""
        with _unavailable():
            if len(signatures) == 1:
                recorded = self._recently_recorded(signatures[0])
                return [recorded or await self._finds.put(signatures[0])]
            return await self._find(list(signatures))

    def _recently_recorded(self, signature: str) -> Landing | None:
        """A landing that is in Postgres for sure, without a read: it never changes once it is recorded."""
        recorded = self._recorded.get(signature)
        if recorded is None or self._clock.monotonic() - recorded.at >= RECORDED_HOLDS:
            return None
        # It was not flushed to the disk, so a crash of Postgres may have lost it. The crash ends every session: while
        # the one that recorded it is open, there was none.
        return recorded.landing if recorded.session.is_quiet() else None

    async def _record(self, landings: list[Landing]) -> list[Receipt]:
        # One statement cannot insert and update the same row, so repeated signatures go into a statement of their own.
        first: dict[str, int] = {}
        for place, landing in enumerate(landings):
            first.setdefault(landing.signature, place)
        receipts = dict(zip(first.values(), await self._write([landings[n] for n in first.values()]), strict=True))
        repeats = [n for n in range(len(landings)) if n not in receipts]
        if repeats:
            receipts |= zip(repeats, await self._record([landings[n] for n in repeats]), strict=True)
        return [receipts[n] for n in range(len(landings))]

    async def _write(self, landings: list[Landing]) -> list[Receipt]:
        values = [json_rows([_row(landing) for landing in landings])]
        async with self._database.connection() as connection:
            rows = await fetch_rows(connection, RECORD, values, prepare=True, binary=True)
        receipts = {row.signature: Receipt(row.receipt) for row in rows}
        self._remember([landing for landing in landings if receipts[landing.signature] is Receipt.RECORDED], connection)
        return [receipts[landing.signature] for landing in landings]

    def _remember(self, landings: Sequence[Landing], session: Connection) -> None:
        now = self._clock.monotonic()
        for landing in landings:
            self._recorded[landing.signature] = _Recorded(replace(landing, dropped=False), session, now)
        while self._recorded and now - next(iter(self._recorded.values())).at >= RECORDED_HOLDS:
            self._recorded.popitem(last=False)

    async def _find(self, signatures: list[str]) -> list[Landing | None]:
        async with self._database.connection() as connection:
            rows = await fetch_rows(connection, FIND, (signatures,), prepare=True, binary=True)
        landings = {row.signature: _landing(row) for row in rows}
        return [landings.get(signature) for signature in signatures]


def _landing(row: Any) -> Landing:
    return Landing(
        signature=row.signature,
        payload=bytes(row.payload),
        sent_height=row.sent_height,
        lands_at_ms=row.lands_at_ms,
        last_valid_height=row.last_valid_height,
        valid_until_ms=row.valid_until_ms,
    )


def _row(landing: Landing) -> dict[str, object]:
    return {
        "signature": landing.signature,
        "payload": b64encode(landing.payload).decode(),
        "sent_height": landing.sent_height,
        "lands_at_ms": landing.lands_at_ms,
        "last_valid_height": landing.last_valid_height,
        "valid_until_ms": landing.valid_until_ms,
        "dropped": landing.dropped,
    }


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except UnavailableError as error:
        raise LedgerUnavailable(str(error)) from error
