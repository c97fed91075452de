"""Assembles what delivers events to webhooks.

It runs in workers: they have to connect to the outside anyway, and no client waits for an answer there. Its connections
to Postgres are its own, so it takes none from orders.
"""

import random
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from dexexec.bootstrap.background import Background
from dexexec.bootstrap.connections import open_pool
from dexexec.bootstrap.shared import Shared
from dexexec.domain.uuid7 import RANDOM_BYTES, uuid7
from dexexec.store import Database, EventReader
from dexexec.store.webhook_claims import ClaimTable
from dexexec.store.webhook_outcomes import OutcomeTable
from dexexec.store.webhook_planning import PlanningTable
from dexexec.store.webhooks import WebhookTable
from dexexec.webhooks.deliverer import WRITE_SECONDS, Deliverer, DeliveryLimits
from dexexec.webhooks.planner import Planner
from dexexec.webhooks.resolver import SystemResolver
from dexexec.webhooks.sender import Sender

CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The loops of a worker process, and its deliverer for the metrics."""

    background: Sequence[Background] = ()
    deliverer: Deliverer | None = None
    pool: Database | None = None


NO_WEBHOOKS = Webhooks()


def make_webhook_table(shared: Shared) -> WebhookTable:
    """The webhooks as the API shows and changes them."""
    database = shared.read_pool or shared.database
    clock = shared.clock
    return WebhookTable(
        database,
        EventReader(database),
        shared.store(),
        new_id=lambda: uuid7(clock.unix_ms(), secrets.token_bytes(RANDOM_BYTES)),
        clock=clock,
    )


@asynccontextmanager
async def open_webhooks(shared: Shared) -> AsyncIterator[Webhooks]:
    """The planner and the deliverer of a worker, unless DEXEXEC_WEBHOOKS is off."""
    settings = shared.settings
    if not settings.webhooks:
        yield NO_WEBHOOKS
        return
    seconds = settings.webhook_timeout_ms / 1000
    sender = Sender(SystemResolver(), shared.clock, seconds=seconds, private=settings.webhook_private)
    async with open_pool(shared.database, CONNECTIONS) as pool, aclosing(sender):
        deliverer = Deliverer(
            ClaimTable(pool, lambda: secrets.randbelow(2**31)),
            OutcomeTable(pool),
            sender,
            DeliveryLimits(per_webhook=settings.webhook_inflight, lease_seconds=seconds + WRITE_SECONDS),
            clock=shared.clock,
            observer=shared.observer,
            random=random.random,
            new_lease=lambda: f"{shared.name}-{secrets.token_hex(8)}",
            failpoints=shared.failpoints,
        )
        planner = Planner(
            PlanningTable(pool),
            EventReader(pool),
            keep_days=settings.webhook_keep_days,
            planned=deliverer.wake,
            clock=shared.clock,
            observer=shared.observer,
            failpoints=shared.failpoints,
        )
        yield Webhooks((planner.run, deliverer.run), deliverer, pool)
