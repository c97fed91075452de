"""Encodes transactions, their metadata and simulations for JSON-RPC. Pure."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from solders.account import Account
from solders.instruction import CompiledInstruction
from solders.message import Message, MessageV0, MessageV1, VersionedMessage
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from dexexec.domain import base58
from dexexec.localnet.execution_result import ExecutionResult
from dexexec.localnet.journal import LandedTransaction
from dexexec.localnet.rpc import encoding
from dexexec.localnet.rpc.errors import UNSUPPORTED_TRANSACTION_VERSION, InvalidParamsError, RpcError
from dexexec.localnet.rpc.instruction_parsing import instruction_body

MEMO_PROGRAMS = frozenset(
    map(
        Pubkey.from_string,
        ("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo", "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
    )
)
VERSIONS: Mapping[type[Any], int | None] = {Message: None, MessageV0: 0, MessageV1: 1}
"""By the type of message; None: the format before versions."""
META_OF_ACCOUNTS = ("err", "status", "fee", "preBalances", "postBalances", "preTokenBalances", "postTokenBalances")
Accounts = Mapping[Pubkey, Account | None]


def make_meta(
    result: ExecutionResult,
    keys: Sequence[Pubkey],
    before: Accounts,
    after: Accounts,
    *,
    loaded: tuple[list[Pubkey], list[Pubkey]],
    decimals: Callable[[Pubkey], int | None],
) -> dict[str, Any]:
    """The `meta` of `getTransaction`. `keys` are all keys of the transaction, those from lookup tables last."""
    meta = {
        "err": result.err,
        "status": status_body(result.err),
        "fee": result.fee,
        "preBalances": [_lamports(before[key]) for key in keys],
        "postBalances": [_lamports(after[key]) for key in keys],
        "preTokenBalances": encoding.token_balances(keys, before, decimals),
        "postTokenBalances": encoding.token_balances(keys, after, decimals),
        "innerInstructions": result.inner,
        "logMessages": result.logs,
        "rewards": [],
        "loadedAddresses": {"writable": [str(key) for key in loaded[0]], "readonly": [str(key) for key in loaded[1]]},
        "computeUnitsConsumed": result.units,
    }
    return meta | ({"returnData": returned_body(result)} if result.returned else {})


def names(landed: LandedTransaction) -> set[str]:
    """All addresses that a transaction names, also those from lookup tables."""
    return set(_all_keys(VersionedTransaction.from_bytes(landed.raw).message, landed.meta["loadedAddresses"]))


def memos(landed: LandedTransaction) -> str | None:
    """The memos of a transaction in the form of a node: `[4] text; [5] other`. None: it has no memos."""
    message = VersionedTransaction.from_bytes(landed.raw).message
    memos = (call for call in message.instructions if message.account_keys[call.program_id_index] in MEMO_PROGRAMS)
    return "; ".join(f"[{len(memo.data)}] {_memo(bytes(memo.data))}" for memo in memos) or None


def _memo(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "(unprintable)"


def status_body(err: Any) -> dict[str, Any]:
    """The `status` of an error, the older form that clients still read."""
    return {"Ok": None} if err is None else {"Err": err}


def returned_body(result: ExecutionResult) -> dict[str, Any] | None:
    """The data that the last program returned. None: it returned nothing."""
    if result.returned is None:
        return None
    program, data = result.returned
    return {"programId": program, "data": [base64.b64encode(data).decode(), "base64"]}


def simulation_body(result: ExecutionResult, *, inner: bool = False) -> dict[str, Any]:
    """A simulation, as `simulateTransaction` answers it and as the data of a failed preflight."""
    return {
        "err": result.err,
        "logs": result.logs,
        "accounts": None,
        "unitsConsumed": result.units,
        "loadedAccountsDataSize": result.loaded_bytes,
        "fee": result.fee or None,
        "returnData": returned_body(result),
        "innerInstructions": result.inner if inner else None,
    }


def transaction_body(landed: LandedTransaction, encoding: str, max_version: int | None) -> dict[str, Any]:
    """The result of `getTransaction`. Raises `RpcError` for a version that the client does not accept."""
    return {"slot": landed.slot, "blockTime": landed.time} | transaction_in_block(landed, encoding, max_version)


def transaction_in_block(landed: LandedTransaction, encoding: str, max_version: int | None) -> dict[str, Any]:
    """A transaction of `getBlock`. Raises `RpcError` for a version that the client does not accept."""
    transaction = VersionedTransaction.from_bytes(landed.raw)
    version = version_body(transaction, max_version)
    body = {"transaction": _encoded(transaction, landed, encoding), "meta": _meta(landed, transaction, encoding)}
    return body | version


def account_list_body(landed: LandedTransaction, max_version: int | None) -> dict[str, Any]:
    """A transaction of `getBlock` that shows only accounts and balances. Raises `RpcError` like the other."""
    transaction = VersionedTransaction.from_bytes(landed.raw)
    version = version_body(transaction, max_version)
    body = {
        "signatures": [str(signature) for signature in transaction.signatures],
        "accountKeys": _key_bodies(transaction.message, landed.meta["loadedAddresses"]),
    }
    return {"transaction": body, "meta": {name: landed.meta[name] for name in META_OF_ACCOUNTS}} | version


def version_body(transaction: VersionedTransaction, max_version: int | None) -> dict[str, Any]:
    """The version, for a client that accepts versions. Raises `RpcError` for one that the client does not accept."""
    version = VERSIONS[type(transaction.message)]
    if version is not None and (max_version is None or version > max_version):
        raise RpcError(
            UNSUPPORTED_TRANSACTION_VERSION,
            f"Transaction version ({version}) is not supported by the requesting client. Please try the request again "
            f'with the following configuration parameter: "maxSupportedTransactionVersion": {version}',
        )
    return {} if max_version is None else {"version": "legacy" if version is None else version}


def _encoded(transaction: VersionedTransaction, landed: LandedTransaction, encoding: str) -> Any:
    if encoding == "base64":
        return [base64.b64encode(landed.raw).decode(), "base64"]
    if encoding == "base58":
        return [base58.encode(landed.raw), "base58"]
    if encoding not in ("json", "jsonParsed"):
        raise InvalidParamsError(f"encoding must be json, jsonParsed, base64 or base58, not {encoding!r}")
    message = transaction.message
    body: dict[str, Any] = {"recentBlockhash": str(message.recent_blockhash)}
    if encoding == "json":
        header = message.header
        body["header"] = {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        }
        body["accountKeys"] = [str(key) for key in message.account_keys]
        body["instructions"] = [_compiled(call) for call in message.instructions]
    else:
        loaded = landed.meta["loadedAddresses"]
        body["accountKeys"] = _key_bodies(message, loaded)
        keys = _all_keys(message, loaded)
        body["instructions"] = [_outer_body(call, keys) for call in message.instructions]
    if isinstance(message, MessageV0):
        body["addressTableLookups"] = [
            {
                "accountKey": str(lookup.account_key),
                "writableIndexes": list(lookup.writable_indexes),
                "readonlyIndexes": list(lookup.readonly_indexes),
            }
            for lookup in message.address_table_lookups
        ]
    if isinstance(message, MessageV1):
        config = message.config
        body["transactionConfig"] = {
            "priorityFee": config.priority_fee,
            "computeUnitLimit": config.compute_unit_limit,
            "loadedAccountsDataSizeLimit": config.loaded_accounts_data_size_limit,
            "heapSize": config.heap_size,
        }
    return {"signatures": [str(signature) for signature in transaction.signatures], "message": body}


def _compiled(call: CompiledInstruction) -> dict[str, Any]:
    return {
        "programIdIndex": call.program_id_index,
        "accounts": list(call.accounts),
        "data": base58.encode(call.data),
        "stackHeight": 1,
    }


def _meta(landed: LandedTransaction, transaction: VersionedTransaction, encoding: str) -> dict[str, Any]:
    """The stored metadata, with inner instructions in the form of the encoding."""
    if encoding != "jsonParsed":
        return landed.meta
    keys = _all_keys(transaction.message, landed.meta["loadedAddresses"])
    inner = [
        {**calls, "instructions": [_inner_body(call, keys) for call in calls["instructions"]]}
        for calls in landed.meta["innerInstructions"]
    ]
    return landed.meta | {"innerInstructions": inner}


def _inner_body(call: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    accounts = [keys[index] for index in call["accounts"]]
    data = base58.decode(call["data"])
    return instruction_body(keys[call["programIdIndex"]], accounts, data, call["stackHeight"])


def _outer_body(call: CompiledInstruction, keys: Sequence[str]) -> dict[str, Any]:
    accounts = [keys[index] for index in call.accounts]
    return instruction_body(keys[call.program_id_index], accounts, bytes(call.data), 1)


def _all_keys(message: VersionedMessage, loaded: Mapping[str, Sequence[str]]) -> list[str]:
    return [*map(str, message.account_keys), *loaded["writable"], *loaded["readonly"]]


def _key_bodies(message: VersionedMessage, loaded: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    header = message.header
    signers = header.num_required_signatures
    keys = [
        {
            "pubkey": str(key),
            # Keys are ordered: writable signers, read-only signers, writable others, read-only others.
            "writable": index < signers - header.num_readonly_signed_accounts
            or signers <= index < len(message.account_keys) - header.num_readonly_unsigned_accounts,
            "signer": index < signers,
            "source": "transaction",
        }
        for index, key in enumerate(message.account_keys)
    ]
    for kind in ("writable", "readonly"):
        keys += [
            {"pubkey": key, "writable": kind == "writable", "signer": False, "source": "lookupTable"}
            for key in loaded[kind]
        ]
    return keys


def _lamports(account: Account | None) -> int:
    return account.lamports if account else 0
