"""What an operator sees of an order: one line at its end, with what it needs to be understood."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from structlog.testing import CapturingLogger

from dexexec.domain.event import Detail, Event
from dexexec.domain.stage import Stage
from dexexec.domain.status import Status
from dexexec.domain.timeline import Timeline
from dexexec.observe.observer import Observer

ORDER = UUID(int=7)
START = datetime(2026, 1, 31, tzinfo=UTC)


def events(*steps: tuple[Status, int, Detail]) -> list[Event]:
    """Events with their time (milliseconds after the first)."""
    return [
        Event(order_id=ORDER, seq=seq, status=status, at=START + timedelta(milliseconds=ms), detail=detail)
        for seq, (status, ms, detail) in enumerate(steps, 1)
    ]


def line(timeline: Timeline) -> dict[str, object]:
    """The fields of the one line that reports an end."""
    log = CapturingLogger()
    Observer(log).order_ended(timeline)
    [call] = log.calls
    assert (call.method_name, call.args) == ("info", ("order ended",))
    return dict(call.kwargs)


def test_a_filled_order_is_one_line_with_venue_attempts_and_the_time_of_each_stage() -> None:
    way = events(
        (Status.PENDING, 0, {"requestId": "r-1"}),
        (Status.WAITING, 1, {"waitsFor": "price"}),
        (Status.ROUTING, 2, {"round": 1, "quotes": []}),
        (Status.BUILDING, 53, {"venue": "a"}),
        (Status.SUBMITTED, 60, {"venue": "a", "attempt": 1}),
        (Status.ROUTING, 900, {"reason": "slippage", "detail": "the price moved"}),
        (Status.ROUTING, 1_000, {"round": 2, "quotes": []}),
        (Status.BUILDING, 1_050, {"venue": "b"}),
        (Status.SUBMITTED, 1_060, {"venue": "b", "attempt": 2}),
        (Status.CONFIRMED, 1_500, {"venue": "b"}),
        (Status.CONFIRMED, 14_000, {"venue": "b", "finalized": True}),
    )
    way[4] = replace(way[4], stages={Stage.QUEUE: 0.002, Stage.ROUTING: 0.0511})
    way[8] = replace(way[8], stages={Stage.ROUTING: 0.05, Stage.CONFIRMING: 0.44})
    assert line(Timeline.of(ORDER, way)) == {
        "order": str(ORDER),
        "status": "confirmed",
        "venue": "b",
        "request_id": "r-1",
        "attempts": 2,
        "rounds": 2,
        "ms": 14_000,
        "queue_ms": 2,
        "routing_ms": 51 + 50,
        "confirming_ms": 440,
        "waiting_ms": 1,
        "finalizing_ms": 12_500,
    }


def test_an_order_that_failed_says_what_failed() -> None:
    reason = {"reason": "no-route", "detail": "no venue has a pool for this pair"}
    way = events((Status.PENDING, 0, {}), (Status.ROUTING, 5, {"round": 1}), (Status.EXPIRED, 9, reason))
    fields = line(Timeline.of(ORDER, way))
    assert (fields["status"], fields["reason"], fields["detail"]) == ("expired", *reason.values())
    assert (fields["attempts"], fields["rounds"], fields["ms"]) == (0, 1, 9)


def test_an_attempt_that_the_chain_took_back_is_counted_once() -> None:
    way = events(
        (Status.PENDING, 0, {}),
        (Status.SUBMITTED, 1, {}),
        (Status.CONFIRMED, 2, {}),
        (Status.SUBMITTED, 3, {"reason": "un-confirmed"}),
        (Status.CONFIRMED, 4, {"finalized": True}),
    )
    assert Timeline.of(ORDER, way).attempts == 1


def test_times_that_are_not_known_are_left_out() -> None:
    [*_, last] = events((Status.PENDING, 0, {}), (Status.CANCELLED, 9, {"detail": "cancelled by the client"}))
    fields = line(Timeline.of(ORDER, [last]))
    assert fields == {"order": str(ORDER), "status": "cancelled", "detail": "cancelled by the client"}
