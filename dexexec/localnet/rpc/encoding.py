"""Reads token accounts and mints, and encodes token amounts and balances for JSON-RPC. Pure."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey
from solders.token.state import Mint, TokenAccount, TokenAccountState

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
    try:
        state = TokenAccount.from_bytes(data[:ACCOUNT_SIZE])
    except ValueError:
        return None  # only a fixture can have such data
    return state if state.state != TokenAccountState.Uninitialized else None


def mint(account: Account | None) -> Mint | None:
    """The state of a mint of either program. None: it is something else."""
    data = account.data if account and account.owner in PROGRAMS else b""
    extended = len(data) > ACCOUNT_SIZE and data[ACCOUNT_SIZE] == MINT_TYPE
    if not extended and len(data) != MINT_SIZE:
        return None
    try:
        state = Mint.from_bytes(data[:MINT_SIZE])
    except ValueError:
        return None
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
