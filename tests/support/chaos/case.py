"""What the cases of the matrices have in common: surroundings of their own, orders, clients, and many at once."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from dexexec.store import Address
from tests.conftest import Servers
from tests.support.chaos.clients import REFUSALS, Follower, insist, take_back
from tests.support.databases import new_database
from tests.support.service.client import Http
from tests.support.service.process import say, servers_at
from tests.support.service.promise_checks import picture, rows
from tests.support.waiting import POLL, until

CASE_SECONDS = 60.0
AT_ONCE = 6
"""Cases that run side by side: each mostly waits for leases and sweeps, and its two processes may take 30 of the 200
connections of Postgres."""
SETTINGS = {
    "PORT": "0",
    "DEXEXEC_LEASE_SECONDS": "1",
    "DEXEXEC_HEARTBEAT_SECONDS": "0.2",
    "DEXEXEC_SWEEP_SECONDS": "0.1",
    "DEXEXEC_RETRY_BASE_MS": "50",
    "DEXEXEC_MOCK_LATENCY_MS": "5",
    "DEXEXEC_MOCK_LANDING_MS": "100",
    "DEXEXEC_MOCK_SLIPPAGE_PPM": "400000",
    "DEXEXEC_MOCK_DRIFT_PPM": "0",
    "DEXEXEC_MOCK_OFFSET_PPM": "0",
    "DEXEXEC_ORACLE_INTERVAL_MS": "100",
    "DEXEXEC_SLIPPAGE_BPS": "5000",
}
FILLS = {"side": "buy", "amount": "0.5", "slippageBps": 5_000}
FAILS = {"side": "sell", "amount": "0.5", "slippageBps": 0, "deadlineSeconds": 12}
"""Prices move by up to 40 % between quote and landing: within the bounds of the first order, and beyond those of the
second, which gets three attempts and fails; or expires, where it is not even built for that. Quotes do not move, so
the next one is within the bound of the first."""

DRY = {**FILLS, "dryRun": True}
"""Ends as simulated, or fails where the price would move too far."""

EXPIRES_SECONDS = 8
"""Of an order that rests and is never reached: about as long as the other orders of a case take."""
LIMIT: dict[str, object] = {"type": "limit", "side": "buy", "amount": "0.5", "limitPrice": "50"}
STOP: dict[str, object] = {**FILLS, "triggerPrice": "1000", "triggerWhen": "below"}
ONCE: dict[str, object] = {**LIMIT, "timeInForce": "IOC"}
NEVER_ONCE: dict[str, object] = {**ONCE, "limitPrice": "100000"}
TAKEN_BACK: dict[str, object] = {**LIMIT, "limitPrice": "100000"}
"""SOL costs about 150 USDC: limit and stop are reached at once, and the last two never. The last one is cancelled by
its client as soon as it is accepted."""
GROUPED: dict[str, object] = {**STOP, "ocoGroup": "one-of-two"}
"""Two of these are posted. Both are reached, and one of them cancels the other."""
SLICED: dict[str, object] = {**FILLS, "type": "recurring", "slices": 2, "every": "PT1S", "missed": "catchUp"}
"""Makes two orders, and ends with them."""
RESTING = [LIMIT, STOP, ONCE, NEVER_ONCE, TAKEN_BACK, GROUPED, GROUPED, SLICED]

C = TypeVar("C")


def expires_soon() -> dict[str, object]:
    """An order that rests until it expires. It must be posted at once, to a process that answers."""
    expires_at = datetime.now(UTC) + timedelta(seconds=EXPIRES_SECONDS)
    return {**TAKEN_BACK, "timeInForce": "GTT", "expiresAt": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}"}


@asynccontextmanager
async def surroundings(servers: Servers) -> AsyncIterator[tuple[Address, dict[str, str]]]:
    """A database and a Redis prefix, and the settings that name them."""
    database = new_database(servers.postgres)
    address = await asyncio.to_thread(database.__enter__)
    try:
        yield address, servers_at(address, servers.redis_url, f"t{uuid.uuid4().hex[:10]}") | SETTINGS
    finally:
        await asyncio.to_thread(database.__exit__, None, None, None)


async def post(
    calls: Http, watch: Follower, orders: Sequence[dict[str, object]], refusals: Collection[int] = REFUSALS
) -> list[str]:
    """Post all until they are accepted, and follow each from then on; their ids."""

    async def one(order: dict[str, object]) -> str:
        order_id = await insist(calls, watch.address, order, uuid.uuid4().hex, refusals)
        watch.also([order_id])
        if order is TAKEN_BACK:
            await take_back(calls, watch.address, order_id, refusals)
        return order_id

    async with asyncio.TaskGroup() as tasks:
        posts = [tasks.create_task(one(order)) for order in orders]
    return [post.result() for post in posts]


async def post_and_follow(
    calls: Http,
    watch: Follower,
    orders: Sequence[dict[str, object]],
    refusals: Collection[int] = REFUSALS,
    before: Sequence[dict[str, object]] = (),
) -> list[str]:
    """Post all orders, and follow each from its acceptance to its end; their ids. Those `before` have ended when the
    others are posted; beside them, one is posted that expires."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch.run())
        expiring = await post(calls, watch, [expires_soon()] if before else [], refusals)
        order_ids = expiring + await post(calls, watch, before, refusals)
        await until(lambda: not set(watch.unfinished) - set(expiring), CASE_SECONDS, POLL)
        order_ids += await post(calls, watch, orders, refusals)
        watch.these_are_all()
    return order_ids


async def workers_are(address: Address, count: int) -> None:
    """Wait until so many are registered."""
    await until(lambda: len(rows(address, "SELECT id FROM workers")) == count, pause=POLL)


async def changes_nothing(address: Address, wake: Callable[[], None], workers: int) -> None:
    """Promise 10: a woken process changes no order and sends nothing new until it has noticed that it was declared
    dead, and has started a new session, as one of `workers` registered workers."""
    await workers_are(address, workers - 1)
    before = picture(address)
    wake()
    await workers_are(address, workers)
    assert picture(address) == before


async def all_survive(cases: Sequence[C], survive: Callable[[C], Awaitable[None]], at_once: int = AT_ONCE) -> None:
    """Run all cases, and report all failures together."""
    places = asyncio.Semaphore(at_once)
    failures: list[Exception] = []

    async def run(case: C) -> None:
        async with places:
            begun = time.monotonic()
            try:
                await survive(case)
            except Exception as error:  # noqa: BLE001 - all cases are run, and those that failed are told together
                error.add_note(f"case: {case}")
                failures.append(error)
            say(f"{case}: {time.monotonic() - begun:.1f} s")

    await asyncio.gather(*map(run, cases))
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(cases)} cases do not survive", failures)
