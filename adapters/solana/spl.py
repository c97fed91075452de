"""Instructions of Solana's own programs as plain values, and the balance of a token account. Needs no Solana library.

The instructions around every venue's swap, and the transfers of a mock swap. The engine compiles them.
"""

from typing import NamedTuple

from dexexec.domain.solana import Account, AccountMeta, Instruction
from dexexec.domain.token import WSOL

SYSTEM = "11111111111111111111111111111111"
TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 - a program's address
TOKEN_2022 = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105 - a program's address
ASSOCIATED_TOKEN = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"  # noqa: S105 - a program's address
COMPUTE_BUDGET = "ComputeBudget111111111111111111111111111111"
MEMO = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
ACCOUNT_SIZE = 165
"""Bytes of a token account without extensions."""

# Instruction tags of the token program (`instruction.rs` of SPL Token).
CLOSE_ACCOUNT = b"\x09"
TRANSFER_CHECKED = b"\x0c"
SYNC_NATIVE = b"\x11"
WRAPPING = frozenset({(TOKEN, SYNC_NATIVE), (TOKEN, CLOSE_ACCOUNT)})
"""Program and data of the instructions that wrap and unwrap SOL, besides opening accounts and paying lamports."""


class TokenAccount(NamedTuple):
    """A wallet's associated token account. `program` is the mint's token program."""

    address: str
    mint: str
    program: str = TOKEN


def between_accounts(
    payer: str, source: TokenAccount, target: TokenAccount, max_in: int, swap: tuple[Instruction, ...]
) -> tuple[Instruction, ...]:
    """`swap` together with the instructions that open, fill and close the payer's accounts `source` and `target`.

    The swap pays at most `max_in` base units. SOL is wrapped before it and unwrapped after it, including the unused
    rest of an exact output. Accounts of other tokens stay open.
    """
    # Built as if the wallet had no account for wrapped SOL. If it has one, the engine removes the closing instruction.
    steps = []
    if source.mint == WSOL:
        steps.append(create_associated_idempotent(payer, source.address, payer, WSOL, source.program))
        steps += [transfer_lamports(payer, source.address, max_in), sync_native(source.address)]
    steps.append(create_associated_idempotent(payer, target.address, payer, target.mint, target.program))
    steps += swap
    steps += [close_account(account.address, payer, payer) for account in (source, target) if account.mint == WSOL]
    return tuple(steps)


def create_associated_idempotent(payer: str, account: str, owner: str, mint: str, program: str = TOKEN) -> Instruction:
    """Create `owner`'s associated token account for `mint` at its address `account`, unless it exists. `program` is the
    mint's token program."""
    metas = (
        AccountMeta(payer, signer=True, writable=True),
        AccountMeta(account, writable=True),
        *map(AccountMeta, (owner, mint, SYSTEM, program)),
    )
    return Instruction(ASSOCIATED_TOKEN, metas, b"\x01")


def transfer_lamports(source: str, to: str, lamports: int) -> Instruction:
    """Transfer lamports."""
    metas = (AccountMeta(source, signer=True, writable=True), AccountMeta(to, writable=True))
    return Instruction(SYSTEM, metas, (2).to_bytes(4, "little") + lamports.to_bytes(8, "little"))


def sync_native(account: str) -> Instruction:
    """Update the balance of a wrapped SOL account to the lamports that it holds."""
    return Instruction(TOKEN, (AccountMeta(account, writable=True),), SYNC_NATIVE)


def transfer_checked(source: str, mint: str, to: str, owner: str, amount: int, decimals: int) -> Instruction:  # noqa: PLR0917
    """Transfer `amount` base units. The program checks the mint and its decimals."""
    metas = (
        AccountMeta(source, writable=True),
        AccountMeta(mint),
        AccountMeta(to, writable=True),
        AccountMeta(owner, signer=True),
    )
    return Instruction(TOKEN, metas, TRANSFER_CHECKED + amount.to_bytes(8, "little") + bytes([decimals]))


def close_account(account: str, to: str, owner: str) -> Instruction:
    """Close a token account and send its lamports to `to`. This unwraps the balance of a wrapped SOL account."""
    metas = (AccountMeta(account, writable=True), AccountMeta(to, writable=True), AccountMeta(owner, signer=True))
    return Instruction(TOKEN, metas, CLOSE_ACCOUNT)


def token_amount(account: Account | None) -> int | None:
    """The balance of a token account in base units, or None if it does not exist. Raises `ValueError` for an account
    of another kind."""
    if account is None:
        return None
    if account.owner != TOKEN or len(account.data) != ACCOUNT_SIZE:
        raise ValueError(f"not a token account: {len(account.data)} bytes of {account.owner}")
    return int.from_bytes(account.data[64:72], "little")
