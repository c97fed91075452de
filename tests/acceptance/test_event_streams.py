"""The stream of all events while the processes that serve and write it are killed: a client that goes on elsewhere with
its last id gets every event once."""

import asyncio
import random
import signal
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from dexexec.store import Address
from tests.support.event_source import event_source
from tests.support.service.client import http
from tests.support.service.process import Launcher, Process, say
from tests.support.service.promise_checks import rows
from tests.support.waiting import POLL, until

ROUGH = {"DEXEXEC_MOCK_LANDING_MS": "100", "DEXEXEC_MOCK_DROP_RATE": "0.05", "DEXEXEC_RETRY_BASE_MS": "50"}
WRITTEN = "SELECT order_id, seq FROM order_events"
OPEN = "SELECT id FROM orders WHERE finished_at IS NULL"


@pytest.fixture
def launcher(given: dict[str, str]) -> Iterator[Launcher]:
    with Launcher(**given, **ROUGH) as launcher:
        yield launcher


class Listener:
    """A client that goes on at another process whenever its stream ends."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.last_id = "start"
        self.on = 0
        """The port that it is connected to."""
        self.ports: list[int] = []
        self.heard: list[tuple[str, int]] = []
        self.connections = 0

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            self.on = self._chance.choice(self.ports)
            try:
                async with event_source(self.on, "/api/events", **{"Last-Event-ID": self.last_id}) as client:
                    assert client.status == 200, client.status
                    self.connections += 1
                    while (one := await client.next()) is not None:
                        self.last_id = one.id
                        if not one.event:
                            self.heard.append((str(one.message["orderId"]), int(one.message["seq"])))
            except (OSError, EOFError):
                await asyncio.sleep(0.02)


async def test_promise_32_a_client_that_goes_on_at_another_process_gets_every_event_once_whatever_is_killed(
    launcher: Launcher, database_address: Address
) -> None:
    seed = random.randrange(2**32)
    say(f"seed {seed}")
    chance = random.Random(seed)
    apis = [launcher.start("api") for _ in range(2)]
    workers = [launcher.start("worker") for _ in range(2)]
    await asyncio.to_thread(lambda: [process.logged("worker started") for process in workers])
    listener = Listener(chance)

    def ports() -> list[int]:
        return [int(str(urlsplit(api.url).port)) for api in apis]

    def victim() -> Process:
        return next(api for api in apis if urlsplit(api.url).port == listener.on)

    async with http() as calls, asyncio.timeout(55):
        listener.ports = await asyncio.to_thread(ports)
        listening = asyncio.create_task(listener.run())
        posted = 0
        for turn in range(4):
            seen, begun = len(listener.heard), listener.connections
            wanted = [calls.accepted(apis[n % 2].url, f"{chance.uniform(0.01, 9):.4f}", "buy") for n in range(15)]
            posted += len(await asyncio.gather(*wanted))
            await until(lambda seen=seen: listening.done() or len(listener.heard) >= seen + 20, pause=POLL)  # type: ignore[misc]
            assert not listening.done(), listening.result()
            # In turn the process that it listens to is killed, a worker is killed, and the process stops as it should.
            dying = chance.choice(workers) if turn == 1 else victim()
            ranks = workers if turn == 1 else apis
            ranks.remove(dying)
            listener.ports = await asyncio.to_thread(ports)
            dying.send(signal.SIGTERM) if turn == 2 else dying.kill()
            if turn != 1:
                await until(lambda begun=begun: listener.connections > begun, pause=POLL)  # type: ignore[misc]
            ranks.append(launcher.start(*dying.arguments))
            listener.ports = await asyncio.to_thread(ports)
        await until(lambda: not rows(database_address, OPEN), pause=POLL)
        written = {(str(row["order_id"]), int(str(row["seq"]))) for row in rows(database_address, WRITTEN)}
        await until(lambda: len(listener.heard) >= len(written), pause=POLL)
        listening.cancel()
        await asyncio.wait([listening])
    say(f"{len(listener.heard)} events over {listener.connections} connections")
    assert len(listener.heard) == len(written)
    assert set(listener.heard) == written
    assert len({order_id for order_id, _ in written}) == posted
    for order_id in {order_id for order_id, _ in written}:
        seqs = [seq for one, seq in listener.heard if one == order_id]
        assert seqs == list(range(1, len(seqs) + 1))
    assert listening.cancelled()
    assert listener.connections >= 4
