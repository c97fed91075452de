"""The state of chain comparisons: which Postgres the record is in, and whether it was compared with a chain.

Postgres may be replaced by a promoted standby or a restored backup, which lack the last commits. The identity of the
record (`record_identity()`) changes with a promotion. `dexexec.recovery` does the comparison (docs/adr/0015).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import dict_row

from dexexec.domain.event import Event
from dexexec.domain.recovered_orders import RecordedOrder, Restoration
from dexexec.store import restored_keys, restored_orders
from dexexec.store.database import Database
from dexexec.store.postgres_errors import translate_postgres_errors
from dexexec.store.restored_keys import Duplicate
from dexexec.store.rows import fetch_row, fetch_rows
from dexexec.store.session_locks import SessionLock, lock_class

NAME = "SELECT name FROM installation"

LOCK = "SELECT pg_try_advisory_lock(%s, hashtext(%s)) AS locked"

# A copy lacks only the last commits, so everything before its newest attempt is in it. Orders cannot be used for this:
# new ones are accepted at once after a failover, while attempts are only recorded after the comparison. An attempt that
# was read back from the chain has no height: it is newer than what the copy had, and may be of another wallet.
STATE = """
SELECT record_identity() AS identity, coalesce(c.identity, i.identity) AS compared, c.pending, c.dead_height, c.back_to,
       coalesce(greatest(0, extract(epoch FROM clock_timestamp() - c.begun_at)), 0)::float8 AS begun_seconds,
       extract(epoch FROM greatest(
           coalesce(c.compared_at, i.made_at),
           (SELECT created_at FROM attempts WHERE last_valid_height > 0 ORDER BY order_id DESC, n DESC LIMIT 1),
           (SELECT max(created_at) FROM archived_orders)
       ))::bigint AS complete_until
FROM installation i LEFT JOIN chain_comparisons c ON c.genesis = %s AND c.wallet = %s
"""

BEGIN = """
INSERT INTO chain_comparisons (genesis, wallet, pending, dead_height, back_to, stopped_at, begun_at)
VALUES (%s, %s, %s, %s, %s, clock_timestamp(), clock_timestamp())
ON CONFLICT (genesis, wallet) DO UPDATE SET
    pending = excluded.pending, dead_height = excluded.dead_height, back_to = excluded.back_to,
    stopped_at = excluded.stopped_at, begun_at = excluded.begun_at
"""

STOPPED = """
INSERT INTO chain_comparisons (genesis, wallet, stopped_at) VALUES (%s, %s, clock_timestamp())
ON CONFLICT (genesis, wallet) DO UPDATE SET stopped_at = excluded.stopped_at
"""

COMPARED = """
INSERT INTO chain_comparisons (genesis, wallet, identity, compared_at)
SELECT %(genesis)s, %(wallet)s, %(identity)s, clock_timestamp() WHERE record_identity() = %(identity)s
ON CONFLICT (genesis, wallet) DO UPDATE SET
    identity = excluded.identity, compared_at = excluded.compared_at, pending = NULL, dead_height = NULL,
    back_to = NULL, stopped_at = NULL, begun_at = NULL
