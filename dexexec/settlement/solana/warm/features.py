"""Which features a cluster has activated, so that a runtime in this process follows the same rules.

Features that are newer than the library cannot be turned on here. If one of them matters, the comparison of a local
simulation with a node's shows it (`spot_check`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from solders.litesvm import LiteSVM

from dexexec.domain.solana import Account, Accounts
from dexexec.venue import BadAnswer, Unreachable

CLOCK = "SysvarC1ock11111111111111111111111111111111"
PAGE = 99
"""Features in one request, which reads 100 accounts: the clock is the last."""
_OWNER = "Feature111111111111111111111111111111111111"
_ACTIVE = 1
_SIZE = 9
_EPOCH = slice(16, 24)
"""Where the clock has its epoch: after its slot and the epoch's start."""


class AccountReader(Protocol):
    """The nodes that the features are read from."""

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As `SolanaChain`."""


@dataclass(frozen=True, slots=True)
class Features:
    """The slot of activation of each active feature, by address, as of an epoch. Only a new epoch activates more."""

    epoch: int
    active: Mapping[str, int]


async def read_features(nodes: AccountReader) -> Features:
    """Reads the features that the library has. Raises `VenueError`, also if a new epoch begins meanwhile."""
    known = LiteSVM.mainnet_feature_set()
    addresses = sorted(map(str, (*known.active, *known.inactive)))
    active: dict[str, int] = {}
    epochs = set()
    for start in range(0, len(addresses), PAGE):
        page = addresses[start : start + PAGE]
        *found, clock = (await nodes.accounts([*page, CLOCK])).found
        active |= active_features(dict(zip(page, found, strict=True)))
        epochs.add(epoch_of(clock))
    if len(epochs) != 1:
        raise Unreachable("a new epoch began while the features were read", shared=True)
    return Features(epochs.pop(), active)


def epoch_of(clock: Account | None) -> int:
    """Reads the epoch from the account of the clock. Raises `BadAnswer`."""
    if clock is None or len(clock.data) < _EPOCH.stop:
        raise BadAnswer("the node shows no clock", shared=True)
    return int.from_bytes(clock.data[_EPOCH], "little")


def active_features(accounts: Mapping[str, Account | None]) -> dict[str, int]:
    """Reads feature accounts: a flag, and the slot of activation if it is set."""
    return {
        address: int.from_bytes(account.data[1:_SIZE], "little")
        for address, account in accounts.items()
        if account is not None and account.owner == _OWNER and len(account.data) >= _SIZE and account.data[0] == _ACTIVE
    }
