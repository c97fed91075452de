"""Quarantines are followed without waiting for Postgres, and only those on the clusters that are used count."""

from dataclasses import replace
from typing import Any

import pytest

from dexexec.domain.program_version import Deployment, Quarantine
from dexexec.errors import UnavailableError
from dexexec.feed.quarantine_watch import QuarantineWatch
from dexexec.testing.clock import ManualClock
from tests.support.fakes.program_versions import MemoryProgramVersions

OLD = Deployment(venue="acme", program="PROGRAM", sha256="old", mark="1", slot=10)
NEW = replace(OLD, sha256="new", mark="2", slot=20)


async def upgraded(record: MemoryProgramVersions, *deployments: Deployment, genesis: str = "genesis") -> None:
    for deployment in deployments:
        await record.seen(genesis, deployment)


async def test_a_quarantine_is_passed_on_when_it_begins_and_when_it_ends() -> None:
    record = MemoryProgramVersions()
    watch = QuarantineWatch(record, ManualClock())
    heard: list[Any] = []
    watch.listen(lambda one, began: heard.append((one.venue, one.sha256, began)))
    await upgraded(record, OLD)
    await watch.look()
    assert (watch.refusal("acme"), heard) == ("", [])
    await upgraded(record, NEW)
    for _ in range(2):
        await watch.look()
    assert heard == [("acme", "new", True)]
    waits = "its program PROGRAM was upgraded in slot 20: simulated swaps have not confirmed its quotes yet"
    assert watch.refusal("acme") == f"quarantined: {waits}"
    assert watch.refusal("other") == ""
    [found] = watch.all()
    await record.differ(found, "quoted 2, simulated 1")
    await watch.look()
    assert watch.refusal("acme").endswith("was upgraded in slot 20: quoted 2, simulated 1")
    await upgraded(record, replace(NEW, sha256="newer", slot=30))
    await watch.look()
    assert sorted(heard[1:]) == [("acme", "new", False), ("acme", "newer", True)]
    await record.accept_all("acme", "me")
    await watch.look()
    assert heard[-1] == ("acme", "newer", False)
    assert watch.refusal("acme") == ""


async def test_while_postgres_is_away_what_was_read_last_holds() -> None:
    record = MemoryProgramVersions()
    watch = QuarantineWatch(record, ManualClock())
    await upgraded(record, OLD, NEW)
    await watch.look()
    record.down = True
    with pytest.raises(UnavailableError):
        await watch.look()
    assert watch.refusal("acme")


async def test_programs_of_other_clusters_do_not_count() -> None:
    record = MemoryProgramVersions()
    watch = QuarantineWatch(record, ManualClock())
    await upgraded(record, OLD, NEW, genesis="devnet")
    await watch.look()
    assert watch.refusal("acme")
    watch.restrict_to(["mainnet"])
    assert (watch.refusal("acme"), watch.all()) == ("", [])


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"slot": 0}, "has other code than before"), ({"sha256": ""}, "has no code any more"), ({}, "in slot 20")],
)
def test_the_reason_names_what_happened(changed: dict[str, Any], words: str) -> None:
    found: Any = {"genesis": "g", "venue": "v", "program": "p", "sha256": "new", "slot": 20, "since": None, **changed}
    assert words in Quarantine(**found).detail
