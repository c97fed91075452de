"""The store: what the rest of the project asks of Postgres, with the group commits inside.

Creates, steps and releases of all orders in flight are written together (`concurrency.batcher`). Events are announced
to the feed only after their commit. Every method raises `UnavailableError` when Postgres does not answer in time; a
write whose answer is lost may still have happened, and whoever asked finds out by reading.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import orjson

from dexexec.clock import Clock
from dexexec.concurrency.batcher import Batcher
from dexexec.domain.event import Event
from dexexec.domain.funds import Shortfall
from dexexec.domain.order import NewOrder
from dexexec.domain.status import Status
from dexexec.errors import DexexecError, FundsReservedError, UnavailableError
from dexexec.store import (
    chain_comparisons,
    claims,
    confirmed_orders,
    leases,
    orders,
    queries,
    reservations,
    wait_reasons,
    write_probe,
)
from dexexec.store.claims import Unreadable
from dexexec.store.confirmed_orders import ConfirmedPage
from dexexec.store.database import REFUSALS, Database
from dexexec.store.dispatcher import Dispatcher
from dexexec.store.leases import WorkerSession
from dexexec.store.orders import Created, CreateRequest
from dexexec.store.queries import Cursor
from dexexec.store.reservations import ANY_CHAIN
from dexexec.store.steps import Claimed, Release, Step
from dexexec.store.wait_reasons import WaitNote

T = TypeVar("T")

SEPARATE = (*REFUSALS, orjson.JSONEncodeError)
"""The others of the same batch are written without such a row."""


class Store:
    """`announce` is told of events once they are durable; it must not block. `timeout` (seconds) bounds each statement;
    what is written in batches may wait for the batch before it as well, except for new orders. New orders and reads for
    clients have connections of their own, if given, out of each other's and the worker's way. `dispatcher` leads to the
    worker of this process, if new orders may go to it directly. `permitted_identity` returns the identity of the only
    Postgres where attempts may be recorded and orders may end without a swap (None: any). `unreadable` is called for
    orders whose rows cannot be read."""

    def __init__(
        self,
        database: Database,
        announce: Callable[[Sequence[Event]], None],
        clock: Clock,
        timeout: float = 5.0,
        *,
        for_orders: Database | None = None,
        for_reads: Database | None = None,
        dispatcher: Dispatcher | None = None,
        permitted_identity: Callable[[], str | None] = lambda: None,
        unreadable: Unreadable = lambda _, __: None,
    ) -> None:
        self._database, self._announce, self._clock, self._timeout = database, announce, clock, timeout
        self._unreadable = unreadable
        self._for_orders, self._for_reads = for_orders or database, for_reads or database
        self._dispatcher = dispatcher
        self._permitted_identity = permitted_identity
        self._creates: Batcher[CreateRequest, Created | DexexecError] = Batcher(self._create, separate=SEPARATE)
        self._steps: Batcher[Step, list[Event] | Shortfall | None] = Batcher(self._advance, separate=SEPARATE)
        self._releases: Batcher[Release, None] = Batcher(lambda items: self._bounded(claims.release(database, items)))
        self._notes: Batcher[WaitNote, None] = Batcher(lambda notes: self._bounded(wait_reasons.note(database, notes)))

    async def run(self) -> None:
        """Write what is put, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for batcher in (self._creates, self._steps, self._releases, self._notes):
                tasks.create_task(batcher.run())

    # New orders

    async def create(self, order: NewOrder, *, read_at: float | None = None, answer_by: float | None = None) -> Created:
        """Store an order with its first event; both are committed when this returns.

        `read_at` is when its request had been read, from which its deadline counts (monotonic seconds; None: now), and
        `answer_by` when this ends at the latest (None: after the store's time limit). Raises
        `IdempotencyMismatchError`, `IdempotencyInFlightError`, and `UnavailableError`: with the order's id when the
        commit may or may not have happened; without it, nothing was stored and nothing will be.
        """
        now = self._clock.monotonic()
        request = CreateRequest(
            order=order,
            read_at=now if read_at is None else read_at,
            answer_by=now + self._timeout if answer_by is None else answer_by,
        )
        try:
            async with asyncio.timeout(request.answer_by - now):
                answer = await self._creates.put(request)
        except (UnavailableError, TimeoutError) as error:
            maybe = str(order.id) if request.sent else None
            raise UnavailableError(str(error) or "Postgres does not answer in time", maybe) from error
        finally:
            request.abandoned = True
        if isinstance(answer, DexexecError):
            raise answer
        return answer

    async def _create(self, requests: list[CreateRequest]) -> list[Created | DexexecError]:
        dispatcher = self._dispatcher
        reservation = dispatcher.reserve(len(requests)) if dispatcher else None
        # When everybody in the batch has been answered, the statement is cancelled: it must not come to life later.
        seconds = max(request.answer_by for request in requests) - self._clock.monotonic()
        if dispatcher is None or reservation is None:
            stored = await self._bounded(orders.create(self._for_orders, requests, None, self._clock), seconds)
            self._announce(stored.events)
            return stored.answers
        try:
            stored = await self._bounded(orders.create(self._for_orders, requests, reservation, self._clock), seconds)
        except BaseException:
            dispatcher.take(reservation, ())
            raise
        self._announce(stored.events)
        if dispatcher.take(reservation, stored.claimed):
            return stored.answers
        return [replace(one, taken=False) if isinstance(one, Created) else one for one in stored.answers]

    # Reading

    async def order(self, order_id: UUID) -> dict[str, object] | None:
        """One order with its events, quotes and attempts, JSON-ready."""
        return await self._bounded(queries.read_order(self._for_reads, order_id))

    async def orders(self, limit: int, before: Cursor | None, status: Status | None) -> list[dict[str, object]]:
        """Summaries, newest first, each with its `Cursor` as `_cursor`."""
        return await self._bounded(queries.read_orders(self._for_reads, limit, before, status))

    async def events_after(self, wanted: Sequence[tuple[UUID, int]]) -> dict[UUID, list[Event]]:
        """Events above the given `seq`, for many orders at once; an order that does not exist is absent."""
        return await self._bounded(queries.read_events_after(self._for_reads, wanted))

    async def versions(self, order_ids: Sequence[UUID]) -> dict[UUID, int]:
        """The last `seq` of each order that exists."""
        return await self._bounded(queries.read_versions(self._for_reads, order_ids))

    async def check_writes(self) -> None:
        """Raises `UnavailableError` unless Postgres takes writes now."""
        await self._bounded(write_probe.write(self._for_orders))

    async def signing_stopped(self) -> bool:
        """Whether a worker may not sign at present, as record and chain are not compared yet."""
        return await self._bounded(chain_comparisons.is_stopped(self._database))

    async def worker_trouble(self) -> str | None:
        """None without a living worker; else why none can execute orders now, and nothing when one can."""
        return await self._bounded(leases.trouble(self._database))

    # Work

    async def begin(self, name: str, lease_seconds: float) -> WorkerSession:
        """Register a worker under a session of its own."""
        return await WorkerSession.begin(self._database, name, lease_seconds)

    async def remove_dead_workers(self) -> list[str]:
        """Free what dead workers hold; returns their names."""
        return await self._bounded(leases.remove_dead_workers(self._database))

    async def idle(self, grace_ms: int, since: datetime, after: UUID, limit: int) -> list[tuple[UUID, datetime]]:
        """Orders that should be moving and are not, oldest first."""
        return await self._bounded(claims.idle(self._database, grace_ms, since, after, limit))

    async def claim(self, worker: int, order_ids: Sequence[UUID], suspects: int = 1) -> list[Claimed]:
        """Claim what can be claimed of these, in one commit; of suspects, up to `suspects`."""
        return await self._bounded(claims.claim(self._database, worker, order_ids, suspects, self._unreadable))

    async def take_confirmed(self, worker: int, page: ConfirmedPage) -> list[Claimed]:
        """Take a page of confirmed orders for one look at whether they are final; oldest first."""
        return await self._bounded(confirmed_orders.take_confirmed(self._database, worker, page, self._unreadable))

    async def held(self, worker: int) -> dict[UUID, int]:
        """What is claimed in this worker's name: orders, with their claims."""
        return await self._bounded(claims.held(self._database, worker))

    async def advance(self, step: Step) -> list[Event] | None:
        """Write a step; its events, or None when the claim was stale. Raises `FundsReservedError`, when nothing is
        written, for an attempt that does not fit beside what others in flight may spend."""
        answer = await self._steps.put(step)
        if isinstance(answer, Shortfall):
            raise FundsReservedError(answer)
        return answer

    async def reserved(self, wallet: str, slot: int, genesis: str = ANY_CHAIN) -> dict[str, int]:
        """What open attempts may take of a wallet's balances of `slot`, on the chain with that genesis hash: base units
        by mint (`LAMPORTS` for SOL)."""
        return await self._bounded(reservations.reserved(self._database, wallet, slot, genesis))

    async def _advance(self, steps: list[Step]) -> list[list[Event] | Shortfall | None]:
        answers = await self._bounded(claims.advance(self._database, steps, self._permitted_identity()))
        self._announce([event for events in answers if isinstance(events, list) for event in events])
        return answers

    async def release(self, item: Release) -> None:
        """Hand an order back without a step."""
        await self._releases.put(item)

    async def note(self, note: WaitNote) -> None:
        """Let an order that stands still say what it waits for."""
        await self._notes.put(note)

    async def unblame(self, order_ids: Sequence[UUID]) -> None:
        """Do not count the last turn of these orders: it was cut short by no fault of theirs."""
        await self._bounded(claims.unblame(self._database, order_ids))

    async def _bounded(self, call: Awaitable[T], seconds: float = math.inf) -> T:
        try:
            async with asyncio.timeout(min(self._timeout, seconds)):
                return await call
        except TimeoutError:
            raise UnavailableError("Postgres does not answer") from None