RETURNING identity
"""

WALLETS = "SELECT genesis, wallet FROM chain_comparisons ORDER BY genesis, wallet"

IS_STOPPED = """
SELECT EXISTS (SELECT FROM chain_comparisons WHERE stopped_at > clock_timestamp() - interval '30 s') AS stopped
"""


@dataclass(frozen=True, slots=True)
class BegunComparison:
    """A comparison of the record in the Postgres with this identity, which another process may continue.

    Once the finalized height is past `dead_height`, no transaction that was signed before can land. Transactions on
    chain from before `back_to` (Unix seconds) are in the record.
    """

    identity: str
    dead_height: int
    back_to: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonState:
    """The state of a record with respect to a chain, for one wallet.

    `identity` is that of the Postgres that answers, `compared` the one whose record was compared last. `pending`,
    `dead_height` and `back_to` are of a comparison that began `begun_seconds` ago (0 when that is not known), as in
    `BegunComparison`. Everything that was committed before `complete_until` (Unix seconds) is in the record.
    """

    identity: str
    compared: str
    pending: str | None
    dead_height: int | None
    back_to: int | None
    begun_seconds: float
    complete_until: int


class ChainComparisons:
    """Reads and writes the state of comparisons. `announce` is called with events after their commit. Each method
    raises `UnavailableError`."""

    def __init__(self, database: Database, announce: Callable[[Sequence[Event]], None]) -> None:
        self._database = database
        self._announce = announce

    async def record_name(self) -> str:
        """Return the name of the record in memos: 8 hex digits."""
        async with self._database.connection() as connection:
            row = await fetch_row(connection, NAME)
        return str(row.name) if row else ""

    async def wallets(self) -> list[tuple[str, str]]:
        """Return the wallets that this record was ever compared for, each behind the genesis hash of its chain."""
        async with self._database.connection() as connection:
            return [(row.genesis, row.wallet) for row in await fetch_rows(connection, WALLETS)]

    async def state(self, genesis: str, wallet: str) -> ComparisonState:
        """How record and chain compare."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            row = await (await cursor.execute(STATE, (genesis, wallet))).fetchone()
        assert row is not None  # noqa: S101 - the migration made the one row
        return ComparisonState(**row)

    @asynccontextmanager
    async def exclusive(self, genesis: str, wallet: str) -> AsyncIterator[bool]:
        """Try to become the only process that compares for this wallet while the block lasts; yields whether it is."""
        # A session lock, on a connection of its own: Postgres frees it when the process dies.
        connection = await self._database.dedicated()
        try:
            with translate_postgres_errors():
                values = (lock_class(self._database.address.schema, SessionLock.COMPARISON), f"{genesis}/{wallet}")
                row = await fetch_row(connection, LOCK, values)
            yield bool(row and row.locked)
        finally:
            await connection.close()

    async def begin(self, genesis: str, wallet: str, begun: BegunComparison) -> None:
        """Store that a comparison is needed. No worker signs until a process has completed it."""
        await self._execute(BEGIN, (genesis, wallet, begun.identity, begun.dead_height, begun.back_to))

    async def stopped(self, genesis: str, wallet: str) -> None:
        """Store that signing is stopped for this wallet. Must be repeated within 30 seconds."""
        await self._execute(STOPPED, (genesis, wallet))

    async def compared(self, genesis: str, wallet: str, identity: str) -> bool:
        """Store that the record of the Postgres with this identity has everything that the chain has. Returns False if
        another Postgres answers now."""
        values = {"genesis": genesis, "wallet": wallet, "identity": identity}
        async with self._database.connection() as connection:
            return await fetch_row(connection, COMPARED, values) is not None

    async def orders(self, order_ids: Sequence[UUID]) -> dict[UUID, RecordedOrder]:
        """Return those of the orders that the record has, in the main tables or the archive."""
        async with self._database.connection() as connection:
            return await restored_orders.read(connection, order_ids)

    async def restore(self, restoration: Restoration) -> bool:
        """Write what the record lacks of an order, in one commit. Returns False if the order has changed meanwhile."""
        async with self._database.connection() as connection, connection.transaction():
            events = await restored_orders.write(connection, restoration)
        if events is None:
            return False
        self._announce(events)
        return True

    async def end_duplicates(self) -> list[Duplicate]:
        """Let orders fail that have the Idempotency-Key of an order which was restored from the chain. A client that
        posts with such a key then gets the restored order."""
        async with self._database.connection() as connection, connection.transaction():
            duplicates, events = await restored_keys.end_duplicates(connection)
        self._announce(events)
        return duplicates

    async def _execute(self, statement: str, values: Sequence[object]) -> None:
        async with self._database.connection() as connection:
            await connection.execute(statement.encode(), values)


async def is_stopped(database: Database) -> bool:
    """Whether workers may not sign at present, because the record is not compared with the chain yet."""
    async with database.connection() as connection:
        row = await fetch_row(connection, IS_STOPPED)
    return bool(row and row.stopped)
