"""The statements of every order keep one plan: to plan one anew takes longer than to execute it."""

from dexexec.domain.status import Status
from dexexec.store import Address, Step, claims, orders, step_writes
from dexexec.store.direct_execution import native
from dexexec.store.rows import fetch_rows
from tests.support.parts import new_order, open_store

PLANS = "SELECT statement, custom_plans, generic_plans FROM pg_prepared_statements"
CUSTOM = 5
"""Executions with a plan of their own, after which Postgres compares them with a general plan."""


async def test_after_a_few_orders_no_statement_on_their_way_is_planned_again(database_address: Address) -> None:
    async with open_store(database_address) as store:
        worker = await store.begin("w", 20)
        for _ in range(2 * CUSTOM):
            order = new_order()
            await store.create(order)
            [claimed] = await store.claim(worker.id, [order.id])
            step = Step(order_id=order.id, claim=claimed.order.claim, version=1, events=((Status.ROUTING, {}),))
            assert await store.advance(step)
            new = new_order()
            await store.create(new)
            assert await store.claim(worker.id, [new.id], known={new.id: new})
        async with store._database.connection() as connection:
            rows = await fetch_rows(connection, PLANS)
        await worker.end()
        found = {row.statement: row for row in rows}
        for statement in (orders.CREATE, claims.CLAIM, claims.CLAIM_NEW, step_writes.ADVANCE):
            row = found[native(statement).text.decode()]
            assert row.custom_plans == CUSTOM
            assert row.generic_plans >= CUSTOM
