"""A worker that was declared dead wakes up while its order is in the hands of another, who is not done with it.

The first process is stalled with the order at one place, past its lease. The second claims the order and is held at
another place: just after its claim, when the record still looks as the first believes, or when it has proven the
outcome of the swap and not written it yet. Then the first goes on. Only its stale claim keeps it from writing now.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import product

import pytest

from dexexec.failpoints import Failpoint
from dexexec.store import Address
from tests.conftest import Servers
from tests.support.chaos.case import FILLS, all_survive, changes_nothing, post_and_follow, surroundings
from tests.support.chaos.clients import Follower
from tests.support.chaos.victim import Fault, Strike, service
from tests.support.service.client import http
from tests.support.service.promise_checks import agree, check_promises, rows

CASE_SECONDS = 55.0
FREEZES_AT = [Failpoint.QUOTED, Failpoint.SIGNED, Failpoint.RECORDED, Failpoint.SENDING, Failpoint.PROVEN]
"""Where the first process holds the order; after each comes a write or a send."""
IS_HELD = [Failpoint.CLAIMED, Failpoint.PROVEN]
SENT = "SELECT signature, sent_height FROM simulated_swaps ORDER BY signature"


@dataclass(frozen=True, slots=True)
class Case:
    """Where the first process is stalled, and where the second is held meanwhile."""

    zombie: Failpoint
    other: Failpoint

    def __str__(self) -> str:
        return f"a zombie from {self.zombie}, while the order is at {self.other} elsewhere"


def sent(address: Address) -> list[tuple[object, object]]:
    """What was sent to the chain."""
    return [(row["signature"], row["sent_height"]) for row in rows(address, SENT)]


async def survive(servers: Servers, case: Case) -> None:
    """Run one case; AssertionError or TimeoutError if a promise was not kept."""
    async with (
        surroundings(servers) as (address, environment),
        http(timeout=2) as calls,
        AsyncExitStack() as stack,
        asyncio.timeout(CASE_SECONDS),
    ):
        zombie = await stack.enter_async_context(service(environment, [Strike(case.zombie, Fault.STALL)]))
        serving = [zombie]
        watch = Follower(lambda: serving[-1].url)
        clients = asyncio.create_task(post_and_follow(calls, watch, [FILLS]))
        stack.callback(clients.cancel)
        assert await zombie.reported() == "struck"
        other = await stack.enter_async_context(service(environment, [Strike(case.other, Fault.HOLD)]))
        serving.append(other)
        watch.hang_up()
        assert await other.reported() == "struck"
        before = sent(address)
        await changes_nothing(address, zombie.go_on, 2)
        if case.zombie is not Failpoint.SENDING:  # there it had looked at its lease: what it sends is on record
            assert sent(address) == before
        other.go_on()
        order_ids = await clients
        for process in serving:
            assert await process.stop() == 0
        check_promises(address, order_ids)
        agree(watch.events, address)
        assert rows(address, "SELECT count(*) AS n FROM attempts") == [{"n": 1}]


@pytest.mark.gen_test(timeout=110)
async def test_a_worker_that_wakes_while_another_has_its_order_writes_nothing_and_sends_nothing_new(
    servers: Servers,
) -> None:
    """Promise 10."""
    await all_survive([Case(*places) for places in product(FREEZES_AT, IS_HELD)], partial(survive, servers))
