"""Partitions: one process reaches Postgres and Redis through a bad network, another one directly.

The far process takes orders and works on them; then its network fails in one way, and in some cases the near one takes
over what it held. After healing the far one must change nothing that has ended, and work again.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import product

import pytest

from dexexec.store import Address
from tests.conftest import Servers
from tests.support.chaos.case import FAILS, FILLS, all_survive, post, surroundings
from tests.support.chaos.clients import Follower
from tests.support.chaos.networks import Fault, Networks, Server, networks, suffering
from tests.support.chaos.proxy import Tap
from tests.support.chaos.statements import Execution
from tests.support.chaos.victim import Service, service
from tests.support.service.client import Http, http
from tests.support.service.promise_checks import agree, check_promises, picture, rows, unfinished
from tests.support.waiting import POLL, until

CASE_SECONDS = 150.0
"""Only guards against a hang; the promised time is below."""
AT_ONCE = 6
"""Cases that run side by side: what is measured here is time after healing, on a machine that has some left."""
HEALED_SECONDS = 35.0
"""Promised with these settings: a lost session is given up within 5 s, a stream entry taken over after 5 s more, then
a lease (1 s), a sweep and the work itself; twice that on a machine that is busy."""
SETTINGS = {"DEXEXEC_MOCK_LANDING_MS": "500", "DEXEXEC_REQUEST_TIMEOUT_MS": "1500"}
ORDERS = [FILLS, FAILS, FILLS]


class Lost(StrEnum):
    """A commit whose answer is lost, by a part of its statement."""

    CREATE = "INSERT INTO idempotency_keys"
    CLAIM = "SET claim = o.claim + 1"
    ADVANCE = "INSERT INTO attempts"


@dataclass
class PartitionSetup:
    """The far process with the networks before it, and the near one once it is there."""

    address: Address
    environment: Mapping[str, str]
    calls: Http
    networks: Networks
    serving: list[Service]
    watch: Follower
    stack: AsyncExitStack
    order_ids: list[str] = field(default_factory=list)

    @property
    def far(self) -> Service:
        return self.serving[0]

    async def help_comes(self) -> None:
        """Start the near process; clients turn to it."""
        self.serving.append(await self.stack.enter_async_context(service(self.environment)))
        self.watch.hang_up()

    async def lease_is_over(self) -> None:
        """Wait until no worker's lease lives."""
        live = "SELECT id FROM workers WHERE lease_until > clock_timestamp()"
        await until(lambda: not rows(self.address, live), pause=POLL)

    def claims(self, condition: str = "true") -> dict[str, int]:
        """The number of each order's last claim."""
        found = rows(self.address, f"SELECT id, claim FROM orders WHERE {condition}")  # noqa: S608 - our own words
        return {str(row["id"]): int(str(row["claim"])) for row in found}

    async def all_end(self) -> None:
        """Within the promised time."""
        await until(lambda: unfinished(self.address) == 0, HEALED_SECONDS, POLL)

    async def in_flight(self) -> None:
        """Wait until the far worker has swaps on their way."""
        submitted = "SELECT id FROM orders WHERE status = 'submitted' AND worker IS NOT NULL"
        await until(lambda: rows(self.address, submitted), pause=POLL)

    async def is_felt(self, server: Server) -> None:
        """Wait until the far worker can do nothing any more with this server."""
        if server is Server.POSTGRES:
            await self.lease_is_over()
        else:
            await until(lambda: "leasing orders" in self.far.log, pause=POLL)

    async def heal(self) -> None:
        """All networks work again. The far process alone must do the rest, and change nothing that has ended."""
        ended = self.claims("finished_at IS NOT NULL")
        before = picture(self.address)
        self.networks.heal()
        for near in self.serving[1:]:
            assert await near.stop() == 0
            self.serving.remove(near)
        await self.all_end()
        self.order_ids += await post(self.calls, self.watch, [FILLS])
        await self.all_end()
        after = picture(self.address)
        assert {order_id: after[order_id] for order_id in ended} == {order_id: before[order_id] for order_id in ended}


@asynccontextmanager
async def partition_setup(servers: Servers, lost: Lost | None = None) -> AsyncIterator[PartitionSetup]:
    """A far process that serves, on networks that still work; in the end, the verdict. `lost`: an order has ended, and
    the next answer to this will be held."""
    async with (
        surroundings(servers) as (address, environment),
        http(timeout=2) as calls,
        AsyncExitStack() as stack,
        asyncio.timeout(CASE_SECONDS),
    ):
        settings = {**environment, **SETTINGS}
        ways = await stack.enter_async_context(networks(address, servers.redis_url))
        armed = asyncio.Event()
        if lost is not None:
            ways[Server.POSTGRES].catch(lambda: once(armed, Execution(lost)))
        serving = [await stack.enter_async_context(service(settings | ways.settings))]
        watch = Follower(lambda: serving[-1].url)
        following = asyncio.create_task(watch.run())
        stack.callback(following.cancel)
        setup = PartitionSetup(address, settings, calls, ways, serving, watch, stack)
        if lost is not None:
            setup.order_ids += await post(calls, watch, [FILLS])
            await setup.all_end()
            armed.set()
        yield setup
        watch.these_are_all()
        await following
        assert await setup.far.stop() == 0
        check_promises(address, setup.order_ids)
        agree(watch.events, address)


