"""Encodes accounts for JSON-RPC in the encoding that a client requests. Pure."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey

from dexexec.domain import base58
from dexexec.localnet.rpc.account_parsing import parsed_data
from dexexec.localnet.rpc.errors import INVALID_REQUEST, InvalidParamsError, RpcError

BASE58_LIMIT = 128
TOO_LONG = "error: data too large for bs58 encoding"
"""What a node notifies of in place of data that are too long."""
ENCODINGS = ("binary", "base58", "base64", "jsonParsed")
"""`binary` is the oldest form, and the default: base58 without the name of the encoding."""


@dataclass(frozen=True, slots=True)
class DataFormat:
    """The requested encoding of account data, and its slice, which parsed data ignore."""

    encoding: str = "base64"
    offset: int = 0
    length: int | None = None


def account_body(account: Account, data_format: DataFormat, decimals: Callable[[Pubkey], int | None]) -> dict[str, Any]:
    """An account. `decimals` returns those of a mint. Raises `RpcError` for data too long for base58."""
    parsed = parsed_data(account, decimals) if data_format.encoding == "jsonParsed" else None
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "data": parsed or encoded(account.data, data_format),
        "executable": account.executable,
        "rentEpoch": account.rent_epoch,
        "space": len(account.data),
    }


def notified_body(
    account: Account, data_format: DataFormat, decimals: Callable[[Pubkey], int | None]
) -> dict[str, Any]:
    """An account in a notification, which cannot be refused: data too long for base58 are replaced by an error."""
    try:
        return account_body(account, data_format, decimals)
    except RpcError:
        data = TOO_LONG if data_format.encoding == "binary" else [TOO_LONG, "base58"]
        return account_body(account, DataFormat(), decimals) | {"data": data}


def encoded(data: bytes, data_format: DataFormat) -> Any:
    """Account data, sliced, with the name of their encoding."""
    end = None if data_format.length is None else data_format.offset + data_format.length
    cut = data[data_format.offset : end]
    if data_format.encoding not in ("base58", "binary"):
        # Also for jsonParsed: what has no parser is shown in base64.
        return [base64.b64encode(cut).decode(), "base64"]
    if len(cut) > BASE58_LIMIT:
        raise RpcError(
            INVALID_REQUEST,
            f"Encoded binary (base 58) data should be less than {BASE58_LIMIT} bytes, please use Base64 encoding.",
        )
    text = base58.encode(cut)
    return text if data_format.encoding == "binary" else [text, "base58"]


def read_data_format(options: Mapping[str, Any], default: str = "binary") -> DataFormat:
    """Reads the encoding and the slice from options. Raises `InvalidParamsError`."""
    encoding = options.get("encoding") or default
    if encoding not in ENCODINGS:
        raise InvalidParamsError(f"encoding must be one of {', '.join(ENCODINGS)}, not {encoding!r}")
    part = options.get("dataSlice")
    if part is None:
        return DataFormat(encoding)
    match part:
        case {"offset": int(offset), "length": int(length)} if offset >= 0 and length >= 0:
            return DataFormat(encoding, offset, length)
    raise InvalidParamsError("dataSlice must be an object with the integers offset and length")
