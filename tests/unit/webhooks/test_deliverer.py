"""The engine on a store in memory and a clock that a test moves: order, retries, pauses, fairness."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count, pairwise
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import CapturingLogger

import dexexec.webhooks.deliverer
from dexexec.domain.status import Status
from dexexec.domain.webhook import ClaimedDelivery, DeliveryState
from dexexec.errors import UnavailableError
from dexexec.failpoints import Failpoint
from dexexec.observe.observer import Observer
from dexexec.testing.clock import ManualClock
from dexexec.webhooks.answers import Answer, Verdict, failed, read_answer
from dexexec.webhooks.deliverer import HANDOVER_SECONDS, MOST_PER_OWNER, Deliverer, DeliveryLimits
from dexexec.webhooks.planner import Planner
from tests.support.failpoints import ScriptedFailpoints
from tests.support.fakes.webhooks import MemoryWebhooks
from tests.support.parts import new_order
from tests.support.webhook_tables import MINE, OTHERS, Tables, open_memory_tables, webhook

OK = Answer(verdict=Verdict.DELIVERED, text="HTTP 204")
DAY = 24 * 3_600


@dataclass
class ScriptedSender:
    """Answers by a function of the test, at once unless `hold` is set."""

    answer: Callable[[ClaimedDelivery], Answer] = lambda _: OK
    sent: list[ClaimedDelivery] = field(default_factory=list)
    hold: Callable[[ClaimedDelivery], bool] = lambda _: False
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, claimed: ClaimedDelivery) -> Answer:
        self.sent.append(claimed)
        if self.hold(claimed):
            await self.go_on.wait()
        return self.answer(claimed)

    async def close_old(self) -> None:
        """It keeps no connections."""


@dataclass
class Engine:
    """The planner and the deliverer, moved by hand."""

    tables: Tables
    clock: ManualClock
    sender: ScriptedSender
    planner: Planner
    deliverer: Deliverer
    log: CapturingLogger

    async def made(self, **values: Any) -> UUID:
        return (await self.tables.doors.create(webhook(**values))).id

    async def order(self, owner: int | None = MINE) -> UUID:
        return (await self.tables.store.create(replace(new_order(), owner=owner))).order_id

    async def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Plan and deliver all that is due, again and again until so much time has passed."""
        until = self.clock.monotonic() + seconds
        while True:
            await self.planner.turn()
            while await self.deliverer.turn():
                await self.deliverer.settle()
            await self.planner.keep_up()
            if self.clock.monotonic() >= until:
                break
            self.clock.advance(step)

    async def states(self, webhook_id: UUID) -> Counter[DeliveryState]:
        found = await self.tables.doors.deliveries(webhook_id, None, None, 10_000, None)
        assert found is not None
        return Counter(each.state for each in found)


@asynccontextmanager
async def engine(failpoints: ScriptedFailpoints | None = None) -> AsyncIterator[Engine]:
    clock = ManualClock()
    async with open_memory_tables(clock) as tables:
        assert isinstance(tables.doors, MemoryWebhooks)
        sender = ScriptedSender()
        leases = count()
        log = CapturingLogger()
        observer = Observer(log)
        points = failpoints or ScriptedFailpoints()
        deliverer = Deliverer(
            tables.claims,
            tables.outcomes,
            sender,
            DeliveryLimits(per_webhook=4, lease_seconds=25),
            clock=clock,
            observer=observer,
            random=random.Random(1).random,
            new_lease=lambda: str(next(leases)),
            failpoints=points,
        )
        planner = Planner(
            tables.planning,
            tables.stream,
            keep_days=7,
            planned=deliverer.wake,
            clock=clock,
            observer=observer,
            failpoints=points,
        )
        yield Engine(tables, clock, sender, planner, deliverer, log)


async def test_a_webhook_gets_its_key_s_events_from_its_creation_on_and_no_others() -> None:
    async with engine() as e:
        await e.order()
        mine = await e.made()
        everything = await e.made(owner=None, name="all")
        confirmed = await e.made(name="confirmed", statuses=frozenset({Status.CONFIRMED}))
        own, other = await e.order(), await e.order(OTHERS)
        await e.pass_time(0)
        got = [(each.webhook, each.order_id) for each in e.sender.sent]
        assert sorted(got) == sorted([(mine, own), (everything, own), (everything, other)])
        assert confirmed not in {each.webhook for each in e.sender.sent}
        await e.pass_time(60)
        assert len(e.sender.sent) == 3, "once"


