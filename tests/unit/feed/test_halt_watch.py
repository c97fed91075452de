"""The halts in a process: read every second, kept while Postgres is away, and passed on when it changes."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from dexexec.domain.halt import EVERYBODY, Halt, halt_of
from dexexec.feed.halt_watch import HaltWatch
from dexexec.testing.clock import ManualClock
from tests.support.halting import SetHalts
from tests.support.parts import running
from tests.support.waiting import until

SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALL = Halt(EVERYBODY, SINCE, "the desk is closed")
OWN = Halt(7, SINCE)


def test_a_halt_covers_its_own_key_and_everybodys_covers_all() -> None:
    assert [halt_of([OWN], owner) for owner in (7, 8, None)] == [OWN, None, None]
    assert [halt_of([OWN, ALL], owner) for owner in (7, 8, None)] == [ALL, ALL, ALL]


def test_its_sentence_has_whom_since_when_and_why() -> None:
    since = "signing is halted for this {} since 2026-01-02T03:04:05.000Z"
    assert ALL.detail == f"{since.format('service')}: the desk is closed"
    assert OWN.detail == since.format("key")


async def test_listeners_hear_of_each_halt_once_when_it_begins_and_once_when_it_ends() -> None:
    record, heard = SetHalts(OWN), list[tuple[Halt, bool]]()
    watch = HaltWatch(record, ManualClock())
    watch.listen(lambda halt, began: heard.append((halt, began)))
    await watch.look()
    record.set = [replace(OWN, reason="another"), ALL]
    await watch.look()
    await watch.look()
    assert set(watch.all()) == {ALL, replace(OWN, reason="another")}
    record.set = []
    await watch.look()
    assert heard == [(OWN, True), (ALL, True), (ALL, False), (replace(OWN, reason="another"), False)]


async def test_while_postgres_is_away_a_halt_that_was_read_stays() -> None:
    record, clock = SetHalts(ALL), ManualClock()
    watch = HaltWatch(record, clock)
    async with running(watch.run()):
        await until(lambda: watch.of(None) == ALL)
        record.is_away = True
        begun = clock.monotonic()
        await until(lambda: clock.monotonic() > begun + 5)
        assert watch.of(3) == ALL
        record.is_away, record.set = False, []
        await until(lambda: watch.of(3) is None)
        await asyncio.sleep(0)
