"""Which accounts are watched and why. Pure.

Pinned ones (the configured pair's pools, the wallets) stay. Others stay for an hour after their last use, and leave
earlier if the limit is reached.
"""

from collections.abc import Iterable, Sequence

from dexexec.domain.solana import Account

KEPT_SECONDS = 3_600.0
"""An account that no order used for so long is not watched any more."""
MIN_KEPT_SECONDS = 60.0
"""An account that was used more lately leaves for no other one: they would only replace each other."""
MAX_DATA_BYTES = 256 * 1024
"""Larger accounts are no state of a pool or a wallet, and their notifications would not fit into a message."""
SEARCHED = 8
"""A read of more accounts, of which most do not exist, is a search."""


class WatchedAccounts:
    """The addresses to watch, at most `limit`. Times are monotonic seconds."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # In the order of their last use, the oldest first.
        self._used: dict[str, float] = {}
        self._pinned: dict[str, frozenset[str]] = {}

    def __len__(self) -> int:
        return len(self._used)

    def __contains__(self, address: str) -> bool:
        return address in self._used

    @property
    def limit(self) -> int:
        """The most accounts."""
        return self._limit

    def pin(self, group: str, addresses: Iterable[str], now: float) -> list[str]:
        """Watches accounts for good, in place of those that were pinned under `group` before. Returns those that are
        new; beyond the limit they are left out."""
        # Arrays of a pool change with its price: the ones that it has left must not fill the memory.
        self._pinned.pop(group, None)
        pinned = []
        new = []
        for address in dict.fromkeys(addresses):
            if address not in self._used:
                if len(self._used) >= self._limit:
                    continue
                new.append(address)
                self._used[address] = now
            pinned.append(address)
        self._pinned[group] = frozenset(pinned)
        return new

    def use(self, addresses: Iterable[str], now: float) -> None:
        """Accounts were used by an order."""
        for address in addresses:
            if self._used.pop(address, None) is not None:
                self._used[address] = now

    def admit(
        self, addresses: Sequence[str], found: Sequence[Account | None], now: float
    ) -> tuple[list[str], list[str]]:
        """Accounts were read for an order. Returns those to watch from now on, and those that leave for them."""
        missing = sum(account is None for account in found)
        if len(addresses) > SEARCHED and missing * 2 > len(addresses):
            return [], []
        new = [
            address
            for address, account in zip(addresses, found, strict=True)
            if address not in self._used and (account is None or len(account.data) <= MAX_DATA_BYTES)
        ]
        new = list(dict.fromkeys(new))
        leaving = self._oldest(len(self._used) + len(new) - self._limit, now)
        # All or nothing: with half of its accounts in memory, a set is read from a node all the same.
        if len(self._used) + len(new) - len(leaving) > self._limit:
            return [], []
        for address in leaving:
            del self._used[address]
        self._used.update(dict.fromkeys(new, now))
        return new, leaving

    def expire(self, now: float) -> list[str]:
        """Removes the accounts that were not used for an hour, and returns them."""
        pinned = self._all_pinned()
        expired = [
            address for address, used_at in self._used.items() if address not in pinned and now - used_at > KEPT_SECONDS
        ]
        for address in expired:
            del self._used[address]
        return expired

    def _oldest(self, count: int, now: float) -> list[str]:
        pinned = self._all_pinned()
        free = (
            address
            for address, used_at in self._used.items()
            if address not in pinned and now - used_at > MIN_KEPT_SECONDS
        )
        return [address for address, _ in zip(free, range(count), strict=False)]

    def _all_pinned(self) -> frozenset[str]:
        return frozenset().union(*self._pinned.values())
