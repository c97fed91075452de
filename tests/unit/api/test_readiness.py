"""The answers of /readyz: one check serves all requests within a second, and lists what is missing."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from dexexec.api import readiness
from dexexec.api.readiness import FRESH_SECONDS, Readiness
from dexexec.domain.program_version import Quarantine
from dexexec.domain.worker_trouble import NOT_COMPARED
from dexexec.testing.clock import ManualClock
from tests.support.memory_ports import MemoryQueue, MemoryStore


class ReadinessSetup:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store, self.queue = MemoryStore(self.clock), MemoryQueue()
        self.readiness = Readiness(self.store, self.queue, self.clock)

    async def causes(self) -> dict[str, str]:
        return (await self.readiness.answer()).causes


async def test_nothing_is_missing_when_all_can_be_written_and_a_worker_lives() -> None:
    assert (await ReadinessSetup().readiness.answer()).ready


async def test_concurrent_requests_share_one_check_at_a_time() -> None:
    setup = ReadinessSetup()
    setup.store.write_switch.hang()
    asking = [asyncio.create_task(setup.causes()) for _ in range(50)]
    await setup.store.write_switch.asked.wait()
    asking[0].cancel()  # whoever goes does not take the look along
    setup.store.write_switch.go_on.set()
    assert await asyncio.gather(*asking[1:]) == [{}] * 49
    assert setup.store.writes_checked == 1


async def test_an_answer_counts_for_a_second() -> None:
    setup = ReadinessSetup()
    assert await setup.causes() == {}
    setup.store.write_switch.up = False
    setup.clock.advance(FRESH_SECONDS - 0.01)
    assert await setup.causes() == {}
    setup.clock.advance(0.02)
    assert await setup.causes() == {"postgres": "Postgres does not answer"}
    assert setup.store.writes_checked == 2


async def test_a_write_that_is_not_committed_in_time_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "CHECK_SECONDS", 0.01)
    setup = ReadinessSetup()
    setup.store.write_switch.hang()
    assert await setup.causes() == {"postgres": "Postgres does not commit in time"}


async def test_each_thing_that_is_missing_has_its_cause() -> None:
    setup = ReadinessSetup()
    setup.queue.write_switch.up = False
    setup.store.worker, setup.store.stopped = False, True
    assert await setup.causes() == {
        "redis": "Redis does not answer",
        "worker": "none is alive",
        "chain-comparison": "nothing is signed until record and chain are compared",
    }


async def test_a_worker_that_has_not_compared_record_and_chain_yet_does_not_count() -> None:
    setup = ReadinessSetup()
    setup.store.trouble = str(NOT_COMPARED)
    answer = await setup.readiness.answer()
    assert not answer.ready
    assert (answer.causes, answer.degraded) == ({"chain-comparison": NOT_COMPARED.detail}, {})


async def test_a_worker_that_cannot_execute_reports_why() -> None:
    setup = ReadinessSetup()
    setup.store.trouble = "no node of the chain answers"
    assert await setup.causes() == {}
    assert (await setup.readiness.answer()).degraded == {"node": "no node of the chain answers"}


async def test_a_quarantined_venue_is_named_and_the_service_is_ready_all_the_same() -> None:
    found = Quarantine(
        genesis="g", venue="acme", program="PROGRAM", sha256="new", slot=20, since=datetime(2026, 1, 31, tzinfo=UTC)
    )
    setup = ReadinessSetup()
    quarantines = SimpleNamespace(all=lambda: [found])
    answer = await Readiness(setup.store, setup.queue, setup.clock, quarantines=quarantines).answer()
    assert answer.ready
    assert answer.degraded == {"quarantined": f"acme: {found.detail}"}
