"""Pool accounts of Raydium's AMM v4, as bytes, and a chain that shows some."""

from collections.abc import Sequence
from struct import pack
from typing import Any

from dexexec.domain import base58
from dexexec.domain.solana import Account
from dexexec.domain.token import USDC, WSOL
from dexexec_adapters.curves.raydium_amm import SWAP_ONLY
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.clusters import RAYDIUM_AMM
from dexexec_adapters.solana.keys import derived_with_bump
from dexexec_adapters.solana.spl import TOKEN
from tests.support import meteora_accounts
from tests.support.raydium_accounts import RecordedChain, address, mint_account, token_account

PROGRAM = RAYDIUM_AMM["localnet"].program
AUTHORITY, NONCE = derived_with_bump(PROGRAM, b"amm authority")


def pool_data(
    mints: Sequence[str],
    vaults: Sequence[str],
    *,
    taken: tuple[int, int] = (0, 0),
    fee: tuple[int, int] = (25, 10_000),
    status: int = SWAP_ONLY,
    open_time: int = 0,
    nonce: int = NONCE,
) -> bytes:
    """A pool as `state.rs` lays it out. Pairs are in the order coin, pc."""
    # Sixteen numbers and four fractions, then the numbers of the state and the addresses. Others are not looked at.
    head = pack("<16Q", status, nonce, 7, 3, 9, 6, 1, 0, 1, 500, 5_000, 1, 1, 1, 10**9, 10**9)
    fees = pack("<8Q", 5, 10_000, 25, 10_000, 12, 100, *fee)
    state = pack("<5Q", *taken, 0, 0, open_time).ljust(144, b"\0")
    keys = b"".join(map(base58.decode, [*vaults, *mints, *map(address, range(201, 206))]))
    tail = bytes(64) + base58.decode(address(206)) + pack("<4Q", 10**9, 0, 0, 0)
    return head + fees + state + keys + tail


def pool_accounts(
    at: str, held: tuple[int, int] = (10**13, 10**12), mints: tuple[str, str] = (WSOL, USDC), **state: Any
) -> dict[str, Account]:
    """A pool with its vaults, by address. `state` are arguments of `pool_data`."""
    number = base58.decode(at)[0]
    vaults = [address(100 + 2 * number), address(101 + 2 * number)]
    accounts = {at: Account(PROGRAM, 6_124_800, pool_data(mints, vaults, **state))}
    for vault, mint, amount in zip(vaults, mints, held, strict=True):
        accounts[vault] = token_account(mint, AUTHORITY, amount)
    return accounts


def chain_of(*pools: dict[str, Account]) -> RecordedChain:
    """A chain that shows these pools and a clock."""
    accounts = {CLOCK: meteora_accounts.clock_account(), WSOL: mint_account(TOKEN), USDC: mint_account(TOKEN)}
    for pool in pools:
        accounts |= pool
    return RecordedChain(accounts)
