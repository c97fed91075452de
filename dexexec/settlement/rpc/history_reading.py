"""A node's answers about the past of a wallet as plain values. Pure; raises one of `UNREADABLE` as `reading` does."""

import base64
from collections.abc import Mapping
from typing import Any

from dexexec.domain import base58
from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction
from dexexec.settlement.rpc.reading import read_failure, what_moved
from dexexec.settlement.rpc.shapes import read_natural, read_text
from dexexec.settlement.rpc.wire import programs_of

_SIGNATURE = 64
_LONGEST_MEMOS = 2_000


def read_signatures(result: Any) -> list[HistoryEntry]:
    """`getSignaturesForAddress`."""
    return [_entry(one) for one in result]


def read_kept(result: Any, signature: str, wallet: str) -> KeptTransaction | None:
    """`getTransaction` in the encoding `base64`; None if the node does not have it."""
    if result is None:
        return None
    meta = result["meta"]
    payload = base64.b64decode(read_text(result["transaction"][0]), validate=True)
    if base58.encode(payload[1 : 1 + _SIGNATURE]) != signature:
        raise ValueError("another transaction")
    failure = None if meta["err"] is None else read_failure(meta["err"], programs_of(payload)).detail
    return KeptTransaction(
        signature=signature,
        payload=payload,
        slot=read_natural(result["slot"]),
        time=_time(result),
        fee=read_natural(meta["fee"]),
        moved={} if failure else what_moved(meta, wallet),
        decimals=_decimals(meta),
        failure=failure,
    )


def _entry(one: Any) -> HistoryEntry:
    signature, memos = read_text(one["signature"]), one.get("memo")
    if len(base58.decode(signature)) != _SIGNATURE:
        raise ValueError("not a signature")
    text = None if memos is None else read_text(memos)[:_LONGEST_MEMOS]
    return HistoryEntry(signature, read_natural(one["slot"]), _time(one), text)


def _time(one: Any) -> int | None:
    time = one.get("blockTime")
    return None if time is None else read_natural(time)


def _decimals(meta: Mapping[str, Any]) -> dict[str, int]:
    balances = (*(meta["preTokenBalances"] or ()), *(meta["postTokenBalances"] or ()))
    return {read_text(one["mint"]): read_natural(one["uiTokenAmount"]["decimals"]) for one in balances}
