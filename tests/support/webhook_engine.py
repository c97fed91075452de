"""The planner and the deliverer on real servers. As a program it is a process that a test kills at a failpoint.

python -m tests.support.webhook_engine HOST PORT USER DATABASE SCHEMA FAILPOINT N
"""

import asyncio
import os
import random
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from structlog.testing import CapturingLogger

from dexexec.clock import SystemClock
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.store import Address, Database, EventReader
from dexexec.store.webhook_claims import ClaimTable
from dexexec.store.webhook_outcomes import OutcomeTable
from dexexec.store.webhook_planning import PlanningTable
from dexexec.webhooks.deliverer import Deliverer, DeliveryLimits
from dexexec.webhooks.planner import Planner
from dexexec.webhooks.resolver import SystemResolver
from dexexec.webhooks.sender import Sender
from tests.support.parts import open_database

LEASE_SECONDS = 600.0
"""Longer than any test: what is taken over in one is not for the end of a lease."""


@dataclass(frozen=True)
class Engine:
    """The two parts."""

    planner: Planner
    deliverer: Deliverer
    sender: Sender

    async def run(self) -> None:
        """Both loops, until cancelled."""
        async with aclosing(self.sender), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.planner.run())
            tasks.create_task(self.deliverer.run())


def make_engine(
    database: Database,
    *,
    failpoints: Failpoints = NO_FAILPOINTS,
    per_webhook: int = 4,
    seconds: float = 5.0,
    lease_seconds: float = LEASE_SECONDS,
) -> Engine:
    """The parts on a database. Private addresses are allowed."""
    clock, observer = SystemClock(), Observer(CapturingLogger())
    sender = Sender(SystemResolver(), clock, seconds=seconds, private=True)
    deliverer = Deliverer(
        ClaimTable(database, lambda: secrets.randbelow(2**31)),
        OutcomeTable(database),
        sender,
        DeliveryLimits(per_webhook=per_webhook, lease_seconds=lease_seconds),
        clock=clock,
        observer=observer,
        random=random.random,
        new_lease=lambda: secrets.token_hex(8),
        failpoints=failpoints,
    )
    planner = Planner(
        PlanningTable(database),
        EventReader(database),
        keep_days=7,
        planned=deliverer.wake,
        clock=clock,
        observer=observer,
        failpoints=failpoints,
    )
    return Engine(planner, deliverer, sender)


@asynccontextmanager
async def open_engine(address: Address) -> AsyncIterator[Engine]:
    """One with connections of its own, that runs."""
    async with open_database(address) as database:
        engine = make_engine(database)
        task = asyncio.create_task(engine.run())
        try:
            yield engine
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class KillingFailpoints:
    """Kills the process when it reaches a failpoint for the n-th time."""

    def __init__(self, at: Failpoint, n: int) -> None:
        self._at = at
        self._left = n

    async def reach(self, name: Failpoint) -> None:
        """As kill -9."""
        if name is self._at:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


async def main(address: Address, at: Failpoint, n: int) -> None:
    """Run one request at a time, until killed."""
    async with open_database(address) as database:
        points = KillingFailpoints(at, n)
        await make_engine(database, failpoints=points, per_webhook=1).run()


if __name__ == "__main__":
    host, port, user, dbname, schema, place, times = sys.argv[1:]
    where = Address(host=host, port=int(port), user=user, database=dbname, schema=schema)
    asyncio.run(main(where, Failpoint(place), int(times)))
