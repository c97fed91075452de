"""Statements that change a webhook and its deliveries at once, in the order that would let two wait for each other."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import pytest

from dexexec.domain.webhook import ClaimedDelivery
from dexexec.store import Address, Database
from tests.support.parts import new_order, open_database
from tests.support.waiting import until
from tests.support.webhook_tables import NO_PAUSE, Tables, delivery, open_postgres_tables

Outcome = Callable[[Tables, ClaimedDelivery], Coroutine[Any, Any, object]]
WAITING_FOR_LOCKS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def waits(database: Database, count: int) -> None:
    """Return when so many sessions wait for a lock."""

    async def are_waiting() -> bool:
        async with database.connection() as connection:
            row = await (await connection.execute(WAITING_FOR_LOCKS)).fetchone()
        return row is not None and row[0] == count

    await until(are_waiting)


async def delivered(tables: Tables, claimed: ClaimedDelivery) -> object:
    return await tables.outcomes.delivered(claimed, "HTTP 200")


async def failed(tables: Tables, claimed: ClaimedDelivery) -> object:
    return await tables.outcomes.failed(claimed, "HTTP 500", **NO_PAUSE) is False


@pytest.mark.parametrize("outcome", [delivered, failed])
@pytest.mark.parametrize("again", ["order", "stream"])
async def test_an_outcome_and_a_replay_of_its_event_do_not_wait_for_each_other(
    database_address: Address, outcome: Outcome, again: str
) -> None:
    async with open_postgres_tables(database_address) as t, open_database(database_address) as database:
        mine = await t.made(owner=None)
        order = (await t.store.create(new_order())).order_id
        await t.planned(mine, (order, 1), (uuid4(), 1))
        bad, claimed = sorted(await t.claimed(), key=lambda each: each.order_id == order)
        # A webhook that has failed is changed by each outcome.
        assert await t.outcomes.failed(bad, "HTTP 500", pause=3_600, probe_pause=0.0) is False
        assert await t.doors.replay_after(mine, None, "start")
        replays: dict[str, Callable[[], Coroutine[Any, Any, int | None]]] = {
            "order": lambda: t.doors.replay_order(mine, None, order, 1),
            "stream": lambda: t.planning.replay(mine, "start", None, [delivery(mine, order, 1)]),
        }
        async with database.connection() as connection, connection.transaction():
            # Both queue for the webhook, the replay first. If the outcome had the delivery already, the replay would
            # get the webhook and then wait for the delivery, and the outcome for the webhook.
            await connection.execute("SELECT FROM webhooks FOR UPDATE")
            replay = asyncio.create_task(replays[again]())
            await waits(database, 1)
            written = asyncio.create_task(outcome(t, claimed))
            await waits(database, 2)
        assert await written is True
        assert await replay == 0, "it still waited, so it was not sent again"
