"""Instructions of Solana's own programs as plain values, and a token account's balance. No Solana library is needed.

What stands around every venue's swap, and what a swap of two vaults is made of: `adapters/*_swap.py` and
`adapters/mock/vaults.py` put them together, the engine compiles them.
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
SYNC_NATIVE, CLOSE_ACCOUNT = b"\x11", b"\x09"
WRAPPING = frozenset({(TOKEN, SYNC_NATIVE), (TOKEN, CLOSE_ACCOUNT)})
"""By program and data: what wraps and unwraps SOL, beside opening accounts and paying lamports."""


class TokenAccount(NamedTuple):
    """A wallet's associated token account. `program` is the mint's token program."""

    address: str
    mint: str
    program: str = TOKEN


def between_accounts(
    payer: str, source: TokenAccount, target: TokenAccount, max_in: int, swap: tuple[Instruction, ...]
) -> tuple[Instruction, ...]:
    """`swap`, which pays at most `max_in` base units from the payer's account `source` into its account `target`, with
    what opens, fills and closes these accounts.

    SOL is wrapped and unwrapped within it, as if the wallet had no account for wrapped SOL; where it has one, the
    engine leaves it open. Of what is wrapped for an exact output the rest comes back. Other tokens' accounts stay open.
    """
    steps = []
    if source.mint == WSOL:
        steps.append(create_associated_idempotent(payer, source.address, payer, WSOL, source.program))
        steps += [transfer_lamports(payer, source.address, max_in), sync_native(source.address)]
    steps.append(create_associated_idempotent(payer, target.address, payer, target.mint, target.program))
    steps += swap
    steps += [close_account(one.address, payer, payer) for one in (source, target) if one.mint == WSOL]
    return tuple(steps)


def create_associated_idempotent(payer: str, account: str, owner: str, mint: str, program: str = TOKEN) -> Instruction:
    """Make `owner`'s associated token account for `mint`, at its address `account`, unless it is there. `program` is
    the mint's token program."""
    metas = (
        AccountMeta(payer, signer=True, writable=True),
        AccountMeta(account, writable=True),
        *map(AccountMeta, (owner, mint, SYSTEM, program)),
    )
    return Instruction(ASSOCIATED_TOKEN, metas, b"\x01")


def transfer_lamports(source: str, to: str, lamports: int) -> Instruction:
    """Pay lamports."""
    metas = (AccountMeta(source, signer=True, writable=True), AccountMeta(to, writable=True))
    return Instruction(SYSTEM, metas, (2).to_bytes(4, "little") + lamports.to_bytes(8, "little"))


def sync_native(account: str) -> Instruction:
    """Let a wrapped SOL account count the lamports that it was paid."""
    return Instruction(TOKEN, (AccountMeta(account, writable=True),), SYNC_NATIVE)


def transfer_checked(source: str, mint: str, to: str, owner: str, amount: int, decimals: int) -> Instruction:  # noqa: PLR0917
    """Pay `amount` base units; the program checks mint and decimals."""
    metas = (
        AccountMeta(source, writable=True),
        AccountMeta(mint),
        AccountMeta(to, writable=True),
        AccountMeta(owner, signer=True),
    )
    return Instruction(TOKEN, metas, b"\x0c" + amount.to_bytes(8, "little") + bytes([decimals]))


def close_account(account: str, to: str, owner: str) -> Instruction:
    """Close a token account; its lamports go to `to`. One of wrapped SOL may hold some, and so unwraps them."""
    metas = (AccountMeta(account, writable=True), AccountMeta(to, writable=True), AccountMeta(owner, signer=True))
    return Instruction(TOKEN, metas, CLOSE_ACCOUNT)


def token_amount(account: Account | None) -> int | None:
    """What a token account holds, in base units; None where there is none. Raises `ValueError` for another account."""
    if account is None:
        return None
    if account.owner != TOKEN or len(account.data) != ACCOUNT_SIZE:
        raise ValueError(f"not a token account: {len(account.data)} bytes of {account.owner}")
    return int.from_bytes(account.data[64:72], "little")
