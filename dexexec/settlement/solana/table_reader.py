"""Reads address lookup tables from the cluster for transactions that do not fit without them, and keeps them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from dexexec.domain import base58
from dexexec.domain.solana import Accounts
from dexexec.settlement.solana.lookup_table import LookupTable, common_table, read_table
from dexexec.venue import BadAnswer, Unreachable

KEPT_SLOTS = 150
"""For how many slots a table is used without another read. With the 150 blocks that a transaction is valid for, that is
less than the 512 blocks that a deactivated table goes on working."""
MOST_TABLES = 16
"""The most tables of one swap. Each costs 34 bytes of a transaction, so a swap that needs more does not fit anyway."""
MOST_KEPT = 256
"""Tables that are kept."""
LEAST_AGREEING = 2
"""Nodes that must show the same table, where there are several."""


class TableNodes(Protocol):
    """The nodes that tables are read from."""

    @property
    def node_count(self) -> int:
        """How many nodes there are."""

    async def accounts_everywhere(self, addresses: Sequence[str]) -> Mapping[str, Accounts]:
        """The accounts as each node shows them, by the node's name. Raises `VenueError`."""


class TableReader:
    """Reads tables from `nodes`. What one node shows is not enough where there are several: an address that a table
    does not have would hide from the guard which account a program gets."""

    def __init__(self, nodes: TableNodes) -> None:
        self._nodes = nodes
        self._kept: dict[str, LookupTable] = {}

    async def read(self, addresses: Sequence[str], slot: int, *, again: bool = False) -> tuple[LookupTable, ...]:
        """Returns the tables at `addresses`; those that were read up to `KEPT_SLOTS` before `slot` from memory, unless
        they are to be read `again`. Slot 0 means that the present slot is not known.

        Raises `BadAnswer` for an address that has no active table, and `VenueError` if the nodes do not show it.
        """
        wanted = tuple(dict.fromkeys(addresses))
        if len(wanted) > MOST_TABLES:
            raise BadAnswer(f"the swap names {len(wanted)} lookup tables: at most {MOST_TABLES} are read")
        if not all(isinstance(address, str) and base58.is_address(address) for address in wanted):
            raise BadAnswer("the swap names a lookup table that is not an address of 32 bytes in base58")
        missing = [address for address in wanted if again or not self._is_kept(address, slot)]
        # In variables, because another order may replace what is kept while this one waits.
        tables = {address: self._kept[address] for address in wanted if address not in missing}
        if missing:
            tables |= await self._fetch(missing)
        return tuple(tables[address] for address in wanted)

    def _is_kept(self, address: str, slot: int) -> bool:
        table = self._kept.get(address)
        return table is not None and bool(slot) and slot <= table.slot + KEPT_SLOTS

    async def _fetch(self, addresses: Sequence[str]) -> dict[str, LookupTable]:
        shown = await self._nodes.accounts_everywhere(addresses)
        if len(shown) < min(LEAST_AGREEING, self._nodes.node_count):
            raise Unreachable(f"only {', '.join(sorted(shown))} showed the lookup tables, and two must", shared=True)
        found: dict[str, LookupTable] = {}
        for index, address in enumerate(addresses):
            try:
                versions = [read_table(address, answer.found[index], answer.slot) for answer in shown.values()]
                found[address] = common_table(versions)
            except ValueError as error:
                raise BadAnswer(str(error)) from None
        for address, table in found.items():
            # Taken out first, so that the dict stays in the order of the reads: the first key is the oldest.
            self._kept.pop(address, None)
            self._kept[address] = table
        while len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return found
