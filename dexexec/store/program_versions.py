"""The code of venues' programs in Postgres: what may be relied on, and what is deployed (docs/adr/0055)."""

from collections.abc import Sequence
from typing import Any

from dexexec.domain.program_version import Deployment, Quarantine
from dexexec.store.database import Database
from dexexec.store.rows import fetch_row, fetch_rows

FIRST_SIGHT = "first sight"
SIMULATED_SWAPS = "simulated swaps"

MARKS = "SELECT venue, program, mark FROM program_versions WHERE genesis = %s"

# An older deployment than the recorded one is the answer of a process or node that is behind. Without code there is no
# slot to compare.
SEEN = """
INSERT INTO program_versions AS v (genesis, venue, program, accepted, accepted_by, deployed, mark, slot)
VALUES (%(genesis)s, %(venue)s, %(program)s, %(sha256)s, %(first)s, %(sha256)s, %(mark)s, %(slot)s)
ON CONFLICT (genesis, venue, program) DO UPDATE SET
    deployed = excluded.deployed, mark = excluded.mark, slot = greatest(v.slot, excluded.slot),
    deployed_at = CASE WHEN v.deployed = excluded.deployed THEN v.deployed_at ELSE clock_timestamp() END,
    difference = CASE WHEN v.deployed = excluded.deployed THEN v.difference ELSE '' END
WHERE excluded.slot >= v.slot OR excluded.deployed = ''
"""

QUARANTINES = """
SELECT genesis, venue, program, deployed, slot, deployed_at, difference FROM program_versions
WHERE deployed <> accepted ORDER BY venue, program, genesis
"""

# Only the code that was compared: another upgrade may have come meanwhile.
ACCEPT = """
UPDATE program_versions SET accepted = deployed, accepted_by = %(by)s, accepted_at = clock_timestamp(), difference = ''
WHERE genesis = %(genesis)s AND venue = %(venue)s AND program = %(program)s AND deployed = %(sha256)s
  AND deployed <> accepted
RETURNING program
"""

ACCEPT_ALL = """
UPDATE program_versions SET accepted = deployed, accepted_by = %(by)s, accepted_at = clock_timestamp(), difference = ''
WHERE venue = %(venue)s AND deployed <> accepted RETURNING program, deployed
"""

KNOWN = "SELECT 1 FROM program_versions WHERE venue = %s LIMIT 1"

DIFFER = """
UPDATE program_versions SET difference = %(difference)s
WHERE genesis = %(genesis)s AND venue = %(venue)s AND program = %(program)s AND deployed = %(sha256)s
  AND deployed <> accepted
"""


class ProgramVersions:
    """The programs of all venues that ever ran with this Postgres. All methods raise `UnavailableError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def marks(self, genesis: str) -> dict[tuple[str, str], str]:
        """The marks of the deployments that are recorded, by venue and program."""
        async with self._database.connection() as connection:
            return {(row.venue, row.program): row.mark for row in await fetch_rows(connection, MARKS, (genesis,))}

    async def seen(self, genesis: str, deployment: Deployment) -> None:
        """Record a deployment. The first one of a program is accepted; another one quarantines its venue."""
        values = {
            "genesis": genesis,
            "venue": deployment.venue,
            "program": deployment.program,
            "sha256": deployment.sha256,
            "mark": deployment.mark,
            "slot": deployment.slot,
            "first": FIRST_SIGHT,
        }
        async with self._database.connection() as connection:
            await connection.execute(SEEN, values)

    async def quarantines(self) -> list[Quarantine]:
        """The programs whose deployed code is not accepted."""
        async with self._database.connection() as connection:
            rows = await fetch_rows(connection, QUARANTINES)
        return [
            Quarantine(
                genesis=row.genesis,
                venue=row.venue,
                program=row.program,
                sha256=row.deployed,
                slot=row.slot,
                since=row.deployed_at,
                difference=row.difference,
            )
            for row in rows
        ]

    async def accept(self, quarantine: Quarantine, by: str) -> bool:
        """Accept the code of a quarantined program. Returns False if it is not deployed any more, or was accepted
        meanwhile."""
        async with self._database.connection() as connection:
            return await fetch_row(connection, ACCEPT, {**_key(quarantine), "by": by}) is not None

    async def accept_all(self, venue: str, by: str) -> Sequence[tuple[str, str]] | None:
        """Accept the code of all programs of a venue. Returns those that were quarantined, with the SHA-256 of their
        code; None for a venue of which no program is known."""
        async with self._database.connection() as connection:
            rows = await fetch_rows(connection, ACCEPT_ALL, {"venue": venue, "by": by})
            if not rows and await fetch_row(connection, KNOWN, (venue,)) is None:
                return None
        return [(row.program, row.deployed) for row in rows]

    async def differ(self, quarantine: Quarantine, difference: str) -> None:
        """Record what simulated swaps showed, while the same code is deployed."""
        async with self._database.connection() as connection:
            await connection.execute(DIFFER, {**_key(quarantine), "difference": difference})


def _key(quarantine: Quarantine) -> dict[str, Any]:
    return {
        "genesis": quarantine.genesis,
        "venue": quarantine.venue,
        "program": quarantine.program,
        "sha256": quarantine.sha256,
    }
