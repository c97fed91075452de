"""Raydium CLMM accounts as the program lays them out, made from what the curve prices, and a chain that shows them."""

from dataclasses import dataclass, field
from struct import pack
from typing import Any

from dexexec.clock import Clock
from dexexec.domain import base58
from dexexec.domain.solana import Account
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import VenueContext
from dexexec_adapters.curves.clmm import ClmmPool
from dexexec_adapters.curves.clmm_ticks import TICKS_IN_ARRAY, TickArray
from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.raydium_clmm.venue import RaydiumClmm, RaydiumClmmOptions
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.clusters import RAYDIUM_CLMM
from dexexec_adapters.solana.keys import derived
from dexexec_adapters.solana.spl import TOKEN
from tests.support.clmm_pools import Position, pool_of_positions
from tests.support.meteora_accounts import clock_account
from tests.support.raydium_accounts import RecordedChain, address, mint_account, token_account

PROGRAM = RAYDIUM_CLMM["mainnet-beta"].program
CONFIG = address(40)
OBSERVATION = address(41)
DEEP = pool_of_positions([Position(-12_000, 12_000, 10**15), Position(-120, 120, 10**14)], tick=5, beyond=99)
CLOSE = pool_of_positions([Position(-20_000, 20_000, 10**15), Position(-70, 50, 10**14)], tick=-7, spacing=10)
"""Ticks are so close that the pool's bitmap has an extension."""


@dataclass(frozen=True, kw_only=True)
class ClmmAccounts:
    """A pool with all that belongs to it. `held` are the amounts in its vaults, `extended` whether its bitmap has an
    extension."""

    at: str = field(default_factory=lambda: address(1))
    pool: ClmmPool = DEEP
    mints: tuple[str, str] = (WSOL, USDC)
    held: tuple[int, int] = (10**15, 10**15)
    programs: tuple[str, str] = (TOKEN, TOKEN)
    extended: bool = True

    @property
    def vaults(self) -> tuple[str, str]:
        number = base58.decode(self.at)[0]
        return address(100 + 2 * number), address(101 + 2 * number)

    @property
    def extension(self) -> str:
        return derived(PROGRAM, b"pool_tick_array_bitmap_extension", base58.decode(self.at))

    def array(self, start: int) -> str:
        """The address of the array that begins at a tick."""
        return derived(PROGRAM, b"tick_array", base58.decode(self.at), start.to_bytes(4, "big", signed=True))

    def accounts(self) -> dict[str, Account]:
        """All of it, by address."""
        pool = self.pool
        rates = pack("<IIHI", pool.config.protocol_fee_rate, pool.config.trade_fee_rate, 0, pool.config.fund_fee_rate)
        config = bytes.fromhex("daf42168cbcb2b6f") + bytes(35) + rates
        shown = {
            self.at: Account(PROGRAM, 10**7, self.data()),
            CONFIG: Account(PROGRAM, 10**6, config.ljust(117, b"\0")),
        }
        sides = zip(self.mints, self.vaults, self.programs, self.held, strict=True)
        for mint, vault, program, amount in sides:
            shown[mint] = mint_account(program)
            shown[vault] = token_account(mint, self.at, amount, program=program)
        for start, array in pool.arrays.items():
            shown[self.array(start)] = Account(PROGRAM, 10**8, array_data(self.at, array, pool.tick_spacing))
        if self.extended:
            bitmap = pool.bitmap.to_bytes(1920, "little")
            parts = [bitmap[place : place + 64] for place in range(0, 896, 64)]
            data = bytes.fromhex("3c9624db61808b99") + base58.decode(self.at) + bitmap[1024:] + b"".join(parts[::-1])
            shown[self.extension] = Account(PROGRAM, 10**7, data)
        return shown

    def data(self) -> bytes:
        """The pool's own account."""
        pool = self.pool
        keys = b"".join(map(base58.decode, (*self.mints, *self.vaults, OBSERVATION)))
        numbers = pack("<H", pool.tick_spacing) + _u128(pool.liquidity) + _u128(pool.sqrt_price)
        data = (
            bytes.fromhex("f7ede3f5d7c3de46") + b"\1" + base58.decode(CONFIG) + bytes(32) + keys + b"\x09\x06" + numbers
        )
        data += pack("<i", pool.tick_current) + bytes(116) + bytes([pool.status, pool.fee_on]) + bytes(513)
        data += pool.bitmap.to_bytes(1920, "little")[896:1024] + bytes(48) + pack("<QQ", pool.open_time, 0)
        return (data + bytes([pool.has_dynamic_fee])).ljust(1544, b"\0")


def array_data(pool: str, array: TickArray, spacing: int) -> bytes:
    """A tick array's account."""
    rows = {(tick.at - array.start) // spacing: tick for tick in array.ticks}
    data = bytes.fromhex("c09b55cd31f9812a") + base58.decode(pool) + pack("<i", array.start)
    for place in range(TICKS_IN_ARRAY):
        row = b""
        if tick := rows.get(place):
            net = tick.liquidity_net.to_bytes(16, "little", signed=True)
            row = (pack("<i", tick.at) + net + _u128(max(1, abs(tick.liquidity_net)))).ljust(124, b"\0")
            row += pack("<Q", tick.has_orders)
        data += row.ljust(168, b"\0")
    return data.ljust(10240, b"\0")


def chain_of(*pools: ClmmAccounts) -> RecordedChain:
    """A chain that shows these pools."""
    accounts: dict[str, Account] = {CLOCK: clock_account()}
    for pool in pools:
        accounts |= pool.accounts()
    return RecordedChain(accounts)


def clmm(chain: Any, clock: Clock | None = None, node: str = "mainnet-beta", **options: Any) -> RaydiumClmm:
    """The venue on a chain of the cluster `node`."""
    made: PoolOptions = RaydiumClmmOptions(**options)
    return RaydiumClmm(VenueContext(clock or ManualClock(), Tokens(KNOWN), chain, made, node))


def _u128(value: int) -> bytes:
    return value.to_bytes(16, "little")