def once(armed: asyncio.Event, tap: Tap) -> Tap:
    """The same tap: it follows all traffic and matches nothing before it is armed."""
    return lambda data: tap(data) and armed.is_set()


@dataclass(frozen=True, slots=True)
class Partition:
    """A fault of the far process's way to one server, with a near process that helps or without."""

    server: Server
    fault: Fault
    helped: bool

    def __str__(self) -> str:
        return f"{self.server} {self.fault}{', with help' if self.helped else ''}"


async def survive_partition(servers: Servers, case: Partition) -> None:
    """Run one case; AssertionError or TimeoutError if a promise was not kept."""
    async with partition_setup(servers) as setup:
        setup.order_ids += await post(setup.calls, setup.watch, ORDERS)
        await setup.in_flight()
        async with suffering(setup.networks[case.server], case.fault) as often_enough:
            posting = asyncio.create_task(post(setup.calls, setup.watch, ORDERS))
            setup.stack.callback(posting.cancel)
            if case.fault is Fault.RESETS:
                await often_enough.wait()
            elif case.fault is not Fault.SLOW:
                await setup.is_felt(case.server)
            if case.helped:
                held = setup.claims("finished_at IS NULL")
                await setup.help_comes()
                await setup.all_end()
                if case.server is Server.POSTGRES:
                    claims = setup.claims()
                    assert all(claims[order_id] > claim for order_id, claim in held.items()), (held, claims)
                await posting
                await setup.all_end()
            elif case.fault is Fault.SLOW:
                await posting
        if not case.helped:
            setup.networks[case.server].heal()
        setup.order_ids += await posting
        await setup.heal()


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """A commit whose answer does not come back: the connection breaks at once, or it is silent past the lease."""

    to: Lost
    silent: bool

    def __str__(self) -> str:
        return f"{self.to.name.lower()} without its answer, {'silence' if self.silent else 'reset'}"


async def survive_loss(servers: Servers, case: LostAnswer) -> None:
    """Run one case; AssertionError or TimeoutError if a promise was not kept."""
    async with partition_setup(servers, case.to) as setup:
        posting = asyncio.create_task(post(setup.calls, setup.watch, ORDERS))
        setup.stack.callback(posting.cancel)
        network = setup.networks[Server.POSTGRES]
        async with asyncio.timeout(20):
            await network.caught.wait()
        if case.to is Lost.CREATE:
            assert set(setup.claims("finished_at IS NULL").values()) == {0}
        if case.silent:
            network.stall()
            await setup.lease_is_over()
            await setup.help_comes()
            setup.order_ids += await posting
            await setup.all_end()
        else:
            await network.reset()
            network.heal()
            setup.order_ids += await posting
        await setup.heal()


POSTGRES, REDIS = Server.POSTGRES, Server.REDIS
PARTITIONS = [
    *(Partition(POSTGRES, fault, True) for fault in (Fault.CUT, Fault.STALL, Fault.DEAF, Fault.MUTE)),
    *(Partition(POSTGRES, fault, False) for fault in (Fault.STALL, Fault.SLOW, Fault.RESETS)),
    Partition(REDIS, Fault.STALL, True),
    *(Partition(REDIS, fault, False) for fault in (Fault.CUT, Fault.DEAF, Fault.SLOW, Fault.RESETS)),
]


@pytest.mark.alone
@pytest.mark.timeout(300)
@pytest.mark.gen_test(timeout=240)
async def test_a_process_that_is_cut_off_loses_nothing_and_doubles_nothing(servers: Servers) -> None:
    """Promises 2, 3, 6, 7 and 10."""
    await all_survive(PARTITIONS, partial(survive_partition, servers), AT_ONCE)


@pytest.mark.alone
@pytest.mark.timeout(300)
@pytest.mark.gen_test(timeout=240)
async def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_doubled(servers: Servers) -> None:
    """Promises 1 to 3, 9 and 10: the statement has reached Postgres, and its writer gets no answer."""
    cases = [LostAnswer(*case) for case in product(Lost, (False, True))]
    await all_survive(cases, partial(survive_loss, servers), AT_ONCE)
