"""The watched accounts in memory, and the rule by which a set of them may be answered from there. Pure.

A snapshot is as of one complete slot (`slot_stream`): each account in its newest version up to that slot. So a set is
never torn. What is not covered by a subscription and a later read, or was not confirmed lately, is cold.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dexexec.domain.solana import Account, Accounts
from dexexec.settlement.solana.warm.cached_account import CachedAccount, Version
from dexexec.settlement.solana.warm.slot_stream import SlotStream, StreamGapError

AHEAD_SLOTS = 10
"""Slots by which notifications may be ahead of a read that was requested at the same time: nodes differ by some."""


class Cold(StrEnum):
    """Why a set of accounts is not answered from memory."""

    UNWATCHED = "unwatched"
    """An account is not watched, or its subscription does not exist yet or any more."""
    UNREAD = "unread"
    """An account was not read since its subscription, or that read is of a slot that is not complete yet."""
    SILENT = "silent"
    """The node sends no Clock."""
    SLOT_DOUBTED = "slot doubted"
    """The slots of notifications and of reads contradict each other."""
    UNCONFIRMED = "unconfirmed"
    """An account was neither reported nor read for too many slots."""
    VALUE_DOUBTED = "value doubted"
    """An account was reported with an earlier value, which a read has to confirm."""
    TORN = "torn"
    """An account has no version of the complete slot any more."""


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """When what is in memory is too old: by slots, and in seconds by this machine's clock."""

    stale_slots: int
    stale_seconds: float


