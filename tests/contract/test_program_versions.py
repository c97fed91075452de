"""The record of programs: the first code is accepted, another one quarantines its venue until somebody accepts it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import cast

import pytest

from dexexec.domain.program_version import Deployment, Quarantine
from dexexec.store import Address, ProgramVersions
from tests.support.fakes.program_versions import MemoryProgramVersions
from tests.support.parts import open_database

Open = Callable[[], AbstractAsyncContextManager[ProgramVersions]]
GENESIS = "genesis"
OLD = Deployment(venue="acme", program="program", sha256="old", mark="mark of old", slot=10)
NEW = replace(OLD, sha256="new", mark="mark of new", slot=20)


@pytest.fixture(params=["memory", "postgres"])
def records(request: pytest.FixtureRequest) -> Open:
    """Opens a record of programs."""
    if request.param == "memory":

        @asynccontextmanager
        async def open_memory() -> AsyncIterator[ProgramVersions]:
            yield cast("ProgramVersions", MemoryProgramVersions())

        return open_memory
    address: Address = request.getfixturevalue("database_address")

    @asynccontextmanager
    async def open_postgres() -> AsyncIterator[ProgramVersions]:
        async with open_database(address) as database:
            yield ProgramVersions(database)

    return open_postgres


async def quarantined(record: ProgramVersions) -> Quarantine:
    [found] = await record.quarantines()
    return found


async def test_the_first_code_is_accepted(records: Open) -> None:
    async with records() as record:
        assert await record.marks(GENESIS) == {}
        for _ in range(2):
            await record.seen(GENESIS, OLD)
            assert await record.quarantines() == []
        assert await record.marks(GENESIS) == {("acme", "program"): "mark of old"}
        assert await record.marks("another") == {}


async def test_other_code_quarantines_the_venue_from_when_it_was_seen_first(records: Open) -> None:
    async with records() as record:
        await record.seen(GENESIS, OLD)
        await record.seen("another", OLD)
        await record.seen(GENESIS, NEW)
        found = await quarantined(record)
        assert (found.genesis, found.venue, found.program) == (GENESIS, "acme", "program")
        assert (found.sha256, found.slot, found.difference) == ("new", 20, "")
        await record.seen(GENESIS, NEW)
        assert await quarantined(record) == found


async def test_the_accepted_code_ends_it_also_where_it_is_deployed_anew(records: Open) -> None:
    async with records() as record:
        for deployment in (OLD, NEW, replace(OLD, slot=30, mark="again")):
            await record.seen(GENESIS, deployment)
        assert await record.quarantines() == []
        assert await record.marks(GENESIS) == {("acme", "program"): "again"}


async def test_an_older_deployment_is_the_answer_of_a_node_that_is_behind(records: Open) -> None:
    async with records() as record:
        for deployment in (OLD, NEW, OLD):
            await record.seen(GENESIS, deployment)
        assert (await quarantined(record)).sha256 == "new"
        assert await record.marks(GENESIS) == {("acme", "program"): "mark of new"}


async def test_a_program_without_code_has_no_slot_and_is_quarantined_all_the_same(records: Open) -> None:
    async with records() as record:
        for deployment in (OLD, replace(OLD, sha256="", mark="gone", slot=0), OLD):
            await record.seen(GENESIS, deployment)
            found = await record.quarantines()
        assert found == [], "the same code is there again"
        await record.seen(GENESIS, replace(OLD, sha256="", mark="gone", slot=0))
        assert ((await quarantined(record)).sha256, (await quarantined(record)).slot) == ("", 10)


async def test_only_the_code_that_was_compared_is_accepted(records: Open) -> None:
    async with records() as record:
        await record.seen(GENESIS, OLD)
        await record.seen(GENESIS, NEW)
        found = await quarantined(record)
        await record.seen(GENESIS, replace(NEW, sha256="newer", slot=30))
        assert not await record.accept(found, "simulated swaps")
        assert await record.accept(await quarantined(record), "simulated swaps")
        assert await record.quarantines() == []
        assert not await record.accept(replace(found, sha256="newer"), "simulated swaps"), "it was accepted already"


async def test_what_simulated_swaps_showed_is_kept_with_the_code_that_they_ran_on(records: Open) -> None:
    async with records() as record:
        await record.seen(GENESIS, OLD)
        await record.seen(GENESIS, NEW)
        found = await quarantined(record)
        await record.differ(found, "quoted 2, simulated 1")
        assert await quarantined(record) == replace(found, difference="quoted 2, simulated 1")
        await record.seen(GENESIS, replace(NEW, sha256="newer", slot=30))
        await record.differ(found, "late")
        assert (await quarantined(record)).difference == ""


async def test_a_person_accepts_all_programs_of_a_venue(records: Open) -> None:
    async with records() as record:
        assert await record.accept_all("acme", "me") is None
        for program in ("program", "other"):
            await record.seen(GENESIS, replace(OLD, program=program))
            await record.seen(GENESIS, replace(NEW, program=program))
        await record.seen(GENESIS, replace(OLD, venue="third"))
        await record.seen(GENESIS, replace(NEW, venue="third"))
        assert sorted(await record.accept_all("acme", "me") or []) == [("other", "new"), ("program", "new")]
        assert (await quarantined(record)).venue == "third"
        assert await record.accept_all("acme", "me") == []
