"""The record of where an attempt was sent."""

import pytest

from dexexec.domain.sends import SendAnswer, SendLog
from dexexec.domain.swap import Unknown

AT = 1_700_000_000_123


def log_with(*answers: SendAnswer, slot: int | None = 100) -> SendLog:
    log = SendLog()
    for at, answer in enumerate(answers):
        log.begin("one.example", send_only=True, at_ms=AT + 200 * at, slot=None if slot is None else slot + at).end(
            answer, "" if answer is SendAnswer.ACCEPTED else f"because of {answer}"
        )
    return log


def test_it_has_the_first_send_the_count_and_the_slots_to_the_landing() -> None:
    assert log_with(SendAnswer.ACCEPTED, SendAnswer.REFUSED).detail(103, AT + 750) == [
        {
            "endpoint": "one.example", "sendOnly": True, "sentAt": "2023-11-14T22:13:20.123Z", "sends": 2,
            "answer": "accepted", "landingSlots": 3, "landingMs": 750,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(("slot", "landed"), [(None, 103), (100, None), (100, 99)])
def test_slots_that_are_not_known_or_make_no_sense_are_left_open(slot: int | None, landed: int | None) -> None:
    [detail] = log_with(SendAnswer.ACCEPTED, slot=slot).detail(landed, AT + 750)
    assert (detail["landingSlots"], detail["landingMs"]) == (None, None)


def test_what_never_left_has_no_time_until_it_does() -> None:
    log = log_with(SendAnswer.NOT_SENT)
    [detail] = log.detail(103)
    assert (detail["sentAt"], detail["sends"], detail["answer"], detail["landingSlots"]) == (None, 0, "not-sent", None)
    assert detail["detail"] == "because of not-sent"
    log.begin("one.example", send_only=True, at_ms=AT + 400, slot=102).end(SendAnswer.ACCEPTED)
    [detail] = log.detail(103)
    assert (detail["sentAt"], detail["landingSlots"]) == ("2023-11-14T22:13:20.523Z", 1)


def test_the_answers_of_all_explain_why_nothing_was_accepted() -> None:
    log = log_with(SendAnswer.REFUSED)
    log.begin("two.example", send_only=False, at_ms=AT, slot=None)
    assert log.answer() == Unknown("because of refused; two.example has not answered yet")