async def test_an_order_waits_for_its_failing_event_and_others_go_on() -> None:
    async with engine() as e:
        hook = await e.made()
        bad = await e.order()
        e.sender.answer = lambda claimed: failed("HTTP 500") if claimed.order_id == bad else OK
        await e.pass_time(1)
        await e.tables.store.cancel(bad)
        good = [await e.order() for _ in range(10)]
        await e.pass_time(3)
        delivered = [each.order_id for each in e.sender.sent if each.order_id != bad]
        assert sorted(delivered) == sorted(good)
        assert {each.seq for each in e.sender.sent if each.order_id == bad} == {1}
        e.sender.answer = lambda _: OK
        await e.pass_time(60)
        assert [each.seq for each in e.sender.sent if each.order_id == bad][-2:] == [1, 2]
        assert (await e.states(hook))[DeliveryState.WAITING] == 0
        assert len({each.message_id for each in e.sender.sent if each.seq == 1 and each.order_id == bad}) == 1


async def test_a_dead_target_costs_probes_and_not_a_storm_and_gives_up_after_a_day() -> None:
    async with engine() as e:
        hook = await e.made()
        orders = [await e.order() for _ in range(50)]
        e.sender.answer = lambda _: failed("no answer within 10 s")
        await e.pass_time(3_600, step=5)
        # Three rounds of four at first, then one at a time with pauses up to ten minutes.
        assert 10 <= len(e.sender.sent) <= 40
        await e.pass_time(DAY, step=60)
        assert len(e.sender.sent) <= 300
        assert await e.states(hook) == {DeliveryState.FAILED: len(orders)}
        found = await e.tables.doors.webhook(hook, None)
        assert found is not None
        assert found.failing_since is not None
        e.sender.answer = lambda _: OK
        e.sender.sent.clear()
        assert await e.tables.doors.resend(hook, None) == len(orders)
        await e.pass_time(0)
        assert await e.states(hook) == {DeliveryState.DELIVERED: len(orders)}
        assert len(e.sender.sent) == len(orders)


async def test_a_message_that_the_target_can_never_take_does_not_stop_the_others() -> None:
    async with engine() as e:
        hook = await e.made()
        poison = {await e.order() for _ in range(20)}
        e.sender.answer = lambda claimed: failed("HTTP 500") if claimed.order_id in poison else OK
        await e.pass_time(30)
        good = [await e.order() for _ in range(20)]
        await e.pass_time(900, step=5)
        delivered = [each.order_id for each in e.sender.sent if each.order_id not in poison]
        assert sorted(delivered) == sorted(good)
        await e.pass_time(DAY, step=60)
        assert await e.states(hook) == {DeliveryState.DELIVERED: 20, DeliveryState.FAILED: 20}


async def test_one_event_is_tried_with_growing_pauses_for_a_day() -> None:
    async with engine() as e:
        await e.made()
        await e.order()
        times: list[float] = []

        def refuse(claimed: ClaimedDelivery) -> Answer:
            times.append(e.clock.monotonic())
            assert claimed.tries == len(times)
            return failed("HTTP 503")

        e.sender.answer = refuse
        await e.pass_time(DAY + 3_600, step=5)
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert 10 <= len(times) <= 16
        assert pauses[0] < pauses[2] < pauses[4] < pauses[6]
        assert times[-1] - times[0] >= DAY, "the last one is about a day after the event"


async def test_a_slow_target_delays_no_other() -> None:
    async with engine() as e:
        slow = [await e.made(owner=OTHERS, name=f"slow-{n}") for n in range(20)]
        fast = await e.made()
        for _ in range(10):
            await e.order(OTHERS)
        e.sender.hold = lambda claimed: claimed.webhook in slow
        await e.planner.turn()
        while await e.deliverer.turn():
            await asyncio.sleep(0)
        assert len(e.sender.sent) == MOST_PER_OWNER
        mine = {await e.order() for _ in range(100)}
        await e.planner.turn()
        for _ in range(100):
            await e.deliverer.turn()
            await asyncio.sleep(0)
        assert {each.order_id for each in e.sender.sent if each.webhook == fast} == mine
        e.sender.go_on.set()
        await e.deliverer.settle()


