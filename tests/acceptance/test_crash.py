"""kill -9 and SIGSTOP of the service's own processes, with orders in every stage: nothing is lost, nothing doubled.

The halves run apart, several of each, on shared servers. The mock venues' swaps take time to land, lose some sends and
fail on some price moves, so that orders are hit in every status.
"""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from dexexec.store import Address
from tests.support.service.client import Http, Watch, http, watching
from tests.support.service.process import Launcher, Process, say
from tests.support.service.promise_checks import Verdict, agree, check_promises, held, picture, rows
from tests.support.waiting import POLL, until

ROUGH = {
    "DEXEXEC_MOCK_LATENCY_MS": "20",
    "DEXEXEC_MOCK_LANDING_MS": "700",
    "DEXEXEC_MOCK_DROP_RATE": "0.05",
    "DEXEXEC_MOCK_SLIPPAGE_PPM": "5500",
    "DEXEXEC_RETRY_BASE_MS": "50",
}
MOVES_AGAIN_SECONDS = 6.0
"""A sweep (1 s) notices the death, an order rests 1 s before it is swept, the next sweep takes it; the rest is for a
busy machine."""


@pytest.fixture
def launcher(given: dict[str, str]) -> Iterator[Launcher]:
    with Launcher(**given, **ROUGH) as launcher:
        yield launcher


async def post(calls: Http, urls: list[str], count: int, chance: random.Random) -> list[str]:
    """Orders spread over the API processes."""
    wanted = [(chance.choice(["buy", "sell"]), f"{chance.uniform(0.01, 20):.4f}") for _ in range(count)]
    return await asyncio.gather(
        *(calls.accepted(urls[n % len(urls)], amount, side) for n, (side, amount) in enumerate(wanted))
    )


async def holds_swaps(address: Address, worker: Process, least: int) -> dict[str, tuple[int, str]]:
    """What a worker holds, once at least so many swaps are on their way."""

    def enough() -> dict[str, tuple[int, str]]:
        found = held(address, worker)
        return found if sum(status == "submitted" for _, status in found.values()) >= least else {}

    found: dict[str, tuple[int, str]] = await until(enough, pause=POLL)
    return found


def moved(address: Address, orders: dict[str, tuple[int, str]]) -> int:
    """How many of `orders` were claimed anew since."""
    now = {str(row["id"]): row["claim"] for row in rows(address, "SELECT id, claim FROM orders")}
    return sum(int(str(now[order_id])) > claim for order_id, (claim, _) in orders.items())


def seeded() -> random.Random:
    seed = random.randrange(2**32)
    say(f"seed {seed}")
    return random.Random(seed)


def tell(verdict: Verdict) -> None:
    say(f"{dict(verdict.statuses)}; {verdict.swaps} swaps; taken up again {verdict.claims} times")


async def test_orders_of_a_killed_worker_move_again_within_seconds(
    launcher: Launcher, database_address: Address
) -> None:
    chance = seeded()
    apis = [launcher.start("api") for _ in range(2)]
    victim, other = launcher.start("worker"), launcher.start("worker")
    await asyncio.to_thread(lambda: (victim.logged("worker started"), other.logged("worker started")))
    urls = [api.url for api in apis]
    async with http() as calls, asyncio.timeout(50):
        order_ids = await post(calls, urls, 100, chance)
        async with watching(lambda: chance.choice(urls), order_ids) as watch:
            await holds_swaps(database_address, victim, 15)
            victim.kill()
            killed = time.monotonic()
            orphans = held(database_address, victim)
            say(f"orphans: {Counter(status for _, status in orphans.values())}")
            assert len(orphans) >= 10
            launcher.start("worker")
            await until(lambda: moved(database_address, orphans) > 0, pause=POLL)
            first = time.monotonic() - killed
            await until(lambda: moved(database_address, orphans) == len(orphans), pause=POLL)
            last = time.monotonic() - killed
        ended = time.monotonic() - killed
    verdict = check_promises(database_address, order_ids)
    agree(watch.events, database_address)
    assert watch.closes == [], "the sockets of the API processes have not noticed"
    tell(verdict)
    say(f"after the kill: first order moves at {first:.2f} s, all at {last:.2f} s, all orders ended at {ended:.2f} s")
    assert verdict.claims >= len(orphans)
    assert last < MOVES_AGAIN_SECONDS


async def test_any_process_may_be_killed_at_any_time_again_and_again(
    launcher: Launcher, database_address: Address
) -> None:
    chance = seeded()
    apis, workers = [launcher.start("api") for _ in range(2)], [launcher.start("worker") for _ in range(2)]
    await asyncio.to_thread(lambda: [process.logged("worker started") for process in workers])
    await asyncio.to_thread(lambda: [process.url for process in apis])
    order_ids: list[str] = []

    def address() -> str:
        return chance.choice([api for api in apis if api.running]).url

    async with http() as calls, asyncio.timeout(55):
        order_ids += await post(calls, [api.url for api in apis], 40, chance)
        async with watching(address, order_ids) as watch:
            for turn in range(5):
                await watch.reach(lambda w: len(w.at("submitted")) >= 8 or len(w.unfinished) < 8)
                ranks = workers if turn % 2 == 0 else apis
                victim = next(api for api in apis if api.url == watch.on) if ranks is apis else chance.choice(workers)
                victim.kill()
                ranks.remove(victim)
                ranks.append(launcher.start(*victim.arguments))
                if ranks is apis:
                    await asyncio.to_thread(lambda: apis[-1].url)
                order_ids += (more := await post(calls, [api.url for api in apis], 10, chance))
                watch.also(more)
    verdict = check_promises(database_address, order_ids)
    agree(watch.events, database_address)
    tell(verdict)
    assert len(watch.closes) == 2, "the socket was cut with each API process that was killed"


async def test_a_worker_stopped_beyond_its_lease_writes_nothing_stale(
    launcher: Launcher, database_address: Address
) -> None:
    """Promise 10: SIGSTOP is a partition, or a pause of the whole machine. The others take its orders over; when it
    comes back, it finds out, writes nothing about them, and works on."""
    chance = seeded()
    lease = {"DEXEXEC_LEASE_SECONDS": "1", "DEXEXEC_HEARTBEAT_SECONDS": "0.1", "DEXEXEC_SWEEP_SECONDS": "0.2"}
    api = launcher.start("api")
    sleeper = launcher.start("worker", **lease)
    await asyncio.to_thread(lambda: (api.url, sleeper.logged("worker started")))
    async with http() as calls, asyncio.timeout(50):
        order_ids = await post(calls, [api.url], 60, chance)
        async with watching(lambda: api.url, order_ids):
            await holds_swaps(database_address, sleeper, 20)
            sleeper.send(signal.SIGSTOP)
            stopped = time.monotonic()
            taken = held(database_address, sleeper)
            launcher.start("worker", **lease)
            await until(lambda: moved(database_address, taken) == len(taken), pause=POLL)
            say(f"{len(taken)} orders of a stopped worker moved after {time.monotonic() - stopped:.2f} s")
        before = picture(database_address)
        sleeper.send(signal.SIGCONT)
        await asyncio.to_thread(sleeper.logged, "worker lost its lease")
        more = await post(calls, [api.url], 40, chance)
        await Watch(lambda: api.url).also(more).run()
        after = picture(database_address)
        assert {order_id: after[order_id] for order_id in before} == before
    tell(check_promises(database_address, order_ids + more))
    assert sleeper.running
