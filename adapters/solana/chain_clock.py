"""The chain's clock, a sysvar account that every node serves. Pools open and charge fees by it.

It is not the clock of this process, which may differ from the chain's by seconds.
"""

from struct import unpack_from

from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer
from dexexec_adapters.curves.swap import ChainTime
from dexexec_adapters.solana.account_data import checked_data

CLOCK = "SysvarC1ock11111111111111111111111111111111"
SYSVAR = "Sysvar1111111111111111111111111111111111111"
CLOCK_SIZE = 40


def read_clock(account: Account | None) -> ChainTime:
    """The chain's slot and Unix time, from the sysvar `CLOCK`. Raises `BadAnswer`."""
    data = checked_data("chain's clock", CLOCK, account, owner=SYSVAR, size=CLOCK_SIZE)
    # Between the two are the epoch's start and number, which no pool uses.
    slot, unix_timestamp = unpack_from("<Q24xq", data)
    if unix_timestamp < 0:
        raise BadAnswer(f"the chain's clock is at {unix_timestamp} s, which is before 1970")
    return ChainTime(slot, unix_timestamp)
