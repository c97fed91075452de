"""Real parts on real servers, as async context managers, for tests that assemble them by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from uuid import UUID, uuid4

import redis.asyncio

from dexexec.broker.queue import Queue
from dexexec.clock import SystemClock
from dexexec.domain.event import Event
from dexexec.domain.order import NewOrder, Side
from dexexec.domain.quote import Mode
from dexexec.domain.token import USDC, WSOL
from dexexec.store import Address, Database, Store, migrate
from tests.support.databases import LENT


def new_order(
    *,
    order_id: UUID | None = None,
    side: Side = Side.BUY,
    amount: str = "0.01",
    mode: Mode = Mode.EXACT_IN,
    deadline_ms: int = 60_000,
    client: str = "127.0.0.1",
    key: str | None = None,
    body_hash: bytes = b"",
) -> NewOrder:
    """A valid order: by default 0.01 SOL for USDC."""
    decimals = 9 if (side is Side.BUY) == (mode is Mode.EXACT_IN) else 6
    base = int(Decimal(amount).scaleb(decimals))
    return NewOrder(
        id=order_id or uuid4(),
        side=side,
        amount=Decimal(amount),
        amount_base=base,
        mode=mode,
        input_mint=WSOL,
        output_mint=USDC,
        slippage_bps=50,
        deadline_ms=deadline_ms,
        client=client,
        idempotency_key=key,
        body_hash=body_hash,
    )


@asynccontextmanager
async def running(*work: Awaitable[object]) -> AsyncIterator[None]:
    """Keep coroutines running inside the block. An exception of theirs is raised at its end."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def open_database(address: Address) -> AsyncIterator[Database]:
    """A migrated database. One that a fixture lends is not inspected again, which takes 16 ms."""
    database = Database(address)
    await database.open()
    try:
        if address not in LENT:
            await migrate(database)
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def open_store(
    address: Address,
    announce: Callable[[Sequence[Event]], None] = lambda _: None,
    timeout: float = 5.0,
) -> AsyncIterator[Store]:
    """A store on a migrated database, with its group commits running."""
    async with open_database(address) as database:
        store = Store(database, announce, SystemClock(), timeout)
        async with running(store.run()):
            yield store


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client, closed at the end."""
    client = redis.asyncio.Redis.from_url(url)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def open_queue(url: str, prefix: str) -> AsyncIterator[Queue]:
    """A prepared queue."""
    async with open_redis(url) as client, open_redis(url) as blocking:
        queue = Queue(client, blocking, prefix)
        await queue.prepare()
        yield queue
