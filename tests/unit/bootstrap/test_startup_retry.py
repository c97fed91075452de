"""The life of a process from its first contact on: servers that are away are waited for, and a stop ends the wait."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import CapturingLogger

from dexexec.bootstrap import startup_retry
from dexexec.bootstrap.startup_retry import run_with_retries
from dexexec.errors import UnreachableError, UnusableError
from dexexec.observe.observer import Observer


class Server:
    """Away for so many tries."""

    def __init__(self, away: int, error: Exception | None = None) -> None:
        self.away, self.tries = away, 0
        self.error = error or UnreachableError("Redis does not answer")

    async def run_service(self, started: Callable[[], None]) -> None:
        self.tries += 1
        if self.tries <= self.away:
            raise self.error
        started()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup_retry, "START_PAUSE", 0)


@pytest.fixture
def log() -> CapturingLogger:
    return CapturingLogger()


async def test_a_server_that_is_away_is_waited_for_and_reported_once(log: CapturingLogger) -> None:
    server = Server(away=5)
    await run_with_retries(server.run_service, asyncio.Event(), Observer(log), 60)
    assert server.tries == 6
    [call] = log.calls
    assert (call.method_name, call.kwargs["why"]) == ("warning", "Redis does not answer")


async def test_a_server_that_stays_away_ends_the_start(log: CapturingLogger) -> None:
    server = Server(away=1)
    with pytest.raises(UnreachableError):
        await run_with_retries(server.run_service, asyncio.Event(), Observer(log), 0)
    assert (server.tries, log.calls) == (1, [])


async def test_what_waiting_does_not_mend_ends_the_start_at_once(log: CapturingLogger) -> None:
    server = Server(away=1, error=UnusableError("the password is wrong"))
    with pytest.raises(UnusableError):
        await run_with_retries(server.run_service, asyncio.Event(), Observer(log), 60)
    assert server.tries == 1


async def test_a_stop_ends_the_wait(log: CapturingLogger) -> None:
    server, stop = Server(away=10_000_000), asyncio.Event()
    running = asyncio.create_task(run_with_retries(server.run_service, stop, Observer(log), 3_600))
    while server.tries < 2:
        await asyncio.sleep(0)
    stop.set()
    await running
    assert log.calls[-1].args == ("start given up: stop requested",)


async def test_a_life_that_has_started_is_not_begun_again(log: CapturingLogger) -> None:
    lives = 0

    async def run_service(started: Callable[[], None]) -> None:
        nonlocal lives
        lives += 1
        started()
        raise UnreachableError("later")

    with pytest.raises(UnreachableError):
        await run_with_retries(run_service, asyncio.Event(), Observer(log), 60)
    assert lives == 1


async def test_a_stop_cancels_what_the_start_waits_for(log: CapturingLogger) -> None:
    stop, gone = asyncio.Event(), asyncio.Event()

    async def run_service(started: Callable[[], None]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    running = asyncio.create_task(run_with_retries(run_service, stop, Observer(log), 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    stop.set()
    await running
    assert gone.is_set()
