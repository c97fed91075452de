"""Orders of groups and brackets, explained: what holds an order back, what cancelled it, and what must never be."""

from uuid import UUID

from dexexec.api.explanation import explain
from dexexec.domain.oco import GroupHeld, filled_detail
from tests.unit.api.test_explanation import TOKENS, order, texts

OTHER = UUID(int=7)
AT = "2026-11-29T16:34:50.053Z"


def test_an_order_whose_group_is_held_names_the_order_that_holds_it() -> None:
    detail = GroupHeld("pair", OTHER).detail
    event = {"seq": 2, "status": "routing", "at": AT, "reason": "group-held", "detail": detail, "retryInMs": 50}
    explained = explain(order(status="routing", finishedAt=None, events=[order()["events"][0], event]), TOKENS)
    assert (
        f'Back to routing (group-held), since order {OTHER} of the group "pair" has a swap on its way;'
        " the next round follows after 50 ms." in texts(explained)
    )


def test_an_order_that_its_group_cancelled_names_the_order_that_was_filled_and_needs_no_action() -> None:
    event = {"seq": 2, "status": "cancelled", "at": AT, **filled_detail("pair", OTHER)}
    first = {**order()["events"][0], "ocoGroup": "pair"}
    explained = explain(
        order(status="cancelled", failureReason="group-filled", events=[first, event], attempts=[]), TOKENS
    )
    accepted, *_, ended = texts(explained)
    assert 'a fill of another order of the group "pair" cancels it' in accepted
    assert ended == f'The order was cancelled (group-filled): order {OTHER} of the group "pair" was filled.'
    assert explained["advice"] is not None
    assert "filledBy" in str(explained["advice"])


def test_two_fills_of_a_group_are_named_with_the_fill() -> None:
    events = order()["events"]
    events[-1]["groupAlsoFilled"] = [str(OTHER)]
    explained = explain(order(events=events), TOKENS)
    assert any(f"More than one order of its group was filled: also {OTHER}." in text for text in texts(explained))
