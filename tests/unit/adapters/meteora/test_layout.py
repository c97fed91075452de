"""A DAMM v2 pool is read to the byte, and nothing else is taken for one."""

from base64 import b64decode
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexexec.domain import base58
from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer, Unsupported
from dexexec_adapters.curves.damm_v2 import quote_exact_in, quote_exact_out
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.swap import ChainTime, CurveError, TradeDirection
from dexexec_adapters.meteora.layout import POOL as LAYOUT
from dexexec_adapters.meteora.layout import PoolState, pool_filters, read_pool
from dexexec_adapters.solana.chain_clock import CLOCK, SYSVAR, read_clock
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.support import meteora_accounts as at
from tests.support.meteora_accounts import POOL, PROGRAM, RECORDS
from tests.support.raydium_accounts import key, patched
from tests.vectors.accounts import damm_v2_pool

NOW = ChainTime(at.SLOT, at.UNIX)


def read(data: bytes) -> PoolState:
    return read_pool(POOL, at.pool_account(data), PROGRAM.address)


# ---- what is read ----------------------------------------------------------------------------------------------------


def test_every_recorded_account_is_the_pool_that_the_curve_was_proven_with() -> None:
    accounts = [record[when] for record in RECORDS for when in ("account_at_start", "account_at_end")]
    accounts += [swap["pool_before"] for record in RECORDS for swap in record["swaps"] if "pool_before" in swap]
    assert len(accounts) == 7 * (2 + 6)
    for text in accounts:
        assert read(b64decode(text)).curve == damm_v2_pool(text)


def test_a_pools_addresses_are_those_that_the_program_derives_from_its_tokens() -> None:
    """The records do not have the accounts' addresses: that mints and vaults match each other proves the offsets."""
    for record in RECORDS:
        data = b64decode(record["account_at_start"])
        pool = PROGRAM.customizable_pool(data[168:200], data[200:232])
        keys = read_pool(pool, at.pool_account(data), PROGRAM.address).keys
        assert keys.address == pool
        assert keys.token_programs == (TOKEN, TOKEN)
        for mint, vault in zip(keys.mints, keys.vaults, strict=True):
            assert vault == at.derived_vault(pool, mint)


def test_each_tokens_program_follows_from_its_flag() -> None:
    keys = read(patched(at.ONLY_B, (483, b"\1"))).keys
    assert keys.token_programs == (TOKEN, TOKEN_2022)
    assert [keys.token_program(mint) for mint in keys.mints] == [TOKEN, TOKEN_2022]


def test_the_filters_find_a_pool_by_its_tokens_in_their_order() -> None:
    mint_a = at.ONLY_B[168:200]
    mint_b = at.ONLY_B[200:232]
    account = at.pool_account(at.ONLY_B)
    assert pool_filters(mint_a, mint_b).suits(account)
    assert not pool_filters(mint_b, mint_a).suits(account)
    assert not pool_filters(mint_a, mint_b).suits(at.pool_account(at.BOTH_FEES))
    assert sha256(b"account:Pool").digest()[:8] == LAYOUT.discriminator


def test_a_pool_is_as_deep_as_its_reserves_whether_it_counts_them_or_not() -> None:
    counted = read(at.RANGE)
    untracked = patched(at.RANGE, *((place, 0) for place in at.AMOUNTS_AT), (at.LAYOUT_AT, b"\0"))
    assert counted.depth == counted.curve.token_a_amount * counted.curve.token_b_amount
    assert read(untracked).depth == counted.depth > 0


def test_the_clock_is_slot_and_unix_time() -> None:
    assert read_clock(at.clock_account(7, 8)) == ChainTime(7, 8)


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "owner", "message"),
    [
        (at.ONLY_B, TOKEN, f"the pool {POOL} belongs to {TOKEN}"),
        (at.ONLY_B[:-1], PROGRAM.address, "has 1111 bytes instead of 1112"),
        (at.ONLY_B + b"\0", PROGRAM.address, "has 1113 bytes instead of 1112"),
        (b"", PROGRAM.address, "its discriminator is missing"),
        (patched(at.ONLY_B, (0, bytes(8))), PROGRAM.address, "its discriminator is 0000000000000000"),
        (patched(at.ONLY_B, (168, at.ONLY_B[200:232])), PROGRAM.address, "both tokens .* are the same"),
        (patched(at.ONLY_B, (48, b"\x65")), PROGRAM.address, "protocol_fee_percent is 101"),
        (patched(at.ONLY_B, (54, b"\x11\x27")), PROGRAM.address, "compounding_fee_bps is 10001"),
        (patched(at.ONLY_B, (at.PRICE_AT, bytes(16))), PROGRAM.address, "sqrt_price is 0"),
        (patched(at.ONLY_B, (at.LEAST_AT, bytes(16))), PROGRAM.address, "in a range from 0"),
        (patched(at.ONLY_B, (at.MOST_AT, b"\xff" * 16)), PROGRAM.address, "which is impossible"),
        (patched(at.RANGE, (at.PRICE_AT, at.wide(2**70))), PROGRAM.address, "which is impossible"),
        (patched(at.COMPOUNDING, (at.PRICE_AT, bytes(16))), PROGRAM.address, "sqrt_price is 0"),
        (patched(at.COMPOUNDING, (at.LAYOUT_AT, b"\0")), PROGRAM.address, "which is impossible"),
        (patched(at.DYNAMIC, (88, bytes(16))), PROGRAM.address, "bin step of its dynamic fee is 0"),
        (patched(at.DYNAMIC, (72, bytes(2))), PROGRAM.address, "bin step of its dynamic fee is 0"),
    ],
)
def test_an_account_of_another_kind_is_a_bad_answer(data: bytes, owner: str, message: str) -> None:
    with pytest.raises(BadAnswer, match=message):
        read_pool(POOL, Account(owner, 1, data), PROGRAM.address)


