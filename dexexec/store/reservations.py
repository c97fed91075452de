"""Reservations: what the open attempts of a wallet may still spend on a chain, over all workers and processes.

Checked when a step records an attempt. The attempt's own row is its reservation (docs/adr/0014). Attempts on the
simulated chain spend from no wallet, so they need no reservation and no lock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dexexec.domain.funds import Reserved, Shortfall, Spending, reserved_at, shortfall
from dexexec.store.database import Connection, Database
from dexexec.store.rows import fetch_rows

# A lock per wallet until the end of the transaction: otherwise two processes could reserve the same balance, since each
# sees only what is committed.
LOCK = "SELECT pg_advisory_xact_lock(6, hashtext(%s))"

# An attempt that ended in a slot counts for another minute: a worker may still use a balance that was read before that
# slot.
RESERVED = """
SELECT wallet, coalesce(genesis, '') AS genesis,
       CASE WHEN jsonb_typeof(proof->'slot') = 'number' THEN (proof->>'slot')::bigint END AS slot, spends
FROM attempts
WHERE wallet = ANY(%s) AND (resolved_at IS NULL OR resolved_at > clock_timestamp() - interval '60 s')
  AND (outcome IS NULL OR proof ? 'slot')
"""

ANY_CHAIN = ""
"""Instead of a genesis hash: the chain is not known, as in rows from before it was stored. Counts for all chains."""


@dataclass(slots=True)
class WalletReservations:
    """The reservations of some wallets, each with the genesis hash of its chain."""

    # With the chain, since a wallet has a balance on each: attempts on an earlier localnet reserve nothing on a new
    # one.
    _reserved: dict[str, list[tuple[str, Reserved]]] = field(default_factory=dict)

    def of(self, wallet: str, genesis: str) -> list[Reserved]:
        """Return the reservations of a wallet on a chain."""
        entries = self._reserved.get(wallet, [])
        return [reserved for chain, reserved in entries if chain == genesis or ANY_CHAIN in {chain, genesis}]

    def add(self, wallet: str, genesis: str, reserved: Reserved) -> None:
        """Add a reservation."""
        self._reserved.setdefault(wallet, []).append((genesis, reserved))

    def reserve(self, spending: Spending, genesis: str) -> Shortfall | None:
        """Reserve what an attempt may spend. Returns the shortfall if the wallet does not have it; nothing is reserved
        then."""
        lacking = shortfall(spending, self.of(spending.wallet, genesis))
        if lacking is None:
            self.add(spending.wallet, genesis, Reserved(None, spending.amounts()))
        return lacking


async def lock(connection: Connection, wallets: Sequence[str]) -> WalletReservations:
    """Lock the wallets until the transaction of `connection` ends, and return their reservations."""
    for wallet in sorted(set(wallets)):  # in the same order in all processes, so that none can deadlock
        await connection.execute(LOCK, (wallet,))
    return await _read(connection, wallets)


async def reserved(database: Database, wallet: str, slot: int, genesis: str) -> dict[str, int]:
    """Return by mint what attempts may still take from the balances that `wallet` had at `slot` on a chain."""
    async with database.connection() as connection:
        reservations = await _read(connection, [wallet])
    return reserved_at(slot, reservations.of(wallet, genesis))


async def _read(connection: Connection, wallets: Sequence[str]) -> WalletReservations:
    reservations = WalletReservations()
    for row in await fetch_rows(connection, RESERVED, (list(wallets),), prepare=True):
        amounts = {mint: int(amount) for mint, amount in row.spends.items()}
        reservations.add(row.wallet, row.genesis, Reserved(row.slot, amounts))
    return reservations
