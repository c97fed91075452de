"""The crash matrix: every failpoint, struck by kill -9, by an exception, and by a stall past the lease.

In each case a process accepts and executes orders until the strike. Clients go on posting under the
same keys, and sockets go on following, there or at the process that comes to help. In the end every order has exactly
one terminal status, no swap landed twice, and the sockets saw what Postgres has.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from types import MappingProxyType

import pytest

from dexexec.failpoints import OF_WEBHOOKS, Failpoint
from dexexec.store import Address
from tests.conftest import Servers
from tests.support.chaos.case import (
    CASE_SECONDS,
    DRY,
    FAILS,
    FILLS,
    RESTING,
    all_survive,
    changes_nothing,
    post_and_follow,
    surroundings,
)
from tests.support.chaos.clients import REFUSALS, Follower
from tests.support.chaos.victim import Fault, Service, Strike, service
from tests.support.service.client import Http, http
from tests.support.service.promise_checks import Chain, agree, check_promises, on_the_simulated_chain

ORDERS = [FILLS, FILLS, FAILS, DRY, FILLS, *RESTING]

BEFORE = {
    Failpoint.RELEASING: [Strike(Failpoint.QUOTED, Fault.RAISE)],
    Failpoint.RELEASED: [Strike(Failpoint.QUOTED, Fault.RAISE)],
    Failpoint.RECLAIMED: [Strike(Failpoint.LEASED, Fault.HANG)],
    Failpoint.REMOVED: [Strike(Failpoint.LEASED, Fault.HANG)],
}
"""What must go wrong first, so that an order comes that way."""
KILLED = (Fault.KILL,)
BY_TURNS = (Fault.RAISE, Fault.STALL)
"""The whole suite kills a process at every place; its long form also raises and stalls there."""
ENDS_THE_PROCESS = {
    Failpoint.LEASED,
    Failpoint.CLAIMED,
    Failpoint.ACKNOWLEDGING,
    Failpoint.ACKNOWLEDGED,
    Failpoint.RETRYING,
    Failpoint.RETRIED,
    Failpoint.RECLAIMED,
    Failpoint.REMOVED,
    Failpoint.ANNOUNCING,
    Failpoint.HEARD,
}
"""An unexpected error that belongs to no single order ends the process; elsewhere it may cost
one order its turn and nothing else."""

AT_FIRST = {
    Failpoint.ENQUEUING,
    Failpoint.ENQUEUED,
    Failpoint.LEASED,
    Failpoint.CLAIMED,
    Failpoint.ACKNOWLEDGING,
    Failpoint.ACKNOWLEDGED,
    Failpoint.RECLAIMED,
    Failpoint.REMOVED,
}
"""Places of the queue, where the first order of a process is struck. Elsewhere one has ended before."""
UNTIL_FINAL = [Failpoint.WATCHING, Failpoint.WATCHED, Failpoint.BOOKED]
"""Places that an order passes only where its swap is confirmed before it is final: on a localnet."""
BETWEEN_ORDERS = [Failpoint.FOLLOWING, Failpoint.FOLLOWED]
"""Places that only orders pass whose end concerns others."""
PAIRS = [
    {**FILLS, "ocoGroup": "both-fill"},
    {**FILLS, "ocoGroup": "both-fill"},
    {**FILLS, "ocoGroup": "one-fails"},
    {**FAILS, "ocoGroup": "one-fails"},
]
"""Two groups: each has one fill at most, wherever the worker of the other order dies."""
SLOW = {*BEFORE, Failpoint.LEASED, Failpoint.CLAIMED, Failpoint.ACKNOWLEDGING, Failpoint.ENQUEUED}
"""Where a stream entry is left pending, which costs the time until it is taken over: these begin first."""


@dataclass(frozen=True, slots=True)
class Case:
    """One failpoint and one fault."""

    at: Failpoint
    fault: Fault
    passes: int = 0
    """How many pass there before it strikes."""
    later: bool = False
    """An order has ended by then."""
    orders: Sequence[dict[str, object]] = tuple(ORDERS)

    @property
    def plan(self) -> list[Strike]:
        first = [Strike(Failpoint.CONCLUDED, Fault.SPARE)] if self.later else []
        return [*first, *BEFORE.get(self.at, []), Strike(self.at, self.fault, self.passes)]

    def __str__(self) -> str:
        return f"{self.fault} at {self.at}" + (f" after {self.passes} passes" if self.passes else "")


async def survive(
    servers: Servers,
    case: Case,
    settings: Mapping[str, str] = MappingProxyType({}),
    chain: Chain = on_the_simulated_chain,
) -> None:
    """Run one case; AssertionError or TimeoutError if a promise was not kept. `settings` are the process's own, `chain`
    is where it settles with them."""
    async with (
        surroundings(servers) as (address, shared),
        http(timeout=2) as calls,
        AsyncExitStack() as stack,
        asyncio.timeout(CASE_SECONDS),
    ):
        environment = {**shared, **settings}
        victim = await stack.enter_async_context(service(environment, case.plan))
        serving = [victim]

        def current() -> str:
            return serving[-1].url

        refusals = {*REFUSALS, 500} if case.fault is Fault.RAISE else REFUSALS
        watch = Follower(current)
        before = [FILLS] if case.later else []
        clients = asyncio.create_task(post_and_follow(calls, watch, case.orders, refusals, before))
        stack.callback(clients.cancel)
        assert await victim.reported() == "struck"
        if case.fault is Fault.KILL:
            assert await victim.ended() == -9
        if case.fault is not Fault.RAISE or case.at in ENDS_THE_PROCESS:
            serving.append(await stack.enter_async_context(service(environment)))
        if case.fault is Fault.STALL:
            watch.hang_up()
        order_ids = await clients
        if case.fault is Fault.STALL:
            order_ids += await _wake(victim, address, calls)
        _check_exits(case, victim.exit_code)
        for process in serving:
            if process.exit_code is None:
                assert await process.stop() == 0
        await asyncio.to_thread(check_promises, address, order_ids, chain)
        agree(watch.events, address)


async def _wake(zombie: Service, address: Address, calls: Http) -> list[str]:
    """What ended without the zombie stays as it is when it goes on. It takes orders again."""
    await changes_nothing(address, zombie.go_on, 2)
    return await post_and_follow(calls, Follower(lambda: zombie.url), [FILLS])


def _check_exits(case: Case, exit_code: int | None) -> None:
    if case.fault is Fault.RAISE:
        assert (exit_code is not None) == (case.at in ENDS_THE_PROCESS), f"exit code {exit_code}"
    if case.fault is Fault.STALL:
        assert exit_code is None


def names(faults: tuple[Fault, ...]) -> str:
    """The id of a test."""
    return " and ".join(faults)


@pytest.mark.timeout(300)
@pytest.mark.gen_test(timeout=240)
@pytest.mark.parametrize(
    "faults",
    [KILLED, *(pytest.param(faults, marks=pytest.mark.long) for faults in (BY_TURNS, BY_TURNS[::-1]))],
    ids=names,
)
async def test_no_order_is_lost_or_doubled_by_a_fault_between_any_two_effects(
    faults: tuple[Fault, ...], servers: Servers
) -> None:
    slow_first = sorted(Failpoint, key=lambda at: at not in SLOW)
    here = [at for at in slow_first if at not in {*UNTIL_FINAL, *BETWEEN_ORDERS, *OF_WEBHOOKS}]
    cases = [Case(at, fault, later=at not in AT_FIRST) for at, fault in zip(here, cycle(faults), strict=False)]
    await all_survive(cases, partial(survive, servers))


@pytest.mark.long
@pytest.mark.gen_test(timeout=110)
@pytest.mark.parametrize("fault", [Fault.KILL, *BY_TURNS])
async def test_promise_22_of_a_group_one_order_is_filled_whatever_dies_in_between(
    fault: Fault, servers: Servers
) -> None:
    signing = [Failpoint.SIGNED, Failpoint.RECORDED, Failpoint.SENDING, Failpoint.SENT, Failpoint.PROVEN]
    places = [*signing, Failpoint.CONCLUDED, *BETWEEN_ORDERS]
    await all_survive([Case(at, fault, later=True, orders=PAIRS) for at in places], partial(survive, servers))
