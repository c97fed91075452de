"""Accounts of the CPMM program are read to the byte, and nothing else is taken for one."""

from base64 import b64decode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain import base58
from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer
from dexexec_adapters.curves.cpmm import AmmConfig
from dexexec_adapters.raydium.layout import (
    CONFIG,
    POOL,
    cpmm_pool,
    pool_filters,
    read_config,
    read_pool,
)
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.support.raydium_accounts import CONFIG_DATA, POOL_DATA, PROGRAM, RECORD, address, key, patched
from tests.vectors.accounts import cpmm_pool as recorded_pool

AT = address(1)


def pool_account(data: bytes = POOL_DATA, owner: str = PROGRAM) -> Account:
    return Account(owner, 1, data)


def test_the_recorded_pool_is_read_field_by_field() -> None:
    state = read_pool(AT, pool_account(), PROGRAM)
    keys = state.keys
    assert keys.address == AT
    assert keys.amm_config == key(POOL_DATA, 8)
    assert keys.vaults == (key(POOL_DATA, 72), key(POOL_DATA, 104))
    assert keys.mints == (key(POOL_DATA, 168), key(POOL_DATA, 200))
    assert keys.token_programs == (TOKEN, TOKEN)
    assert keys.observation == key(POOL_DATA, 296)
    assert len({AT, keys.amm_config, *keys.vaults, *keys.mints, keys.observation}) == 7, "offsets do not overlap"
    assert (state.status, state.creator_fee_on, state.enable_creator_fee) == (0, 0, False)
    assert state.lp_supply > 0


def test_every_recorded_account_is_the_pool_that_the_curve_was_proven_with() -> None:
    config = read_config(AT, Account(PROGRAM, 1, CONFIG_DATA), PROGRAM)
    assert config == AmmConfig(2_500, 120_000, 40_000, 0)
    accounts = [(RECORD["account_at_start"], *RECORD["vaults_at_start"])]
    accounts += [(RECORD["account_at_end"], *RECORD["vaults_at_end"])]
    befores = [swap["before"] for swap in RECORD["swaps"] if "before" in swap]
    accounts += [(before["pool"], before["vault_0"], before["vault_1"]) for before in befores]
    assert len(accounts) == 12
    for text, *vaults in accounts:
        state = read_pool(AT, pool_account(b64decode(text)), PROGRAM)
        assert cpmm_pool(state, config, *vaults) == recorded_pool(RECORD["amm_config"], text, *vaults)


def test_the_fields_of_the_creators_fee_are_read_where_the_program_has_them_since_august_2025() -> None:
    data = patched(POOL_DATA, (329, b"\x04"), (333, 10), (341, 11), (349, 12), (357, 13), (365, 14), (373, 15))
    data = patched(data, (389, b"\x02\x01"), (397, 16), (405, 17))
    state = read_pool(AT, pool_account(data), PROGRAM)
    pool = cpmm_pool(state, read_config(AT, Account(PROGRAM, 1, patched(CONFIG_DATA, (108, 500))), PROGRAM), 18, 19)
    assert state.lp_supply == 10
    assert (pool.protocol_fees_token_0, pool.protocol_fees_token_1) == (11, 12)
    assert (pool.fund_fees_token_0, pool.fund_fees_token_1) == (13, 14)
    assert (pool.creator_fees_token_0, pool.creator_fees_token_1) == (16, 17)
    assert (pool.vault_0_amount, pool.vault_1_amount) == (18, 19)
    assert (pool.open_time, pool.status, pool.creator_fee_on, pool.enable_creator_fee) == (15, 4, 2, True)
    assert pool.amm_config.creator_fee_rate == 500


def test_an_account_of_before_has_no_creators_fee() -> None:
    """The recorded program had no such fields: their place is padding."""
    assert not any(POOL_DATA[389:])
    assert not any(CONFIG_DATA[108:])


