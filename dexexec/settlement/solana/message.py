"""The message of a transaction as plain values, which the guard reads without a Solana library.

`dexexec.settlement.solana.transaction` converts between bytes and these values.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from dexexec.domain.solana import AccountMeta, Instruction

LACKS_LAMPORTS = frozenset({"AccountNotFound", "InsufficientFundsForFee", "InsufficientFundsForRent"})
"""The runtime's names for a payer without enough lamports."""


class Program(StrEnum):
    """Solana's own programs."""

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
_UNIT_LIMIT = 2
_UNIT_PRICE = 3
"""The first byte of these two compute budget instructions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A version 0 message. `signers` begins with the payer; `writable` are the addresses that it may write to,
    including the payer's. The signer and writable flags of an instruction's accounts are those of the whole message, as
    in the runtime."""

    payer: str
    signers: tuple[str, ...]
    writable: tuple[str, ...]
    blockhash: str
    instructions: tuple[Instruction, ...]

    def calls(self, *programs: str) -> Iterator[Instruction]:
        """Returns the instructions that call any of `programs`, in order."""
        return (instruction for instruction in self.instructions if instruction.program in programs)


def touches(instruction: Instruction, address: str) -> bool:
    """Whether the account is among those of the instruction."""
    return any(meta.address == address for meta in instruction.accounts)


def compute_unit_limit(units: int) -> Instruction:
    """Returns SetComputeUnitLimit: the most compute units that the transaction may use."""
    return Instruction(Program.COMPUTE_BUDGET, (), bytes([_UNIT_LIMIT]) + units.to_bytes(4, "little"))


def compute_unit_price(micro_lamports: int) -> Instruction:
    """Returns SetComputeUnitPrice: the priority fee, in micro-lamports for each compute unit of the limit."""
    return Instruction(Program.COMPUTE_BUDGET, (), bytes([_UNIT_PRICE]) + micro_lamports.to_bytes(8, "little"))


def memo(text: str, signer: str | None = None) -> Instruction:
    """Returns a memo instruction: it adds text to the transaction and has no other effect. With a `signer`, the
    transaction needs the signature of that key too: the memo program demands those of its accounts."""
    accounts = () if signer is None else (AccountMeta(signer, signer=True, writable=False),)
    return Instruction(Program.MEMO, accounts, text.encode())


@dataclass(frozen=True, slots=True)
class Budget:
    """The compute unit limit of a message, and the micro-lamports that it pays for each unit."""

    limit: int
    price: int


def budget(message: Message) -> Budget:
    """Reads the compute budget instructions of a message; 0 for what they do not set."""
    values = {
        call.data[0]: int.from_bytes(call.data[1:], "little")
        for call in message.calls(Program.COMPUTE_BUDGET)
        if call.data
    }
    return Budget(values.get(_UNIT_LIMIT, 0), values.get(_UNIT_PRICE, 0))


def network_fee(message: Message) -> int:
    """Returns the lamports that the network charges for a message: a fixed fee per signature, and the priority fee."""
    # The priority fee is charged for the whole limit, not for the units that the transaction uses, and rounded up.
    allowed = budget(message)
    priority_fee = -(-allowed.limit * allowed.price // 1_000_000)
    return SIGNATURE_FEE * len(message.signers) + priority_fee
