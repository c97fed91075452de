"""The rule by which accounts are answered from memory: of one complete slot, covered, and confirmed lately."""

from dataclasses import dataclass, field

import pytest

from dexexec.domain.solana import Account, Accounts
from dexexec.settlement.solana.warm.account_cache import AccountCache, CacheLimits, Cold
from dexexec.settlement.solana.warm.slot_stream import StreamGapError

LIMITS = CacheLimits(stale_slots=10, stale_seconds=2.0)
STALE = LIMITS.stale_slots


def value(number: int) -> Account:
    """An account with this number in its data."""
    return Account("owner", 1, number.to_bytes(8, "little"))


@dataclass
class Feed:
    """A cache with its notifications and reads; a slot takes 0.2 s."""

    cache: AccountCache = field(default_factory=AccountCache)
    slot: int = 100

    @property
    def now(self) -> float:
        return self.slot * 0.2

    def watch(self, *addresses: str) -> None:
        for address in addresses:
            self.cache.add(address)
            self.cache.subscribed(address)

    def clock(self, slots: int = 1) -> None:
        for _ in range(slots):
            self.slot += 1
            self.cache.clock(self.slot, self.now, LIMITS)

    def report(self, address: str, number: int | None, slot: int | None = None) -> None:
        self.cache.report(address, slot or self.slot, None if number is None else value(number), self.now)

    def read(self, slot: int | None = None, requested_at: int | None = None, **numbers: int | None) -> None:
        found = {address: None if number is None else value(number) for address, number in numbers.items()}
        newest = self.cache.stream.newest
        self.cache.read(found, slot or self.slot, newest if requested_at is None else requested_at, STALE)

    def warm(self, **numbers: int) -> None:
        """Both accounts are watched and read, and the slot of that is complete."""
        self.watch(*numbers)
        self.clock()
        self.read(**numbers)
        self.clock()

    def snapshot(self, *addresses: str, later: float = 0.0) -> tuple[int, ...] | Cold:
        """The numbers in the accounts, or why there are none."""
        found = self.cache.snapshot(addresses, self.now + later, LIMITS)
        if isinstance(found, Cold):
            return found
        return tuple(int.from_bytes(one.data, "little") if one else -1 for one in found.found)


def warm_feed(**numbers: int) -> Feed:
    feed = Feed()
    feed.warm(**(numbers or {"a": 1, "b": 1}))
    return feed


def test_watched_accounts_are_answered_as_of_the_complete_slot() -> None:
    feed = warm_feed()
    assert feed.cache.snapshot(("a", "b"), feed.now, LIMITS) == Accounts(101, (value(1), value(1)))


def test_an_account_is_cold_until_it_is_subscribed_covered_read_and_complete() -> None:
    feed = Feed()
    feed.clock(2)
    assert feed.snapshot("a") is Cold.UNWATCHED
    feed.cache.add("a")
    assert feed.snapshot("a") is Cold.UNWATCHED
    feed.cache.subscribed("a")
    feed.read(a=1)
    assert feed.snapshot("a") is Cold.UNREAD, "no Clock has shown yet from which slot on changes are reported"
    feed.clock()
    feed.read(a=2, slot=feed.slot - 1)
    assert feed.snapshot("a") is Cold.UNREAD, "a change of the slot after this read may not have been reported"
    feed.read(a=3)
    assert feed.snapshot("a") is Cold.UNREAD, "the slot of the read is not complete"
    feed.clock()
    assert feed.snapshot("a") == (3,)


def test_a_change_between_coverage_and_the_first_read_needs_a_read_that_has_it() -> None:
    feed = Feed()
    feed.watch("a")
    feed.clock(3)
    feed.report("a", 2)
    feed.read(a=1, slot=feed.slot - 1)
    feed.clock(2)
    assert feed.snapshot("a") is Cold.UNREAD
    feed.read(a=2)
    feed.clock()
    assert feed.snapshot("a") == (2,)


