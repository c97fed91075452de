"""A transaction's message as plain values, and the names of Solana's own programs: what the guard reads.

Nothing here needs a Solana library; `dexexec.settlement.solana.transaction` turns bytes into these values and back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from dexexec.domain.solana import Instruction

LACKS_LAMPORTS = frozenset({"AccountNotFound", "InsufficientFundsForFee", "InsufficientFundsForRent"})
"""The runtime's names for a payer without enough lamports."""


class Program(StrEnum):
    """Programs that are Solana's own."""

    SYSTEM = "11111111111111111111111111111111"
    COMPUTE_BUDGET = "ComputeBudget111111111111111111111111111111"
    TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 - a program, not a secret
    TOKEN_2022 = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105
    ASSOCIATED_TOKEN = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"  # noqa: S105
    MEMO_1 = "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"
    MEMO = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"


TOKEN_PROGRAMS = frozenset({Program.TOKEN, Program.TOKEN_2022})
SIGNATURE_FEE = 5_000
"""Lamports per signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A version 0 message. `signers` has the payer first; `writable` are the addresses it may write to, the payer's
    among them. The signer and writable marks of an instruction's accounts are those of the whole message, as the
    runtime sees them."""

    payer: str
    signers: tuple[str, ...]
    writable: tuple[str, ...]
    blockhash: str
    instructions: tuple[Instruction, ...]

    def calls(self, *programs: str) -> Iterator[Instruction]:
        """Its instructions for any of `programs`, in order."""
        return (one for one in self.instructions if one.program in programs)


def touches(instruction: Instruction, address: str) -> bool:
    """Whether an instruction is given this account."""
    return any(meta.address == address for meta in instruction.accounts)


def compute_unit_limit(units: int) -> Instruction:
    """At most so many compute units (SetComputeUnitLimit)."""
    return Instruction(Program.COMPUTE_BUDGET, (), bytes([2]) + units.to_bytes(4, "little"))


def compute_unit_price(micro_lamports: int) -> Instruction:
    """So many micro-lamports for each compute unit of the limit (SetComputeUnitPrice)."""
    return Instruction(Program.COMPUTE_BUDGET, (), bytes([3]) + micro_lamports.to_bytes(8, "little"))


def memo(text: str) -> Instruction:
    """Text that does nothing but stand there."""
    return Instruction(Program.MEMO, (), text.encode())


@dataclass(frozen=True, slots=True)
class Budget:
    """What a message may use: compute units, and micro-lamports for each of them."""

    limit: int
    price: int


def budget(message: Message) -> Budget:
    """What the compute budget instructions of a message say; 0 for what they do not."""
    said = {
        one.data[0]: int.from_bytes(one.data[1:], "little") for one in message.calls(Program.COMPUTE_BUDGET) if one.data
    }
    return Budget(said.get(2, 0), said.get(3, 0))


def network_fee(message: Message) -> int:
    """Lamports that the network charges for a message: per signature, and the price of its compute unit limit (not of
    what is used of it), rounded up."""
    allowed = budget(message)
    return SIGNATURE_FEE * len(message.signers) - (-allowed.limit * allowed.price // 1_000_000)
