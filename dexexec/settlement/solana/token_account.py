"""Reads token accounts. Their first 165 bytes are the same in both token programs; Token-2022 may append extensions.

Layout (SPL Token, `state.rs`): mint 0..32, owner 32..64, amount 64..72, delegate 72..108, state 108, is_native
109..121, delegated_amount 121..129, close_authority 129..165. Options are a 4-byte tag and the value; all integers are
little-endian.
"""

from dataclasses import dataclass
from struct import unpack_from

from dexexec.domain import base58
from dexexec.domain.solana import Account
from dexexec.settlement.solana.message import TOKEN_PROGRAMS, Program

SIZE = 165
MULTISIG_SIZE = 355
ACCOUNT_TYPE = 2
"""Token-2022 writes this at byte 165 of a token account with extensions (1 would be a mint)."""
FROZEN = 2
TRANSFER_FEE_AMOUNT = 2
"""The extension with the transfer fees that are withheld in the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAccount:
    """Addresses are base58, `amount`, `delegated` and `withheld` base units; `lamports` includes the rent, which
    depends on `size`, in bytes. `withheld` are transfer fees, which belong to the mint's authority."""

    program: str
    mint: str
    owner: str
    amount: int
    delegate: str | None
    delegated: int
    close_authority: str | None
    frozen: bool
    native: bool
    lamports: int
    size: int
    withheld: int = 0


def read_token_account(account: Account | None) -> TokenAccount | None:
    """Reads a token account; None for anything else: no account, a mint, a multisig, uninitialized data."""
    if account is None or account.owner not in TOKEN_PROGRAMS or not _has_token_account_size(account):
        return None
    data = account.data
    state = data[108]
    if state not in (1, FROZEN):
        return None
    return TokenAccount(
        program=account.owner,
        mint=base58.encode(data[:32]),
        owner=base58.encode(data[32:64]),
        amount=int.from_bytes(data[64:72], "little"),
        delegate=_optional_address(data[72:108]),
        delegated=int.from_bytes(data[121:129], "little"),
        close_authority=_optional_address(data[129:165]),
        frozen=state == FROZEN,
        native=bool(int.from_bytes(data[109:113], "little")),
        lamports=account.lamports,
        size=len(data),
        withheld=_withheld(data[SIZE + 1 :]),
    )


def _has_token_account_size(account: Account) -> bool:
    size = len(account.data)
    if account.owner == Program.TOKEN or size == SIZE:
        return size == SIZE
    # A multisig of Token-2022 has no type byte: only its size distinguishes it.
    return size > SIZE and size != MULTISIG_SIZE and account.data[SIZE] == ACCOUNT_TYPE


def _withheld(extensions: bytes) -> int:
    """The withheld transfer fees. Each extension has its type and length, of 16 bits each, and its data."""
    at = 0
    while at + 4 <= len(extensions):
        kind, size = unpack_from("<HH", extensions, at)
        body = extensions[at + 4 : at + 4 + size]
        if kind == TRANSFER_FEE_AMOUNT:
            return int.from_bytes(body[:8], "little")
        at += 4 + size
    return 0


def _optional_address(option: bytes) -> str | None:
    return base58.encode(option[4:]) if any(option[:4]) else None
