"""The deployed code of programs is watched by its first bytes, and recorded only when all nodes show the same."""

import asyncio
from dataclasses import dataclass, field
from hashlib import sha256

import pytest

from dexexec.domain.solana import Account
from dexexec.settlement.solana.warm.deployment_watch import RETRY_SECONDS, DeploymentWatch
from dexexec.settlement.solana.warm.programs import Loader
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable, VenueError
from tests.support.deployed_programs import AUTHORITY, DATA, ELF, PROGRAM, ShownPrograms, data_account, deployed
from tests.support.fakes.program_versions import MemoryProgramVersions
from tests.support.swap_transactions import address

NEW = ELF + b" of the next version"
AWAY = Unreachable("away")
GENESIS = "genesis"


@dataclass
class Watching:
    """A watch over nodes, with time by hand."""

    nodes: ShownPrograms
    venues: dict[str, frozenset[str]] = field(default_factory=lambda: {"acme": frozenset({PROGRAM})})
    record: MemoryProgramVersions = field(default_factory=MemoryProgramVersions)
    clock: ManualClock = field(default_factory=ManualClock)
    lines: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = DeploymentWatch(self.venues, self.nodes, self.record, self.clock, observer=self, genesis=GENESIS)

    def deployment_unknown(self, venue: str, program: str, why: str) -> None:
        self.lines.append((venue, why))

    def show(self, *nodes: dict[str, Account] | VenueError) -> None:
        self.nodes.nodes = {f"node {number}": node for number, node in enumerate(nodes)}

    async def look(self) -> list[str]:
        """What is quarantined after a look: the hashes of the code."""
        await self.watch.look()
        return [one.sha256 for one in await self.record.quarantines()]

    @property
    def kinds(self) -> list[str]:
        """The requests since the last call."""
        kinds = [kind for kind, *_ in self.nodes.requests]
        self.nodes.requests.clear()
        return kinds


def watching(*nodes: dict[str, Account] | VenueError) -> Watching:
    found = Watching(ShownPrograms())
    found.show(*nodes)
    return found


def hashed(elf: bytes) -> str:
    return sha256(elf).hexdigest()


async def test_the_code_is_read_once_and_then_only_its_first_bytes() -> None:
    found = watching(deployed(), deployed())
    assert await found.look() == []
    [row] = found.record.rows.values()
    assert (row.accepted, row.deployment.slot) == (hashed(ELF), 1)
    assert found.kinds == ["heads", "heads", "everywhere"]
    assert await found.look() == []
    assert found.kinds == ["heads"]


async def test_a_restarted_process_reads_no_code_that_is_recorded() -> None:
    found = watching(deployed())
    await found.look()
    again = Watching(found.nodes, record=found.record)
    found.nodes.requests.clear()
    assert await again.look() == []
    assert again.kinds == ["heads", "heads"]


async def test_an_upgrade_is_recorded_with_its_slot() -> None:
    found = watching(deployed(), deployed())
    await found.look()
    found.show(deployed(NEW, 7), deployed(NEW, 7))
    assert await found.look() == [hashed(NEW)]
    [quarantine] = await found.record.quarantines()
    assert (quarantine.slot, quarantine.venue, quarantine.program) == (7, "acme", PROGRAM)
    assert found.lines == []


async def test_an_upgrade_while_nothing_ran_is_found_at_the_next_start() -> None:
    found = watching(deployed())
    await found.look()
    found.show(deployed(NEW, 7))
    assert await Watching(found.nodes, record=found.record).look() == [hashed(NEW)]


async def test_the_same_code_deployed_again_and_another_authority_are_no_change() -> None:
    found = watching(deployed())
    await found.look()
    for data in (data_account(ELF, 9), data_account(ELF, 9, None), data_account(ELF, 9, address("new authority"))):
        found.show({**deployed(), DATA: data})
        assert await found.look() == []
    assert address("new authority") != AUTHORITY


async def test_nodes_that_disagree_change_nothing_until_they_agree() -> None:
    found = watching(deployed(), deployed())
    await found.look()
    for _ in range(2):
        found.show(deployed(NEW, 7), deployed())
        assert await found.look() == []
    assert found.lines == [("acme", "the nodes show different code: node 0, node 1")], "one line"
    found.show(deployed(NEW, 7), deployed(NEW, 7))
    found.clock.advance(RETRY_SECONDS)
    assert await found.look() == [hashed(NEW)]


async def test_code_that_cannot_be_read_is_not_read_at_each_look() -> None:
    found = watching(deployed(), deployed())
    await found.look()
    found.show(deployed(NEW, 7), deployed())
    found.nodes.requests.clear()
    for _ in range(5):
        await found.look()
    assert found.kinds.count("everywhere") == 1


async def test_a_closed_program_is_quarantined() -> None:
    found = watching(deployed())
    await found.look()
    for gone in ({PROGRAM: deployed()[PROGRAM]}, {**deployed(), DATA: Account(Loader.UPGRADEABLE, 1, bytes(4))}):
        found.show(gone)
        found.clock.advance(RETRY_SECONDS)
        assert await found.look() == [""]
    found.show(deployed())
    found.clock.advance(RETRY_SECONDS)
    assert await found.look() == [], "the same code is back"


async def test_a_program_that_does_not_exist_at_first_sight_is_not_accepted() -> None:
    found = watching({})
    assert await found.look() == []
    assert found.record.rows == {}
    assert found.lines == [("acme", "the program or its code does not exist")]
    found.show(deployed())
    found.clock.advance(RETRY_SECONDS)
    assert await found.look() == []
    assert len(found.record.rows) == 1


async def test_a_program_of_an_older_loader_is_watched_by_its_own_account() -> None:
    found = watching({PROGRAM: Account(Loader.FINAL, 1, ELF)})
    await found.look()
    found.show({PROGRAM: Account(Loader.FINAL, 1, NEW)})
    assert await found.look() == [hashed(NEW)]
    assert (await found.record.quarantines())[0].slot == 0


async def test_nodes_and_postgres_that_are_away_end_a_look_and_not_the_watch() -> None:
    found = watching(AWAY)
    with pytest.raises(Unreachable):
        await found.look()
    found.show(deployed())
    found.record.down = True
    task = asyncio.create_task(found.watch.run())
    try:
        for _ in range(3):
            for _ in range(20):
                await asyncio.sleep(0)
            assert not task.done()
            found.record.down = False
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len(found.record.rows) == 1


async def test_without_programs_nothing_is_requested() -> None:
    found = Watching(ShownPrograms(), venues={"mock": frozenset()})
    assert await found.look() == []
    assert found.kinds == []
