"""What an order waits for, as it is read from the record."""

from typing import Any

from dexexec.domain.status import Status
from dexexec.store.wait_reasons import waiting_for

AT = "2026-01-31T12:00:00.000Z"
LAST: dict[str, Any] = {"at": AT}
NOTED = {"reason": "node", "detail": "all are away", "since": "2026-01-31T13:00:01.5+01:00"}
RESTS = LAST | {"reason": "unreachable", "detail": "a: away", "retryInMs": 1500}


def test_a_note_of_the_worker_comes_first() -> None:
    expected = {"reason": "node", "detail": "all are away", "since": "2026-01-31T12:00:01.500Z"}
    assert waiting_for(Status.SUBMITTED, NOTED, LAST, ended=False) == expected
    assert waiting_for(Status.ROUTING, NOTED, RESTS, ended=False) == expected


def test_an_order_between_two_rounds_shows_the_reason_and_the_next_time() -> None:
    assert waiting_for(Status.ROUTING, None, RESTS, ended=False) == {
        "reason": "unreachable", "detail": "a: away", "since": AT, "until": "2026-01-31T12:00:01.500Z",
    }  # fmt: skip


def test_a_confirmed_order_waits_for_finality_and_a_new_one_for_a_worker() -> None:
    reasons = [waiting_for(status, None, LAST, ended=False) for status in (Status.CONFIRMED, Status.PENDING)]
    assert [reason and reason["reason"] for reason in reasons] == ["finality", "worker"]


def test_an_order_that_is_executed_or_has_ended_waits_for_nothing() -> None:
    assert [waiting_for(status, None, LAST, ended=False) for status in (Status.ROUTING, Status.BUILDING)] == [None] * 2
    assert waiting_for(Status.SUBMITTED, None, LAST, ended=False) is None
    assert [waiting_for(status, NOTED, RESTS, ended=True) for status in Status] == [None] * len(Status)
