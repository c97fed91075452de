"""Decodes answers about a wallet's past. Raises one of `DECODE_ERRORS` for other shapes. Pure."""

import base64
from collections.abc import Mapping
from typing import Any

from dexexec.domain import base58
from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction
from dexexec.settlement.solana.rpc.decode_values import read_text, read_u64

_SIGNATURE = 64
_LONGEST_MEMOS = 2_000


def read_signatures(result: Any) -> list[HistoryEntry]:
    """`getSignaturesForAddress`."""
    return [_entry(one) for one in result]


def read_kept(result: Any, signature: str) -> KeptTransaction | None:
    """`getTransaction` in the encoding `base64`; None if the node does not have it."""
    if result is None:
        return None
    payload = base64.b64decode(read_text(result["transaction"][0]), validate=True)
    if base58.encode(payload[1 : 1 + _SIGNATURE]) != signature:
        raise ValueError("another transaction")
    return KeptTransaction(signature, payload, _time(result), _decimals(result["meta"]))


def _entry(one: Any) -> HistoryEntry:
    signature, memos = read_text(one["signature"]), one.get("memo")
    if len(base58.decode(signature)) != _SIGNATURE:
        raise ValueError("not a signature")
    text = None if memos is None else read_text(memos)[:_LONGEST_MEMOS]
    return HistoryEntry(signature, read_u64(one["slot"]), _time(one), text)


def _time(one: Any) -> int | None:
    time = one.get("blockTime")
    return None if time is None else read_u64(time)


def _decimals(meta: Mapping[str, Any]) -> dict[str, int]:
    balances = (*(meta["preTokenBalances"] or ()), *(meta["postTokenBalances"] or ()))
    return {read_text(one["mint"]): read_u64(one["uiTokenAmount"]["decimals"]) for one in balances}