async def test_a_target_that_wants_a_pause_gets_it_and_one_that_is_gone_is_disabled() -> None:
    async with engine() as e:
        paused, gone = await e.made(), await e.made(name="gone")
        answers = {
            paused: Answer(verdict=Verdict.FAILED, text="HTTP 429", target_pause=600),
            gone: Answer(verdict=Verdict.GONE, text="HTTP 410"),
        }
        e.sender.answer = lambda claimed: answers[claimed.webhook]
        await e.order()
        await e.pass_time(300)
        assert Counter(each.webhook for each in e.sender.sent) == {paused: 1, gone: 1}
        await e.pass_time(400)
        assert Counter(each.webhook for each in e.sender.sent)[paused] == 2
        found = await e.tables.doors.webhook(gone, None)
        assert found is not None
        assert found.disabled_why == "HTTP 410"
        assert await e.states(gone) == {DeliveryState.FAILED: 1}


async def test_quiet_days_after_a_failure_disable_nothing() -> None:
    async with engine() as e:
        hook = await e.made()
        await e.order()
        e.sender.answer = lambda _: failed("HTTP 500")
        await e.pass_time(DAY + 3_600, step=600)
        assert await e.states(hook) == {DeliveryState.FAILED: 1}
        await e.pass_time(9 * DAY, step=3_600)
        await e.order()
        await e.pass_time(DAY / 2, step=600)
        found = await e.tables.doors.webhook(hook, None)
        assert found is not None
        assert found.disabled_at is None, "it failed on three or four days"
        assert e.sender.sent[-1].failures > 10


async def test_a_target_that_fails_on_five_days_is_disabled_and_not_sooner() -> None:
    async with engine() as e:
        hook = await e.made()
        e.sender.answer = lambda _: failed("HTTP 500")
        disabled = []
        for _ in range(6):
            await e.order()
            await e.pass_time(DAY, step=600)
            found = await e.tables.doors.webhook(hook, None)
            assert found is not None
            disabled.append(found.disabled_why)
        assert disabled == ["", "", "", "", disabled[4], "every try failed for 5 days"]


async def test_what_waited_while_no_process_ran_is_tried() -> None:
    async with engine() as e:
        hook = await e.made()
        orders = [await e.order() for _ in range(3)]
        e.sender.answer = lambda _: failed("HTTP 500")
        await e.pass_time(3 * 3_600, step=60)
        e.clock.advance(2 * DAY)
        e.sender.answer = lambda _: OK
        e.sender.sent.clear()
        await e.pass_time(0)
        assert sorted(each.order_id for each in e.sender.sent) == sorted(orders)
        assert await e.states(hook) == {DeliveryState.DELIVERED: 3}


async def test_a_process_that_loses_its_session_cuts_off_what_another_will_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dexexec.webhooks.deliverer, "GRACE_SECONDS", 0.0)
    async with engine() as e:
        hook = await e.made()
        await e.order()
        e.sender.hold = lambda _: True
        await e.planner.turn()
        assert await e.deliverer.turn() == 1
        await asyncio.sleep(0)
        assert isinstance(e.tables.doors, MemoryWebhooks)
        e.tables.doors.sessions[-1].is_lost = True
        with pytest.raises(UnavailableError):
            await e.deliverer.turn()
        await e.deliverer.settle()  # it would wait forever for a request that was not cut off
        e.sender.hold = lambda _: False
        await e.pass_time(1)
        assert len(e.sender.sent) == 1, "not yet: a process may take a moment to notice"
        await e.pass_time(HANDOVER_SECONDS + 1)
        assert [each.tries for each in e.sender.sent] == [1, 2]
        assert await e.states(hook) == {DeliveryState.DELIVERED: 1}
        assert "taken over" in repr(e.log.calls)


@pytest.mark.parametrize("code", [404, 410])
async def test_the_log_has_no_words_of_a_target_which_may_be_the_path_of_its_url(code: int) -> None:
    async with engine() as e:
        answer = read_answer(code, "", b"Cannot POST /hooks/s3cr3t", datetime.now(UTC))
        e.sender.answer = lambda _: answer
        hook = await e.made()
        await e.order()
        await e.pass_time(0)
        logged = repr(e.log.calls)
        assert f"HTTP {code}" in logged
        assert "s3cr3t" not in logged
        found = await e.tables.doors.deliveries(hook, MINE, None, 10, None)
        assert found is not None
        assert [each.answer for each in found] == [f"HTTP {code}: Cannot POST /hooks/s3cr3t"]