def test_changes_that_the_first_read_has_already_do_not_count_again() -> None:
    feed = Feed()
    feed.watch("a")
    feed.clock()
    feed.read(a=5, slot=feed.slot + 3)
    for number in (3, 4, 5):
        feed.clock()
        feed.report("a", number)
    feed.clock()
    assert feed.snapshot("a") == (5,)


def test_a_set_is_never_torn() -> None:
    feed = warm_feed()
    feed.clock()
    feed.report("a", 2)
    assert feed.snapshot("a", "b") == (1, 1), "the slot of the change is not complete: b may change in it too"
    feed.report("b", 2)
    assert feed.snapshot("a", "b") == (1, 1)
    feed.clock()
    assert feed.snapshot("a", "b") == (2, 2)


def test_a_change_before_the_clock_of_its_own_slot_belongs_to_that_slot() -> None:
    feed = warm_feed()
    feed.report("a", 2)
    feed.report("a", 3, slot=feed.slot + 1)
    feed.report("b", 3, slot=feed.slot + 1)
    assert feed.snapshot("a", "b") == (1, 1)
    feed.clock()
    assert feed.snapshot("a", "b") == (2, 1)
    feed.clock()
    assert feed.snapshot("a", "b") == (3, 3)


def test_a_set_without_a_version_of_the_complete_slot_is_not_answered() -> None:
    feed = warm_feed()
    for number in range(1, 5):
        feed.report("a", number + 1, slot=feed.slot + number)
    assert feed.snapshot("a", "b") is Cold.TORN
    assert feed.snapshot("b") == (1,)
    feed.clock(5)
    assert feed.snapshot("a", "b") == (5, 1)


def test_missing_and_closed_accounts_are_answered_too() -> None:
    feed = Feed()
    feed.watch("a", "b")
    feed.clock()
    feed.read(a=None, b=1)
    feed.clock()
    assert feed.snapshot("a", "b") == (-1, 1)
    feed.report("a", 7)
    feed.report("b", None)
    feed.clock()
    assert feed.snapshot("a", "b") == (7, -1)


def test_a_silent_node_leaves_nothing_warm() -> None:
    feed = warm_feed()
    assert feed.snapshot("a", later=LIMITS.stale_seconds) == (1,)
    assert feed.snapshot("a", later=LIMITS.stale_seconds + 0.1) is Cold.SILENT
    assert Feed().snapshot("a") is Cold.SILENT


def test_an_account_that_is_not_confirmed_for_too_many_slots_is_cold() -> None:
    feed = warm_feed()
    feed.clock(STALE)
    assert feed.snapshot("a", "b") == (1, 1)
    feed.report("a", 1)
    feed.clock()
    assert feed.snapshot("a") == (1,)
    assert feed.snapshot("a", "b") is Cold.UNCONFIRMED
    assert feed.cache.unconfirmed(STALE) == ["b"]
    feed.read(b=1)
    assert feed.snapshot("a", "b") == (1, 1)
    assert feed.cache.unconfirmed(STALE) == []


def test_accounts_are_confirmed_in_the_order_of_their_age() -> None:
    feed = warm_feed(a=1, b=1, c=1)
    for address in ("b", "a"):
        feed.clock()
        feed.report(address, 2)
    feed.clock(3)
    assert feed.cache.unconfirmed(1) == ["c", "b", "a"]


def test_a_change_that_was_not_reported_makes_the_account_cold_once_that_is_certain() -> None:
    feed = warm_feed()
    feed.read(a=2, slot=feed.slot + 1)
    feed.clock()
    assert feed.cache.take_missed() == set(), "its report may be on its way"
    feed.clock()
    assert feed.cache.take_missed() == {"a"}
    assert feed.cache.take_missed() == set()
    assert feed.snapshot("a") is Cold.UNREAD
    assert feed.snapshot("b") == (1,)


def test_a_change_that_is_reported_after_it_was_read_is_in_order() -> None:
    feed = warm_feed()
    feed.read(a=2, slot=feed.slot + 1)
    feed.clock()
    feed.report("a", 2)
    feed.clock()
    assert feed.cache.take_missed() == set()
    assert feed.snapshot("a") == (2,)


