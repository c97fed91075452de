"""Reservations: what the open attempts of a wallet may still spend, over all workers and processes.

An attempt's own row is its reservation. Before rows are added, the wallet's lock is taken for the rest of the
transaction, so that two processes never see the same room. Only attempts of wallets come here, so the simulated chain
waits for no lock.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from dexexec.domain.funds import Reserved, Shortfall, Spending, reserved_at, shortfall
from dexexec.store.database import Connection, Database

LOCK = "SELECT pg_advisory_xact_lock(6, hashtext(%s))"

# What has ended counts as long as a balance may be in use that is of a slot before its own: a minute is far more.
RESERVED = """
SELECT wallet, CASE WHEN jsonb_typeof(proof->'slot') = 'number' THEN (proof->>'slot')::bigint END, spends
FROM attempts
WHERE wallet = ANY(%s) AND (resolved_at IS NULL OR resolved_at > clock_timestamp() - interval '60 s')
  AND (outcome IS NULL OR proof ? 'slot')
"""


@dataclass(slots=True)
class Rooms:
    """The wallets' reservations while a batch is written: what fits is added, the next one has to fit beside it."""

    reserved: defaultdict[str, list[Reserved]]

    def refuse(self, spending: Spending) -> Shortfall | None:
        """Why it does not fit; None if it does, and then it is reserved."""
        there = self.reserved[spending.wallet]
        lacking = shortfall(spending, there)
        if lacking is None:
            there.append(Reserved(None, spending.amounts()))
        return lacking


async def lock(connection: Connection, wallets: Sequence[str]) -> Rooms:
    """The reservations of `wallets`, which nobody else adds to until the transaction of `connection` ends."""
    for wallet in sorted(set(wallets)):  # in one order everywhere, so that no two processes wait for each other
        await connection.execute(LOCK, (wallet,))
    return await _look(connection, wallets)


async def reserved(database: Database, wallet: str, slot: int) -> dict[str, int]:
    """What open attempts may take of `wallet`, as it was at `slot`, by mint."""
    async with database.connection() as connection:
        rooms = await _look(connection, [wallet])
    return reserved_at(slot, rooms.reserved[wallet])


async def _look(connection: Connection, wallets: Sequence[str]) -> Rooms:
    rooms = Rooms(defaultdict(list))
    cursor = await connection.execute(RESERVED, (list(wallets),), prepare=True)
    for wallet, slot, spends in await cursor.fetchall():
        rooms.reserved[wallet].append(Reserved(slot, {mint: int(amount) for mint, amount in spends.items()}))
    return rooms
