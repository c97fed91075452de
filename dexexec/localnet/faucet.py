"""What the faucet gives: lamports, wrapped SOL, and tokens of the mints it makes itself. Pure: accounts in,
instructions out; the ledger signs and lands them."""

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

ASSOCIATED = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
CREATE_IDEMPOTENT, MINT_TO, SYNC_NATIVE = b"\x01", b"\x07", b"\x11"


class FaucetError(Exception):
    """The faucet cannot give that; the text says why."""


def new_mint(faucet: Pubkey, decimals: int, lamports: int) -> Account:
    """A mint's account whose tokens the faucet makes; `lamports` are its rent."""
    return Account(lamports, bytes(Mint(faucet, 0, decimals, True)), TOKEN)


def funding_instructions(
    faucet: Pubkey,
    owner: Pubkey,
    mint: Pubkey | None,
    decimals: int,
    amount: int,
    *,
    at: Callable[[Pubkey], Account | None],
) -> list[Instruction]:
    """What lets `owner` hold at least `amount` of a mint, in its associated token account, or lamports without a mint;
    nothing if it does. `at` knows the accounts. Raises `FaucetError`."""
    if mint is None:
        account = at(owner)
        missing = amount - (account.lamports if account else 0)
        return [_transfer(faucet, owner, missing)] if missing > 0 else []
    _check_mint(faucet, mint, decimals, at(mint))
    address = get_associated_token_address(owner, mint)
    held = encoding.token_account(at(address))
    missing = amount - (held.amount if held else 0)
    if missing <= 0:
        return []
    keys = [AccountMeta(faucet, True, True), AccountMeta(address, False, True)]
    keys += [AccountMeta(key, False, False) for key in (owner, mint, SYSTEM, TOKEN)]
    create = Instruction(ASSOCIATED, CREATE_IDEMPOTENT, keys)
    if mint == encoding.NATIVE_MINT:
        sync = Instruction(TOKEN, SYNC_NATIVE, [AccountMeta(address, False, True)])
        return [create, _transfer(faucet, address, missing), sync]
    keys = [AccountMeta(mint, False, True), AccountMeta(address, False, True), AccountMeta(faucet, True, False)]
    return [create, Instruction(TOKEN, MINT_TO + missing.to_bytes(8, "little"), keys)]


def _check_mint(faucet: Pubkey, mint: Pubkey, decimals: int, account: Account | None) -> None:
    found = encoding.mint(account)
    if account is None or found is None or account.owner != TOKEN:
        raise FaucetError(f"{mint} is there, and is no mint of the SPL Token program")
    if found.decimals != decimals:
        raise FaucetError(f"the mint {mint} has {found.decimals} decimals, not {decimals}")
    if mint != encoding.NATIVE_MINT and found.mint_authority != faucet:
        raise FaucetError(f"the mint {mint} is not one of the faucet's: its own authority has to mint")


def _transfer(faucet: Pubkey, to: Pubkey, lamports: int) -> Instruction:
    return transfer(TransferParams(from_pubkey=faucet, to_pubkey=to, lamports=lamports))
