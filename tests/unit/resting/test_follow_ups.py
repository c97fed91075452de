"""The duty that follows up orders that ended: its turns, and what it logs once."""

import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dexexec.domain.token import KNOWN, Tokens
from dexexec.failpoints import Failpoint
from dexexec.observe.observer import Observer, make_logger
from dexexec.resting.follow_ups import PAGE, FollowUps
from dexexec.store import EndedOrder, FollowUp
from dexexec.store.follow_ups import Place
from tests.support.failpoints import ScriptedFailpoints

START = datetime(2026, 1, 1, tzinfo=UTC)


def ended(number: int) -> EndedOrder:
    return EndedOrder(UUID(int=number), START + timedelta(seconds=number), "pair")


@dataclass(slots=True)
class EndedOrders:
    """Ended orders; those in `stuck` cannot be completed."""

    waiting: list[EndedOrder]
    stuck: dict[UUID, FollowUp] = field(default_factory=dict)
    late: int = 0
    followed: list[UUID] = field(default_factory=list)

    async def ended_orders(self, after: Place, limit: int) -> list[EndedOrder]:
        return [one for one in self.waiting if (one.finished_at, one.id) > after][:limit]

    async def follow_up(self, order: EndedOrder, _: Tokens) -> FollowUp:
        self.followed.append(order.id)
        if order.id in self.stuck:
            return self.stuck[order.id]
        self.waiting.remove(order)
        return FollowUp(cancelled=[UUID(int=99)], armed=[UUID(int=98), UUID(int=97)])

    async def join_groups(self, limit: int) -> tuple[int, list[UUID]]:
        count = min(self.late, limit)
        self.late -= count
        return count, [UUID(int=n) for n in range(min(count, 1))]


def duty(store: EndedOrders, out: io.StringIO | None = None) -> FollowUps:
    observer = Observer(make_logger("warning", "json", out=out or io.StringIO()))
    return FollowUps(store, Tokens(KNOWN), observer=observer)


def logged(out: io.StringIO) -> list[dict[str, Any]]:
    """The lines of the log."""
    return [json.loads(line) for line in out.getvalue().splitlines()]


async def test_a_turn_follows_up_everything_that_ended_page_by_page() -> None:
    store = EndedOrders([ended(n) for n in range(1, 2 * PAGE + 2)])
    await duty(store).turn()
    assert store.followed == [UUID(int=n) for n in range(1, 2 * PAGE + 2)]
    assert store.waiting == []


async def test_an_order_that_cannot_be_completed_keeps_no_other_back_and_is_tried_in_the_next_turn() -> None:
    store = EndedOrders([ended(n) for n in range(1, 4)], stuck={UUID(int=1): FollowUp(done=False)})
    follow_ups = duty(store)
    await follow_ups.turn()
    assert store.followed == [UUID(int=n) for n in range(1, 4)]
    await follow_ups.turn()
    assert store.followed[3:] == [UUID(int=1)]


async def test_new_orders_of_groups_are_joined_until_none_is_left() -> None:
    store = EndedOrders([], late=PAGE + 1)
    await duty(store).turn()
    assert store.late == 0


async def test_two_fills_of_a_group_and_exits_that_cannot_be_armed_are_logged_once_while_this_process_leads() -> None:
    twice = FollowUp(also_filled=[UUID(int=7)], unknown_mints=["M"], done=False)
    store, out = EndedOrders([ended(1)], stuck={UUID(int=1): twice}), io.StringIO()
    follow_ups = duty(store, out)
    await follow_ups.turn()
    await follow_ups.turn()
    double, unarmed = logged(out)
    assert double["event"] == "more than one order of a group was filled"
    assert (double["level"], double["others"]) == ("critical", [str(UUID(int=7))])
    assert (unarmed["event"], unarmed["mints"]) == ("the exits of an order cannot be armed", ["M"])
    follow_ups.resign()
    await follow_ups.turn()
    assert len(logged(out)) == 4


async def test_each_follow_up_lies_between_two_failpoints() -> None:
    reached: list[str] = []

    async def note(point: Failpoint) -> None:
        reached.append(point.value)

    store, quiet = EndedOrders([ended(1), ended(2)]), Observer(make_logger("critical", out=io.StringIO()))
    await FollowUps(store, Tokens(KNOWN), observer=quiet, failpoints=ScriptedFailpoints(note)).turn()
    assert reached == ["following", "followed"] * 2
