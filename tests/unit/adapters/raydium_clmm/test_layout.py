"""Only accounts of the program are read, and only what belongs to the pool."""

from dataclasses import replace

import pytest

from dexexec.domain import base58
from dexexec.domain.solana import Account
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import BadAnswer
from dexexec_adapters.curves.clmm import ClmmPool
from dexexec_adapters.curves.clmm_ticks import Tick, TickArray
from dexexec_adapters.raydium_clmm import layout
from dexexec_adapters.raydium_clmm.layout import PoolState
from dexexec_adapters.solana.spl import TOKEN
from tests.support.clmm_pools import CONFIG as RATES
from tests.support.clmm_pools import Position, pool_of_positions
from tests.support.raydium_accounts import address, patched
from tests.support.raydium_clmm_accounts import CONFIG, OBSERVATION, PROGRAM, ClmmAccounts, array_data, chain_of, clmm

MADE = ClmmAccounts()
POSITIONS = (Position(-120, 120, 10**12), Position(-60_000, 60_000, 10**12), Position(-440_000, 440_000, 10**9))


def of_program(data: bytes) -> Account:
    return Account(PROGRAM, 10**7, data)


def state_of(made: ClmmAccounts) -> PoolState:
    return clmm(chain_of(made)).read_pool(made.at, of_program(made.data()))


def whole(made: ClmmAccounts) -> ClmmPool:
    """The pool as the venue reads it, with all its arrays."""
    state = state_of(made)
    shown = made.accounts()
    config = layout.read_config(CONFIG, shown[CONFIG], PROGRAM)
    pool = layout.clmm_pool(state, config, shown.get(made.extension), PROGRAM)
    arrays = {
        start: layout.read_array(made.array(start), shown[made.array(start)], state, PROGRAM)
        for start in made.pool.arrays
    }
    return replace(pool, arrays=arrays)


@pytest.mark.parametrize("spacing", [1, 10, 60, 120])
def test_everything_that_is_priced_comes_out_of_the_accounts_again(spacing: int) -> None:
    positions = [
        Position(one.lower // spacing * spacing, one.upper // spacing * spacing, one.liquidity) for one in POSITIONS
    ]
    pool = pool_of_positions(positions, tick=-77, beyond=5, spacing=spacing, config=replace(RATES, trade_fee_rate=400))
    pool = replace(pool, status=16, open_time=1_790_000_000, fee_on=2, has_dynamic_fee=True)
    assert whole(ClmmAccounts(pool=pool)) == pool


def test_the_addresses_of_a_pool_are_those_in_its_account() -> None:
    keys = state_of(MADE).keys
    assert (keys.mints, keys.vaults, keys.token_programs) == ((WSOL, USDC), MADE.vaults, (TOKEN, TOKEN))
    assert (keys.amm_config, keys.observation, keys.extension) == (CONFIG, OBSERVATION, "")
    near = replace(MADE, pool=replace(MADE.pool, tick_spacing=14))
    assert state_of(near).keys.extension == near.extension


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (patched(MADE.data(), (73, USDC), (105, WSOL)), "not in order"),
        (patched(MADE.data(), (235, b"\0\0")), "tick spacing .* is 0"),
        (MADE.data()[:-1], "1543 bytes"),
        (patched(MADE.data(), (0, b"\0")), "not a pool"),
    ],
)
def test_a_pool_account_that_cannot_be_one_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(BadAnswer, match=problem):
        layout.read_pool(MADE.at, of_program(data), PROGRAM)


def test_an_array_or_extension_of_another_pool_is_refused() -> None:
    near = ClmmAccounts(pool=pool_of_positions(POSITIONS[:1], tick=0, spacing=10))
    state = state_of(near)
    foreign = of_program(array_data(address(9), TickArray(0, ()), 10))
    with pytest.raises(BadAnswer, match=f"is of the pool {address(9)}"):
        layout.read_array(near.array(0), foreign, state, PROGRAM)
    extension = near.accounts()[near.extension]
    other = of_program(extension.data[:8] + base58.decode(address(9)) + extension.data[40:])
    with pytest.raises(BadAnswer, match=f"is of the pool {address(9)}"):
        layout.clmm_pool(state, RATES, other, PROGRAM)
    with pytest.raises(BadAnswer, match="there is no tick array"):
        layout.read_array(near.array(0), None, state, PROGRAM)


def test_a_tick_in_the_place_of_another_is_refused() -> None:
    data = array_data(MADE.at, TickArray(0, (Tick(120, 5),)), 60)
    row = 44 + 2 * 168
    assert layout.read_array("at", of_program(data), state_of(MADE), PROGRAM).ticks == (Tick(120, 5),)
    with pytest.raises(BadAnswer, match="tick 121 is in the place of 120"):
        layout.read_array("at", of_program(patched(data, (row, b"\x79"))), state_of(MADE), PROGRAM)


def test_a_tick_with_orders_alone_is_in_use_and_an_empty_one_is_not() -> None:
    data = array_data(MADE.at, TickArray(0, ()), 60)
    for at in (124, 132):
        shown = of_program(patched(data, (44 + 168, b"\x3c"), (44 + 168 + at, 7)))
        assert layout.read_array("at", shown, state_of(MADE), PROGRAM).ticks == (Tick(60, 0, has_orders=True),)
    assert layout.read_array("at", of_program(data), state_of(MADE), PROGRAM).ticks == ()


def test_rates_that_no_config_can_have_are_refused() -> None:
    data = patched(MADE.accounts()[CONFIG].data, (47, (10**6).to_bytes(4, "little")))
    with pytest.raises(BadAnswer, match=f"the config {CONFIG}: trade_fee_rate"):
        layout.read_config(CONFIG, of_program(data), PROGRAM)
