"""Decodes a wallet's past: lists of signatures, and finalized transactions with their bytes."""

import base64
from collections.abc import Mapping
from typing import Any

from dexexec.domain import base58
from dexexec.domain.transaction_bytes import SIGNATURE_BYTES, split
from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction
from dexexec.settlement.solana.rpc.decode.values import read_text, read_u64

_MAX_MEMO_LENGTH = 2_000


def read_signatures(result: Any) -> list[HistoryEntry]:
    """Decodes `getSignaturesForAddress`."""
    return [_read_entry(entry) for entry in result]


def read_kept(result: Any, signature: str) -> KeptTransaction | None:
    """Decodes `getTransaction` with encoding `base64`. None: the node does not have the transaction."""
    if result is None:
        return None
    payload = base64.b64decode(read_text(result["transaction"][0]), validate=True)
    # The first signature identifies the transaction.
    if base58.encode(split(payload).signatures[0]) != signature:
        raise ValueError("another transaction")
    return KeptTransaction(signature, payload, _read_time(result), _read_decimals(result["meta"]))


def _read_entry(entry: Any) -> HistoryEntry:
    signature = read_text(entry["signature"])
    if len(base58.decode(signature)) != SIGNATURE_BYTES:
        raise ValueError("not a signature")
    memo = entry.get("memo")
    # Other senders can name the wallet too, with a memo of any length.
    memo = None if memo is None else read_text(memo)[:_MAX_MEMO_LENGTH]
    return HistoryEntry(signature, read_u64(entry["slot"]), _read_time(entry), memo)


def _read_time(entry: Any) -> int | None:
    time = entry.get("blockTime")
    return None if time is None else read_u64(time)


def _read_decimals(meta: Mapping[str, Any]) -> dict[str, int]:
    balances = (*(meta["preTokenBalances"] or ()), *(meta["postTokenBalances"] or ()))
    return {read_text(balance["mint"]): read_u64(balance["uiTokenAmount"]["decimals"]) for balance in balances}
