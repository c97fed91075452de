"""The core of the feed: a subscription delivers seq + 1, seq + 2 ..., even if messages are lost, late or repeated."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.feed.publisher import Announcement
from dexexec.feed.subscription import MAX_AHEAD, AfterSeqCheck, EncodedEvent, Subscription

ORDER = UUID("01234567-89ab-cdef-0123-456789abcdef")


def event(seq: int, final: bool = False) -> EncodedEvent:
    return EncodedEvent(seq, final, b'{"seq":%d}' % seq)


def rows(first: int, last: int, final: bool = False) -> list[EncodedEvent]:
    return [event(seq, final and seq == last) for seq in range(first, last + 1)]


class AnyInterleaving(RuleBasedStateMachine):
    """Events are committed; announcements of them arrive late, twice, out of order or never; Postgres is read and
    polled at any moment, and reads may fail. At the end there is one poll, and reads as long as something lags."""

    @initialize(after=st.integers(0, 6), length=st.integers(1, 30), ends=st.booleans())
    def begin(self, after: int, length: int, ends: bool) -> None:
        self.after, self.length, self.ends = after, max(length, after + 1), ends
        self.committed = max(after, 1)  # an order always has event 1
        self.subscription = Subscription(ORDER, after)
        self.delivered: list[int] = []
        self.rows: list[EncodedEvent] | None = None
        self.read_once = False

    def made(self, seq: int) -> EncodedEvent:
        return event(seq, self.ends and seq == self.length)

    def offer(self, given: EncodedEvent) -> None:
        self.delivered += [ready.seq for ready in self.subscription.offer(given)]

    @precondition(lambda self: self.committed < self.length)
    @rule()
    def commit(self) -> None:
        self.committed += 1

    @rule(data=st.data())
    def announce(self, data: st.DataObject) -> None:
        self.offer(self.made(data.draw(st.integers(1, self.committed), label="seq")))

    @rule()
    def announce_newest(self) -> None:
        self.offer(self.made(self.committed))

    @precondition(lambda self: self.rows is None and not self.subscription.ended)
    @rule(extra=st.integers(0, 3))
    def read(self, extra: int) -> None:
        """The rows are as of a moment after the read began, and may begin earlier than requested."""
        after = self.subscription.begin_read()
        self.rows = [self.made(seq) for seq in range(max(1, after + 1 - extra), self.committed + 1)]
        if self.subscription.confirm(self.rows) is not AfterSeqCheck.VALID:
            raise AssertionError("the event named by after_seq exists, and is not the last")
        self.read_once = True

    @precondition(lambda self: self.rows)
    @rule()
    def take_row(self) -> None:
        assert self.rows
        self.offer(self.rows.pop(0))

    @precondition(lambda self: self.rows is not None)
    @rule()
    def fail_read(self) -> None:
        self.rows = None
        self.subscription.end_read()

    @rule()
    def poll(self) -> None:
        self.subscription.learn(self.committed)

    @invariant()
    def in_order_without_gap_or_repeat(self) -> None:
        if hasattr(self, "subscription"):
            assert self.delivered == list(range(self.after + 1, self.after + 1 + len(self.delivered)))
            assert self.after + len(self.delivered) <= max(self.committed, self.after)
            assert self.subscription.ended == (self.ends and self.length in self.delivered)
            assert len(self.subscription._ahead or ()) <= MAX_AHEAD

    def teardown(self) -> None:
        if not hasattr(self, "subscription"):
            return
        while self.rows:
            self.take_row()
        self.subscription.end_read()
        self.poll()
        for _ in range(2):
            if self.subscription.lagging:
                self.read(0)
                while self.rows:
                    self.take_row()
                self.fail_read()
        assert self.delivered == list(range(self.after + 1, self.committed + 1))


AnyInterleaving.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyInterleaving = AnyInterleaving.TestCase


def test_a_live_event_that_follows_is_delivered_before_any_read() -> None:
    subscription = Subscription(ORDER, 0)
    assert [e.seq for e in subscription.offer(event(1))] == [1]


def test_live_events_that_come_during_a_read_need_no_second_read() -> None:
    subscription = Subscription(ORDER, 0)
    subscription.begin_read()
    assert subscription.offer(event(3)) == []
    assert subscription.offer(event(4)) == []
    delivered = [e.seq for row in rows(1, 2) for e in subscription.offer(row)]
    subscription.end_read()
    assert delivered == [1, 2, 3, 4]
    assert not subscription.lagging


def test_a_missing_event_shows_as_lag_until_it_is_read() -> None:
    subscription = Subscription(ORDER, 0)
    subscription.offer(event(1))
    assert subscription.offer(event(3)) == []
    assert subscription.lagging
    assert subscription.begin_read() == 1
    assert [e.seq for row in rows(2, 3) for e in subscription.offer(row)] == [2, 3]
    subscription.end_read()
    assert not subscription.lagging


def test_a_seq_that_postgres_does_not_have_is_not_requested_again_and_again() -> None:
    subscription = Subscription(ORDER, 0)
    subscription.offer(event(1))
    subscription.offer(event(9))
    subscription.begin_read()
    subscription.end_read()
    assert not subscription.lagging


def test_only_so_many_live_events_are_kept_during_a_read_and_the_rest_is_read_again() -> None:
    subscription = Subscription(ORDER, 0)
    subscription.begin_read()
    for live in rows(3, 3 + MAX_AHEAD):
        assert subscription.offer(live) == []
    delivered = [e.seq for row in rows(1, 2) for e in subscription.offer(row)]
    subscription.end_read()
    assert delivered == list(range(1, 3 + MAX_AHEAD))
    assert subscription.lagging


def test_the_final_event_ends_the_subscription() -> None:
    subscription = Subscription(ORDER, 2)
    assert [e.seq for e in subscription.offer(event(3, final=True))] == [3]
    assert subscription.ended
    assert subscription.offer(event(4)) == []


@pytest.mark.parametrize(
    ("after", "found", "check"),
    [
        (0, [], AfterSeqCheck.VALID),
        (0, rows(1, 3), AfterSeqCheck.VALID),
        (3, rows(3, 3), AfterSeqCheck.VALID),
        (3, rows(1, 5), AfterSeqCheck.VALID),
        (3, rows(3, 3, final=True), AfterSeqCheck.ENDED),
        (3, rows(3, 5, final=True), AfterSeqCheck.VALID),
        (3, [], AfterSeqCheck.AHEAD),
        (3, rows(1, 2), AfterSeqCheck.AHEAD),
    ],
)
def test_after_seq_is_judged_by_the_first_read(after: int, found: list[EncodedEvent], check: AfterSeqCheck) -> None:
    subscription = Subscription(ORDER, after)
    assert subscription.begin_read() == max(0, after - 1)
    assert subscription.confirm(found) is check


def test_a_live_event_proves_after_seq() -> None:
    subscription = Subscription(ORDER, 3)
    subscription.begin_read()
    subscription.offer(event(4))
    assert subscription.confirm([]) is AfterSeqCheck.VALID


def test_an_announced_event_has_whether_it_is_the_last() -> None:
    for status, final in ((Status.ROUTING, False), (Status.FAILED, True)):
        payload = Event(
            order_id=ORDER,
            seq=7,
            status=status,
            at=datetime(2026, 1, 1, tzinfo=UTC),
            detail={"quotes": [{"final": True}]},
        ).encode()
        assert EncodedEvent.from_announcement(Announcement(ORDER, 7, payload)) == EncodedEvent(7, final, payload)


@pytest.mark.parametrize("payload", [b"", b"{", b"[1]", b'{"seq":8}', b"\xff"])
def test_a_payload_that_is_not_the_named_event_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):
        EncodedEvent.from_announcement(Announcement(ORDER, 7, payload))
