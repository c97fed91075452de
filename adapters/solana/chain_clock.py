"""The chain's clock, a sysvar account that every node serves. Pools open and charge fees by it.

It is not the clock of this process, which may differ from the chain's by seconds.
"""

from typing import Annotated, NamedTuple

from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer
from dexexec_adapters.curves.swap import ChainTime
from dexexec_adapters.solana.layout import I64, U64, Layout, after

CLOCK = "SysvarC1ock11111111111111111111111111111111"
SYSVAR = "Sysvar1111111111111111111111111111111111111"


class _Clock(NamedTuple):
    slot: U64
    epoch_start: U64
    epoch: U64
    unix_timestamp: Annotated[I64, after(8)]  # after the epoch for which leaders are scheduled


_CLOCK = Layout("chain's clock", _Clock, size=40)


def read_clock(account: Account | None) -> ChainTime:
    """The chain's slot and Unix time, from the sysvar `CLOCK`. Raises `BadAnswer`."""
    clock = _CLOCK.read(CLOCK, account, owner=SYSVAR)
    if clock.unix_timestamp < 0:
        raise BadAnswer(f"the chain's clock is at {clock.unix_timestamp} s, which is before 1970")
    return ChainTime(clock.slot, clock.unix_timestamp)


def read_epoch(account: Account | None) -> int:
    """The chain's epoch, from the sysvar `CLOCK`. Raises `BadAnswer`."""
    return _CLOCK.read(CLOCK, account, owner=SYSVAR).epoch
