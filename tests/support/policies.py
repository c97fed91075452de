"""Gives keys policies in a store, whether it is Postgres or the one in memory, and sets the day of their limits."""

import json
from collections.abc import Callable
from datetime import date

from dexexec.domain.policy import Policy
from dexexec.domain.policy_json import policy_json
from dexexec.store import Database, Store
from tests.support.fakes.database import MemoryDatabase

DAY = date(2026, 1, 1)
NEXT_DAY = date(2026, 1, 2)
ADD = "INSERT INTO api_keys (name, scopes, policy) VALUES (%s, '{trade}', %s) RETURNING id"
SET = "UPDATE api_keys SET policy = %s WHERE id = %s"


async def add_key(store: Store, policy: Policy, name: str = "desk") -> int:
    """A new key with this policy; its owner number."""
    memory = getattr(store, "database", None)
    if isinstance(memory, MemoryDatabase):
        owner = len(memory.policies) + 1
        memory.policies[owner] = policy
        return owner
    return await add_key_to(store._database, policy, name)


async def add_key_to(database: Database, policy: Policy, name: str = "desk") -> int:
    """The same in Postgres."""
    async with database.connection() as connection:
        row = await (await connection.execute(ADD, (name, json.dumps(policy_json(policy))))).fetchone()
    assert row is not None
    return int(row[0])


async def set_policy(store: Store, owner: int, policy: Policy) -> None:
    """The key has this policy from now on."""
    memory = getattr(store, "database", None)
    if isinstance(memory, MemoryDatabase):
        memory.policies[owner] = policy
        return
    async with store._database.connection() as connection:
        await connection.execute(SET, (json.dumps(policy_json(policy)), owner))


def set_day(store: Store, day: date) -> None:
    """It is that day for limits per day."""
    memory = getattr(store, "database", None)
    if isinstance(memory, MemoryDatabase):
        memory.today = day
    else:
        today: Callable[[], date] = lambda: day  # noqa: E731
        store._today = today
