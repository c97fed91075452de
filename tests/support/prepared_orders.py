"""What brings the orders of a store to where a test begins, whether it is Postgres or the one in memory."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from dexexec.domain.event import Detail, Event
from dexexec.domain.status import Status
from dexexec.domain.swap import SignedSwap
from dexexec.store import ChainComparisons, Claimed, NewAttempt, Step, Store, WorkerSession
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.store import MemoryWorkerSession
from tests.support.parts import new_order

HOUR_MS = 3_600_000
NIL_ID = UUID(int=0)
ROUTED: tuple[tuple[Status, Detail], ...] = ((Status.ROUTING, {"round": 1}), (Status.BUILDING, {"venue": "here"}))
Announce = Callable[[Sequence[Event]], None]
Open = Callable[..., AbstractAsyncContextManager[Store]]


async def drop(session: WorkerSession) -> None:
    """The process is gone without a word."""
    if isinstance(session, MemoryWorkerSession):
        session.drop()
    else:
        await session._connection.close()


async def crashed(store: Store, order_id: UUID, turns: int) -> None:
    """That many turns of an order ended in crashes, the last of them long ago."""
    memory = getattr(store, "database", None)
    if isinstance(memory, MemoryDatabase):
        row = memory.orders[order_id]
        row.claims, row.due_at = turns, row.due_at - HOUR_MS * 1_000
        return
    async with store._database.connection() as connection:
        statement = "UPDATE orders SET claims = %s, due_at = due_at - interval '1 h' WHERE id = %s"
        await connection.execute(statement, (turns, order_id))


async def began_long_ago(store: Store, worker: WorkerSession) -> None:
    """The worker's session has lasted for an hour."""
    memory = getattr(store, "database", None)
    if isinstance(memory, MemoryDatabase):
        memory.workers[worker.id].started_at -= HOUR_MS * 1_000
        return
    async with store._database.connection() as connection:
        statement = "UPDATE workers SET started_at = started_at - interval '1 h' WHERE id = %s"
        await connection.execute(statement, (worker.id,))


async def signed_ago(store: Store, order_id: UUID, hours: int) -> None:
    """The order's attempts were recorded that long ago, by the clock of the store."""
    memory = getattr(store, "database", None)
    if isinstance(memory, MemoryDatabase):
        for one in memory.orders[order_id].attempts:
            one.created_at -= hours * HOUR_MS * 1_000
        return
    async with store._database.connection() as connection:
        statement = "UPDATE attempts SET created_at = created_at - %s * interval '1 h' WHERE order_id = %s"
        await connection.execute(statement, (hours, order_id))


async def one_order(store: Store, **about: Any) -> UUID:
    """A new order, created."""
    return (await store.create(new_order(**about))).order_id


async def claimed_by(store: Store, worker: WorkerSession, order_id: UUID) -> Claimed:
    """The order, as the worker gets it with its claim."""
    (claimed,) = await store.claim(worker.id, [order_id])
    return claimed


async def claimed_new_order(store: Store, name: str = "w") -> tuple[UUID, WorkerSession, Claimed]:
    """A new order, a new worker, and its claim of the order."""
    order_id, worker = await one_order(store), await store.begin(name, 20)
    return order_id, worker, await claimed_by(store, worker, order_id)


def step(claimed: Claimed, version: int, *events: tuple[Status, Detail], **more: Any) -> Step:
    """A step of the order as it was claimed."""
    return Step(order_id=claimed.order.id, claim=claimed.order.claim, version=version, events=events, **more)


def attempt(n: int, signature: str, **where: str) -> NewAttempt:
    """Attempt number `n`, valid up to height 150; `where` it was signed for, as in `SignedSwap`."""
    return NewAttempt(
        n=n,
        venue="here",
        signed=SignedSwap(signature=signature, payload=b"\x00bytes", last_valid_height=150, **where),
        quoted={"minOut": "1"},
    )


async def submitted(store: Store, claimed: Claimed, signature: str, **where: str) -> None:
    """Bring a fresh order to `submitted`: version 4, attempt 1."""
    assert await store.advance(step(claimed, 1, *ROUTED, venue="here", rounds=1))
    assert await store.advance(step(claimed, 3, (Status.SUBMITTED, {}), attempt=attempt(1, signature, **where)))


@dataclass(frozen=True, slots=True)
class Record:
    """A store, what it is compared with a chain by, and what both have announced."""

    store: Store
    comparisons: ChainComparisons
    announced: list[Event]
    workers: list[WorkerSession] = field(default_factory=list)

    async def claimed(self, **about: Any) -> Claimed:
        """A new order, in the hands of a worker of its own."""
        worker = await self.store.begin("w", 60)
        self.workers.append(worker)
        return await claimed_by(self.store, worker, await one_order(self.store, **about))

    async def moves_to_another_database(self) -> None:
        """It was made in another one than the one that answers, and was never compared."""
        memory = getattr(self.store, "database", None)
        if isinstance(memory, MemoryDatabase):
            memory.made_as = "memory/0"
            return
        async with self.store._database.connection() as connection:
            await connection.execute("UPDATE installation SET identity = '1/00000001'")


OpenRecord = Callable[[], AbstractAsyncContextManager[Record]]
