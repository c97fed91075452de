"""One account in memory: its last versions, and since when they can be relied on. Pure."""

import math
from collections import deque
from dataclasses import dataclass, field

from dexexec.domain.solana import Account

MAX_VERSIONS = 3
"""The newest complete one, and those of the slots that are still being delivered."""
MAX_REMEMBERED = 64
"""Earlier values of an account that are recognized when they are reported again."""
RATE_SECONDS = 30.0
"""The time over which notifications per second are averaged."""
OVERHEAD_BYTES = 400
"""What Python needs for a version besides its data, about."""


@dataclass(frozen=True, slots=True)
class Version:
    """The account as of the end of `slot`; None: it does not exist."""

    slot: int
    account: Account | None


@dataclass(slots=True, kw_only=True)
class CachedAccount:
    """The state of one watched account.

    `subscribed`: the node has a subscription. `covered_from` is the slot from which on every change is reported; reads
    of earlier slots prove nothing. `first_read` is the slot of the read that later reports change. `confirmed` is the
    last slot in which the value was reported or read. `doubted` is the slot of a report of an earlier value, which a
    read has to confirm. `disputed` is a read that reports contradict so far.
    """

    subscribed: bool = False
    covered_from: int | None = None
    versions: list[Version] = field(default_factory=list)
    first_read: int = 0
    confirmed: int = 0
    doubted: int | None = None
    disputed: Version | None = None
    _earlier: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_REMEMBERED))
    _rate: float = 0.0
    _rated_at: float = -math.inf

    @property
    def is_read(self) -> bool:
        """Whether it was read in full since every change is reported."""
        return bool(self.versions)

    def uncover(self) -> None:
        """Changes may have been missed: the account has to be read again. Earlier values stay remembered."""
        if self.versions:
            self._remember(self.versions[-1].account)
        self.covered_from = None
        self.versions.clear()
        self.confirmed = 0
        self.doubted = None
        self.disputed = None

    def report(self, slot: int, account: Account | None, now: float) -> None:
        """Adds a reported version. Only for an account that was read; `slot` is not before its last version."""
        self._count(now)
        last = self.versions[-1]
        self.confirmed = max(self.confirmed, slot)
        if account == last.account:
            return
        if hash(account) in self._earlier:
            # Either the account really has an old value again, or an old notification was repeated with a new slot.
            self.doubted = slot
        self._remember(last.account)
        if last.slot == slot:
            self.versions.pop()
        self.versions.append(Version(slot, account))

    def read_first(self, version: Version) -> None:
        """Sets the value that all later reports change."""
        self.versions = [version]
        self.first_read = version.slot
        self.confirmed = version.slot

    def at(self, slot: int) -> Version | None:
        """The newest version up to the end of `slot`."""
        return next((version for version in reversed(self.versions) if version.slot <= slot), None)

    def agree(self, slot: int) -> None:
        """A read of `slot` returned what was reported."""
        self.confirmed = max(self.confirmed, slot)
        if self.doubted is not None and slot >= self.doubted:
            self.doubted = None
        if self.disputed is not None and slot >= self.disputed.slot:
            self.disputed = None

    def prune(self, complete: int) -> None:
        """Drops versions that no snapshot needs any more."""
        while len(self.versions) > 1 and self.versions[1].slot <= complete:
            del self.versions[0]
        del self.versions[:-MAX_VERSIONS]

    def rate(self, now: float) -> float:
        """Notifications per second, lately."""
        return self._rate * math.exp(-max(0.0, now - self._rated_at) / RATE_SECONDS)

    def size(self) -> int:
        """About how many bytes of memory it needs."""
        return sum(OVERHEAD_BYTES + (len(v.account.data) if v.account else 0) for v in self.versions)

    def _count(self, now: float) -> None:
        self._rate = self.rate(now) + 1 / RATE_SECONDS
        self._rated_at = now

    def _remember(self, account: Account | None) -> None:
        self._earlier.append(hash(account))
