"""The token program of each mint, for programs whose pools do not name it. The owner of the mint's account shows it."""

from collections.abc import Iterable

from dexexec.venue import SolanaChain
from dexexec_adapters.pools.search import read_existing
from dexexec_adapters.solana.spl import TOKEN

MOST_MINTS = 4_096
"""Mints that are remembered, the last read ones."""


class TokenPrograms:
    """The token programs of mints, read from `chain`."""

    def __init__(self, chain: SolanaChain) -> None:
        self._chain = chain
        self._owners: dict[str, str] = {}

    def of(self, mint: str) -> str:
        """The token program of a mint; that of most tokens if it was not read."""
        return self._owners.get(mint, TOKEN)

    async def learn(self, mints: Iterable[str]) -> None:
        """Read the mints. Those that do not exist stay unknown. Raises `VenueError`."""
        # A mint keeps its program for life, but one that was closed may be made anew: so it is not only read once.
        for mint, account in (await read_existing(self._chain, list(mints))).items():
            self._owners.pop(mint, None)
            self._owners[mint] = account.owner
        # A dict keeps the order of insertion, so the oldest go first.
        while len(self._owners) > MOST_MINTS:
            del self._owners[next(iter(self._owners))]
