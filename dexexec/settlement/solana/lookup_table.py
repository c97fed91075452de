"""An address lookup table of version 0 messages: which addresses a transaction may name by their index in it. Pure.

The layout and the rules are those of the address lookup table program (SIMD-0128 and its documents).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dexexec.domain import base58
from dexexec.domain.solana import Account

TABLE_PROGRAM = "AddressLookupTab1e1111111111111111111111111"
MOST_ADDRESSES = 256
"""The most addresses of a table: an index has one byte."""
_HEADER_BYTES = 56
_KEY_BYTES = 32
_INITIALIZED = 1
_ACTIVE = 2**64 - 1
"""The slot of deactivation of a table that is not deactivated."""


@dataclass(frozen=True, slots=True)
class LookupTable:
    """The `addresses` (base58) of the table at `address` that transactions may use, as of `slot`.

    A program can only append to a table. A deactivated table works for 512 more blocks, and its address is never used
    again. So an index means the same address for as long as it means anything.
    """

    address: str
    addresses: tuple[str, ...]
    slot: int


def read_table(address: str, account: Account | None, slot: int) -> LookupTable:
    """Decodes the account of a table as of `slot`. Raises `ValueError` for anything but an active table."""
    if account is None:
        raise ValueError(f"the lookup table {address} does not exist")
    data = account.data
    size = len(data) - _HEADER_BYTES
    is_table = account.owner == TABLE_PROGRAM and size >= 0 and int.from_bytes(data[:4], "little") == _INITIALIZED
    if not is_table or size % _KEY_BYTES or size // _KEY_BYTES > MOST_ADDRESSES:
        raise ValueError(f"the account {address} is no lookup table")
    if int.from_bytes(data[4:12], "little") != _ACTIVE:
        raise ValueError(f"the lookup table {address} is being closed")
    count = size // _KEY_BYTES
    # What was appended in a slot may be used from the next one on.
    if int.from_bytes(data[12:20], "little") >= slot:
        count = min(count, data[20])
    starts = range(_HEADER_BYTES, _HEADER_BYTES + count * _KEY_BYTES, _KEY_BYTES)
    return LookupTable(address, tuple(base58.encode(data[start : start + _KEY_BYTES]) for start in starts), slot)


def common_table(shown: Sequence[LookupTable]) -> LookupTable:
    """Returns what all of `shown` have, which are the same table as different nodes show it. Raises `ValueError` if
    they contradict each other."""
    shortest = min(shown, key=lambda table: len(table.addresses))
    # A node that is behind lacks the newest addresses. No honest node has another address at the same index.
    if any(table.addresses[: len(shortest.addresses)] != shortest.addresses for table in shown):
        raise ValueError(f"the nodes show different addresses in the lookup table {shortest.address}")
    return LookupTable(shortest.address, shortest.addresses, min(table.slot for table in shown))
