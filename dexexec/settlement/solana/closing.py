"""Closes the token account that a swap empties, in the same transaction. Part of sealing; pure.

Only an account that will be empty can be closed: if tokens arrive before the transaction lands, the token program
refuses the instruction, and the swap with it.
"""

from collections.abc import Mapping

from dexexec.domain.closing import Closing
from dexexec.domain.quote import Mode, Quote
from dexexec.domain.solana import Account, AccountMeta, Instruction
from dexexec.domain.token import WSOL
from dexexec.settlement.solana.token_account import TokenAccount, read_token_account

CLOSE_ACCOUNT = b"\x09"


def closing_of(
    quote: Quote, wallet: str, accounts: Mapping[str, Account | None], reserved: Mapping[str, int]
) -> Closing:
    """Returns what becomes of the wallet's account for the token that `quote` spends. `accounts` are those that the
    swap may write to, and `reserved` is what open attempts may take from the wallet, by mint."""
    request = quote.request
    if request.mint_in == WSOL:
        return Closing(kept="SOL is sold from the wallet itself, which has no account to close for it")
    if request.mode is not Mode.EXACT_IN:
        return Closing(kept="the order does not fix what it spends, so its account may not be empty")
    # Exactly one, or the swap could fill another account of ours while this one is closed.
    own = [
        (address, token)
        for address, account in accounts.items()
        if (token := read_token_account(account)) and token.owner == wallet and token.mint == request.mint_in
    ]
    if len(own) != 1:
        return Closing(kept=f"the swap uses {len(own)} accounts of the wallet for this token instead of one")
    [(address, token)] = own
    kept = _why_kept(token, wallet, quote.amount_in, reserved.get(request.mint_in, 0))
    return Closing(kept=kept) if kept else Closing(address=address, rent=token.lamports)


def close_instruction(address: str, token_program: str, wallet: str) -> Instruction:
    """Returns CloseAccount: the account's lamports go to the wallet, which owns it."""
    metas = (AccountMeta(address, writable=True), AccountMeta(wallet, writable=True), AccountMeta(wallet, signer=True))
    return Instruction(token_program, metas, CLOSE_ACCOUNT)


def _why_kept(token: TokenAccount, wallet: str, spent: int, reserved: int) -> str:
    if token.close_authority not in (None, wallet):
        return f"only {token.close_authority} may close the account"
    # An attempt that counts on this account would fail once it is gone.
    if reserved:
        return f"other orders may still spend {reserved} base units from the account"
    # Token-2022 closes no account that still holds fees for the mint's authority.
    if token.withheld:
        return f"the account holds {token.withheld} base units of withheld transfer fees"
    if token.amount != spent:
        return f"the account would keep {token.amount - spent} base units"
    return ""
