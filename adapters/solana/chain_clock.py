"""The chain's own clock, a sysvar that every node shows as an account: what pools open and charge by. A venue that went
by the clock of its process would be wrong wherever that is."""

from struct import unpack_from

from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer
from dexexec_adapters.curves.swap import ChainTime
from dexexec_adapters.solana.account_data import data_of

CLOCK = "SysvarC1ock11111111111111111111111111111111"
SYSVAR = "Sysvar1111111111111111111111111111111111111"
CLOCK_SIZE = 40


def read_clock(account: Account | None) -> ChainTime:
    """The chain's slot and Unix time, from the sysvar `CLOCK`. Raises `BadAnswer`."""
    data = data_of("chain's clock", CLOCK, account, SYSVAR, CLOCK_SIZE)
    (slot,), (unix_timestamp,) = unpack_from("<Q", data, 0), unpack_from("<q", data, 32)
    if unix_timestamp < 0:
        raise BadAnswer(f"the chain's clock says {unix_timestamp} s: it cannot be before 1970")
    return ChainTime(slot, unix_timestamp)
