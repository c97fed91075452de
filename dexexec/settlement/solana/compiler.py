"""Compiles the messages of swaps in the version that the operator chose, or that the swap needs. Part of sealing.

Lookup tables are the last resort: without them the message itself has every address, and needs no other account.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from uuid import UUID

from dexexec.domain.attempt_id import UNNAMED, AttemptId
from dexexec.domain.solana import Instruction, SwapInstructions
from dexexec.settlement.solana.lookup_table import LookupTable
from dexexec.settlement.solana.message import MAX_UNITS, Version, compute_unit_limit, compute_unit_price, memo
from dexexec.settlement.solana.table_reader import TableReader
from dexexec.settlement.solana.transaction import PRICE_BYTES, TooLarge, compile_message
from dexexec.venue import Unsupported


class VersionChoice(StrEnum):
    """`DEXEXEC_TRANSACTION_VERSION`."""

    AUTO = "auto"
    """Version 0, and version 1 for what does not fit, if the cluster executes it."""
    V0 = "0"
    V1 = "1"


MIN_UNITS = 10_000
LONG_MEMO = AttemptId(UUID(int=0), 10, "0" * 16).memo(UNNAMED)
"""As long as the memo of an order with a key, in its tenth attempt or a later one."""
SOME_ORDERS_BYTES = 128
"""What some orders add to the message of others: the signature and address of a second signer (98 bytes) where a client
signs, and the instruction that closes an emptied account."""
PRICE_UNITS = 150
"""Compute units of the instruction that sets the priority fee, which is not part of the simulation."""


def never() -> bool:
    """For a cluster that does not execute messages of version 1."""
    return False


class MessageCompiler:
    """Compiles messages. `executes_v1` returns whether the cluster executes messages of version 1. Without `tables`, no
    lookup tables are used."""

    def __init__(
        self,
        choice: VersionChoice = VersionChoice.V0,
        executes_v1: Callable[[], bool] = never,
        tables: TableReader | None = None,
    ) -> None:
        self._choice = choice
        self._executes_v1 = executes_v1
        # Messages of version 1 have none.
        self._tables = None if choice is VersionChoice.V1 else tables

    async def compile(
        self, payer: str, steps: Sequence[Instruction], unsigned: SwapInstructions
    ) -> tuple[bytes, tuple[LookupTable, ...]]:
        """Returns the draft of `steps`, and the tables that it may use: those that `unsigned` names, if it does not fit
        without them. Raises as `compile_message` and `TableReader.read`."""
        named = unsigned.lookup_tables
        blockhash = unsigned.blockhash
        if self._tables is None or not named:
            return self.draft(payer, steps, blockhash.hash), ()
        try:
            return self.draft(payer, steps, blockhash.hash, PRICE_BYTES), ()
        except Unsupported:
            tables = await self._tables.read(named, blockhash.newest_slot)
        with_tables = partial(compile_message, payer, steps, blockhash.hash, spare=PRICE_BYTES)
        try:
            return with_tables(tables=tables), tables
        except TooLarge:
            # A table that was read before may have been extended for this very swap.
            again = await self._tables.read(named, blockhash.newest_slot, again=True)
            return with_tables(tables=again), again

    def fits(self, swap: SwapInstructions, payer: str) -> bool:
        """Whether a swap most likely fits into a transaction, with what the engine adds. One that may use lookup tables
        counts as fitting: only its build shows it."""
        steps = (compute_unit_limit(MAX_UNITS), *swap.instructions, memo(LONG_MEMO))
        try:
            self.draft(payer, steps, swap.blockhash.hash, PRICE_BYTES + SOME_ORDERS_BYTES)
        except Unsupported:
            return bool(self._tables and swap.lookup_tables)
        return True

    def draft(self, payer: str, steps: Sequence[Instruction], blockhash: str, spare: int = 0) -> bytes:
        """Returns the message to simulate, which has no priority fee yet, without lookup tables. In version 0 it leaves
        room for `spare` bytes. Raises as `compile_message`."""
        if self._choice is VersionChoice.V1:
            return compile_message(payer, steps, blockhash, Version.V1)
        if self._choice is VersionChoice.V0 or not self._executes_v1():
            return compile_message(payer, steps, blockhash, spare=spare)
        try:
            # With room for the priority fee: the message to sign must be of the version that was simulated.
            return compile_message(payer, steps, blockhash, spare=PRICE_BYTES)
        except TooLarge:
            return compile_message(payer, steps, blockhash, Version.V1)


def compute_budget(units: int, price: int) -> tuple[Instruction, ...]:
    """Returns the compute budget: a fifth more units than the simulation used, at `price` each."""
    # The margin covers what changes before the landing. More would be paid for in the priority fee and never used.
    limit = min(MAX_UNITS, max(MIN_UNITS, -(-(units + PRICE_UNITS) * 12 // 10)))
    return (compute_unit_limit(limit), *((compute_unit_price(price),) if price else ()))
