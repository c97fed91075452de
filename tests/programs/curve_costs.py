"""Prints what a quote costs, without the requests and the search around it: `python -m tests.programs.curve_costs`.

CPU time of this process, the least of several rounds.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

from dexexec.domain.solana import Account
from dexexec_adapters.curves import clmm, cpmm, dlmm, whirlpool
from dexexec_adapters.curves.clmm_ticks import TickArray
from dexexec_adapters.meteora_dlmm.layout import read_bins
from dexexec_adapters.orca import layout as orca_layout
from dexexec_adapters.raydium_clmm import layout
from tests.support import orca_accounts, whirlpool_pools
from tests.support.clmm_pools import Position, pool_of_positions
from tests.support.curve_values import A_TO_B, NOW
from tests.support.dlmm_pools import even_pool
from tests.support.meteora_dlmm_accounts import RECORDS
from tests.support.meteora_dlmm_accounts import array_data as bin_array_data
from tests.support.raydium_clmm_accounts import PROGRAM, ClmmAccounts, array_data, chain_of
from tests.support.raydium_clmm_accounts import clmm as venue_on
from tests.support.service.process import say

ROUNDS, CALLS = 20, 100
FEE_GROWTH_AT = 80
"""Of the first tick of an array."""
NESTED = [Position(-step, step, 10**12) for step in range(1, 140)]
"""Each tick near the price is the end of a position, as in a pool of the closest spacing."""


def product() -> Callable[[], object]:
    """A constant product pool."""
    config = cpmm.AmmConfig(trade_fee_rate=2_500, protocol_fee_rate=120_000, fund_fee_rate=40_000)
    pool = cpmm.CpmmPool(amm_config=config, vault_0_amount=5 * 10**13, vault_1_amount=75 * 10**11)
    return lambda: cpmm.quote_exact_in(pool, 10**9, A_TO_B, NOW)


def concentrated(amount: int, *, exact_in: bool) -> tuple[str, Callable[[], object]]:
    """A pool with liquidity between all ticks, and through how many the swap goes."""
    pool = pool_of_positions(NESTED, tick=62, spacing=1)
    quote = clmm.quote_exact_in if exact_in else clmm.quote_exact_out
    result = quote(pool, amount, A_TO_B, NOW)
    crossed = pool.tick_current - result.pool_after.tick_current
    what = f"clmm, exact {'in' if exact_in else 'out'} over {crossed} ticks in {len(result.arrays)} arrays"
    return what, lambda: quote(pool, amount, A_TO_B, NOW)


def parsing() -> Callable[[], object]:
    """Three tick arrays that have changed, each with all of its ticks in use."""
    made = ClmmAccounts(pool=pool_of_positions(NESTED, tick=62, spacing=1))
    state = venue_on(chain_of(made)).read_pool(made.at, Account(PROGRAM, 1, made.data()))
    arrays = [array_data(made.at, TickArray(start, made.pool.arrays[start].ticks), 1) for start in (60, 0, -60)]
    version = count()

    def parse() -> None:
        # A changed account is parsed again, so none of these may be the same as an earlier one.
        grown = next(version).to_bytes(8, "little")
        for data in arrays:
            changed = data[:FEE_GROWTH_AT] + grown + data[FEE_GROWTH_AT + 8 :]
            layout.read_array("", Account(PROGRAM, 1, changed), state, PROGRAM)

    return parse


def bins(amount: int, *, exact_in: bool) -> tuple[str, Callable[[], object]]:
    """A pool with liquidity in all bins, with limit orders, and how many the swap takes."""
    pool = even_pool(5, 300, 10**9, with_orders=True)
    quote = dlmm.quote_exact_in if exact_in else dlmm.quote_exact_out
    result = quote(pool, amount, A_TO_B, NOW)
    last = result.pool_after.active_id
    what = f"dlmm, exact {'in' if exact_in else 'out'} over {6 - last} bins in {1 - last // 70} arrays"
    return what, lambda: quote(pool, amount, A_TO_B, NOW)


def parsing_bins() -> Callable[[], object]:
    """Three arrays of bins that have changed."""
    data = bin_array_data(RECORDS["plain"], "1" * 32, 0)
    version = count()

    def parse() -> None:
        for _ in range(3):
            changed = data[:60] + next(version).to_bytes(4, "little") + data[64:]
            read_bins("", Account(PROGRAM, 1, changed), PROGRAM, "1" * 32, 0)

    return parse


def whirlpools(amount: int, *, adaptive: bool) -> tuple[str, Callable[[], object]]:
    """A Whirlpool with liquidity between all ticks, and through how many the swap goes."""
    nested = [whirlpool_pools.Position(-step, step, 10**12) for step in range(1, 120)]
    fee = replace(whirlpool_pools.FEE, group_size=1, max_volatility=5_000_000) if adaptive else None
    pool = whirlpool_pools.pool_of_positions(nested, tick=100, spacing=1, adaptive_fee=fee)
    result = whirlpool.quote_exact_in(pool, amount, A_TO_B, NOW)
    crossed = pool.tick_current - result.pool_after.tick_current
    what = f"whirlpool, {'adaptive' if adaptive else 'fixed'} fee, over {crossed} ticks, up to 3 arrays"
    return what, lambda: whirlpool.quote_exact_in(pool, amount, A_TO_B, NOW)


def parsing_whirlpool() -> Callable[[], object]:
    """Three changed tick arrays, each with all of its ticks in use."""
    record = orca_accounts.WhirlpoolRecord(spacing=1)
    state = orca_accounts.orca(orca_accounts.chain_of(record)).read_pool(
        record.address, Account(orca_accounts.PROGRAM, 1, record.accounts()[record.address])
    )
    full = dict.fromkeys(range(88), (10**6, 10**6))
    arrays = [(start, orca_accounts.fixed_array(record.address, start, full)) for start in (-88, 0, 88)]
    version = count()

    def parse() -> None:
        grown = next(version).to_bytes(8, "little")
        for start, data in arrays:
            changed = data[:FEE_GROWTH_AT] + grown + data[FEE_GROWTH_AT + 8 :]
            orca_layout.read_array("", Account(orca_accounts.PROGRAM, 1, changed), orca_accounts.PROGRAM, state, start)

    return parse


def cases() -> Iterator[tuple[str, Callable[[], object]]]:
    """What is measured, by name."""
    yield "cpmm", product()
    yield concentrated(10**9, exact_in=True)
    yield concentrated(362 * 10**9, exact_in=True)
    yield concentrated(360 * 10**9, exact_in=False)
    yield "clmm, three changed tick arrays parsed", parsing()
    yield bins(10**8, exact_in=True)
    yield bins(138 * 10**9, exact_in=True)
    yield bins(130 * 10**9, exact_in=False)
    yield "dlmm, three changed arrays of bins parsed", parsing_bins()
    yield whirlpools(10**9, adaptive=False)
    yield whirlpools(3 * 10**11, adaptive=False)
    yield whirlpools(3 * 10**11, adaptive=True)
    yield "whirlpool, three changed tick arrays parsed", parsing_whirlpool()


def main() -> None:
    """Measure and print all."""
    for name, call in cases():
        rounds = []
        for _ in range(ROUNDS):
            began = time.process_time()
            for _ in range(CALLS):
                call()
            rounds.append((time.process_time() - began) / CALLS)
        say(f"{name}: {min(rounds) * 1e6:.0f} us")


if __name__ == "__main__":
    main()
