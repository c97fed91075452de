"""JSON-RPC methods about blocks by their slot, with the errors of an Agave node that has no long-term storage."""

from collections.abc import Mapping
from typing import Any

from solders.transaction import VersionedTransaction

from dexexec.localnet.blocks import Block, Commitment
from dexexec.localnet.journal import LandedTransaction
from dexexec.localnet.rpc.errors import (
    BLOCK_CLEANED_UP,
    BLOCK_NOT_AVAILABLE,
    SLOT_SKIPPED,
    InvalidParamsError,
    RpcError,
)
from dexexec.localnet.rpc.request import Call, Method, confirmed_view, read_integer, with_context
from dexexec.localnet.rpc.transaction_encoding import account_list_body, transaction_in_block
from dexexec.localnet.sysvars import SLOTS_PER_EPOCH

MAX_RANGE = 500_000
"""Slots that one request may span."""
MAX_SAMPLES = 720
DETAILS = ("full", "accounts", "signatures", "none")


def _block_time(call: Call) -> int:
    return _visible(call, call.integer(0, "slot"), call.node.block(Commitment.PROCESSED)).time


def _visible(call: Call, slot: int, view: Block) -> Block:
    """The block in a slot, for a node that has seen the blocks up to `view`. Raises `RpcError`."""
    block = call.ledger.archive.block_at(slot)
    if block is not None and slot <= view.slot:
        return block
    if slot > call.node.block(Commitment.FINALIZED).slot:
        raise RpcError(BLOCK_NOT_AVAILABLE, f"Block not available for slot {slot}")
    first = call.ledger.archive.first_slot()
    if slot < first:
        message = f"Block {slot} cleaned up, does not exist on node. First available block: {first}"
        raise RpcError(BLOCK_CLEANED_UP, message)
    raise RpcError(SLOT_SKIPPED, f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot")


def _block(call: Call) -> dict[str, Any]:
    second = call.optional(1)  # older clients send the encoding alone
    options = {"encoding": second} if isinstance(second, str) else call.options(1)
    details = options.get("transactionDetails") or "full"
    if details not in DETAILS:
        raise InvalidParamsError(f"transactionDetails must be one of {', '.join(DETAILS)}, not {details!r}")
    slot = call.integer(0, "slot")
    block = _visible(call, slot, confirmed_view(call, options))
    parent = call.ledger.archive.block_before(slot)
    body: dict[str, Any] = {
        "previousBlockhash": parent.hash if parent else "1" * 32,
        "blockhash": block.hash,
        "parentSlot": parent.slot if parent else 0,
        "blockTime": block.time,
        "blockHeight": block.height,
    }
    landed = call.ledger.between(slot, slot)
    if details in ("full", "accounts"):
        body["transactions"] = [_transaction(each, details, options) for each in landed]
    elif details == "signatures":
        body["signatures"] = [str(VersionedTransaction.from_bytes(each.raw).signatures[0]) for each in landed]
    # There are no rewards here.
    return body | ({} if options.get("rewards") is False else {"rewards": []})


def _transaction(landed: LandedTransaction, details: str, options: Mapping[str, Any]) -> dict[str, Any]:
    version = options.get("maxSupportedTransactionVersion")
    version = None if version is None else read_integer(version, "maxSupportedTransactionVersion", 255)
    if details == "accounts":
        return account_list_body(landed, version)
    return transaction_in_block(landed, options.get("encoding") or "json", version)


def _blocks(call: Call) -> list[int]:
    # The end may be left out although options follow.
    second = call.optional(1)
    has_end = second is not None and not isinstance(second, dict)
    view = confirmed_view(call, call.options(2 if has_end or second is None else 1))
    first = call.integer(0, "start slot")
    last = min(read_integer(second, "end slot") if has_end else first + MAX_RANGE, view.slot)
    if last - first > MAX_RANGE:
        raise InvalidParamsError(f"Slot range too large; max {MAX_RANGE}")
    return call.ledger.archive.slots(first, last, MAX_RANGE + 1)


def _blocks_with_limit(call: Call) -> list[int]:
    view = confirmed_view(call, call.options(2))
    limit = call.integer(1, "limit")
    if limit > MAX_RANGE:
        raise InvalidParamsError(f"Limit too large; max {MAX_RANGE}")
    return call.ledger.archive.slots(call.integer(0, "start slot"), view.slot, limit)


def _first_available(call: Call) -> int:
    return call.ledger.archive.first_slot()


def _commitment(call: Call) -> dict[str, Any]:
    call.integer(0, "slot")
    # There are no votes here, so no stake is committed to a block.
    return {"commitment": None, "totalStake": 0}


def _production(call: Call) -> dict[str, Any]:
    options = call.options(0)
    view = call.view(options)
    asked = options.get("range") or {}
    if not isinstance(asked, dict):
        raise InvalidParamsError("range must be an object with firstSlot and lastSlot")
    begin = view.slot - view.slot % SLOTS_PER_EPOCH
    first = read_integer(asked.get("firstSlot", begin), "range.firstSlot")
    last = read_integer(view.slot if asked.get("lastSlot") is None else asked["lastSlot"], "range.lastSlot")
    if first > last or last > view.slot:
        raise InvalidParamsError(f"range: firstSlot and lastSlot must be in this order, and at most {view.slot}")
    blocks = len(call.ledger.archive.slots(first, last, last - first + 1))
    leaders = {str(call.ledger.identity): [last - first + 1, blocks]}
    if options.get("identity") not in {None, *leaders}:
        leaders = {}
    return with_context(view, {"byIdentity": leaders, "range": {"firstSlot": first, "lastSlot": last}})


def _samples(call: Call) -> list[dict[str, int]]:
    limit = MAX_SAMPLES if call.optional(0) is None else call.integer(0, "limit")
    if limit > MAX_SAMPLES:
        raise InvalidParamsError(f"Invalid limit; max {MAX_SAMPLES}")
    newest = call.node.block(Commitment.PROCESSED).slot
    return [
        {
            "slot": sample.slot,
            "numTransactions": sample.transactions,
            "numNonVoteTransactions": sample.transactions,
            "numSlots": sample.slots,
            "samplePeriodSecs": sample.seconds,
        }
        for sample in call.ledger.archive.samples(newest, limit)[:limit]
    ]


METHODS: dict[str, Method] = {
    "getBlock": _block,
    "getBlockCommitment": _commitment,
    "getBlockProduction": _production,
    "getBlockTime": _block_time,
    "getBlocks": _blocks,
    "getBlocksWithLimit": _blocks_with_limit,
    "getFirstAvailableBlock": _first_available,
    "getRecentPerformanceSamples": _samples,
    "minimumLedgerSlot": _first_available,
}