def test_a_read_of_an_old_slot_disputes_nothing() -> None:
    feed = warm_feed()
    feed.clock(2)
    feed.report("a", 2)
    feed.clock(3)
    feed.report("a", 3)
    feed.read(a=1, slot=feed.slot - 4)
    assert feed.cache.take_missed() == set()
    feed.clock()
    assert feed.snapshot("a") == (3,)


def test_a_dropped_subscription_is_noticed_by_the_next_read() -> None:
    feed = warm_feed()
    feed.clock(3)
    feed.read(a=2, b=1)
    feed.clock()
    assert feed.cache.take_missed() == {"a"}
    feed.cache.subscribed("a")
    feed.clock()
    feed.read(a=2)
    feed.clock()
    assert feed.snapshot("a", "b") == (2, 1)


def test_an_old_value_under_a_new_slot_is_not_quoted_before_a_read_confirms_it() -> None:
    feed = warm_feed()
    for number in (2, 3):
        feed.report("a", number)
        feed.clock()
    feed.report("a", 1)
    assert feed.snapshot("a") is Cold.VALUE_DOUBTED
    assert feed.cache.doubted() == ["a"]
    feed.clock()
    feed.read(a=3, slot=feed.slot)
    feed.clock()
    assert feed.cache.take_missed() == {"a"}
    assert feed.snapshot("a") is Cold.UNREAD
    assert feed.cache.doubted() == []


def test_an_account_may_have_an_earlier_value_again() -> None:
    feed = warm_feed()
    feed.report("a", 2)
    feed.clock()
    feed.report("a", 1)
    feed.clock()
    feed.read(a=2, slot=feed.slot - 2)
    assert feed.snapshot("a") is Cold.VALUE_DOUBTED, "a read of a slot before the report confirms nothing"
    feed.read(a=1)
    assert feed.snapshot("a") == (1,)
    assert feed.cache.doubted() == []


@pytest.mark.parametrize("back", [0, 1, 50], ids=["repeated", "one back", "far back"])
def test_a_clock_that_does_not_advance_is_a_gap(back: int) -> None:
    feed = warm_feed()
    with pytest.raises(StreamGapError, match="went back"):
        feed.cache.clock(feed.slot - back, feed.now, LIMITS)


def test_a_report_of_a_complete_slot_is_a_gap() -> None:
    feed = warm_feed()
    feed.clock()
    with pytest.raises(StreamGapError, match="complete"):
        feed.report("a", 5, slot=feed.slot - 1)


def test_reports_of_one_account_out_of_order_are_a_gap() -> None:
    feed = warm_feed()
    feed.report("a", 2, slot=feed.slot + 2)
    with pytest.raises(StreamGapError, match="of an account"):
        feed.report("a", 3, slot=feed.slot + 1)


def test_a_slot_that_time_does_not_explain_is_a_gap() -> None:
    feed = warm_feed()
    with pytest.raises(StreamGapError, match="jumped"):
        feed.cache.clock(feed.slot + 500, feed.now, LIMITS)
    with pytest.raises(StreamGapError, match="jumped"):
        feed.report("a", 2, slot=feed.slot + 500)
    feed.cache.clock(feed.slot + 500, feed.now + 10, LIMITS)


def test_after_a_gap_everything_is_cold_until_it_is_read_again() -> None:
    feed = warm_feed()
    feed.cache.gap()
    assert feed.snapshot("a", "b") is Cold.SILENT
    feed.clock()
    assert feed.cache.unread() == ["a", "b"]
    feed.read(a=1, b=1)
    assert feed.snapshot("a", "b") is Cold.UNREAD
    feed.clock()
    assert feed.snapshot("a", "b") == (1, 1)


