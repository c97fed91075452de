"""Reads mint accounts: the decimals of a token that is not configured.

Layout (SPL Token, `state.rs`): supply 36..44, decimals 44, is_initialized 45, 82 bytes in all.
"""

from dexexec.domain.solana import Account
from dexexec.settlement.solana.message import TOKEN_PROGRAMS, Program
from dexexec.settlement.solana.token_account import MULTISIG_SIZE
from dexexec.settlement.solana.token_account import SIZE as TOKEN_ACCOUNT_SIZE

SIZE = 82
_DECIMALS, _INITIALIZED = 44, 45
_ACCOUNT_TYPE = 1


def read_decimals(account: Account | None) -> int | None:
    """Returns the decimals of the mint in `account`; None if it is not a mint."""
    if account is None or account.owner not in TOKEN_PROGRAMS or not _has_mint_size(account):
        return None
    return account.data[_DECIMALS] if account.data[_INITIALIZED] == 1 else None


def _has_mint_size(account: Account) -> bool:
    size = len(account.data)
    if account.owner == Program.TOKEN or size == SIZE:
        return size == SIZE
    # Token-2022 pads a mint with extensions to the size of a token account, so that both have their type at one place.
    return size > TOKEN_ACCOUNT_SIZE and size != MULTISIG_SIZE and account.data[TOKEN_ACCOUNT_SIZE] == _ACCOUNT_TYPE