@pytest.mark.parametrize(
    ("account", "problem"),
    [
        (None, "there is no pool"),
        (pool_account(owner=TOKEN), "belongs to TokenkegQ.*, not to the program CPMM"),
        (pool_account(CONFIG_DATA), "is not a pool: its discriminator is daf42168cbcb2b6f"),
        (pool_account(b""), "its discriminator is missing"),
        (pool_account(POOL_DATA[:-1]), "has 636 bytes instead of 637"),
        (pool_account(POOL_DATA + b"\0"), "has 638 bytes instead of 637"),
        (pool_account(patched(POOL_DATA, (168, POOL_DATA[200:232]), (200, POOL_DATA[168:200]))), "not in order"),
        (pool_account(patched(POOL_DATA, (200, POOL_DATA[168:200]))), "not in order"),
        (pool_account(patched(POOL_DATA, (264, address(5)))), "as token programs"),
        (pool_account(patched(POOL_DATA, (390, b"\x02"))), "enable_creator_fee: 2 is neither 0 nor 1"),
    ],
)
def test_an_invalid_pool_is_a_bad_answer_with_the_reason(account: Account | None, problem: str) -> None:
    with pytest.raises(BadAnswer, match=problem):
        read_pool(AT, account, PROGRAM)


@pytest.mark.parametrize(
    ("account", "problem"),
    [
        (None, "there is no config"),
        (Account(TOKEN, 1, CONFIG_DATA), "not to the program"),
        (Account(PROGRAM, 1, POOL_DATA), "is not a config"),
        (Account(PROGRAM, 1, CONFIG_DATA[:-8]), "has 228 bytes instead of 236"),
        (Account(PROGRAM, 1, patched(CONFIG_DATA, (12, 1_000_000))), "must be below 1000000"),
        (Account(PROGRAM, 1, patched(CONFIG_DATA, (20, 2**64 - 1))), "must be at most 1000000"),
    ],
)
def test_an_invalid_config_is_a_bad_answer_with_the_reason(account: Account | None, problem: str) -> None:
    with pytest.raises(BadAnswer, match=problem):
        read_config(AT, account, PROGRAM)


def test_a_token_2022_pool_is_read() -> None:
    state = read_pool(AT, pool_account(patched(POOL_DATA, (264, TOKEN_2022))), PROGRAM)
    assert state.keys.token_programs == (TOKEN, TOKEN_2022)


def test_a_search_finds_the_recorded_pool_for_both_orders_of_the_mints() -> None:
    mints = POOL_DATA[168:200], POOL_DATA[200:232]
    for first, second in (mints, mints[::-1]):
        filters = pool_filters(first, second)
        assert filters.suits(pool_account())
        assert not filters.suits(pool_account(patched(POOL_DATA, (200, base58.decode(address(9))))))
        assert not filters.suits(pool_account(POOL_DATA + b"\0"))
        assert len(filters.matches) + 1 <= 4, "more filters no node takes"


def bytes_like(data: bytes) -> st.SearchStrategy[bytes]:
    """Bytes of all sorts: random ones, `data` cut off, and `data` with some of it overwritten."""
    cut = st.integers(0, len(data)).map(lambda size: data[:size])
    changes = st.lists(st.tuples(st.integers(0, len(data) - 8), st.binary(min_size=1, max_size=8)), max_size=6)
    return st.binary(max_size=700) | cut | changes.map(lambda found: patched(data, *found))


@given(data=bytes_like(POOL_DATA))
def test_any_bytes_of_a_pool_are_read_or_a_bad_answer(data: bytes) -> None:
    with suppress(BadAnswer):
        state = read_pool(AT, pool_account(data), PROGRAM)
        assert len(data) == POOL.size
        assert data.startswith(POOL.discriminator)
        assert base58.decode(state.keys.mints[0]) < base58.decode(state.keys.mints[1])


@given(data=bytes_like(CONFIG_DATA))
def test_any_bytes_of_a_config_are_read_or_a_bad_answer(data: bytes) -> None:
    with suppress(BadAnswer):
        config = read_config(AT, Account(PROGRAM, 1, data), PROGRAM)
        assert len(data) == CONFIG.size
        assert 0 <= config.trade_fee_rate + config.creator_fee_rate < 1_000_000
