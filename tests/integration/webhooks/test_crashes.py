"""Processes that are killed in the middle of a delivery: none is lost, and at most the one in flight is repeated."""

import asyncio
import random
import signal
import sys
from collections import Counter
from functools import partial
from uuid import UUID, uuid4

import pytest

import dexexec.webhooks.deliverer
from dexexec.clock import SystemClock
from dexexec.domain.webhook import DeliveryState
from dexexec.failpoints import OF_WEBHOOKS, Failpoint
from dexexec.store import Address, EventReader
from dexexec.store.webhooks import WebhookTable
from tests.support.parts import new_order, open_store
from tests.support.waiting import until
from tests.support.webhook_engine import open_engine
from tests.support.webhook_receiver import SECRET, receiver
from tests.support.webhook_tables import webhook

ORDERS = 6


async def killed(address: Address, at: Failpoint, n: int) -> int:
    """The exit code of a process that delivers until it is killed."""
    place = (address.host, str(address.port), address.user, address.database, address.schema)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.webhook_engine", *place, at.value, str(n)
    )
    return await process.wait()


async def are_delivered(doors: WebhookTable, webhook_id: UUID, count: int) -> bool:
    """Whether there are so many deliveries, all of them delivered."""
    found = await doors.deliveries(webhook_id, None, None, 1_000, None)
    return [each.state for each in found or []] == [DeliveryState.DELIVERED] * count


async def test_promise_33_a_killed_process_loses_no_delivery_and_repeats_one_at_most(
    database_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A killed process does not need the time that a living one has to notice the loss of its session.
    monkeypatch.setattr(dexexec.webhooks.deliverer, "HANDOVER_SECONDS", 0.0)
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - to repeat a failure
    choose = random.Random(seed)
    async with receiver() as target, open_store(database_address) as store:
        database = store._database
        doors = WebhookTable(database, EventReader(database), store, new_id=uuid4, clock=SystemClock())
        hook = await doors.create(webhook(owner=None, url=target.url(), secret=SECRET))
        expected = set()
        repeated: Counter[Failpoint] = Counter()
        for at in sorted(OF_WEBHOOKS):
            for _ in range(ORDERS):
                order = (await store.create(new_order())).order_id
                await store.cancel(order)
                expected |= {(str(order), 1), (str(order), 2)}
            n = 1 if at is Failpoint.PLANNED else choose.randint(1, ORDERS)
            before = len(target.seen) - len(set(target.seen))
            assert await killed(database_address, at, n) == -signal.SIGKILL, at
            async with open_engine(database_address):
                await until(partial(are_delivered, doors, hook.id, len(expected)))
            repeated[at] = len(target.seen) - len(set(target.seen)) - before
        assert set(target.seen) == expected
        assert repeated[Failpoint.ANSWERED] == 1
        assert max(repeated.values()) == 1, "and one at most elsewhere"
        first_seen: dict[str, list[int]] = {}
        for order_id, seq in dict.fromkeys(target.seen):
            first_seen.setdefault(order_id, []).append(seq)
        assert all(seqs == [1, 2] for seqs in first_seen.values()), "in order, whatever was repeated"
