"""The JSON-RPC calls that are made here: method, parameters, and how to decode the result.

What is acted on is read at `confirmed`. What proves that a swap can no longer land is read at `finalized`.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from dexexec.domain import base58
from dexexec.domain.rent import Rent
from dexexec.domain.solana import AccountFilters, Accounts, ProgramAccounts, Simulation, TokenBalance
from dexexec.domain.swap import Blockhash
from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction
from dexexec.settlement.solana.rpc.called_programs import called_programs
from dexexec.settlement.solana.rpc.decode import accounts as decode_accounts
from dexexec.settlement.solana.rpc.decode import history as decode_history
from dexexec.settlement.solana.rpc.decode.blocks import (
    ChainPosition,
    read_blockhash,
    read_certificate,
    read_fee,
    read_position,
    read_priority_fees,
    read_rent,
)
from dexexec.settlement.solana.rpc.decode.statuses import ReportedStatuses, read_statuses
from dexexec.settlement.solana.rpc.decode.transactions import ExecutedTransaction, read_simulation, read_transaction
from dexexec.settlement.solana.rpc.decode.values import read_text, read_u64

T = TypeVar("T")

# The limits below are those of Solana's own RPC server.
MAX_STATUSES = 256
"""Signatures in one `getSignatureStatuses`."""
MAX_ACCOUNTS = 100
"""Accounts in one `getMultipleAccounts`."""
MAX_FEE_ACCOUNTS = 128
"""Accounts in one `getRecentPrioritizationFees`."""
MAX_SIGNATURES = 1_000
"""Signatures in one page of `getSignaturesForAddress`."""
CONFIRMED = {"commitment": "confirmed"}
FINALIZED_COMMITMENT = {"commitment": "finalized"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCall(Generic[T]):
    """A call of a JSON-RPC method.

    `decode` turns the result into a value, or raises one of `DECODE_ERRORS`. `slot` returns the confirmed slot that a
    value is of, for the methods that report it.
    """

    method: str
    params: Sequence[object]
    decode: Callable[[Any], T]
    slot: Callable[[T], int] | None = None

    def not_before(self, slot: int) -> "MethodCall[T]":
        """The same call, which a node refuses until it has reached `slot`."""
        *first, options = self.params
        if not isinstance(options, dict):
            return self
        return replace(self, params=[*first, {**options, "minContextSlot": slot}])

    def finalized(self) -> "MethodCall[T]":
        """The same call for the finalized block; itself, if it is not for the confirmed one."""
        *first, options = self.params or [None]
        if not isinstance(options, dict) or options.get("commitment") != CONFIRMED["commitment"]:
            return self
        return replace(self, params=[*first, {**options, **FINALIZED_COMMITMENT}])


GENESIS_HASH = MethodCall(method="getGenesisHash", params=[], decode=read_text)
BLOCKHASH: MethodCall[Blockhash] = MethodCall(
    method="getLatestBlockhash", params=[CONFIRMED], decode=read_blockhash, slot=lambda blockhash: blockhash.slot
)
FINALIZED: MethodCall[ChainPosition] = MethodCall(
    method="getEpochInfo", params=[FINALIZED_COMMITMENT], decode=read_position
)
GENESIS_CERTIFICATE: MethodCall[int | None] = MethodCall(method="getAgGenesisCert", params=[], decode=read_certificate)
"""The slot in which the cluster changed to a consensus where confirmed is final. None: it has not."""
FINALIZED_SLOT: MethodCall[int] = MethodCall(method="getSlot", params=[FINALIZED_COMMITMENT], decode=read_u64)
NEWEST_SLOT: MethodCall[int] = MethodCall(method="getSlot", params=[{"commitment": "processed"}], decode=read_u64)
BLOCK_HEIGHT: MethodCall[int] = MethodCall(method="getBlockHeight", params=[CONFIRMED], decode=read_u64)

RENT: MethodCall[Rent] = MethodCall(method="getMinimumBalanceForRentExemption", params=[0], decode=read_rent)


def signature_fee(message: bytes) -> MethodCall[int | None]:
    """What the network charges for a message with one signature; None if its blockhash is not known."""
    return MethodCall(method="getFeeForMessage", params=[_base64(message), CONFIRMED], decode=read_fee)


def send(payload: bytes) -> MethodCall[str]:
    """Sends a signed transaction. Returns its signature."""
    # No preflight: the engine simulated this message before it signed. No retries by the node: the engine sends the
    # bytes again itself, so that every send is counted.
    options = {"encoding": "base64", "maxRetries": 0, "skipPreflight": True}
    return MethodCall(method="sendTransaction", params=[_base64(payload), options], decode=read_text)


def statuses(signatures: Sequence[str], *, history: bool) -> MethodCall[ReportedStatuses]:
    """The statuses of signatures, from the node's recent ones or from its whole history."""
    params = [list(signatures), {"searchTransactionHistory": history}]
    decode = partial(read_statuses, count=len(signatures))
    return MethodCall(method="getSignatureStatuses", params=params, decode=decode)


