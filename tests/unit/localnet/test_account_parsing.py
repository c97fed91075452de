"""The accounts of well-known programs, as `jsonParsed` shows them."""

import struct

import pytest
from solders.account import Account
from solders.address_lookup_table_account import ID as LOOKUP_TABLES
from solders.pubkey import Pubkey

from dexexec.localnet.rpc.account_parsing import SYSVARS, parsed_data
from dexexec.localnet.rpc.encoding import TOKEN
from dexexec.localnet.runtime import TABLE_HEADER_BYTES

A, B = Pubkey([1] * 32), Pubkey([2] * 32)


def no_decimals(_: Pubkey) -> None:
    """There is no mint."""


@pytest.mark.parametrize("authority", [A, None])
def test_a_lookup_table_has_its_addresses_and_its_authority(authority: Pubkey | None) -> None:
    head = struct.pack("<IQQBB", 1, 2**64 - 1, 7, 1, authority is not None) + bytes(authority or b"")
    data = head.ljust(TABLE_HEADER_BYTES, b"\0") + bytes(A) + bytes(B)
    found = parsed_data(Account(1, data, LOOKUP_TABLES), no_decimals)
    assert found is not None
    assert (found["program"], found["parsed"]["type"], found["space"]) == (
        "address-lookup-table",
        "lookupTable",
        len(data),
    )
    info = found["parsed"]["info"]
    assert (info["addresses"], info["lastExtendedSlot"], info["lastExtendedSlotStartIndex"]) == (
        [str(A), str(B)],
        "7",
        1,
    )
    assert info["deactivationSlot"] == str(2**64 - 1)
    assert info.get("authority") == (str(authority) if authority else None)


@pytest.mark.parametrize("owner", [LOOKUP_TABLES, SYSVARS, TOKEN, A])
@pytest.mark.parametrize("data", [b"", b"x" * 20, b"\xff" * 165])
def test_what_cannot_be_read_is_not_parsed(owner: Pubkey, data: bytes) -> None:
    assert parsed_data(Account(1, data, owner), no_decimals) is None
