"""What the network charges for a message, before anything is executed. Pure."""

from collections.abc import Iterator

from solders.compute_budget import ID as COMPUTE_BUDGET
from solders.message import MessageV1, VersionedMessage
from solders.pubkey import Pubkey

from dexexec.localnet import transaction_v1

LAMPORTS_PER_SIGNATURE = 5_000
MICRO_LAMPORTS = 1_000_000
SET_UNIT_LIMIT = 2
SET_UNIT_PRICE = 3
MAX_UNITS = 1_400_000
UNITS_PER_CALL = 200_000
UNITS_PER_BUILTIN_CALL = 3_000
"""Compute units that a transaction has for each instruction unless it sets a limit; builtin programs need little."""
BUILTIN = frozenset(
    map(
        Pubkey.from_string,
        (
            "11111111111111111111111111111111",
            "BPFLoader1111111111111111111111111111111111",
            "BPFLoader2111111111111111111111111111111111",
            "BPFLoaderUpgradeab1e11111111111111111111111",
            "ComputeBudget111111111111111111111111111111",
            "LoaderV411111111111111111111111111111111111",
            "Vote111111111111111111111111111111111111111",
        ),
    )
)
VERIFIERS = frozenset(
    map(
        Pubkey.from_string,
        (
            "Ed25519SigVerify111111111111111111111111111",
            "KeccakSecp256k11111111111111111111111111111",
            "Secp256r1SigVerify1111111111111111111111111",
        ),
    )
)
"""Programs whose instructions begin with a number of signatures, each of which costs as much as the transaction's."""


def fee_of(message: VersionedMessage) -> int:
    """Lamports for signatures and priority."""
    calls = list(_calls(message))
    verified = sum(data[0] for program, data in calls if program in VERIFIERS and data)
    base = LAMPORTS_PER_SIGNATURE * (message.header.num_required_signatures + verified)
    if isinstance(message, MessageV1):
        return base + transaction_v1.priority_fee(message)
    budget = {data[0]: int.from_bytes(data[1:], "little") for program, data in calls if program == COMPUTE_BUDGET}
    given = sum(UNITS_PER_BUILTIN_CALL if program in BUILTIN else UNITS_PER_CALL for program, _ in calls)
    units = min(budget.get(SET_UNIT_LIMIT, given), MAX_UNITS)
    return base + -(-units * budget.get(SET_UNIT_PRICE, 0) // MICRO_LAMPORTS)  # rounded up


def _calls(message: VersionedMessage) -> Iterator[tuple[Pubkey | None, bytes]]:
    keys = message.account_keys
    for call in message.instructions:
        # A program from a lookup table is invalid, and is then refused by the execution.
        known = call.program_id_index < len(keys)
        yield keys[call.program_id_index] if known else None, bytes(call.data)