def test_old_notifications_that_are_replayed_never_become_an_answer() -> None:
    feed = warm_feed()
    for number in (2, 3, 4):
        feed.report("a", number)
        feed.clock(20)
    feed.slot -= 55
    with pytest.raises(StreamGapError):
        feed.clock()
    feed.cache.gap()
    for number in (2, 3):
        feed.clock()
        feed.report("a", number)
        feed.read(a=4, b=1, slot=162)
        feed.clock()
        assert isinstance(feed.snapshot("a", "b"), Cold)


def test_after_a_lost_connection_nothing_is_subscribed() -> None:
    feed = warm_feed()
    feed.cache.disconnected()
    feed.clock(2)
    assert feed.snapshot("a") is Cold.UNWATCHED
    assert feed.cache.unread() == []


def test_notifications_behind_the_reads_are_not_quoted_from() -> None:
    feed = warm_feed()
    feed.read(a=1, b=1, slot=feed.slot + STALE)
    assert feed.snapshot("a") == (1,)
    feed.read(a=1, b=1, slot=feed.slot + STALE + 1)
    assert feed.snapshot("a") is Cold.SLOT_DOUBTED
    assert str(feed.slot) in feed.cache.slot_doubt
    feed.clock()
    feed.read(a=1, b=1)
    assert feed.snapshot("a") == (1,)


def test_notifications_ahead_of_the_reads_are_not_quoted_from() -> None:
    feed = warm_feed()
    feed.clock(20)
    feed.read(a=1, b=1, slot=feed.slot - 11)
    assert feed.snapshot("a") is Cold.SLOT_DOUBTED
    feed.read(a=1, b=1, slot=feed.slot - 11, requested_at=feed.slot - 5)
    assert feed.snapshot("a") == (1,), "the answer took six slots"


def test_a_forgotten_account_leaves_nothing_behind() -> None:
    feed = warm_feed()
    assert feed.cache.size() > 0
    feed.report("a", 2)
    feed.clock()
    feed.report("a", 1)
    feed.read(b=3, slot=feed.slot + 1)
    for address in ("a", "b"):
        feed.cache.drop(address)
    feed.clock(3)
    feed.report("a", 9)
    feed.read(a=9)
    assert (feed.cache.size(), feed.cache.doubted(), feed.cache.take_missed()) == (0, [], set())
    assert feed.snapshot("a") is Cold.UNWATCHED


def test_the_rate_of_notifications_fades() -> None:
    feed = warm_feed()
    for number in range(2, 302):
        feed.clock()
        feed.report("a", number)
    assert feed.cache.rates(["a", "b"], feed.now) == pytest.approx(5, rel=0.2)
    assert feed.cache.rates(["a"], feed.now + 300) < 0.01
    assert feed.cache.oldest(["a", "b"]) < feed.slot


def test_after_a_gap_no_read_from_before_it_is_the_first_one() -> None:
    feed = warm_feed()
    feed.clock(5)
    feed.report("a", 2)
    newest = feed.slot
    feed.cache.gap()
    feed.slot -= 5
    feed.clock()
    feed.read(a=1, b=1)
    feed.slot = newest
    feed.clock(2)
    assert feed.snapshot("a") is Cold.UNREAD, "old notifications were repeated, and a lagging node was read"
    feed.read(a=2, b=1)
    feed.clock()
    assert feed.snapshot("a", "b") == (2, 1)


def test_what_comes_after_a_silence_is_not_quoted_from_before_a_read_shows_its_age() -> None:
    feed = warm_feed()
    silence = LIMITS.stale_seconds + 0.1
    late = feed.now + silence
    feed.cache.clock(feed.slot + 1, late, LIMITS)
    assert feed.snapshot("a", later=silence) is Cold.SLOT_DOUBTED
    assert feed.cache.has_work()
    feed.read(a=1, b=1, slot=feed.slot + STALE + 2)
    assert feed.snapshot("a", later=silence) is Cold.SLOT_DOUBTED
    feed.read(a=1, b=1, slot=feed.slot + 2)
    assert feed.snapshot("a", later=silence) == (1,), "the chain itself stood still"
