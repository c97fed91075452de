"""Webhooks and their deliveries: what the doors, the planner and the deliverer rely on, in memory and in Postgres."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.status import Status
from dexexec.domain.webhook import DeliveryState, WebhookChange
from dexexec.store import PositionUnknownError
from dexexec.webhook_errors import TooManyWebhooksError, WebhookDisabledError, WebhookNameTakenError
from tests.support.parts import new_order
from tests.support.waiting import until
from tests.support.webhook_tables import (
    LIMITS,
    MINE,
    NO_PAUSE,
    OTHERS,
    Tables,
    delivery,
    open_memory_tables,
    open_postgres_tables,
)

Open = Callable[[], AbstractAsyncContextManager[Tables]]


@pytest.fixture(params=["memory", "postgres"])
def tables(request: pytest.FixtureRequest) -> Open:
    """Opens the tables on one database."""
    if request.param == "memory":
        return partial(open_memory_tables, SystemClock())
    return partial(open_postgres_tables, request.getfixturevalue("database_address"))


async def test_a_webhook_belongs_to_its_key(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        others = await t.made(owner=OTHERS)
        assert [each.id for each in await t.doors.webhooks(MINE)] == [mine]
        assert [each.id for each in await t.doors.webhooks(None)] == [mine, others]
        assert [each.id for each in await t.doors.named("hook", None)] == [mine, others]
        assert await t.doors.webhook(mine, OTHERS) is None
        assert await t.doors.change(mine, OTHERS, WebhookChange(enabled=False)) is None
        assert await t.doors.rotate(mine, OTHERS, "whsec_stolen", timedelta(days=1)) is None
        assert await t.doors.resend(mine, OTHERS) is None
        assert await t.doors.send_test(mine, OTHERS) is None
        assert await t.doors.replay_order(mine, OTHERS, uuid4(), 1) is None
        assert await t.doors.replay_after(mine, OTHERS, "start") is False
        assert await t.doors.deliveries(mine, OTHERS, None, 10, None) is None
        assert await t.doors.remove(mine, OTHERS) is False
        assert (found := await t.doors.webhook(mine, MINE)) is not None
        assert (found.host, found.waiting, found.failed) == ("hooks.example", 0, 0)
        assert "secret-path" not in repr(found), "the URL may be a secret"


async def test_names_are_unique_per_key_and_free_again_after_a_removal(tables: Open) -> None:
    async with tables() as t:
        first = await t.made()
        with pytest.raises(WebhookNameTakenError):
            await t.made()
        assert await t.doors.remove(first, MINE)
        assert await t.doors.webhook(first, None) is None
        await t.made()
        await asyncio.gather(*(t.made(name=f"n{n}") for n in range(19)))
        with pytest.raises(TooManyWebhooksError):
            await t.made(name="one-more")
        await t.made(owner=None, name="of-no-key")


async def test_an_order_s_events_are_tried_one_after_the_other(tables: Open) -> None:
    async with tables() as t:
        mine, order, other = await t.made(), uuid4(), uuid4()
        await t.planned(mine, (order, 1), (order, 2), (other, 1))
        first = await t.claimed("a")
        assert {(each.order_id, each.seq) for each in first} == {(order, 1), (other, 1)}
        assert await t.claimed("b") == [], "what is in flight is not tried again, and what follows it waits"
        [failing] = [each for each in first if each.order_id == order]
        assert await t.outcomes.failed(failing, "HTTP 500", **NO_PAUSE) is False
        [again] = await t.claimed("c")
        assert (again.seq, again.tries) == (1, 2)
        assert again.message_id == failing.message_id
        assert await t.outcomes.delivered(again, "HTTP 200")
        [after] = await t.claimed("d")
        assert after.seq == 2


async def test_a_pause_holds_back_the_order_and_not_the_others(tables: Open) -> None:
    async with tables() as t:
        mine, order, other = await t.made(), uuid4(), uuid4()
        await t.planned(mine, (order, 1), (order, 2))
        [failing] = await t.claimed("a")
        assert await t.outcomes.failed(failing, "HTTP 500", pause=3_600, probe_pause=0.0) is False
        await t.planned(mine, (other, 1))
        assert [each.order_id for each in await t.claimed("b")] == [other]


async def test_a_stale_lease_writes_nothing(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        await t.planned(mine, (uuid4(), 1))
        [stale] = await t.claimed("first", seconds=0.0)
        [again] = await t.claimed("second")
        assert again.id == stale.id
        assert await t.outcomes.delivered(stale, "HTTP 200") is False
        assert await t.outcomes.failed(stale, "HTTP 500", **NO_PAUSE) is None
        assert await t.outcomes.delivered(again, "HTTP 200") is True
        assert await t.outcomes.delivered(again, "HTTP 200") is False, "once"
        assert await t.states(mine) == [(1, DeliveryState.DELIVERED)]


async def test_of_many_claims_at_once_each_delivery_is_in_one(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        await t.planned(mine, *((uuid4(), 1) for _ in range(30)))
        sessions = [await t.claims.begin_session() for _ in range(8)]
        rounds = [
            await asyncio.gather(*(t.claimed(f"{n}-{m}", session) for m, session in enumerate(sessions)))
            for n in range(3)
        ]
        for session in sessions:
            await session.end()
        claimed = [each.id for found in rounds for claims in found for each in claims]
        assert len(claimed) == len(set(claimed)) == LIMITS["per_webhook"], "and no more at once than one webhook may"


async def test_what_a_lost_session_had_in_flight_is_due_again_soon(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        await t.planned(mine, (uuid4(), 1), (uuid4(), 1))
        session = await t.claims.begin_session()
        [lost] = await t.claimed("lost", session, limit=1)
        [kept] = await t.claimed("kept", limit=1)
        assert await t.claims.free_lost(0.0) == 0, "both processes live"
        await session.end()

        async def freed() -> bool:
            # Postgres ends a session some moments after its connection.
            return await t.claims.free_lost(0.0) == 1

        await until(freed)
        assert await t.claims.free_lost(0.0) == 0
        [again] = await t.claimed("again")
        assert (again.id, again.tries) == (lost.id, 2)
        assert await t.outcomes.delivered(lost, "HTTP 200") is False, "its lease has ended"
        assert await t.outcomes.delivered(kept, "HTTP 200") is True


async def test_a_target_that_fails_is_probed_and_pauses(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        poison = uuid4()
        await t.planned(mine, (poison, 1))
        for n in range(3):
            [failing] = await t.claimed(f"fails-{n}")
            assert await t.outcomes.failed(failing, "HTTP 500", **NO_PAUSE) is False
        await t.planned(mine, *((uuid4(), 1) for _ in range(5)))
        [probe] = await t.claimed("probe")
        assert (probe.failures, probe.tries) == (3, 1), "one at a time, and first what was never tried"
        assert await t.claimed("while-probing") == []
        assert await t.outcomes.failed(probe, "HTTP 500", pause=0.0, probe_pause=3_600) is False
        assert await t.claimed("paused") == []
        changed = await t.doors.change(mine, MINE, WebhookChange(url="https://elsewhere.example/"))
        assert changed is not None
        assert changed.failing_since is None
        found = await t.claimed("changed")
        assert len(found) == LIMITS["per_webhook"], "another address gets its chance at once"
        assert {each.url for each in found} == {"https://elsewhere.example/"}


async def test_a_success_ends_the_failures(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        await t.planned(mine, (uuid4(), 1), (uuid4(), 1))
        bad, good = await t.claimed()
        assert await t.outcomes.failed(bad, "HTTP 500", **NO_PAUSE) is False
        assert (found := await t.doors.webhook(mine, None)) is not None
        assert found.failing_since is not None
        assert await t.outcomes.delivered(good, "HTTP 200")
        assert (found := await t.doors.webhook(mine, None)) is not None
        assert found.failing_since is None


async def test_failed_tests_do_not_count_and_a_good_one_ends_the_failures(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        for n in range(3):
            assert await t.doors.send_test(mine, MINE)
            [test] = await t.claimed(f"test-{n}")
            assert await t.outcomes.failed(test, "HTTP 500", disable=True, pause=0.0, probe_pause=3_600) is True
        assert (found := await t.doors.webhook(mine, None)) is not None
        assert (found.failing_since, found.disabled_at) == (None, None)
        await t.planned(mine, (uuid4(), 1))
        for n in range(3):
            [failing] = await t.claimed(f"event-{n}")
            assert (
                await t.outcomes.failed(failing, "HTTP 500", pause=0.0, probe_pause=3_600 if n == 2 else 0.0) is False
            )
        assert await t.claimed("paused") == []
        assert await t.doors.send_test(mine, MINE)
        [test] = await t.claimed("at-once")
        assert test.is_test
        assert await t.outcomes.failed(test, "HTTP 503", target_pause=3_600, **NO_PAUSE) is True
        assert await t.claimed("wanted") == [], "the target wants a pause"
        assert await t.doors.send_test(mine, MINE)
        [test] = await t.claimed("good")
        assert await t.outcomes.delivered(test, "HTTP 204")
        assert [each.id for each in await t.claimed("after")] == [failing.id]


async def test_one_owner_does_not_take_all_places(tables: Open) -> None:
    async with tables() as t:
        greedy = [await t.made(name=f"n{n}", owner=OTHERS) for n in range(3)]
        mine = await t.made()
        for each in greedy:
            await t.planned(each, *((uuid4(), 1) for _ in range(4)))
        await t.planned(mine, (uuid4(), 1))
        found = await t.claimed(per_owner=5, seconds=0.0)
        assert sorted(each.owner or 0 for each in found) == [MINE, *[OTHERS] * 5]
        few = await t.claimed("few", limit=2)
        assert {each.owner for each in few} == {MINE, OTHERS}


async def test_what_failed_for_good_makes_way_and_can_be_sent_again(tables: Open) -> None:
    async with tables() as t:
        mine, order = await t.made(), uuid4()
        await t.planned(mine, (order, 1), (order, 2))
        [failing] = await t.claimed("a")
        assert await t.outcomes.failed(failing, "HTTP 400", give_up=True, **NO_PAUSE) is True
        [after] = await t.claimed("b")
        assert after.seq == 2
        assert await t.outcomes.delivered(after, "HTTP 204")
        assert (found := await t.doors.webhook(mine, None)) is not None
        assert (found.failed, found.waiting, await t.doors.failed_count(MINE)) == (1, 0, 1)
        assert await t.doors.failed_count(OTHERS) == 0
        listed = await t.doors.deliveries(mine, MINE, DeliveryState.FAILED, 10, None)
        assert listed is not None
        assert [(each.id, each.answer, each.tries) for each in listed] == [(failing.id, "HTTP 400", 1)]
        assert await t.doors.delivery(failing.id, OTHERS) is None
        assert await t.doors.resend(mine, MINE) == 1
        assert [each.id for each in await t.claimed("c")] == [failing.id]
        assert await t.doors.resend(mine, MINE, [failing.id, 10**15]) == 0, "it waits already"
        assert await t.doors.resend(mine, MINE, [after.id]) == 1, "also one that was delivered, if it is named"


async def test_a_target_that_is_gone_ends_its_webhook(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        await t.planned(mine, (uuid4(), 1), (uuid4(), 1))
        one, _ = await t.claimed()
        assert await t.outcomes.failed(one, "HTTP 410: gone", give_up=True, disable=True, **NO_PAUSE) is True
        assert (found := await t.doors.webhook(mine, None)) is not None
        assert (found.disabled_why, found.disabled_at is None) == ("HTTP 410: gone", False)
        assert await t.planning.active() == []
        assert await t.claimed("b") == []
        for refused in (
            t.doors.resend(mine, MINE),
            t.doors.send_test(mine, MINE),
            t.doors.replay_order(mine, MINE, uuid4(), 1),
            t.doors.replay_after(mine, MINE, "start"),
        ):
            with pytest.raises(WebhookDisabledError):
                await refused


async def test_what_happens_while_it_is_disabled_is_not_sent_and_what_waited_is(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        before = [each.position for each in await t.planning.active()]
        await t.planned(mine, (uuid4(), 1))
        assert await t.doors.change(mine, MINE, WebhookChange(enabled=False))
        assert await t.claimed() == []
        await t.store.create(new_order())
        assert await t.doors.change(mine, MINE, WebhookChange(enabled=True, statuses=frozenset({Status.FAILED})))
        [found] = await t.planning.active()
        assert [found.position] != before
        assert found.statuses == {Status.FAILED}
        assert len(await t.claimed("b")) == 1


async def test_a_rotated_secret_signs_beside_the_new_one_for_a_while(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        await t.planned(mine, (uuid4(), 1))
        [claimed] = await t.claimed("a", seconds=0.0)
        assert claimed.secrets == ("whsec_first",)
        assert "whsec" not in repr(claimed)
        rotated = await t.doors.rotate(mine, MINE, "whsec_second", timedelta(days=1))
        assert rotated is not None
        assert rotated.former_secret_until is not None
        [claimed] = await t.claimed("b", seconds=0.0)
        assert claimed.secrets == ("whsec_second", "whsec_first")
        assert await t.doors.rotate(mine, MINE, "whsec_third", timedelta())
        [claimed] = await t.claimed("c")
        assert claimed.secrets == ("whsec_third",)


async def test_a_page_is_planned_once_however_many_plan_it(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        [found] = await t.planning.active()
        rows = [delivery(mine, uuid4(), 1)]
        now = await t.planning.known_until()
        answers = [
            t.planning.plan([mine], found.position, f"next-{n}", [replace(rows[0], order_id=uuid4())], known_until=now)
            for n in range(5)
        ]
        assert sorted(await asyncio.gather(*answers)) == [0, 0, 0, 0, 1]
        [moved] = await t.planning.active()
        assert moved.position.startswith("next-")
        assert moved.planned_until == now > found.planned_until
        assert await t.planning.plan([mine], moved.position, moved.position, rows * 1, known_until=None) == 1
        assert await t.planning.plan([mine], moved.position, moved.position, rows, known_until=None) == 0, "once"


async def test_an_order_is_replayed_from_a_seq(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        order = (await t.store.create(replace(new_order(), owner=MINE))).order_id
        foreign = (await t.store.create(replace(new_order(), owner=OTHERS))).order_id
        assert await t.doors.replay_order(mine, MINE, foreign, 1) is None, "it gets no events of that order"
        assert await t.doors.replay_order(mine, MINE, uuid4(), 1) is None
        assert await t.doors.replay_order(mine, MINE, order, 2) == 0
        assert await t.doors.replay_order(mine, MINE, order, 1) == 1
        [claimed] = await t.claimed("a")
        assert claimed.payload.startswith('{"type":"order.pending","timestamp":"')
        assert await t.outcomes.delivered(claimed, "HTTP 200")
        assert await t.doors.replay_order(mine, MINE, order, 1) == 1
        [again] = await t.claimed("b")
        assert (again.id, again.tries, again.message_id) == (claimed.id, 1, claimed.message_id)


async def test_a_replay_sends_again_what_had_ended_when_it_was_requested(tables: Open) -> None:
    async with tables() as t:
        mine, old, new = await t.made(), uuid4(), uuid4()
        await t.planned(mine, (old, 1))
        [claimed] = await t.claimed("a")
        assert await t.outcomes.delivered(claimed, "HTTP 200")
        with pytest.raises(PositionUnknownError):
            await t.doors.replay_after(mine, MINE, "1-0123456789abcdef")
        assert await t.doors.replay_after(mine, MINE, "start")
        [found] = await t.planning.active()
        assert found.replay_position == "start"
        await t.planned(mine, (new, 1))
        [claimed] = await t.claimed("b")
        assert await t.outcomes.delivered(claimed, "HTTP 200")
        rows = [delivery(mine, old, 1), delivery(mine, new, 1), delivery(mine, uuid4(), 1)]
        assert await t.planning.replay(mine, "elsewhere", None, rows) == 0
        assert await t.planning.replay(mine, "start", None, rows) == 2, "not what was delivered since"
        [found] = await t.planning.active()
        assert found.replay_position is None


async def test_a_test_message_is_tried_once(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        made = await t.doors.send_test(mine, MINE)
        assert made is not None
        [claimed] = await t.claimed()
        assert (claimed.type, claimed.id, claimed.seq) == ("webhook.test", made.id, 0)
        assert await t.outcomes.failed(claimed, "HTTP 404", **NO_PAUSE) is True
        ended = await t.doors.delivery(made.id, MINE)
        assert ended is not None
        assert (ended.state, ended.answer) == (DeliveryState.FAILED, "HTTP 404")


async def test_a_removed_webhook_leaves_nothing(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        await t.planned(mine, (uuid4(), 1), (uuid4(), 1))
        [claimed, _] = await t.claimed()
        assert await t.doors.remove(mine, MINE)
        assert await t.claimed("b", seconds=0.0) == []
        assert await t.outcomes.delivered(claimed, "HTTP 200"), "what was in flight has ended"
        assert await t.planning.forget(days=7) == 2
        assert await t.planning.forget(days=7) == 0
        assert await t.doors.delivery(claimed.id, None) is None


async def test_what_ended_is_forgotten_and_what_waits_is_not(tables: Open) -> None:
    async with tables() as t:
        mine = await t.made()
        await t.planned(mine, (uuid4(), 1), (uuid4(), 1))
        [ended, _] = await t.claimed()
        assert await t.outcomes.delivered(ended, "HTTP 200")
        assert await t.planning.forget(days=1) == 0
        assert await t.planning.forget(days=0) == 1
        assert [state for _, state in await t.states(mine)] == [DeliveryState.WAITING]
        assert await t.planning.expire() == 0, "its time is not over"