class AccountCache:
    """The accounts of one chain. Slots come from one stream of notifications; all times are monotonic seconds."""

    def __init__(self) -> None:
        self.stream = SlotStream()
        self.slot_doubt = ""
        self._accounts: dict[str, CachedAccount] = {}
        # The newest slot that reports or reads have shown. Nodes lag and old notifications may be repeated, so no first
        # read may be of an earlier slot: it could lack changes that were reported before a gap.
        self._floor = 0
        # Subscribed since the last Clock: the next one shows the slot from which on changes are reported.
        self._uncovered: set[str] = set()
        self._disputed: set[str] = set()
        self._missed: set[str] = set()
        self._doubted: set[str] = set()
        self._fresh = False

    # ---- what is watched ----

    def add(self, address: str) -> None:
        """Watches an account. It is cold until it is subscribed and read."""
        self._accounts.setdefault(address, CachedAccount())

    def drop(self, address: str) -> None:
        """Forgets an account."""
        self._accounts.pop(address, None)
        for group in (self._uncovered, self._disputed, self._missed, self._doubted):
            group.discard(address)

    def subscribed(self, address: str) -> None:
        """The node reports the account's changes from now on."""
        if (account := self._accounts.get(address)) is not None:
            account.subscribed = True
            account.uncover()
            self._doubted.discard(address)
            self._uncovered.add(address)

    def unsubscribed(self, address: str) -> None:
        """The node reports the account's changes no more."""
        if (account := self._accounts.get(address)) is not None:
            account.subscribed = False
            account.uncover()
            self._doubted.discard(address)
            self._uncovered.discard(address)

    def disconnected(self) -> None:
        """There are no subscriptions any more."""
        for address in self._accounts:
            self.unsubscribed(address)
        self.stream.restart()
        self._disputed.clear()

    def gap(self) -> None:
        """Notifications may be missing or false: every account has to be read again after the next Clock."""
        self.stream.restart()
        self._disputed.clear()
        self._doubted.clear()
        for address, account in self._accounts.items():
            account.uncover()
            if account.subscribed:
                self._uncovered.add(address)

    # ---- what the node reports ----

    def clock(self, slot: int, now: float, limits: CacheLimits) -> None:
        """A Clock of `slot` was reported. Raises `StreamGapError`."""
        silent = now - self.stream.moved_at if self.stream.newest else 0.0
        self.stream.advance(slot, now)
        if silent > limits.stale_seconds:
            # What comes after a silence may be what was due before it. The next read shows how old it is.
            self.slot_doubt = f"no notification came for {silent:.1f} s"
        if not self.slot_doubt:
            self._floor = max(self._floor, slot)
        for address in self._uncovered:
            # The subscription is older than this Clock, so it covers everything after the Clock's slot.
            self._accounts[address].covered_from = max(slot, self._floor)
        # Set for one Clock only: what could not be read then is read with the next regular reads.
        self._fresh = bool(self._uncovered)
        self._uncovered.clear()
        for address in list(self._disputed):
            self._settle_dispute(address)

    def report(self, address: str, slot: int, value: Account | None, now: float) -> None:
        """A change of an account was reported. Raises `StreamGapError`."""
        self.stream.check(slot, now)
        account = self._accounts.get(address)
        if account is None or account.covered_from is None:
            return
        if not account.is_read:
            # A read of an earlier slot would lack this change, so it must not become the first one.
            account.covered_from = max(account.covered_from, slot)
        elif slot >= account.versions[-1].slot:
            account.report(slot, value, now)
            if account.doubted is not None:
                self._doubted.add(address)
            account.prune(self.stream.complete)
        elif slot > account.first_read:
            # Not only late: the first read may be ahead of the stream, and changes before it are part of it.
            raise StreamGapError(f"reported slot {slot} of an account after slot {account.versions[-1].slot}")

    # ---- what was read ----

    def unread(self) -> list[str]:
        """Covered accounts that have to be read in full."""
        return [
            address
            for address, account in self._accounts.items()
            if account.covered_from is not None and not account.is_read
        ]

    def unconfirmed(self, slots: int) -> list[str]:
        """Accounts that were neither reported nor read for `slots`, the longest first."""
        before = self.stream.newest - slots
        found = [
            (account.confirmed, address)
            for address, account in self._accounts.items()
            if account.is_read and account.confirmed < before
        ]
        return [address for _, address in sorted(found)]

    def read(self, found: Mapping[str, Account | None], slot: int, requested_at: int, stale_slots: int) -> None:
        """Adds a node's answer as of `slot`; `requested_at` is the newest slot of the stream at the request."""
        self._compare_slots(slot, requested_at, stale_slots)
        for address, value in found.items():
            account = self._accounts.get(address)
            if account is None or account.covered_from is None or slot < account.covered_from:
                continue
            if not account.is_read:
                account.read_first(Version(slot, value))
                continue
            known = account.at(slot)
            if known is None:
                continue  # a read of an earlier slot than the versions that are kept
            if known.account == value:
                self._agree(address, account, slot)
            else:
                # Its notification may be on its way: that is certain once the stream has reached the slot.
                account.disputed = Version(slot, value)
                self._disputed.add(address)
                self._settle_dispute(address)

    def has_work(self) -> bool:
        """Whether a read is due at once: of doubted values or slots, of a missed change, or after a subscription."""
        return bool(self._doubted or self._missed or self._fresh or self.slot_doubt)

    def take_missed(self) -> set[str]:
        """Accounts with a change that was not reported, since the last call. They are cold from then on."""
        missed, self._missed = self._missed, set()
        return missed

    def doubted(self) -> list[str]:
        """Accounts that were reported with an earlier value, which a read has to confirm."""
        return sorted(self._doubted)

    # ---- what is answered ----

    def snapshot(self, addresses: Sequence[str], now: float, limits: CacheLimits) -> Accounts | Cold:
        """The accounts as of the complete slot, or why they are not answered from memory."""
        slot = self.stream.complete
        if not slot:
            return Cold.UNREAD if self.stream.newest else Cold.SILENT
        if now - self.stream.moved_at > limits.stale_seconds:
            return Cold.SILENT
        if self.slot_doubt:
            return Cold.SLOT_DOUBTED
        found: list[Account | None] = []
        for address in addresses:
            account = self._accounts.get(address)
            reason = Cold.UNWATCHED if account is None else _coldness(account, slot, limits.stale_slots)
            if reason is not None or account is None:
                return reason or Cold.UNWATCHED
            version = account.at(slot)
            if version is None:
                return Cold.UNREAD if account.first_read > slot else Cold.TORN
            found.append(version.account)
        return Accounts(slot, tuple(found))

    def rates(self, addresses: Iterable[str] | None, now: float) -> float:
        """Notifications per second of these accounts, lately; of all accounts if none are named."""
        return sum(self._accounts[one].rate(now) for one in self._chosen(addresses))

    def oldest(self, addresses: Iterable[str]) -> int:
        """The slot in which the account that was confirmed first of these was confirmed; 0 for an unknown one."""
        return min((self._accounts[one].confirmed if one in self._accounts else 0 for one in addresses), default=0)

    def size(self, addresses: Iterable[str] | None = None) -> int:
        """About how many bytes these accounts need in memory; all of them if none are named."""
        return sum(self._accounts[one].size() for one in self._chosen(addresses))

    def _chosen(self, addresses: Iterable[str] | None) -> Iterable[str]:
        return self._accounts if addresses is None else [one for one in addresses if one in self._accounts]

    def _compare_slots(self, slot: int, requested_at: int, stale_slots: int) -> None:
        newest = self.stream.newest
        if requested_at - slot > AHEAD_SLOTS:
            self.slot_doubt = f"notifications were of slot {requested_at} when a read returned slot {slot}"
            # Their slots are too high, and a floor from them would keep everything cold for long.
            self._floor = slot
        elif newest and slot - newest > stale_slots:
            self.slot_doubt = f"a read returned slot {slot}, and notifications are still of slot {newest}"
        else:
            self.slot_doubt = ""
            self._floor = max(self._floor, slot)

    def _settle_dispute(self, address: str) -> None:
        account = self._accounts[address]
        read = account.disputed
        if read is None or self.stream.complete < read.slot:
            return
        self._disputed.discard(address)
        account.disputed = None
        known = account.at(read.slot)
        if known is not None and known.account == read.account:
            self._agree(address, account, read.slot)
        elif known is not None:
            account.uncover()
            self._doubted.discard(address)
            self._missed.add(address)

    def _agree(self, address: str, account: CachedAccount, slot: int) -> None:
        account.agree(slot)
        if account.doubted is None:
            self._doubted.discard(address)


def _coldness(account: CachedAccount, slot: int, stale_slots: int) -> Cold | None:
    if not account.subscribed:
        return Cold.UNWATCHED
    if not account.is_read:
        return Cold.UNREAD
    if slot - account.confirmed > stale_slots:
        return Cold.UNCONFIRMED
    if account.doubted is not None:
        return Cold.VALUE_DOUBTED
    return None
