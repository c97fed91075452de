"""Which histories are kept: whole ones that this process has written alone."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from dexexec.domain.event import Event
from dexexec.domain.status import Status
from dexexec.feed.publisher import Outgoing, encode
from dexexec.feed.recent_events import RecentEvents

ORDER = UUID(int=1)


def committed(*seqs: int, order_id: UUID = ORDER) -> list[Outgoing]:
    at = datetime(2026, 1, 31, tzinfo=UTC)
    return [Outgoing(Event(order_id=order_id, seq=n, status=Status.ROUTING, at=at, detail={})) for n in seqs]


def seqs(recent: RecentEvents, after: int = 0) -> list[int]:
    return [outgoing.event.seq for outgoing in recent.after(ORDER, after)]


def test_events_of_several_commits_are_one_history() -> None:
    recent = RecentEvents()
    recent.put(committed(1))
    recent.put(committed(2, 3))
    assert seqs(recent) == seqs(recent, -1) == [1, 2, 3]
    assert seqs(recent, 2) == [3]
    assert seqs(recent, 3) == seqs(recent, 9) == []


def test_a_history_that_began_elsewhere_is_not_kept() -> None:
    recent = RecentEvents()
    recent.put(committed(2, 3))
    assert seqs(recent, 1) == []
    assert not len(recent)


def test_a_history_with_a_gap_or_a_repeat_is_dropped() -> None:
    for wrong in (4, 2):
        recent = RecentEvents()
        recent.put(committed(1, 2))
        recent.put(committed(wrong))
        recent.put(committed(3))
        assert seqs(recent) == []


def test_what_another_process_writes_ends_a_history() -> None:
    recent, other = RecentEvents(), uuid4()
    recent.put(committed(1) + committed(1, order_id=other))
    recent.forget_announced(encode(b"elsewhere", committed(2)) + b"\n\nnot an event")
    recent.put(committed(3))
    assert seqs(recent) == []
    assert len(recent.after(other, 0)) == 1
    recent.put(committed(1))
    assert seqs(recent) == [1]


def test_a_history_is_dropped_when_the_record_has_more() -> None:
    recent = RecentEvents()
    recent.put(committed(1, 2))
    recent.forget_unless_at(ORDER, 2)
    assert seqs(recent) == [1, 2]
    recent.forget_unless_at(ORDER, 3)
    assert seqs(recent) == []
    recent.forget_unless_at(uuid4(), 3)


def test_only_the_newest_orders_are_kept() -> None:
    recent = RecentEvents(most=2)
    orders = [uuid4() for _ in range(3)]
    for order_id in orders:
        recent.put(committed(1, order_id=order_id))
    assert [len(recent.after(order_id, 0)) for order_id in orders] == [0, 1, 1]