def test_a_missing_account_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer, match=f"there is no pool {POOL}"):
        read_pool(POOL, None, PROGRAM.address)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (482, 2, "token_a_flag of the pool .* is 2"),
        (483, 7, "token_b_flag of the pool .* is 7"),
        (56, 2, "dynamic fee's flag .* is 2"),
        (696, 2, "layout_version .* is 2"),
    ],
)
def test_an_unknown_layout_or_token_program_is_unsupported(place: int, value: int, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        read(patched(at.ONLY_B, (place, bytes([value]))))


@pytest.mark.parametrize(
    ("account", "message"),
    [
        (None, f"there is no chain's clock {CLOCK}"),
        (Account(TOKEN, 1, bytes(40)), "belongs to"),
        (Account(SYSVAR, 1, bytes(39)), "has 39 bytes instead of 40"),
        (at.clock_account(1, -1), "which is before 1970"),
    ],
)
def test_an_invalid_clock_account_is_a_bad_answer(account: Account | None, message: str) -> None:
    with pytest.raises(BadAnswer, match=message):
        read_clock(account)


# ---- whatever the bytes ----------------------------------------------------------------------------------------------


@given(st.binary(max_size=1_200), st.sampled_from([PROGRAM.address, SYSVAR, TOKEN]))
def test_random_bytes_are_refused_and_nothing_breaks(data: bytes, owner: str) -> None:
    account = Account(owner, 1, data)
    with pytest.raises(BadAnswer):
        read_pool(POOL, account, PROGRAM.address)
    with suppress(BadAnswer):
        read_clock(account)


@given(st.sampled_from(RECORDS), st.integers(0, LAYOUT.size - 1))
def test_a_pool_that_is_cut_off_anywhere_is_refused(record: dict[str, str], size: int) -> None:
    with pytest.raises(BadAnswer):
        read(b64decode(record["account_at_start"])[:size])


patches = st.lists(st.tuples(st.integers(8, LAYOUT.size - 32), st.binary(min_size=1, max_size=32)), max_size=8)
amounts = st.integers(1, U64_MAX)


@settings(deadline=None)
@given(st.sampled_from(RECORDS), patches, amounts, st.sampled_from(TradeDirection))
def test_a_pool_of_any_bytes_is_refused_or_priced_and_never_breaks(
    record: dict[str, str], changes: list[tuple[int, bytes]], amount: int, direction: TradeDirection
) -> None:
    """What the layout lets pass, the curve can compute with, or refuses as a curve does."""
    try:
        state = read(patched(b64decode(record["account_at_start"]), *changes))
    except (BadAnswer, Unsupported):
        return
    assert state.depth == state.depth
    for price in (quote_exact_in, quote_exact_out):
        with suppress(CurveError):
            result = price(state.curve, amount, direction, NOW)
            assert result.amount_in > 0 and result.amount_out > 0 and result.price_impact_ppm >= 0  # noqa: PT018


@settings(deadline=None)
@given(st.binary(min_size=LAYOUT.size - 8, max_size=LAYOUT.size - 8), st.sampled_from([0, 1, 2]))
def test_a_pool_of_random_numbers_is_refused_or_read(body: bytes, mode: int) -> None:
    data = patched(LAYOUT.discriminator + body, (at.COLLECT_AT, bytes([mode])), (482, bytes(2)), (696, b"\1"))
    with suppress(BadAnswer, Unsupported):
        assert read(data).keys.mints == (key(data, 168), key(data, 200))


def test_the_same_account_at_another_address_is_another_pool() -> None:
    one = read(at.ONLY_B).keys
    other = base58.encode(bytes([2]) * 32)
    assert read_pool(other, at.pool_account(at.ONLY_B), PROGRAM.address).keys == replace(one, address=other)
