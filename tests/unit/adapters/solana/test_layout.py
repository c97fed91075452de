"""Accounts are read by tables: offsets follow from the types, and no bytes but those of the account are read."""

from contextlib import suppress
from struct import pack
from typing import Annotated, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain import base58
from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer
from dexexec_adapters.solana.layout import (
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    U256,
    Bytes32,
    Flag,
    Layout,
    Pubkey,
    Rows,
    after,
    rows,
    wide,
)
from tests.support.raydium_accounts import address

OWNER = address(1)
AT = address(2)


class Fee(NamedTuple):
    rate: U16
    fixed: Flag


class Bin(NamedTuple):
    amount: U32
    price: U128


class Everything(NamedTuple):
    small: U8
    key: Annotated[Pubkey, after(3)]
    negative: I8
    medium: I16
    large: I32
    larger: I64
    largest: I128
    unsigned: U64
    wider: U256
    raw: Bytes32
    fee: Fee
    bitmap: Annotated[int, wide(128)]
    bins: Annotated[Rows[Bin], after(5), rows(Bin, 3, size=24)]


TAG = "0102030405060708"
SIZE = 8 + 1 + 3 + 32 + 1 + 2 + 4 + 8 + 16 + 8 + 32 + 32 + 3 + 128 + 5 + 3 * 24
LAYOUT = Layout("thing", Everything, discriminator=TAG, size=SIZE + 10)


def data_of(flag: int = 1) -> bytes:
    """Written by hand, field by field."""
    parts = [
        bytes.fromhex(TAG),
        b"\xff" + b"\x99" * 3,
        base58.decode(address(9)),
        pack("<bhiq", -1, -2, -3, -4),
        (-5).to_bytes(16, "little", signed=True),
        pack("<Q", 2**64 - 1),
        (2**255 + 1).to_bytes(32, "little"),
        bytes(range(32)),
        pack("<HB", 500, flag),
        (1 | 1 << 1_023).to_bytes(128, "little"),
        b"\x99" * 5,
        *(pack("<I", number) + (number << 100).to_bytes(16, "little") + b"\x99" * 4 for number in (1, 2, 3)),
    ]
    return b"".join(parts).ljust(SIZE + 10, b"\x77")


def account(data: bytes, owner: str = OWNER) -> Account:
    return Account(owner, 1, data)


def test_every_type_is_read_at_its_place() -> None:
    found = LAYOUT.read(AT, account(data_of()), owner=OWNER)
    assert found._replace(bins=Rows(b"", found.bins._table, 0)) == Everything(
        small=255,
        key=address(9),
        negative=-1,
        medium=-2,
        large=-3,
        larger=-4,
        largest=-5,
        unsigned=2**64 - 1,
        wider=2**255 + 1,
        raw=bytes(range(32)),
        fee=Fee(500, True),
        bitmap=1 | 1 << 1_023,
        bins=Rows(b"", found.bins._table, 0),
    )
    assert [*found.bins] == [Bin(number, number << 100) for number in (1, 2, 3)]
    assert len(found.bins) == 3
    assert found.bins[2] == Bin(3, 3 << 100)


@pytest.mark.parametrize("index", [-1, 3, 10**9])
def test_there_is_no_row_outside_of_the_array(index: int) -> None:
    found = LAYOUT.read(AT, account(data_of()), owner=OWNER)
    with pytest.raises(IndexError, match=f"there is no row {index} of 3"):
        found.bins[index]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, f"there is no thing {AT}"),
        (account(data_of(), address(3)), f"the thing {AT} belongs to {address(3)}, not to the program {OWNER}"),
        (account(b""), f"the account {AT} is not a thing: its discriminator is missing"),
        (account(bytes(SIZE + 10)), "its discriminator is 0000000000000000"),
        (account(data_of()[:-1]), f"has {SIZE + 9} bytes instead of {SIZE + 10}"),
        (account(data_of() + b"\0"), f"has {SIZE + 11} bytes instead of {SIZE + 10}"),
        (account(data_of(2)), f"the thing {AT}: fee: fixed: 2 is neither 0 nor 1"),
    ],
)
def test_another_account_is_a_bad_answer_with_the_reason(found: Account | None, message: str) -> None:
    for _ in range(2):  # a decoded account is kept; a refusal is not
        with pytest.raises(BadAnswer, match=message):
            LAYOUT.read(AT, found, owner=OWNER)


def test_a_layout_of_at_least_a_size_reads_a_longer_account() -> None:
    layout = Layout("thing", Everything, discriminator=TAG, size=SIZE, or_more=True)
    assert layout.read(AT, account(data_of() + b"more"), owner=OWNER).unsigned == 2**64 - 1
    with pytest.raises(BadAnswer, match=f"has {SIZE - 1} bytes instead of at least {SIZE}"):
        layout.read(AT, account(data_of()[: SIZE - 1]), owner=OWNER)
    with pytest.raises(ValueError, match="no fixed size"):
        layout.filters()


def test_an_account_that_has_not_changed_is_decoded_once() -> None:
    first = LAYOUT.read(AT, account(data_of()), owner=OWNER)
    assert LAYOUT.read(AT, account(data_of()), owner=OWNER) is first
    assert LAYOUT.read(AT, account(data_of(0)), owner=OWNER).fee == Fee(500, False)
    # What is kept is the decoding, not the checks.
    with pytest.raises(BadAnswer):
        LAYOUT.read(AT, account(data_of(), address(3)), owner=OWNER)


def test_a_search_is_built_from_the_names_of_fields() -> None:
    wanted = base58.decode(address(9))
    filters = LAYOUT.filters(key=wanted, unsigned=b"\xff" * 8)
    assert filters == AccountFilters(SIZE + 10, ((0, bytes.fromhex(TAG)), (12, wanted), (75, b"\xff" * 8)))
    assert filters.suits(account(data_of()))
    assert (LAYOUT.offset("key"), LAYOUT.offset("unsigned")) == (12, 75)
    with pytest.raises(ValueError, match="key of a thing has 32 bytes, not 31"):
        LAYOUT.filters(key=bytes(31))
    assert Layout("plain", Fee, size=3).filters(rate=b"\1\0").matches == ((0, b"\1\0"),)


def test_a_table_that_does_not_fit_or_has_no_types_is_refused_where_it_is_declared() -> None:
    class Untyped(NamedTuple):
        number: int

    class Twice(NamedTuple):
        number: Annotated[U8, wide(1)]

    with pytest.raises(ValueError, match="the fields of Everything take"):
        Layout("thing", Everything, discriminator=TAG, size=SIZE - 1)
    with pytest.raises(ValueError, match="the fields of Bin take 20 bytes, not 19"):
        rows(Bin, 3, size=19)
    for record in (Untyped, Twice):
        with pytest.raises(TypeError, match="number has no type of a layout"):
            Layout("thing", record, size=100)


@given(st.binary(max_size=SIZE + 20), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, begun: bool) -> None:
    if begun:
        data = (bytes.fromhex(TAG) + data).ljust(SIZE + 10, b"\1")[: SIZE + 10]
    with suppress(BadAnswer):
        found: Any = LAYOUT.read(AT, account(data), owner=OWNER)
        assert found.unsigned == int.from_bytes(data[75:83], "little")
        assert [one.amount for one in found.bins] == [
            int.from_bytes(data[at : at + 4], "little") for at in range(SIZE - 72, SIZE, 24)
        ]
