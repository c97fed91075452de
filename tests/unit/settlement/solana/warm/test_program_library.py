"""Programs are read once from nodes that agree, and an upgrade is noticed before the old code is trusted for long."""

import asyncio
from dataclasses import dataclass, field

import pytest

from dexexec.domain.solana import Account
from dexexec.settlement.solana.warm.program_library import (
    CHECK_SECONDS,
    MOST_PROGRAMS,
    RETRY_SECONDS,
    TRUSTED_SECONDS,
    UNUSED_SECONDS,
    ProgramLibrary,
)
from dexexec.settlement.solana.warm.programs import LoadedProgram
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable, VenueError
from tests.support.deployed_programs import DATA, ELF, PROGRAM, ShownPrograms, deployed
from tests.support.parts import running

AWAY = Unreachable("away")
NEW = ELF + b" of the next version"


@dataclass
class Shelf:
    """A library over nodes, with time by hand."""

    nodes: ShownPrograms
    clock: ManualClock = field(default_factory=ManualClock)
    lines: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.library = ProgramLibrary(self.nodes, self.clock, self)

    def program_read(self, program: str, sha256: str, size: int) -> None:
        self.lines.append(("read", program))

    def program_upgraded(self, program: str) -> None:
        self.lines.append(("upgraded", program))

    def program_unusable(self, program: str, why: str) -> None:
        self.lines.append(("unusable", why))

    async def wait(self, seconds: float = 0.0) -> LoadedProgram | None:
        """Needs the program, and lets time pass and what is due be done."""
        self.library.find(PROGRAM)
        for _ in range(max(1, round(seconds / CHECK_SECONDS))):
            await self.clock.sleep(min(seconds, CHECK_SECONDS))
            for _ in range(12):
                await asyncio.sleep(0)
        return self.library.find(PROGRAM)


def shelf(*nodes: dict[str, Account] | VenueError) -> Shelf:
    return Shelf(ShownPrograms({f"node {number}": node for number, node in enumerate(nodes)}))


async def test_a_program_is_read_when_it_is_first_needed() -> None:
    at = shelf(deployed())
    async with running(at.library.run()):
        assert at.library.find(PROGRAM) is None
        program = await at.wait()
        assert program is not None
        assert program.elf == ELF
        assert at.library.programs() == [program]
        assert at.lines == [("read", PROGRAM)]


async def test_its_code_is_read_once_and_then_only_the_first_bytes() -> None:
    at = shelf(deployed())
    async with running(at.library.run()):
        await at.wait()
        assert await at.wait(60) is not None
    assert [kind for kind, *_ in at.nodes.requests].count("everywhere") == 2
    assert at.nodes.requests.count(("heads", PROGRAM, DATA)) > 60 / CHECK_SECONDS / 2


async def test_an_upgrade_ends_the_trust_and_the_new_code_is_read() -> None:
    at = shelf(deployed())
    async with running(at.library.run()):
        await at.wait()
        old = await at.wait()
        at.nodes.nodes = {"node 0": deployed(NEW, slot=9)}
        new = await at.wait(2 * CHECK_SECONDS)
        assert old is not None
        assert new is not None
        assert (new.elf, new.address) == (NEW, old.address)
        assert new.identity != old.identity
        assert at.lines == [("read", PROGRAM), ("upgraded", PROGRAM), ("read", PROGRAM)]


async def test_a_program_that_is_closed_is_not_executed_any_more() -> None:
    at = shelf(deployed())
    async with running(at.library.run()):
        await at.wait()
        at.nodes.nodes = {"node 0": {PROGRAM: deployed()[PROGRAM]}}
        assert await at.wait(2 * CHECK_SECONDS) is None
    assert at.lines[1:] == [("upgraded", PROGRAM), ("unusable", "the program or its code does not exist")]


async def test_without_a_look_for_upgrades_the_code_loses_its_trust() -> None:
    at = shelf(deployed())
    async with running(at.library.run()):
        await at.wait()
        at.nodes.nodes = {"node 0": AWAY}
        while await at.wait(CHECK_SECONDS) is not None:
            assert at.clock.monotonic() < TRUSTED_SECONDS + 6 * CHECK_SECONDS
        assert at.clock.monotonic() >= TRUSTED_SECONDS
        at.nodes.nodes = {"node 0": deployed()}
        assert await at.wait(CHECK_SECONDS) is not None, "nothing has to be read again"
    assert at.lines == [("read", PROGRAM)]


async def test_nodes_that_show_different_code_are_not_believed() -> None:
    at = shelf(deployed(), deployed(NEW))
    async with running(at.library.run()):
        await at.wait()
        assert await at.wait(2 * RETRY_SECONDS) is None
        assert at.lines == [("unusable", "the nodes show different code: node 0, node 1")], "once"
        at.nodes.nodes = {"node 0": deployed(NEW), "node 1": deployed(NEW)}
        found = await at.wait(RETRY_SECONDS + CHECK_SECONDS)
        assert found is not None
        assert found.elf == NEW


@pytest.mark.parametrize(
    ("others", "usable"), [((), True), ((AWAY,), False), ((AWAY, deployed()), True), ((AWAY, AWAY), False)]
)
async def test_of_several_nodes_two_must_agree(
    others: tuple[dict[str, Account] | VenueError, ...], usable: bool
) -> None:
    at = shelf(deployed(), *others)
    async with running(at.library.run()):
        await at.wait()
        assert (await at.wait() is not None) is usable


async def test_while_no_node_answers_it_is_tried_again() -> None:
    at = shelf(AWAY)
    async with running(at.library.run()):
        assert await at.wait() is None
        at.nodes.nodes = {"node 0": deployed()}
        assert await at.wait(RETRY_SECONDS + CHECK_SECONDS) is not None
    assert at.lines == [("unusable", "away"), ("read", PROGRAM)]


async def test_what_the_runtime_does_not_load_is_left_to_the_nodes() -> None:
    at = shelf(deployed())
    async with running(at.library.run()):
        await at.wait()
        program = await at.wait()
        assert program is not None
        at.library.reject(program, "invalid code")
        assert at.library.find(PROGRAM) is None
    assert at.lines[-1] == ("unusable", "invalid code")


async def test_programs_that_nobody_calls_are_forgotten() -> None:
    at = shelf(deployed())
    async with running(at.library.run()):
        await at.wait()
        await at.wait()
        at.clock.advance(UNUSED_SECONDS)
        await at.clock.sleep(CHECK_SECONDS)
        for _ in range(12):
            await asyncio.sleep(0)
        assert at.library.programs() == []


async def test_many_programs_do_not_fill_the_memory() -> None:
    at = shelf({})
    for number in range(3 * MOST_PROGRAMS):
        at.clock.advance(1)
        at.library.find(f"program {number}")
    kept = [number for number in range(3 * MOST_PROGRAMS) if f"program {number}" in at.library]
    assert kept == list(range(2 * MOST_PROGRAMS, 3 * MOST_PROGRAMS)), "the last that were used"
