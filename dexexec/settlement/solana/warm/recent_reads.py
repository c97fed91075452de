"""What a node answered a moment ago, for orders whose accounts are cold. Pure.

The first read of such an order also brings what it needs next: the wallet's accounts. They are of the same slot, so its
transaction is built and simulated on that answer, and not on two more.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dexexec.domain.solana import Account, Accounts

EXPECTED_SECONDS = 2.0
"""How long accounts are expected to be needed: an order that has not read anything by then reads them itself."""
MOST_EXPECTED = 48
MOST_READS = 8
RECENT_SLOTS = 2
"""Slots for which an answer is used again. A quote of it may be older."""


@dataclass(frozen=True, slots=True)
class _Read:
    slot: int
    at: float
    found: Mapping[str, Account | None]


class RecentReads:
    """The last answers to reads for orders, and the accounts to be read along. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._expected: dict[str, float] = {}
        self._reads: deque[_Read] = deque(maxlen=MOST_READS)

    def expect(self, addresses: Iterable[str], now: float) -> None:
        """An order that begins now will need these accounts."""
        for address in addresses:
            self._expected.pop(address, None)
            self._expected[address] = now + EXPECTED_SECONDS
        # A dict keeps the order of insertion, so those of the oldest orders go first.
        while len(self._expected) > MOST_EXPECTED:
            del self._expected[next(iter(self._expected))]

    def along(self, now: float) -> list[str]:
        """The accounts to be read along with others now."""
        self._expected = {address: until for address, until in self._expected.items() if until >= now}
        return list(self._expected)

    def add(self, addresses: Sequence[str], answer: Accounts, now: float) -> None:
        """Keeps an answer."""
        self._reads.append(_Read(answer.slot, now, dict(zip(addresses, answer.found, strict=True))))

    def find(self, addresses: Sequence[str], now: float, slot_seconds: float) -> Accounts | None:
        """The accounts from the newest answer that has all of them; None if there is none, or it is too old."""
        for read in reversed(self._reads):
            if now - read.at > RECENT_SLOTS * slot_seconds:
                return None
            if all(address in read.found for address in addresses):
                return Accounts(read.slot, tuple(read.found[address] for address in addresses))
        return None
