"""`dexexec.store.Store` on a database in memory: the same methods, answers and errors."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import cast
from uuid import UUID

from dexexec.clock import Clock, SystemClock
from dexexec.domain.amendment import AmendableOrder, Amendment
from dexexec.domain.cancellation import Cancelled, CancelledAll, Selection, TooLate
from dexexec.domain.endpoint_figures import EndpointFigures
from dexexec.domain.event import Event
from dexexec.domain.halt import Halt
from dexexec.domain.handout import AwaitedOrder, Handout
from dexexec.domain.launch import NewPool
from dexexec.domain.order import NewOrder
from dexexec.domain.order_filter import ALL_ORDERS, OrderFilter, OrderTotals
from dexexec.domain.order_stats import OrderStats
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.token import Tokens
from dexexec.errors import UnavailableError
from dexexec.store import (
    Claimed,
    ConfirmedPage,
    CostQuery,
    CostReport,
    Created,
    Cursor,
    EndedOrder,
    FollowUp,
    HighWater,
    NotedStop,
    Release,
    RestingNote,
    RestingOrder,
    SniperPair,
    Step,
    Store,
    Triggering,
    WaitNote,
)
from dexexec.store.follow_ups import Place
from dexexec.store.orders import CreateRequest
from dexexec.store.store import NONE_KNOWN
from dexexec.store.wait_reasons import waiting_for
from tests.support.fakes import groups, handouts, launches, slices
from tests.support.fakes.costs import read_costs
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.endpoint_figures import endpoint_figures
from tests.support.fakes.lists import count_orders, listed_orders
from tests.support.fakes.order_stats import order_stats
from tests.support.fakes.rows import OrderRow, moment
from tests.support.fakes.wire import Direct, Wire


class MemoryWorkerSession:
    """A registered worker; see `dexexec.store.leases.WorkerSession`."""

    def __init__(self, worker_id: int, server: str, database: MemoryDatabase, wire: Wire, lease_seconds: float) -> None:
        self.id, self._server = worker_id, server
        self._database, self._wire, self._lease = database, wire, lease_seconds

    async def renew(self, trouble: str = "") -> bool:
        """Whether it lives. Raises `UnavailableError` when its session is over."""
        return await self._wire.call("renew", lambda: self._renew(trouble))

    def _renew(self, trouble: str) -> bool:
        row = self._database.workers.get(self.id)
        if self._server != self._database.identity or (row is not None and not row.connected):
            raise UnavailableError("the session with Postgres is over")
        return self._database.renew(self.id, self._lease, trouble)

    async def end(self) -> None:
        """Give everything back."""
        try:
            await self._wire.call("end", self._end)
        except UnavailableError:
            self.drop()

    def _end(self) -> None:
        if self._server == self._database.identity:
            self._database.remove(self.id)

    def drop(self) -> None:
        """The session is over without a word, as with a killed process; the row stays until it is removed."""
        if self._server == self._database.identity:
            self._database.disconnect(self.id)


class MemoryStore:
    """One process's view of `database`. `announce` gets events once they are committed."""

    def __init__(
        self,
        database: MemoryDatabase,
        announce: Callable[[Sequence[Event]], None] = lambda _: None,
        wire: Wire | None = None,
        clock: Clock | None = None,
        permitted_identity: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.database, self._announce, self._wire = database, announce, wire or Direct()
        self._clock = clock or SystemClock()
        self._permitted_identity = permitted_identity

    @property
    def port(self) -> Store:
        """Itself, for parts that name the class of the real one."""
        return cast("Store", self)

    async def create(
        self,
        order: NewOrder,
        *,
        read_at: float | None = None,
        answer_by: float | None = None,
        policy: Policy = NO_LIMITS,
        committed: Callable[[], None] = lambda: None,
    ) -> Created:
        """As the real one."""
        now = self._clock.monotonic()
        request = CreateRequest(
            order=order,
            read_at=now if read_at is None else read_at,
            answer_by=math.inf if answer_by is None else answer_by,
            policy=policy,
            committed=committed,
        )
        try:
            if answer_by is None:
                return await self._create(request)
            async with asyncio.timeout(answer_by - now):
                return await self._create(request)
        except (UnavailableError, TimeoutError) as error:
            raise UnavailableError(str(error), str(order.id) if request.sent else None) from error
        finally:
            request.abandoned = True

    async def _create(self, request: CreateRequest) -> Created:
        now = self._clock.monotonic()
        if request.abandoned or now >= request.answer_by:
            raise UnavailableError("Postgres did not answer in time: nothing was stored")
        request.sent = True

        def commit() -> Created:
            created, events = self.database.create(request.order, request.deadline_in_ms(now), request.policy)
            if events:
                self._announce(events)
            return created

        created = await self._wire.call("create", commit)
        if not created.replayed:
            request.committed()
        return created

    async def cancel(self, order_id: UUID, owner: int | None = None) -> Cancelled | TooLate | None:
        """As the real one."""

        def commit() -> Cancelled | TooLate | None:
            answer, event = self.database.cancel(order_id, owner)
            if event is not None:
                self._announce([event])
            self._announce(self.database.cancel_slices([order_id]))
            return answer

        return await self._wire.call("cancel", commit)

    async def amendable(self, order_id: UUID, owner: int | None = None) -> AmendableOrder | None:
        """The order as it is now."""
        return await self._wire.call("amendable", lambda: self.database.amendable(order_id, owner))

    async def amend(self, order_id: UUID, version: int, amendment: Amendment) -> int | None:
        """Change it, if it rests at that version."""

        def commit() -> int | None:
            event = self.database.amend(order_id, version, amendment)
            if event is None:
                return None
            self._announce([event])
            return event.seq

        return await self._wire.call("amend", commit)

    async def handout(self, order_id: UUID) -> Handout | None:
        """The transaction that a client has to sign."""
        return await self._wire.call("handout", lambda: handouts.read(self.database, order_id))

    async def awaited(self, order_id: UUID, owner: int | None = None) -> AwaitedOrder | None:
        """An order as its client wants to sign for it."""
        return await self._wire.call("awaited", lambda: handouts.awaited(self.database, order_id, owner))

    async def keep_signature(self, order_id: UUID, message: bytes, signature: bytes) -> int | None:
        """Keep a client's signature."""
        sign = partial(handouts.sign, self.database, order_id, message, signature)
        return await self._wire.call("keep_signature", sign)

    async def cancel_all(self, selection: Selection) -> CancelledAll:
        """As the real one, in one commit."""

        def commit() -> CancelledAll:
            answer, events = self.database.cancel_all(selection)
            self._announce(events)
            self._announce(self.database.cancel_slices([event.order_id for event in events]))
            return answer

        return await self._wire.call("cancel_all", commit)

    async def order(self, order_id: UUID, owner: int | None = None) -> dict[str, object] | None:
        """The parts of the real one's answer that tests look at: summary, events, attempts."""
        row = await self._wire.call("order", lambda: self.database.order_of(order_id, owner))
        if row is None:
            return None
        messages = [event.message() for event in row.events]
        return {
            **_summary(row),
            "waitingFor": waiting_for(row.status, row.waiting, messages[-1], ended=row.finished_at is not None),
            "events": messages,
            "attempts": [
                {
                    "attempt": one.attempt.n,
                    "venue": one.attempt.venue,
                    "txHash": one.attempt.signed.signature,
                    "quote": one.attempt.quoted,
                    "outcome": one.outcome or "open",
                    "proof": one.proof,
                    "endpoints": list(one.sends),
                }
                for one in row.attempts
            ],
        }

    async def orders(
        self, limit: int, before: Cursor | None, wanted: OrderFilter = ALL_ORDERS
    ) -> list[dict[str, object]]:
        """Summaries, newest first."""

        def read() -> list[dict[str, object]]:
            rows = listed_orders(self.database, wanted)
            placed = ((row, Cursor(moment(row.created_at), row.new.id)) for row in rows)
            page = [
                {**_summary(row), "_cursor": cursor}
                for row, cursor in placed
                if before is None or (cursor.created_at, cursor.id) < (before.created_at, before.id)
            ]
            return page[:limit]

        return await self._wire.call("orders", read)

    async def order_totals(self, wanted: OrderFilter) -> OrderTotals:
        """How many orders of a list have each status."""

        return await self._wire.call("order_totals", lambda: count_orders(self.database, wanted))

    async def costs(self, query: CostQuery) -> CostReport:
        """Sums of what attempts cost in a time."""
        return await self._wire.call("costs", lambda: read_costs(self.database, query))

    async def order_stats(self, minutes: int, bucket_seconds: int, owner: int | None = None) -> OrderStats:
        """What became of the newest orders."""
        return await self._wire.call("order_stats", lambda: order_stats(self.database, minutes, bucket_seconds, owner))

    async def endpoint_figures(self) -> list[EndpointFigures]:
        """How well attempts landed, for each endpoint."""
        return await self._wire.call("endpoint_figures", lambda: endpoint_figures(self.database))

    async def events_after(self, wanted: Sequence[tuple[UUID, int]]) -> dict[UUID, list[Event]]:
        """Events above the given `seq`; an order that does not exist is absent."""
        known = self.database.orders
        return await self._wire.call(
            "events_after", lambda: {i: list(known[i].events[seq:]) for i, seq in wanted if i in known}
        )

    async def owners(self, order_ids: Sequence[UUID]) -> dict[UUID, int | None]:
        """Whose each order is that exists."""
        known = self.database.orders
        return await self._wire.call("owners", lambda: {i: known[i].new.owner for i in order_ids if i in known})

    async def versions(self, order_ids: Sequence[UUID]) -> dict[UUID, int]:
        """The last `seq` of each order that exists."""
        known = self.database.orders
        return await self._wire.call("versions", lambda: {i: known[i].version for i in order_ids if i in known})

    async def check_writes(self) -> None:
        """Raises `UnavailableError` unless the database answers."""
        await self._wire.call("check_writes", lambda: None)

    async def signing_stopped(self) -> bool:
        """Never: there is no chain to compare with."""
        return await self._wire.call("signing_stopped", lambda: False)

    async def policies(self, owners: Sequence[int]) -> dict[int, Policy | None]:
        """The policies of those keys that have one."""
        known = self.database.policies
        return await self._wire.call("policies", lambda: {owner: known[owner] for owner in owners if owner in known})

    async def halts(self) -> list[Halt]:
        """For whom nothing is signed."""
        return await self._wire.call("halts", lambda: list(self.database.halts.values()))

    async def worker_trouble(self) -> str | None:
        """Of a worker that lives, if there is one: one without trouble first."""
        return await self._wire.call("worker_trouble", self.database.worker_trouble)

    async def leads(self, worker: int) -> bool:
        """Whether this worker looks after resting orders."""
        return await self._wire.call("leads", lambda: self.database.leads(worker))

    async def rested_horizon(self) -> int:
        """From where `rested_since` continues."""
        return await self._wire.call("rested_horizon", self.database.now)

    async def rested_since(self, since: int) -> tuple[list[RestingOrder], int]:
        """What began to rest since then."""
        return await self._wire.call("rested_since", lambda: self.database.rested_since(since))

    async def rested_page(self, behind: tuple[datetime, UUID]) -> list[RestingOrder]:
        """A page of all resting orders."""
        return await self._wire.call("rested_page", lambda: self.database.rested_page(behind))

    async def rested_among(self, order_ids: Sequence[UUID]) -> list[RestingOrder]:
        """Those of the orders that rest."""
        return await self._wire.call("rested_among", lambda: self.database.rested_among(order_ids))

    async def raise_high_water(self, marks: Sequence[HighWater]) -> None:
        """Raise high-water marks."""
        await self._wire.call("raise_high_water", lambda: self.database.raise_high_water(marks))

    async def note_resting(self, notes: Sequence[RestingNote]) -> None:
        """Add an event to orders that rest on."""

        def commit() -> None:
            self._announce(self.database.note_resting(notes))

        await self._wire.call("note_resting", commit)

    async def trigger(self, items: Sequence[Triggering]) -> list[UUID]:
        """Trigger those that still rest."""

        def commit() -> list[UUID]:
            events = self.database.trigger(items)
            self._announce(events)
            return [event.order_id for event in events]

        return await self._wire.call("trigger", commit)

    async def make_slices(self, tokens: Tokens) -> list[UUID] | None:
        """Make the slices that are due."""

        def commit() -> list[UUID] | None:
            made, events = slices.make_due(self.database, tokens)
            self._announce(events)
            return made

        return await self._wire.call("make_slices", commit)

    async def ended_orders(self, after: Place, limit: int) -> list[EndedOrder]:
        """Orders whose end concerns others, until that is done."""
        return await self._wire.call("ended_orders", lambda: groups.ended(self.database, after, limit))

    async def follow_up(self, order: EndedOrder, tokens: Tokens) -> FollowUp:
        """Do what its end means for others."""

        def commit() -> FollowUp:
            result = groups.follow_up(self.database, order, tokens)
            self._announce(result.events)
            return result

        return await self._wire.call("follow_up", commit)

    async def join_groups(self, limit: int) -> tuple[int, list[UUID]]:
        """Cancel new orders whose group was filled before."""

        def commit() -> tuple[int, list[UUID]]:
            count, events = groups.join(self.database, limit)
            self._announce(events)
            return count, [event.order_id for event in events]

        return await self._wire.call("join_groups", commit)

    async def wake_landed(self, group: str, signatures: Sequence[str]) -> None:
        """Make those resting orders due whose attempt is on chain."""
        await self._wire.call("wake_landed", lambda: groups.wake(self.database, group, signatures))

    async def sniper_pairs(self) -> list[SniperPair]:
        """The pairs that resting snipers wait for."""
        return await self._wire.call("sniper_pairs", lambda: launches.sniper_pairs(self.database))

    async def snipers(self, pair: tuple[str, str], behind: tuple[datetime, UUID]) -> list[RestingOrder]:
        """A page of the snipers of a pair."""
        return await self._wire.call("snipers", lambda: launches.snipers(self.database, pair, behind))

    async def record_launches(self, pools: Sequence[NewPool]) -> None:
        """Record pools."""
        await self._wire.call("record_launches", lambda: launches.record_launches(self.database, pools))

    async def launches_of(self, mints: tuple[str, str]) -> list[NewPool]:
        """The recorded pools of two mints."""
        return await self._wire.call("launches_of", lambda: launches.launches_of(self.database, mints))

    async def noted_stops(self, order_ids: Sequence[UUID]) -> list[NotedStop]:
        """What the events of these orders have of pools that stopped them."""
        return await self._wire.call("noted_stops", lambda: launches.noted_stops(self.database, order_ids))

    async def forget_launches(self) -> None:
        """Delete launches of long ago."""
        await self._wire.call("forget_launches", lambda: None)

    async def wake(self) -> list[UUID]:
        """Make due what expires."""
        return await self._wire.call("wake", self.database.wake)

    async def begin(self, name: str, lease_seconds: float, trouble: str = "") -> MemoryWorkerSession:
        """Register a worker."""
        database = self.database
        registered = await self._wire.call(
            "begin", lambda: (database.register(name, lease_seconds, trouble), database.identity)
        )
        return MemoryWorkerSession(*registered, database, self._wire, lease_seconds)

    async def remove_dead_workers(self) -> list[str]:
        """Free what dead workers hold; their names."""
        return await self._wire.call("remove_dead_workers", self.database.remove_dead_workers)

    async def idle(self, grace_ms: int, since: datetime, after: UUID, limit: int) -> list[tuple[UUID, datetime]]:
        """Orders that should be moving and are not."""
        return await self._wire.call("idle", lambda: self.database.idle(grace_ms, since, after, limit))

    async def claim(
        self, worker: int, order_ids: Sequence[UUID], suspects: int = 1, known: Mapping[UUID, NewOrder] = NONE_KNOWN
    ) -> list[Claimed]:
        """Claim what can be claimed of these; of suspects, up to `suspects`. Reading `known` ones is free here."""
        ids = list(order_ids)
        return await self._wire.call("claim", lambda: self.database.claim(worker, ids, suspects))

    async def take_confirmed(self, worker: int, page: ConfirmedPage) -> list[Claimed]:
        """Take a page of confirmed orders for one look."""
        return await self._wire.call("take_confirmed", lambda: self.database.take_confirmed(worker, page))

    async def held(self, worker: int) -> dict[UUID, int]:
        """What is claimed in this worker's name: orders, with their claims."""
        return await self._wire.call("held", lambda: self.database.held_by(worker))

    async def advance(self, step: Step) -> list[Event] | None:
        """Write a step; its events, or None when the claim was stale."""

        identity = self._permitted_identity()

        def commit() -> list[Event] | None:
            events = self.database.advance(step, identity)
            if events:
                self._announce(events)
            return events

        return await self._wire.call("advance", commit)

    async def reserved(self, wallet: str, slot: int, genesis: str = "") -> dict[str, int]:
        """What open attempts may take of a wallet's balances of `slot` on a chain."""
        return await self._wire.call("reserved", lambda: self.database.reserved(wallet, slot, genesis))

    async def release(self, item: Release) -> None:
        """Hand an order back without a step."""
        await self._wire.call("release", lambda: self.database.release(item))

    async def note(self, note: WaitNote) -> None:
        """Record what an order waits for."""
        await self._wire.call("note", lambda: self.database.note(note))

    async def uncount_claims(self, order_ids: Sequence[UUID]) -> None:
        """Do not count the last turn of these orders."""
        ids = list(order_ids)
        await self._wire.call("uncount_claims", lambda: self.database.uncount_claims(ids))


def _summary(row: OrderRow) -> dict[str, object]:
    return {
        "orderId": str(row.new.id),
        "status": row.status.value,
        "venue": row.venue,
        "txHash": row.tx_hash,
        "failureReason": row.failure_reason,
        "minOut": None if row.bound is None else str(row.bound.min_out),
        "maxIn": None if row.bound is None else str(row.bound.max_in),
        "amountIn": None if row.amount_in is None else str(row.amount_in),
        "amountOut": None if row.amount_out is None else str(row.amount_out),
        "attemptCount": row.attempt_count,
        "dryRun": row.new.dry_run,
        "seq": row.version,
    }
