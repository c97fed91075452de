"""Encodes accounts, token amounts and token balances for JSON-RPC. Pure."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey
from solders.token.state import Mint, TokenAccount, TokenAccountState

from dexexec.domain import base58
from dexexec.localnet.rpc.errors import INVALID_REQUEST, InvalidParamsError, RpcError

TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
PROGRAMS = {TOKEN: "spl-token", TOKEN_2022: "spl-token-2022"}
NATIVE_MINT = Pubkey.from_string("So11111111111111111111111111111111111111112")
NATIVE_DECIMALS = 9
MINT_SIZE = 82
ACCOUNT_SIZE = 165
MINT_TYPE = 1
ACCOUNT_TYPE = 2
"""Byte 165 of a Token-2022 account with extensions: what kind of account it is."""
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
    parsed = _parsed(account, decimals) if data_format.encoding == "jsonParsed" else None
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


def read_base64(text: str) -> bytes:
    """Decodes base64. Raises `ValueError`."""
    return base64.b64decode(text, validate=True)


def token_account(account: Account | None) -> TokenAccount | None:
    """The state of a token account of either program. None: it is something else."""
    data = account.data if account and account.owner in PROGRAMS else b""
    # Extensions follow the plain account, after a byte that distinguishes accounts from mints.
    extended = len(data) > ACCOUNT_SIZE and data[ACCOUNT_SIZE] == ACCOUNT_TYPE
    if not extended and len(data) != ACCOUNT_SIZE:
        return None
    state = TokenAccount.from_bytes(data[:ACCOUNT_SIZE])
    return state if state.state != TokenAccountState.Uninitialized else None


def mint(account: Account | None) -> Mint | None:
    """The state of a mint of either program. None: it is something else."""
    data = account.data if account and account.owner in PROGRAMS else b""
    extended = len(data) > ACCOUNT_SIZE and data[ACCOUNT_SIZE] == MINT_TYPE
    if not extended and len(data) != MINT_SIZE:
        return None
    state = Mint.from_bytes(data[:MINT_SIZE])
    return state if state.is_initialized else None


def amount_body(amount: int, decimals: int) -> dict[str, Any]:
    """A token amount in base units and as a decimal. The interface defines `uiAmount` as a float."""
    digits = str(amount).rjust(decimals + 1, "0")
    whole, part = (digits[:-decimals], digits[-decimals:].rstrip("0")) if decimals else (digits, "")
    text = f"{whole}.{part}" if part else whole
    return {"amount": str(amount), "decimals": decimals, "uiAmount": float(text), "uiAmountString": text}


def token_balances(
    keys: Sequence[Pubkey], accounts: Mapping[Pubkey, Account | None], decimals: Callable[[Pubkey], int | None]
) -> list[dict[str, Any]]:
    """The token accounts among a transaction's keys, in the form of `preTokenBalances` and `postTokenBalances`."""
    balances = []
    for index, key in enumerate(keys):
        account = accounts.get(key)
        held = token_account(account)
        places = decimals(held.mint) if held else None
        if account and held and places is not None:
            balances.append(
                {
                    "accountIndex": index,
                    "mint": str(held.mint),
                    "owner": str(held.owner),
                    "programId": str(account.owner),
                    "uiTokenAmount": amount_body(held.amount, places),
                }
            )
    return balances


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


def _parsed(account: Account, decimals: Callable[[Pubkey], int | None]) -> dict[str, Any] | None:
    program = PROGRAMS.get(account.owner)
    held = token_account(account)
    mint_state = mint(account)
    info: dict[str, Any]
    if held:
        places = decimals(held.mint)
        if places is None:
            return None  # without its mint an account cannot be shown parsed
        info = {
            "mint": str(held.mint),
            "owner": str(held.owner),
            "tokenAmount": amount_body(held.amount, places),
            "state": "frozen" if held.state == TokenAccountState.Frozen else "initialized",
            "isNative": held.is_native is not None,
        }
        if held.is_native is not None:
            # Wrapped SOL: the rent is not part of the token amount.
            info["rentExemptReserve"] = amount_body(held.is_native, NATIVE_DECIMALS)
        if held.delegate is not None:
            info |= {"delegate": str(held.delegate), "delegatedAmount": amount_body(held.delegated_amount, places)}
        if held.close_authority is not None:
            info["closeAuthority"] = str(held.close_authority)
    elif mint_state:
        info = {
            "mintAuthority": mint_state.mint_authority and str(mint_state.mint_authority),
            "supply": str(mint_state.supply),
            "decimals": mint_state.decimals,
            "isInitialized": True,
            "freezeAuthority": mint_state.freeze_authority and str(mint_state.freeze_authority),
        }
    else:
        return None
    kind = "account" if held else "mint"
    return {"program": program, "parsed": {"info": info, "type": kind}, "space": len(account.data)}
