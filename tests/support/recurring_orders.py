"""Recurring orders in a store on Postgres: made, set back in time, and their slices brought to an end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dexexec.domain.child_id import child_id
from dexexec.domain.order import FOREVER_MS, NewOrder
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.recurring import Missed, Recurring
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms
from dexexec.domain.token import KNOWN, Tokens
from dexexec.store import Resolution, Store
from dexexec.store.follow_ups import FROM_THE_START
from tests.support.fakes.database import MemoryDatabase
from tests.support.parts import new_order
from tests.support.prepared_orders import ROUTED, claimed_by, step, submitted

TOKENS = Tokens(KNOWN)
MINUTE = timedelta(minutes=1)
LANDED = Resolution(1, Outcome.LANDED, {"slot": 7})


def recurring_order(
    *,
    slices: int = 12,
    every: timedelta = 5 * MINUTE,
    missed: Missed = Missed.SKIP,
    expires_in: timedelta | None = None,
    start_in: timedelta | None = None,
    best_other: int | None = None,
    amount: str = "0.012",
    **changes: Any,
) -> NewOrder:
    """An order that swaps 0.012 SOL in twelve slices, from now on."""
    now = datetime.now(UTC)
    schedule = Recurring(
        slices=slices,
        every=every,
        missed=missed,
        deadline_seconds=60,
        start_at=None if start_in is None else now + start_in,
        best_other=best_other,
    )
    expires_at = None if expires_in is None else now + expires_in
    plain = new_order(amount=amount, deadline_ms=FOREVER_MS)
    terms = Terms(recurring=schedule, expires_at=expires_at)
    return replace(plain, type=OrderType.RECURRING, terms=terms, **changes)


async def execute(store: Store, statement: str, **values: object) -> list[Any]:
    """Run a statement; returns its rows, if it has any."""
    async with store._database.connection() as connection:
        cursor = await connection.execute(statement, values)
        return await cursor.fetchall() if cursor.description else []


async def set_back(store: Store, parent: UUID, by: timedelta) -> None:
    """Everything of this order happened that much earlier: as after an outage of that time."""
    memory = getattr(store, "database", None)
    if isinstance(memory, MemoryDatabase):
        row, us = memory.orders[parent], by // timedelta(microseconds=1)
        row.created_at -= us
        row.wake_at = None if row.wake_at is None else row.wake_at - us
        if row.progress is not None and row.progress.made_at is not None:
            row.progress = replace(row.progress, made_at=row.progress.made_at - by)
        return
    statement = """
        UPDATE orders SET created_at = created_at - %(by)s, wake_at = wake_at - %(by)s,
            progress = progress || CASE WHEN progress ? 'madeAt' THEN jsonb_build_object(
                'madeAt', to_jsonb((progress ->> 'madeAt')::timestamptz - %(by)s)) ELSE '{}' END
        WHERE id = %(id)s"""
    await execute(store, statement, id=parent, by=by)


async def slices_of(store: Store, parent: UUID) -> list[dict[str, Any]]:
    """The orders of the slices as a client sees them."""
    answer: Any = await store.order(parent)
    children: list[dict[str, Any]] = answer["children"]
    return children


async def fill(store: Store, parent: UUID, number: int, amount_in: int, amount_out: int) -> None:
    """A worker executes the slice: its swap lands for good."""
    child = child_id(parent, str(number))
    worker = await store.begin("w", 20)
    claimed = await claimed_by(store, worker, child)
    await submitted(store, claimed, f"{child}")
    await land(store, child, claimed, amount_in, amount_out)
    await worker.end()


async def land(store: Store, child: UUID, claimed: Any, amount_in: int, amount_out: int) -> None:
    """The swap of a signed order is final."""
    event = (Status.CONFIRMED, {"price": "150", "finalized": True})
    swap = Fill(amount_in, amount_out, 5000, 7)
    assert await store.advance(step(claimed, 4, event, final=True, fill=swap, resolution=LANDED)), child


async def simulate(store: Store, parent: UUID, number: int, amount_in: int, amount_out: int) -> None:
    """A worker runs the slice dry."""
    worker = await store.begin("w", 20)
    claimed = await claimed_by(store, worker, child_id(parent, str(number)))
    assert await store.advance(step(claimed, 1, *ROUTED, venue="here", rounds=1))
    event = (Status.SIMULATED, {"dryRun": True})
    swap = Fill(amount_in, amount_out, 5000, 7)
    assert await store.advance(step(claimed, 3, event, final=True, fill=swap))
    await worker.end()


async def fail(store: Store, parent: UUID, number: int, reason: str = "slippage") -> None:
    """A worker gives the slice up."""
    worker = await store.begin("w", 20)
    claimed = await claimed_by(store, worker, child_id(parent, str(number)))
    event = (Status.EXPIRED, {"reason": reason, "detail": "no quote was good enough"})
    assert await store.advance(step(claimed, 1, event, final=True, reason=reason))
    await worker.end()


async def follow_up(store: Store) -> None:
    """Every order that has ended is followed up, once."""
    for order in await store.ended_orders(FROM_THE_START, 1_000):
        await store.follow_up(order, TOKENS)