async def test_nothing_is_sent_for_a_revoked_key_that_the_planner_has_not_noticed() -> None:
    async with engine() as e:
        await e.made()
        await e.order()
        await e.planner.turn()
        assert isinstance(e.tables.doors, MemoryWebhooks)
        e.tables.doors.ended_keys.add(MINE)
        assert await e.deliverer.turn() == 0


async def test_the_webhooks_of_a_revoked_key_end() -> None:
    async with engine() as e:
        hook = await e.made()
        assert isinstance(e.tables.doors, MemoryWebhooks)
        e.tables.doors.ended_keys.add(MINE)
        await e.planner.keep_up()
        await e.order()
        await e.pass_time(10)
        assert e.sender.sent == []
        found = await e.tables.doors.webhook(hook, None)
        assert found is not None
        assert found.disabled_why == "its API key was revoked"


async def test_a_position_that_is_lost_sends_nothing_twice_and_loses_nothing() -> None:
    async with engine() as e:
        hook = await e.made()
        await e.order()
        await e.pass_time(0)
        [found] = await e.tables.planning.active()
        assert await e.tables.planning.plan([hook], found.position, "1-0123456789abcdef", [], known_until=None) == 0
        new = await e.order()
        await e.pass_time(3)
        assert [each.order_id for each in e.sender.sent][1:] == [new]


async def test_all_behind_a_position_is_sent_again() -> None:
    async with engine() as e:
        hook = await e.made()
        orders = [await e.order() for _ in range(3)]
        await e.pass_time(0)
        first = [each.message_id for each in e.sender.sent]
        assert await e.tables.doors.replay_after(hook, MINE, "start")
        await e.pass_time(5)
        assert [each.order_id for each in e.sender.sent] == orders * 2
        assert [each.message_id for each in e.sender.sent] == first * 2


async def test_a_crash_between_the_answer_and_its_commit_repeats_one_delivery() -> None:
    points = ScriptedFailpoints()
    async with engine(points) as e:
        hook = await e.made()
        await e.order()
        await e.order()

        async def strike(name: Failpoint) -> None:
            if name is Failpoint.ANSWERED:
                points.strike = ScriptedFailpoints().strike
                raise RuntimeError("a bug")

        points.strike = strike
        await e.pass_time(60)
        assert len(e.sender.sent) == 3
        assert len({each.message_id for each in e.sender.sent}) == 2
        assert await e.states(hook) == {DeliveryState.DELIVERED: 2}


async def test_a_bug_costs_one_try_and_neither_the_delivery_nor_the_loop() -> None:
    async with engine() as e:
        hook = await e.made()
        bad = await e.order()

        def break_once(claimed: ClaimedDelivery) -> Answer:
            if claimed.order_id == bad and claimed.tries == 1:
                raise LookupError("a bug")
            return OK

        e.sender.answer = break_once
        good = await e.order()
        await e.pass_time(30)
        assert Counter(each.order_id for each in e.sender.sent) == {bad: 2, good: 1}
        assert await e.states(hook) == {DeliveryState.DELIVERED: 2}


async def test_a_bug_in_a_turn_ends_neither_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async with engine() as e:
        await e.made()
        broken = {"planner": 3, "deliverer": 3}

        def failing(part: str, turn: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
            async def take_turn() -> Any:
                if broken[part]:
                    broken[part] -= 1
                    raise LookupError("a bug")
                return await turn()

            return take_turn

        monkeypatch.setattr(e.planner, "turn", failing("planner", e.planner.turn))
        monkeypatch.setattr(e.deliverer, "turn", failing("deliverer", e.deliverer.turn))
        await e.order()
        tasks = [asyncio.create_task(e.planner.run()), asyncio.create_task(e.deliverer.run())]
        while not e.sender.sent:
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert broken == {"planner": 0, "deliverer": 0}


async def test_the_loops_end_when_they_are_cancelled() -> None:
    async with engine() as e:
        await e.made()
        order = await e.order()
        tasks = [asyncio.create_task(e.planner.run()), asyncio.create_task(e.deliverer.run())]
        while not e.sender.sent:
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [each.order_id for each in e.sender.sent] == [order]
        assert e.deliverer.in_flight == 0
