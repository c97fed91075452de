"""Restarts by the dozen as a fault of the soak: no order's doing, so that none may be failed or stranded for them."""

import asyncio
import random
import signal

from tests.support.chaos.processes import ChaosSetup
from tests.support.service.promise_checks import rows

DOZEN = 12
ROUNDS = 3
"""Restarts of all workers in a row. Each takes seconds, in which nothing else is hurt."""
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1 AND granted"
"""The sessions in which workers hold their locks."""
POISONED = "SELECT id FROM orders WHERE failure_reason = 'poisoned'"


async def end_sessions(setup: ChaosSetup, chance: random.Random) -> None:
    """End the Postgres sessions of all workers, a dozen times."""
    setup.faults["a dozen lost sessions"] += 1
    for _ in range(DOZEN):
        await asyncio.to_thread(rows, setup.servers.address, END_SESSIONS)
        await asyncio.sleep(chance.uniform(0.05, 0.4))


async def restart_workers(setup: ChaosSetup, chance: random.Random) -> None:
    """Stop all workers at once and start as many, again and again: as a deployment does, or one that kills."""
    kills = chance.random() < 0.5
    setup.faults["all workers killed again and again" if kills else "all workers restarted again and again"] += 1
    for _ in range(ROUNDS):
        workers = list(setup.ranks["worker"])
        for process in workers:
            setup.ranks["worker"].remove(process)
            process.send(signal.SIGKILL if kills else signal.SIGTERM)
        await asyncio.gather(*(asyncio.to_thread(process.wait) for process in workers))
        await asyncio.gather(*(setup.start("worker") for _ in workers))
        await asyncio.sleep(chance.uniform(0, 1))
