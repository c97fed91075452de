"""Builds the faucet's transfers: lamports, wrapped SOL, and tokens of the mints that it creates itself. Pure.

Accounts go in, instructions come out; the ledger signs and lands them.
"""

from collections.abc import Callable

from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import TransferParams, transfer
from solders.token import ID as TOKEN
from solders.token.associated import get_associated_token_address
from solders.token.state import Mint

from dexexec.localnet.rpc import encoding

ASSOCIATED_TOKEN = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
CREATE_IDEMPOTENT = b"\x01"
MINT_TO = b"\x07"
SYNC_NATIVE = b"\x11"


class FaucetError(Exception):
    """The faucet cannot give that; the message is the reason."""


def new_mint(faucet: Pubkey, decimals: int, lamports: int) -> Account:
    """The account of a mint whose authority is the faucet. `lamports` are its rent."""
    return Account(lamports, bytes(Mint(faucet, 0, decimals, True)), TOKEN)


def funding_instructions(
    faucet: Pubkey,
    owner: Pubkey,
    mint: Pubkey | None,
    decimals: int,
    amount: int,
    *,
    account_at: Callable[[Pubkey], Account | None],
) -> list[Instruction]:
    """Instructions after which `owner` holds at least `amount` of a mint, in its associated token account; without a
    mint, lamports. Empty if it does already. Raises `FaucetError`."""
    if mint is None:
        account = account_at(owner)
        # Only what is missing, so that a repeated call gives nothing more.
        missing = amount - (account.lamports if account else 0)
        return [_transfer(faucet, owner, missing)] if missing > 0 else []
    _check_mint(faucet, mint, decimals, account_at(mint))
    address = get_associated_token_address(owner, mint)
    token_account = encoding.token_account(account_at(address))
    missing = amount - (token_account.amount if token_account else 0)
    if missing <= 0:
        return []
    keys = [AccountMeta(faucet, True, True), AccountMeta(address, False, True)]
    keys += [AccountMeta(key, False, False) for key in (owner, mint, SYSTEM, TOKEN)]
    create = Instruction(ASSOCIATED_TOKEN, CREATE_IDEMPOTENT, keys)
    if mint == encoding.NATIVE_MINT:
        # Wrapped SOL is not minted: lamports are sent, and the token program then counts them.
        sync = Instruction(TOKEN, SYNC_NATIVE, [AccountMeta(address, False, True)])
        return [create, _transfer(faucet, address, missing), sync]
    keys = [AccountMeta(mint, False, True), AccountMeta(address, False, True), AccountMeta(faucet, True, False)]
    return [create, Instruction(TOKEN, MINT_TO + missing.to_bytes(8, "little"), keys)]


def _check_mint(faucet: Pubkey, mint: Pubkey, decimals: int, account: Account | None) -> None:
    state = encoding.mint(account)
    if account is None or state is None or account.owner != TOKEN:
        raise FaucetError(f"the account {mint} exists and is not a mint of the SPL Token program")
    if state.decimals != decimals:
        raise FaucetError(f"the mint {mint} has {state.decimals} decimals, not {decimals}")
    # Wrapped SOL needs no authority: it is lamports.
    if mint != encoding.NATIVE_MINT and state.mint_authority != faucet:
        raise FaucetError(f"the mint {mint} is not one of the faucet's: only its own authority can mint")


def _transfer(faucet: Pubkey, to: Pubkey, lamports: int) -> Instruction:
    return transfer(TransferParams(from_pubkey=faucet, to_pubkey=to, lamports=lamports))