def transaction(signature: str) -> MethodCall[ExecutedTransaction | None]:
    """What a transaction did."""
    options = {"encoding": "json", "maxSupportedTransactionVersion": 1, **CONFIRMED}
    decode = partial(read_transaction, signature=signature)
    return MethodCall(method="getTransaction", params=[signature, options], decode=decode)


def signatures(
    address: str, commitment: str, before: str | None = None, min_slot: int | None = None
) -> MethodCall[list[HistoryEntry]]:
    """A page of the transactions that name an address, newest first, older than the signature `before`. A node that has
    not reached `min_slot` refuses."""
    options: dict[str, object] = {"limit": MAX_SIGNATURES, "commitment": commitment}
    if before is not None:
        options["before"] = before
    if min_slot is not None:
        options["minContextSlot"] = min_slot
    params = [address, options]
    return MethodCall(method="getSignaturesForAddress", params=params, decode=decode_history.read_signatures)


def kept_transaction(signature: str) -> MethodCall[KeptTransaction | None]:
    """A finalized transaction with its bytes."""
    options = {"encoding": "base64", "maxSupportedTransactionVersion": 1, **FINALIZED_COMMITMENT}
    decode = partial(decode_history.read_kept, signature=signature)
    return MethodCall(method="getTransaction", params=[signature, options], decode=decode)


def accounts(addresses: Sequence[str], first_bytes: int | None = None) -> MethodCall[Accounts]:
    """Accounts, all as of one slot; with `first_bytes` only that many of their data."""
    options: dict[str, object] = {"encoding": "base64", **CONFIRMED}
    if first_bytes is not None:
        options["dataSlice"] = {"offset": 0, "length": first_bytes}
    params = [list(addresses), options]
    decode = partial(decode_accounts.read_accounts, count=len(addresses))
    return MethodCall(method="getMultipleAccounts", params=params, decode=decode, slot=lambda found: found.slot)


def program_accounts(program: str, filters: AccountFilters) -> MethodCall[ProgramAccounts]:
    """The accounts of a program that match the filters."""
    params = [program, {**program_search(filters), "withContext": True}]
    decode = partial(decode_accounts.read_program_accounts, program=program, filters=filters)
    return MethodCall(method="getProgramAccounts", params=params, decode=decode)


def program_search(filters: AccountFilters) -> dict[str, object]:
    """The options that a search for a program's accounts, and a subscription to them, have in common."""
    matches = ({"offset": offset, "bytes": base58.encode(wanted)} for offset, wanted in filters.matches)
    rpc_filters = [{"dataSize": filters.size}, *({"memcmp": match} for match in matches)]
    return {"encoding": "base64", "filters": rpc_filters, **CONFIRMED}


def token_balances(owner: str, program: str) -> MethodCall[list[TokenBalance]]:
    """The balances of an owner in the tokens of one token program."""
    params = [owner, {"programId": program}, {"encoding": "jsonParsed", **CONFIRMED}]
    decode = partial(decode_accounts.read_token_balances, owner=owner, program=program)
    return MethodCall(method="getTokenAccountsByOwner", params=params, decode=decode)


def recent_priority_fees(addresses: Sequence[str]) -> MethodCall[list[int]]:
    """The lowest price per compute unit, per slot, of transactions that wrote to all these accounts. Raises
    `ValueError` for more than `MAX_FEE_ACCOUNTS`."""
    if len(addresses) > MAX_FEE_ACCOUNTS:
        raise ValueError(f"priority fees can be read for {MAX_FEE_ACCOUNTS} accounts at most, not {len(addresses)}")
    return MethodCall(method="getRecentPrioritizationFees", params=[list(addresses)], decode=read_priority_fees)


def simulation(payload: bytes, watched: Sequence[str]) -> MethodCall[Simulation]:
    """What a transaction, signed or not, would do now. Raises `ValueError` for bytes that are not a transaction."""
    options: dict[str, object] = {"encoding": "base64", "sigVerify": False, "replaceRecentBlockhash": True, **CONFIRMED}
    if watched:
        options["accounts"] = {"encoding": "base64", "addresses": list(watched)}
    decode = partial(read_simulation, watched=watched, programs=called_programs(payload))
    params = [_base64(payload), options]
    return MethodCall(method="simulateTransaction", params=params, decode=decode, slot=lambda found: found.slot)


def fund(owner: str, mint: str, decimals: int, amount: int) -> MethodCall[None]:
    """Free coins from the faucet of a localnet."""
    return MethodCall(method="localnet_fund", params=[owner, mint, decimals, amount], decode=lambda _: None)


def _base64(payload: bytes) -> str:
    return base64.b64encode(payload).decode()
