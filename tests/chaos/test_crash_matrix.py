"""The crash matrix: every failpoint, struck by kill -9, by an exception, and by a stall past the lease.

In each case a process takes orders and works on them until the blow falls. Whoever posted goes on posting under the
same keys, and sockets go on following, there or at the process that comes to help. In the end every order has exactly
one terminal status, no swap landed twice, and the sockets saw what Postgres has.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from dexexec.clock import Failpoint
from dexexec.store import Address
from tests.acceptance.client import Http, Watch, http
from tests.acceptance.judge import agree, judge, picture, rows
from tests.acceptance.service import POLL, say, servers_at
from tests.chaos.clients import REFUSALS, Follower, insist
from tests.chaos.victim import Blow, Service, Strike, service
from tests.conftest import Servers, new_database
from tests.waiting import until

AT_ONCE = 14
"""Cases that run side by side: each mostly waits for leases and sweeps."""
CASE_SECONDS = 40.0
SETTINGS = {
    "PORT": "0",
    "DEXEXEC_LEASE_SECONDS": "1",
    "DEXEXEC_HEARTBEAT_SECONDS": "0.2",
    "DEXEXEC_SWEEP_SECONDS": "0.1",
    "DEXEXEC_RETRY_BASE_MS": "50",
    "DEXEXEC_MOCK_LATENCY_MS": "5",
    "DEXEXEC_MOCK_LANDING_MS": "100",
    "DEXEXEC_MOCK_SLIPPAGE_PPM": "400000",
}
FILLS = {"side": "buy", "amount": "0.5", "slippageBps": 5_000}
FAILS = {"side": "sell", "amount": "0.5", "slippageBps": 0}
"""Prices move by up to 40 %: within the bounds of the first, and out of those of the second, which is tried three
times and fails."""
ORDERS = [FILLS, FILLS, FAILS, FILLS]

BEFORE = {
    Failpoint.RELEASING: [Strike(Failpoint.QUOTED, Blow.RAISE)],
    Failpoint.RELEASED: [Strike(Failpoint.QUOTED, Blow.RAISE)],
    Failpoint.RECLAIMED: [Strike(Failpoint.LEASED, Blow.HANG)],
    Failpoint.REMOVED: [Strike(Failpoint.LEASED, Blow.HANG)],
}
"""What must go wrong first, so that an order comes that way."""
ENDS_THE_PROCESS = {
    Failpoint.LEASED,
    Failpoint.CLAIMED,
    Failpoint.RECLAIMED,
    Failpoint.REMOVED,
    Failpoint.ANNOUNCING,
    Failpoint.HEARD,
}
"""Where a fault that nobody foresaw concerns no order in particular, a process goes down loudly; elsewhere it may cost
one order its turn and nothing else."""

SLOW = {*BEFORE, Failpoint.LEASED, Failpoint.CLAIMED, Failpoint.ACKNOWLEDGING, Failpoint.ENQUEUED}
"""Where a stream entry is left pending, which costs the time until it is taken over: these begin first."""


@dataclass(frozen=True, slots=True)
class Case:
    """One failpoint and one blow."""

    at: Failpoint
    blow: Blow

    @property
    def plan(self) -> list[Strike]:
        return [*BEFORE.get(self.at, []), Strike(self.at, self.blow)]


@asynccontextmanager
async def surroundings(servers: Servers) -> AsyncIterator[tuple[Address, dict[str, str]]]:
    """A database and a Redis prefix, and the settings that name them."""
    database = new_database(servers.postgres)
    address = await asyncio.to_thread(database.__enter__)
    try:
        yield address, servers_at(address, servers.redis_url, f"t{uuid.uuid4().hex[:10]}") | SETTINGS
    finally:
        await asyncio.to_thread(database.__exit__, None, None, None)


async def survive(case: Case, servers: Servers) -> None:
    """Run one case; AssertionError or TimeoutError if a promise was not kept."""
    async with (
        surroundings(servers) as (address, environment),
        http(timeout=2) as calls,
        AsyncExitStack() as stack,
        asyncio.timeout(CASE_SECONDS),
    ):
        victim = await stack.enter_async_context(service(environment, case.plan))
        serving = [victim]

        def current() -> str:
            return serving[-1].url

        refusals = {*REFUSALS, 500} if case.blow is Blow.RAISE else REFUSALS
        watch = Follower(current)
        clients = asyncio.create_task(_clients(calls, watch, refusals))
        stack.callback(clients.cancel)
        assert await victim.told() == "struck"
        if case.blow is Blow.KILL:
            assert await victim.ended() == -9
        if case.blow is not Blow.RAISE or case.at in ENDS_THE_PROCESS:
            serving.append(await stack.enter_async_context(service(environment)))
        if case.blow is Blow.STALL:
            watch.hang_up()
        order_ids = await clients
        if case.blow is Blow.STALL:
            order_ids += await _wake(victim, address, calls)
        _judge_exits(case, victim.exit_code)
        for process in serving:
            if process.exit_code is None:
                assert await process.stop() == 0
        judge(address, order_ids)
        agree(watch.events, address)


async def _clients(calls: Http, watch: Follower, refusals: Sequence[int] | set[int]) -> list[str]:
    """Post all orders, and follow each from its acceptance to its end; their ids."""

    async def one(order: dict[str, object]) -> str:
        order_id = await insist(calls, watch.address, order, uuid.uuid4().hex, refusals)
        watch.also([order_id])
        return order_id

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch.run())
        posts = [tasks.create_task(one(order)) for order in ORDERS]
        await asyncio.wait(posts)
        watch.these_are_all()
    return [post.result() for post in posts]


async def _wake(zombie: Service, address: Address, calls: Http) -> list[str]:
    """Promise 10: what ended without the zombie stays as it is when it goes on. It notices that it was declared dead,
    begins anew, and takes orders again."""
    await until(lambda: len(rows(address, "SELECT id FROM workers")) == 1, pause=POLL)
    before = picture(address)
    zombie.go_on()
    await until(lambda: len(rows(address, "SELECT id FROM workers")) == 2, pause=POLL)
    assert picture(address) == before
    order_id = await insist(calls, lambda: zombie.url, FILLS, uuid.uuid4().hex)
    await Watch(lambda: zombie.url).also([order_id]).run()
    return [order_id]


def _judge_exits(case: Case, exit_code: int | None) -> None:
    if case.blow is Blow.RAISE:
        assert (exit_code is not None) == (case.at in ENDS_THE_PROCESS), f"exit code {exit_code}"
    if case.blow is Blow.STALL:
        assert exit_code is None


@pytest.mark.gen_test(timeout=110)
@pytest.mark.parametrize("blow", [Blow.KILL, Blow.RAISE, Blow.STALL])
async def test_no_order_is_lost_or_doubled_whatever_strikes_between_any_two_effects(
    blow: Blow, servers: Servers
) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    failures: list[Exception] = []

    async def run(case: Case) -> None:
        async with places:
            begun = time.monotonic()
            try:
                await survive(case, servers)
            except Exception as error:  # noqa: BLE001 - all cases are run, and those that failed are told together
                error.add_note(f"case: {case.blow} at {case.at}")
                failures.append(error)
            say(f"{case.blow} at {case.at}: {time.monotonic() - begun:.1f} s")

    await asyncio.gather(*(run(Case(at, blow)) for at in sorted(Failpoint, key=lambda at: at not in SLOW)))
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(Failpoint)} failpoints do not survive {blow}", failures)
