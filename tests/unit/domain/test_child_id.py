"""Ids of child orders: the same part of a parent always has the same id, and no other part has it."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.child_id import child_id

UUIDS = st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number))


@given(UUIDS, st.integers(1, 1000))
def test_the_same_part_of_the_same_order_has_the_same_id(parent: UUID, number: int) -> None:
    assert child_id(parent, str(number)) == child_id(parent, str(number))


@given(UUIDS, UUIDS)
def test_no_two_parts_of_any_orders_share_an_id(parent: UUID, other: UUID) -> None:
    ids = {child_id(order, str(number)) for order in (parent, other) for number in range(1, 1001)}
    assert len(ids) == 1000 * len({parent, other})
    assert parent not in ids


@given(UUIDS)
def test_a_child_sorts_by_the_time_of_its_parent(parent: UUID) -> None:
    assert child_id(parent, "1").int >> 80 == parent.int >> 80
