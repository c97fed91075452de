"""Compiles the messages of swaps in the version that the operator chose, or that the swap needs. Part of sealing."""

from collections.abc import Callable, Sequence
from enum import StrEnum

from dexexec.domain.solana import Instruction
from dexexec.settlement.solana.message import MAX_UNITS, Version, compute_unit_limit, compute_unit_price
from dexexec.settlement.solana.transaction import PRICE_BYTES, TooLarge, compile_message


class VersionChoice(StrEnum):
    """`DEXEXEC_TRANSACTION_VERSION`."""

    AUTO = "auto"
    """Version 0, and version 1 for what does not fit, if the cluster executes it."""
    V0 = "0"
    V1 = "1"


MIN_UNITS = 10_000
PRICE_UNITS = 150
"""Compute units of the instruction that sets the priority fee, which is not part of the simulation."""


def never() -> bool:
    """For a cluster that does not execute messages of version 1."""
    return False


class MessageCompiler:
    """Compiles messages. `executes_v1` returns whether the cluster executes messages of version 1."""

    def __init__(self, choice: VersionChoice = VersionChoice.V0, executes_v1: Callable[[], bool] = never) -> None:
        self._choice = choice
        self._executes_v1 = executes_v1

    def draft(self, payer: str, steps: Sequence[Instruction], blockhash: str) -> bytes:
        """Returns the message to simulate, which has no priority fee yet. Raises as `compile_message`."""
        if self._choice is VersionChoice.V1:
            return compile_message(payer, steps, blockhash, Version.V1)
        if self._choice is VersionChoice.V0 or not self._executes_v1():
            return compile_message(payer, steps, blockhash)
        try:
            # With room for the priority fee: the message to sign must be of the version that was simulated.
            return compile_message(payer, steps, blockhash, Version.V0, PRICE_BYTES)
        except TooLarge:
            return compile_message(payer, steps, blockhash, Version.V1)


def compute_budget(units: int, price: int) -> tuple[Instruction, ...]:
    """Returns the compute budget: a fifth more units than the simulation used, at `price` each."""
    # The margin covers what changes before the landing. More would be paid for in the priority fee and never used.
    limit = min(MAX_UNITS, max(MIN_UNITS, -(-(units + PRICE_UNITS) * 12 // 10)))
    return (compute_unit_limit(limit), *((compute_unit_price(price),) if price else ()))
