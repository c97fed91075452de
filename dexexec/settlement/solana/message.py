"""The message of a transaction as plain values, which the guard reads without a Solana library.

`dexexec.settlement.solana.transaction` converts between bytes and these values.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

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
"""Lamports per signature, where the cluster's own fee is not known."""
MAX_UNITS = 1_400_000
"""The most compute units that a transaction may use, and so the most that its priority fee is charged for."""
MAX_DATA_BYTES = 64 * 1024 * 1024
"""The most account data that a transaction may load (`MAX_LOADED_ACCOUNTS_DATA_SIZE_BYTES`). A message of version 0 has
this limit unless it sets one; in version 1 no limit means 0, and the transaction fails."""
_HEAP_SIZE = 1
_UNIT_LIMIT = 2
_UNIT_PRICE = 3
_DATA_SIZE = 4
"""The first byte of the compute budget instructions."""
_BUDGET_SIZES = {_HEAP_SIZE: 5, _UNIT_LIMIT: 5, _UNIT_PRICE: 9, _DATA_SIZE: 5}
"""Their lengths in bytes."""
_MICRO = 1_000_000


class Version(IntEnum):
    """The versions of messages that are built here. Version 1 (SIMD-0385) is larger, has no lookup tables, and its
    header takes the place of the compute budget instructions, which a cluster ignores in it."""

    V0 = 0
    V1 = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageConfig:
    """The header of a version 1 message; 0 for what it does not set. `priority_fee` is in lamports for the whole
    transaction, `limit` in compute units, the sizes in bytes."""

    limit: int = 0
    priority_fee: int = 0
    data_size: int = 0
    heap_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of version 0, or of version 1 if it has a `config`. `signers` begins with the payer; `writable` are the
    addresses that it may write to, including the payer's. The signer and writable flags of an instruction's accounts
    are those of the whole message, as in the runtime. `signature_fee` is what the cluster charges per signature, in
    lamports."""

    payer: str
    signers: tuple[str, ...]
    writable: tuple[str, ...]
    blockhash: str
    instructions: tuple[Instruction, ...]
    config: MessageConfig | None = None
    signature_fee: int = SIGNATURE_FEE

    @property
    def version(self) -> Version:
        """The version of the message."""
        return Version.V0 if self.config is None else Version.V1

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
    """The compute unit limit of a message, the micro-lamports that it pays for each unit of it, and the lamports that
    this is in all. Version 1 states the lamports, and the price follows from them, rounded down."""

    limit: int
    price: int
    priority_fee: int


def budget(message: Message) -> Budget:
    """Reads the compute budget of a message; 0 for what it does not set."""
    if message.config is not None:
        limit = message.config.limit
        lamports = message.config.priority_fee
        return Budget(limit, lamports * _MICRO // limit if limit else 0, lamports)
    values = {
        call.data[0]: int.from_bytes(call.data[1:], "little")
        for call in message.calls(Program.COMPUTE_BUDGET)
        if call.data
    }
    limit = values.get(_UNIT_LIMIT, 0)
    price = values.get(_UNIT_PRICE, 0)
    return Budget(limit, price, priority_fee(limit, price))


def priority_fee(limit: int, price: int) -> int:
    """Returns the lamports of a priority fee of `price` micro-lamports per compute unit."""
    # It is charged for the whole limit, not for the units that the transaction uses, and rounded up.
    return -(-limit * price // _MICRO)


def network_fee(message: Message) -> int:
    """Returns the lamports that the network charges for a message: a fixed fee per signature, and the priority fee."""
    return message.signature_fee * len(message.signers) + budget(message).priority_fee


def with_config(instructions: Sequence[Instruction]) -> tuple[MessageConfig, tuple[Instruction, ...]]:
    """Splits the instructions of a version 0 message into the header of one of version 1 with the same effect, and the
    other instructions."""
    values: dict[int, int] = {}
    others = []
    for step in instructions:
        tag = step.data[0] if step.program == Program.COMPUTE_BUDGET and step.data else 0
        # What is unknown, repeated or has another form stays where it is, so that the guard sees and refuses it.
        if _BUDGET_SIZES.get(tag) == len(step.data) and tag not in values:
            values[tag] = int.from_bytes(step.data[1:], "little")
        else:
            others.append(step)
    limit = values.get(_UNIT_LIMIT, 0)
    config = MessageConfig(
        limit=limit,
        priority_fee=priority_fee(limit, values.get(_UNIT_PRICE, 0)),
        data_size=values.get(_DATA_SIZE, MAX_DATA_BYTES),
        heap_size=values.get(_HEAP_SIZE, 0),
    )
    return config, tuple(others)
