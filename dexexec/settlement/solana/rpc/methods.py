"""What a node is asked: each JSON-RPC method with the parameters used here and the reading of its answer.

What is acted upon is read at `confirmed`; what proves that a swap is gone is read at `finalized`.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from dexexec.domain import base58
from dexexec.domain.solana import AccountFilters, Accounts, ProgramAccounts, Simulation, TokenBalance
from dexexec.domain.swap import Blockhash
from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction
from dexexec.settlement.solana.rpc import decode, decode_accounts, decode_history, decode_values
from dexexec.settlement.solana.rpc.called_programs import called_programs

T = TypeVar("T")
MAX_STATUSES = 256
"""Signatures in one look-up."""
MAX_ACCOUNTS = 100
"""Accounts in one answer."""
MAX_FEE_ACCOUNTS = 128
"""Accounts whose priority fees are asked for at once."""
MAX_SIGNATURES = 1_000
"""Signatures in one page of an address' history."""
CONFIRMED = {"commitment": "confirmed"}


@dataclass(frozen=True, slots=True)
class MethodCall(Generic[T]):
    """A call of a node; `read` makes a value of its result, or raises one of `shapes.UNREADABLE`. `slot` is the
    confirmed slot that the value is of, where it says so."""

    method: str
    params: Sequence[object]
    read: Callable[[Any], T]
    slot: Callable[[T], int] | None = None

    def not_before(self, slot: int) -> "MethodCall[T]":
        """The same as of `slot` or later: a node that is not there yet says so."""
        *first, how = self.params
        return replace(self, params=[*first, {**how, "minContextSlot": slot}]) if isinstance(how, dict) else self


GENESIS_HASH = MethodCall("getGenesisHash", [], decode_values.read_text)
BLOCKHASH: MethodCall[Blockhash] = MethodCall(
    "getLatestBlockhash", [CONFIRMED], decode.read_blockhash, lambda one: one.slot
)
FINALIZED: MethodCall[decode.ChainPosition] = MethodCall(
    "getEpochInfo", [{"commitment": "finalized"}], decode.read_epoch
)
BLOCK_HEIGHT: MethodCall[int] = MethodCall("getBlockHeight", [CONFIRMED], decode_values.read_u64)


def send(payload: bytes) -> MethodCall[str]:
    """Send a transaction; its signature. The node neither checks it, which was done before it was signed, nor resends
    it, which is done here, and seen."""
    how = {"encoding": "base64", "maxRetries": 0, "skipPreflight": True}
    return MethodCall("sendTransaction", [_base64(payload), how], decode_values.read_text)


def statuses(signatures: Sequence[str], *, history: bool) -> MethodCall[decode.ReportedStatuses]:
    """What is known of signatures, in the recent statuses or in the whole history."""
    params = [list(signatures), {"searchTransactionHistory": history}]
    return MethodCall("getSignatureStatuses", params, partial(decode.read_statuses, count=len(signatures)))


def transaction(signature: str) -> MethodCall[decode.ExecutedTransaction | None]:
    """What a transaction did."""
    how = {"encoding": "json", "maxSupportedTransactionVersion": 0, **CONFIRMED}
    return MethodCall("getTransaction", [signature, how], partial(decode.read_transaction, signature=signature))


def signatures(
    address: str, commitment: str, before: str | None = None, slot: int | None = None
) -> MethodCall[list[HistoryEntry]]:
    """A page of the transactions that name an address, the newest first, behind the one with the signature `before`; of
    a node that is not before `slot`."""
    how: dict[str, object] = {"limit": MAX_SIGNATURES, "commitment": commitment}
    how |= {name: value for name, value in (("before", before), ("minContextSlot", slot)) if value is not None}
    return MethodCall("getSignaturesForAddress", [address, how], decode_history.read_signatures)


def kept_transaction(signature: str) -> MethodCall[KeptTransaction | None]:
    """A finalized transaction with its bytes."""
    how = {"encoding": "base64", "maxSupportedTransactionVersion": 1, "commitment": "finalized"}
    read = partial(decode_history.read_kept, signature=signature)
    return MethodCall("getTransaction", [signature, how], read)


def accounts(addresses: Sequence[str]) -> MethodCall[Accounts]:
    """Accounts, all in one answer."""
    params = [list(addresses), {"encoding": "base64", **CONFIRMED}]
    read = partial(decode_accounts.read_accounts, count=len(addresses))
    return MethodCall("getMultipleAccounts", params, read, lambda one: one.slot)


def program_accounts(program: str, filters: AccountFilters) -> MethodCall[ProgramAccounts]:
    """The accounts of a program that match."""
    matches = ({"offset": offset, "bytes": base58.encode(wanted)} for offset, wanted in filters.matches)
    wanted = [{"dataSize": filters.size}, *({"memcmp": match} for match in matches)]
    params = [program, {"encoding": "base64", "withContext": True, "filters": wanted, **CONFIRMED}]
    read = partial(decode_accounts.read_program_accounts, program=program, filters=filters)
    return MethodCall("getProgramAccounts", params, read)


def token_balances(owner: str, program: str) -> MethodCall[list[TokenBalance]]:
    """What an owner holds of the tokens of one token program."""
    params = [owner, {"programId": program}, {"encoding": "jsonParsed", **CONFIRMED}]
    read = partial(decode_accounts.read_token_balances, owner=owner, program=program)
    return MethodCall("getTokenAccountsByOwner", params, read)


def recent_priority_fees(addresses: Sequence[str]) -> MethodCall[list[int]]:
    """What transactions that write to all these accounts paid at least for a compute unit. Raises `ValueError` for more
    than `MAX_FEE_ACCOUNTS`."""
    if len(addresses) > MAX_FEE_ACCOUNTS:
        raise ValueError(f"priority fees are told for {MAX_FEE_ACCOUNTS} accounts at most, not {len(addresses)}")
    return MethodCall("getRecentPrioritizationFees", [list(addresses)], decode_accounts.read_priority_fees)


def simulation(payload: bytes, watched: Sequence[str]) -> MethodCall[Simulation]:
    """What a transaction would do now, signed or not. Raises `ValueError` for bytes that are none."""
    how: dict[str, object] = {"encoding": "base64", "sigVerify": False, "replaceRecentBlockhash": True, **CONFIRMED}
    if watched:
        how["accounts"] = {"encoding": "base64", "addresses": list(watched)}
    read = partial(decode.read_simulation, watched=watched, programs=called_programs(payload))
    return MethodCall("simulateTransaction", [_base64(payload), how], read, lambda one: one.slot)


def fund(owner: str, mint: str, decimals: int, amount: int) -> MethodCall[None]:
    """Coins for nothing, on a localnet."""
    return MethodCall("localnet_fund", [owner, mint, decimals, amount], lambda _: None)


def _base64(payload: bytes) -> str:
    return base64.b64encode(payload).decode()
