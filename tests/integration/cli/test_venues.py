"""`python -m dexexec venues`: the state of venues and of what is warm, from a running service."""

import asyncio
import io
import json
from argparse import Namespace
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from dexexec.bootstrap.warm_view import WarmView
from dexexec.cli import venues
from dexexec.cli.venues import CLEAR, show_venues
from dexexec.clock import SystemClock
from dexexec.config.settings import Settings
from dexexec.errors import StartupError
from dexexec.observe.observer import Observer
from tests.support.running_api import Service, running_service
from tests.support.scripted import ScriptedVenue
from tests.support.waiting import until
from tests.support.warm_states import CHAIN, COLD, WARM, FakeWarmSource

SETTINGS = Settings(_env_file=None)


class Terminal(io.StringIO):
    """Where the output can be cleared."""

    def isatty(self) -> bool:
        return True


def options(service: Service, **given: Any) -> Namespace:
    return Namespace(**{"url": f"http://127.0.0.1:{service.port}", "json": False, "watch": False, **given})


async def test_without_a_venue_the_list_is_empty() -> None:
    async with running_service() as service:
        out = io.StringIO()
        assert await show_venues(options(service, json=True), SETTINGS, out) == 1, "none is enabled here"
        assert json.loads(out.getvalue()) == {"venues": [], "endpoints": [], "chains": []}
        given = options(service)
    with pytest.raises(StartupError, match="does not show its venues"):
        await show_venues(given, SETTINGS, out)


async def test_what_is_warm_and_why_not_is_shown_for_each_pool_and_chain() -> None:
    venue = ScriptedVenue("pools", SystemClock())
    async with running_service(venues=[venue], warm=FakeWarmSource("pools")) as service:
        out = io.StringIO()
        assert await show_venues(options(service), SETTINGS, out) == 0
        document = json.loads((await service.ask("GET", "/api/venues")).body)
    tables = [table.splitlines() for table in out.getvalue().split("\n\n")]
    assert [table[0].split()[0] for table in tables] == ["VENUE", "CHAIN", "VENUE"]
    assert "warm" in tables[1][1]
    assert "19 of 20, at most 512" in tables[1][1]
    assert tables[1][2:] == [
        "simulated: the last gap: the socket was lost",
        "simulated: refused: too many subscriptions",
    ]
    cold, warm = tables[2][1:]
    assert cold.split()[:5] == ["pools", "cold", "pool", "cold:", "torn"]
    assert warm.split()[3:] == ["warm", "7", "2", "1.23", "4.0"]
    assert [pool["address"] for pool in document["venues"][0]["pools"]] == [COLD.address, WARM.address]
    [chain] = document["chains"]
    assert (chain["network"], chain["warm"], chain["cold"], chain["ageMs"]) == ("simulated", True, None, 123)


async def test_watching_shows_it_again_and_survives_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venues, "WATCH_SECONDS", 0.01)
    venue = ScriptedVenue("pools", SystemClock())
    source = FakeWarmSource("pools")
    out = Terminal()
    async with running_service(venues=[venue], warm=source) as service:
        watching = asyncio.create_task(show_venues(options(service, watch=True), SETTINGS, out))
        await until(lambda: out.getvalue().count(CLEAR) > 1)
        source.chain = replace(CHAIN, cold="silent")
        await until(lambda: "cold: silent" in out.getvalue())
    await until(lambda: "does not show its venues" in out.getvalue())
    assert not watching.done()
    watching.cancel()
    await asyncio.wait([watching])


async def test_a_program_that_watches_gets_a_document_per_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venues, "WATCH_SECONDS", 0.01)
    async with running_service(venues=[ScriptedVenue("pools", SystemClock())]) as service:
        out = io.StringIO()
        watching = asyncio.create_task(show_venues(options(service, watch=True, json=True), SETTINGS, out))
        await until(lambda: out.getvalue().count("\n") > 1)
        watching.cancel()
        await asyncio.wait([watching])
    for line in out.getvalue().splitlines():
        assert [one["venue"] for one in json.loads(line)["venues"]] == ["pools"]


def test_a_venue_without_a_watched_chain_has_no_pools_and_a_faulty_one_hides_no_other() -> None:
    log = CapturingLogger()
    good, faulty = ScriptedVenue("good", SystemClock()), ScriptedVenue("faulty", SystemClock())
    view = WarmView(venues={"good": good, "faulty": faulty}, observer=Observer(log))
    assert view.pools("good") == view.pools("faulty") == view.pools("unknown") == ()
    assert view.chains() == {}
