"""Reservations: what the open attempts of a wallet may still spend on a chain, over all workers and processes.

An attempt's own row is its reservation. Before rows are added, the wallet's lock is taken for the rest of the
transaction, so that two processes never see the same room. Only attempts of wallets come here, so the simulated chain
waits for no lock. A wallet has a balance of its own on each chain, which the genesis hash names: attempts of a localnet
that was made anew since reserve nothing on the new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dexexec.domain.funds import Reserved, Shortfall, Spending, reserved_at, shortfall
from dexexec.store.database import Connection, Database, fetch_rows

LOCK = "SELECT pg_advisory_xact_lock(6, hashtext(%s))"

# What has ended counts as long as a balance may be in use that is of a slot before its own: a minute is far more.
RESERVED = """
SELECT wallet, coalesce(genesis, '') AS genesis,
       CASE WHEN jsonb_typeof(proof->'slot') = 'number' THEN (proof->>'slot')::bigint END AS slot, spends
FROM attempts
WHERE wallet = ANY(%s) AND (resolved_at IS NULL OR resolved_at > clock_timestamp() - interval '60 s')
  AND (outcome IS NULL OR proof ? 'slot')
"""

ANY_CHAIN = ""
"""In the place of a genesis hash: the chain is not known, as in rows of before it was kept. Counts on all."""


@dataclass(slots=True)
class Rooms:
    """The reservations of wallets, each with the genesis hash of its chain, while a batch is written: what fits is
    added, the next one has to fit beside it."""

    _reserved: dict[str, list[tuple[str, Reserved]]] = field(default_factory=dict)

    def of(self, wallet: str, genesis: str) -> list[Reserved]:
        """What is reserved of a wallet's balances on a chain."""
        found = self._reserved.get(wallet, [])
        return [one for of, one in found if of == genesis or ANY_CHAIN in {of, genesis}]

    def add(self, wallet: str, genesis: str, one: Reserved) -> None:
        """Take note of a reservation."""
        self._reserved.setdefault(wallet, []).append((genesis, one))

    def refuse(self, spending: Spending, genesis: str) -> Shortfall | None:
        """Why it does not fit; None if it does, and then it is reserved."""
        lacking = shortfall(spending, self.of(spending.wallet, genesis))
        if lacking is None:
            self.add(spending.wallet, genesis, Reserved(None, spending.amounts()))
        return lacking


async def lock(connection: Connection, wallets: Sequence[str]) -> Rooms:
    """The reservations of `wallets`, which nobody else adds to until the transaction of `connection` ends."""
    for wallet in sorted(set(wallets)):  # in one order everywhere, so that no two processes wait for each other
        await connection.execute(LOCK, (wallet,))
    return await _look(connection, wallets)


async def reserved(database: Database, wallet: str, slot: int, genesis: str) -> dict[str, int]:
    """What open attempts may take of `wallet` on the chain with that genesis hash, as it was at `slot`, by mint."""
    async with database.connection() as connection:
        rooms = await _look(connection, [wallet])
    return reserved_at(slot, rooms.of(wallet, genesis))


async def _look(connection: Connection, wallets: Sequence[str]) -> Rooms:
    rooms = Rooms()
    for row in await fetch_rows(connection, RESERVED, (list(wallets),), prepare=True):
        amounts = {mint: int(amount) for mint, amount in row.spends.items()}
        rooms.add(row.wallet, row.genesis, Reserved(row.slot, amounts))
    return rooms
