"""Accounts of PumpSwap as its documents lay them out, as bytes, and a chain that shows some."""

from collections.abc import Sequence
from struct import pack

from dexexec.domain import base58
from dexexec.domain.solana import Account
from dexexec.domain.token import USDC, WSOL
from dexexec_adapters.pumpswap.layout import NO_KEY
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.clusters import PUMP, PUMP_FEES, PUMPSWAP
from dexexec_adapters.solana.keys import derived
from dexexec_adapters.solana.spl import TOKEN
from tests.support import meteora_accounts
from tests.support.raydium_accounts import RecordedChain, address, mint_account, patched, token_account

PROGRAM = PUMPSWAP["localnet"].program
CONFIG = derived(PROGRAM, b"global_config")
FEE_CONFIG = derived(PUMP_FEES, b"fee_config", base58.decode(PROGRAM))
SUPPLY = 10**15
PROTOCOL_RECIPIENTS = [address(n) for n in range(210, 218)]
BUYBACK_RECIPIENTS = [address(n) for n in range(220, 228)]
FLAT = (25, 5, 0)
TIERS = ((0, (2, 93, 30)), (10**11, (20, 5, 95)), (10**13, (20, 5, 50)))
"""Market caps in base units of the quote token, and the fees of liquidity, protocol and creator in bps."""


def maker(mint: str) -> str:
    """Who makes the pool of a pump coin."""
    return derived(PUMP, b"pool-authority", base58.decode(mint))


def config_data(*, disable_flags: int = 0) -> bytes:
    """The program's config."""
    head = bytes.fromhex("95089ccaa0fcb0d9") + bytes(32) + pack("<QQB", 20, 5, disable_flags)
    recipients, buyback = (b"".join(map(base58.decode, keys)) for keys in (PROTOCOL_RECIPIENTS, BUYBACK_RECIPIENTS))
    return head + recipients + bytes(330) + buyback + pack("<Q", 5_000)


def fee_config_data(tiers: Sequence[tuple[int, tuple[int, int, int]]] = TIERS) -> bytes:
    """The fees, flat and by market cap."""
    head = bytes.fromhex("8f3492bbdb7b4c9b") + bytes(33) + pack("<QQQI", *FLAT, len(tiers))
    listed = b"".join(pack("<QQQQQ", cap % 2**64, cap >> 64, *fees) for cap, fees in tiers)
    return head + listed + bytes(4)


def pool_data(
    mints: tuple[str, str],
    vaults: Sequence[str],
    *,
    creator: str = "",
    coin_creator: str = NO_KEY,
    mayhem: bool = False,
    cashback: bool = False,
    size: int = 300,
) -> bytes:
    """A pool. Pairs are in the order base, quote; `creator` is somebody unless it is given."""
    keys = (creator or address(90), *mints, address(91), *vaults)
    head = bytes.fromhex("f19a6d0411b16dbc") + pack("<BH", 254, 0) + b"".join(map(base58.decode, keys))
    tail = pack("<Q", 4_193_388_284_800) + base58.decode(coin_creator) + bytes([mayhem, cashback])
    return (head + tail).ljust(size, b"\0")


def pool_accounts(
    at: str,
    held: tuple[int, int] = (10**12, 10**13),
    mints: tuple[str, str] = (USDC, WSOL),
    *,
    program: str = TOKEN,
    **state: object,
) -> dict[str, Account]:
    """A pool with its vaults, by address. `program` is that of the base token, and `state` are arguments of
    `pool_data`."""
    number = base58.decode(at)[0]
    vaults = [address(100 + 2 * number), address(101 + 2 * number)]
    accounts = {at: Account(PROGRAM, 2_978_880, pool_data(mints, vaults, **state))}  # type: ignore[arg-type]
    for vault, mint, amount, owner in zip(vaults, mints, held, (program, TOKEN), strict=True):
        accounts[vault] = token_account(mint, at, amount, program=owner)
    return accounts


def chain_of(*pools: dict[str, Account], config: bytes | None = None, fee_config: bytes | None = None) -> RecordedChain:
    """A chain that shows these pools, the program's config and fees, and a clock."""
    mint = mint_account(TOKEN)
    mint = Account(mint.owner, mint.lamports, patched(mint.data, (36, SUPPLY.to_bytes(8, "little"))))
    accounts = {
        CLOCK: meteora_accounts.clock_account(),
        WSOL: mint,
        USDC: mint,
        CONFIG: Account(PROGRAM, 1, config or config_data()),
        FEE_CONFIG: Account(PUMP_FEES, 1, fee_config or fee_config_data()),
    }
    for pool in pools:
        accounts |= pool
    return RecordedChain(accounts)
