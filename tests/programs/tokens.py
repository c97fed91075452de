"""The tokens of these tests, what they are worth, and token accounts."""

from solders.account import Account
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN
from solders.token.associated import get_associated_token_address
from solders.token.state import TokenAccount, TokenAccountState

from dexexec.domain import base58
from dexexec.domain.token import KNOWN, USDC, WSOL, Token, Tokens

PEPE = Token(base58.encode(bytes([9]) * 32), "PEPE", 5)
TOKENS = Tokens((*KNOWN, PEPE))
SETTING = f"{PEPE.mint}:{PEPE.symbol}:{PEPE.decimals}"
"""`DEXEXEC_TOKENS`, with all of them."""
WORTH = {WSOL: 150_000, USDC: 1_000_000, PEPE.mint: 5_000_000}
"""Millionths of a USDC base unit per base unit: 150 USDC per SOL, 0.5 per PEPE."""
RENT_EXEMPT = 2_039_280
"""Lamports of a token account."""


def key(address: str) -> Pubkey:
    return Pubkey.from_string(address)


def ata(owner: Pubkey, mint: str) -> Pubkey:
    """The owner's associated token account."""
    return get_associated_token_address(owner, key(mint))


def token_account(mint: str, owner: str) -> Account:
    """An empty one, as the token program would have made it."""
    native = RENT_EXEMPT if mint == WSOL else None
    state = TokenAccountState.Initialized
    data = TokenAccount(key(mint), key(owner), 0, None, state, native, 0, None)
    return Account(RENT_EXEMPT, bytes(data), TOKEN)
