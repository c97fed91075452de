"""Transactions as JSON-RPC shows them: what came of one, and what it says. Pure."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from solders.account import Account
from solders.instruction import CompiledInstruction
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from dexexec.domain import base58
from dexexec.localnet.journal import LandedTransaction
from dexexec.localnet.rpc import encoding
from dexexec.localnet.rpc.errors import UNSUPPORTED_TRANSACTION_VERSION, InvalidParamsError, RpcError
from dexexec.localnet.runtime import ExecutionResult

MEMOS = frozenset(
    map(
        Pubkey.from_string,
        ("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo", "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
    )
)
Accounts = Mapping[Pubkey, Account | None]


def make_meta(
    outcome: ExecutionResult,
    keys: Sequence[Pubkey],
    before: Accounts,
    after: Accounts,
    *,
    loaded: tuple[list[Pubkey], list[Pubkey]],
    decimals: Callable[[Pubkey], int | None],
) -> dict[str, Any]:
    """The `meta` of `getTransaction`. `keys` are all of the transaction's, those from lookup tables last."""
    meta = {
        "err": outcome.err,
        "status": status_body(outcome.err),
        "fee": outcome.fee,
        "preBalances": [_lamports(before[key]) for key in keys],
        "postBalances": [_lamports(after[key]) for key in keys],
        "preTokenBalances": encoding.token_balances(keys, before, decimals),
        "postTokenBalances": encoding.token_balances(keys, after, decimals),
        "innerInstructions": outcome.inner,
        "logMessages": outcome.logs,
        "rewards": [],
        "loadedAddresses": {"writable": [str(key) for key in loaded[0]], "readonly": [str(key) for key in loaded[1]]},
        "computeUnitsConsumed": outcome.units,
    }
    return meta | ({"returnData": returned_body(outcome)} if outcome.returned else {})


def memos(landed: LandedTransaction) -> str | None:
    """The memos of a transaction as a node lists them: `[4] text; [5] other`; None where there are none."""
    message = VersionedTransaction.from_bytes(landed.raw).message
    calls = (one for one in message.instructions if message.account_keys[one.program_id_index] in MEMOS)
    return "; ".join(f"[{len(one.data)}] {_memo(bytes(one.data))}" for one in calls) or None


def _memo(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "(unprintable)"


def status_body(err: Any) -> dict[str, Any]:
    """The old form of an error."""
    return {"Ok": None} if err is None else {"Err": err}


def returned_body(outcome: ExecutionResult) -> dict[str, Any] | None:
    """What a program returned."""
    if outcome.returned is None:
        return None
    program, data = outcome.returned
    return {"programId": program, "data": [base64.b64encode(data).decode(), "base64"]}


def simulation_body(outcome: ExecutionResult, *, inner: bool = False) -> dict[str, Any]:
    """A simulation, as `simulateTransaction` answers it and as the data of a failed preflight."""
    return {
        "err": outcome.err,
        "logs": outcome.logs,
        "accounts": None,
        "unitsConsumed": outcome.units,
        "returnData": returned_body(outcome),
        "innerInstructions": outcome.inner if inner else None,
    }


def transaction_body(landed: LandedTransaction, encoding: str, max_version: int | None) -> dict[str, Any]:
    """What `getTransaction` answers. Raises `RpcError` for a version that the client did not say it can read."""
    transaction = VersionedTransaction.from_bytes(landed.raw)
    versioned = isinstance(transaction.message, MessageV0)
    if versioned and max_version is None:
        raise RpcError(
            UNSUPPORTED_TRANSACTION_VERSION,
            "Transaction version (0) is not supported by the requesting client. Please try the request again with the "
            'following configuration parameter: "maxSupportedTransactionVersion": 0',
        )
    body: dict[str, Any] = {
        "slot": landed.slot,
        "blockTime": landed.time,
        "transaction": _encoded(transaction, landed, encoding),
        "meta": landed.meta,
    }
    return body | ({} if max_version is None else {"version": 0 if versioned else "legacy"})


def _encoded(transaction: VersionedTransaction, landed: LandedTransaction, encoding: str) -> Any:
    if encoding == "base64":
        return [base64.b64encode(landed.raw).decode(), "base64"]
    if encoding == "base58":
        return [base58.encode(landed.raw), "base58"]
    if encoding not in ("json", "jsonParsed"):
        raise InvalidParamsError(f"encoding must be json, jsonParsed, base64 or base58, not {encoding!r}")
    message = transaction.message
    assert isinstance(message, Message | MessageV0)  # noqa: S101 - no other version lands
    body: dict[str, Any] = {"recentBlockhash": str(message.recent_blockhash)}
    if encoding == "json":
        header = message.header
        body["header"] = {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        }
        body["accountKeys"] = [str(key) for key in message.account_keys]
        body["instructions"] = [_compiled(one) for one in message.instructions]
    else:
        body["accountKeys"] = _key_bodies(message, landed.meta["loadedAddresses"])
        keys = [one["pubkey"] for one in body["accountKeys"]]
        body["instructions"] = [_partly_decoded(one, keys) for one in message.instructions]
    if isinstance(message, MessageV0):
        body["addressTableLookups"] = [
            {
                "accountKey": str(lookup.account_key),
                "writableIndexes": list(lookup.writable_indexes),
                "readonlyIndexes": list(lookup.readonly_indexes),
            }
            for lookup in message.address_table_lookups
        ]
    return {"signatures": [str(signature) for signature in transaction.signatures], "message": body}


def _compiled(one: CompiledInstruction) -> dict[str, Any]:
    return {
        "programIdIndex": one.program_id_index,
        "accounts": list(one.accounts),
        "data": base58.encode(one.data),
        "stackHeight": 1,
    }


def _partly_decoded(one: CompiledInstruction, keys: Sequence[str]) -> dict[str, Any]:
    return {
        "programId": keys[one.program_id_index],
        "accounts": [keys[index] for index in one.accounts],
        "data": base58.encode(one.data),
        "stackHeight": 1,
    }


def _key_bodies(message: Message | MessageV0, loaded: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    header, signers = message.header, message.header.num_required_signatures
    found = [
        {
            "pubkey": str(key),
            "writable": index < signers - header.num_readonly_signed_accounts
            or signers <= index < len(message.account_keys) - header.num_readonly_unsigned_accounts,
            "signer": index < signers,
            "source": "transaction",
        }
        for index, key in enumerate(message.account_keys)
    ]
    for kind in ("writable", "readonly"):
        found += [
            {"pubkey": key, "writable": kind == "writable", "signer": False, "source": "lookupTable"}
            for key in loaded[kind]
        ]
    return found


def _lamports(account: Account | None) -> int:
    return account.lamports if account else 0
