"""JSON-RPC methods about the node and its blocks."""

from typing import Any

from dexexec.localnet.blocks import MAX_AGE, Commitment
from dexexec.localnet.rpc.errors import NODE_UNHEALTHY, RpcError
from dexexec.localnet.rpc.request import API_VERSION, Call, Method, read_commitment, with_context
from dexexec.localnet.sysvars import SLOTS_PER_EPOCH

MAX_HEALTHY_LAG = 128
"""Slots by which a healthy node may be behind."""
CERTIFICATE_BYTES = 192
"""Length of an aggregated BLS signature."""


def _health(call: Call) -> str:
    behind = call.node.faults.lag
    if behind > MAX_HEALTHY_LAG:
        raise RpcError(NODE_UNHEALTHY, f"Node is behind by {behind} slots", {"numSlotsBehind": behind})
    return "ok"


def _version(_: Call) -> dict[str, Any]:
    return {"solana-core": API_VERSION, "feature-set": 0}


def _genesis_hash(call: Call) -> str:
    return call.ledger.genesis_hash


def _genesis_certificate(call: Call) -> dict[str, Any] | None:
    certified = call.ledger.certified_block()
    if certified is None:
        return None
    slot, block_id = certified
    # There are no validators here whose signatures could be aggregated.
    signature = {"bitmap": [], "signature": [0] * CERTIFICATE_BYTES}
    return {"block": {"blockId": list(block_id), "slot": slot}, "signature": signature}


def _slot(call: Call) -> int:
    return call.view(call.options(0)).slot


def _block_height(call: Call) -> int:
    return call.view(call.options(0)).height


def _epoch_info(call: Call) -> dict[str, int]:
    view = call.view(call.options(0))
    return {
        "absoluteSlot": view.slot,
        "blockHeight": view.height,
        "epoch": view.slot // SLOTS_PER_EPOCH,
        "slotIndex": view.slot % SLOTS_PER_EPOCH,
        "slotsInEpoch": SLOTS_PER_EPOCH,
        "transactionCount": call.ledger.transaction_count(),
    }


def _transaction_count(call: Call) -> int:
    call.view(call.options(0))  # only checks the options
    return call.ledger.transaction_count()


def _latest_blockhash(call: Call) -> dict[str, Any]:
    view = call.view(call.options(0))
    return with_context(view, {"blockhash": view.hash, "lastValidBlockHeight": view.last_valid_height})


def _is_blockhash_valid(call: Call) -> dict[str, Any]:
    view = call.view(call.options(1))
    return with_context(view, call.ledger.blocks.usable(call.text(0, "blockhash"), view) is not None)


def _minimum_balance(call: Call) -> int:
    read_commitment(call.options(1))  # only checks the options
    return call.ledger.rent_exempt(call.integer(0, "data length", 10 * 1024 * 1024))


def _prioritization_fees(call: Call) -> list[dict[str, int]]:
    blocks = call.ledger.blocks.newest(MAX_AGE)
    newest = call.node.block(Commitment.PROCESSED).slot
    # Block space is free here.
    return [{"slot": block.slot, "prioritizationFee": 0} for block in reversed(blocks) if block.slot <= newest]


METHODS: dict[str, Method] = {
    "getAgGenesisCert": _genesis_certificate,
    "getBlockHeight": _block_height,
    "getEpochInfo": _epoch_info,
    "getGenesisHash": _genesis_hash,
    "getHealth": _health,
    "getLatestBlockhash": _latest_blockhash,
    "getMinimumBalanceForRentExemption": _minimum_balance,
    "getRecentPrioritizationFees": _prioritization_fees,
    "getSlot": _slot,
    "getTransactionCount": _transaction_count,
    "getVersion": _version,
    "isBlockhashValid": _is_blockhash_valid,
}
