"""Decodes blockhashes, positions in the chain, rent and recent priority fees."""

from dataclasses import dataclass
from typing import Any

from dexexec.domain import base58
from dexexec.domain.rent import OVERHEAD_BYTES, Rent
from dexexec.domain.swap import Blockhash
from dexexec.settlement.solana.rpc.decode.values import read_text, read_u64

_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class ChainPosition:
    """A slot, and the block height at it."""

    slot: int
    height: int


def read_blockhash(result: Any) -> Blockhash:
    """Decodes `getLatestBlockhash`."""
    value = result["value"]
    if len(base58.decode(read_text(value["blockhash"]))) != _HASH_BYTES:
        raise ValueError("not a hash")
    height = read_u64(value["lastValidBlockHeight"])
    slot = read_u64(result["context"]["slot"])
    return Blockhash(value["blockhash"], height, slot)


def read_position(result: Any) -> ChainPosition:
    """Decodes `getEpochInfo`."""
    return ChainPosition(read_u64(result["absoluteSlot"]), read_u64(result["blockHeight"]))


def read_certificate(result: Any) -> int | None:
    """Decodes `getAgGenesisCert`: the slot of the certified block, None without a certificate."""
    return None if result is None else read_u64(result["block"]["slot"])


def read_priority_fees(result: Any) -> list[int]:
    """Decodes `getRecentPrioritizationFees`: one fee per slot, oldest slot first."""
    fees = [(read_u64(fee["slot"]), read_u64(fee["prioritizationFee"])) for fee in result]
    # Nodes do not promise an order, and the caller weighs recent slots.
    return [fee for _, fee in sorted(fees)]


def read_rent(result: Any) -> Rent:
    """Decodes `getMinimumBalanceForRentExemption` for an account without data."""
    lamports = read_u64(result)
    if not lamports or lamports % OVERHEAD_BYTES:
        raise ValueError("not the rent of a whole number of lamports per byte")
    return Rent(lamports // OVERHEAD_BYTES)


def read_fee(result: Any) -> int | None:
    """Decodes `getFeeForMessage`."""
    value = result["value"]
    return None if value is None else read_u64(value)
