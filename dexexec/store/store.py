"""`Store`: everything that other rooms read from and write to Postgres for orders and workers.

New orders, steps, releases and notes of all orders in flight are written together (`concurrency.batcher`), and events
are announced after their commit. Every method raises `UnavailableError` when Postgres does not answer in time. A write
whose answer is lost may have happened; the caller finds out by reading.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from types import MappingProxyType
from typing import TypeVar
from uuid import UUID

import orjson

from dexexec.clock import Clock
from dexexec.concurrency.batcher import Batcher
from dexexec.domain.amendment import AmendableOrder, Amendment
from dexexec.domain.cancellation import Cancelled, CancelledAll, Selection, TooLate
from dexexec.domain.endpoint_figures import EndpointFigures
from dexexec.domain.event import Event
from dexexec.domain.funds import Shortfall
from dexexec.domain.halt import Halt
from dexexec.domain.oco import GroupHeld
from dexexec.domain.order import NewOrder
from dexexec.domain.order_filter import ALL_ORDERS, OrderFilter, OrderTotals
from dexexec.domain.order_stats import OrderStats
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.policy_check import PolicyBreaches
from dexexec.domain.wallet_policy import NO_WALLET_POLICIES, WalletPolicies
from dexexec.errors import (
    DexexecError,
    FundsReservedError,
    GroupHeldError,
    PartlyCancelledError,
    UnavailableError,
)
from dexexec.operator_errors import HaltedError, PolicyError
from dexexec.store import (
    amendments,
    cancellations,
    chain_comparisons,
    claims,
    confirmed_orders,
    costs,
    halts,
    leases,
    order_lists,
    orders,
    policies,
    queries,
    reservations,
    slice_cancellations,
    step_writes,
    wait_reasons,
    write_probe,
)
from dexexec.store.claims import Unreadable
from dexexec.store.confirmed_orders import ConfirmedPage
from dexexec.store.costs import CostQuery, CostReport
from dexexec.store.database import Database
from dexexec.store.endpoint_figures import read_endpoint_figures
from dexexec.store.handed_out_orders import HandedOutOrders
from dexexec.store.leases import WorkerSession
from dexexec.store.mass_cancellations import MassCancellation
from dexexec.store.order_lists import Cursor
from dexexec.store.order_stats import read_order_stats
from dexexec.store.orders import Created, CreateRequest
from dexexec.store.postgres_errors import REFUSALS
from dexexec.store.reservations import ANY_CHAIN
from dexexec.store.steps import Claimed, Release, Step
from dexexec.store.wait_reasons import WaitNote

T = TypeVar("T")

SEPARATE = (*REFUSALS, orjson.JSONEncodeError)
"""Errors of one row: the other rows of its batch are written without it."""
NONE_KNOWN: Mapping[UUID, NewOrder] = MappingProxyType({})
LONGEST_REST = 0.25
"""Seconds between two pages of a mass cancellation, at most."""


class Store(HandedOutOrders):
    """Reads and writes orders.

    * `announce` is called with events after their commit; it must not block.
    * `timeout` (seconds) bounds each statement. A batched write may also wait for the batch before it, except for new
      orders.
    * `for_orders` and `for_reads` are connections for new orders and for clients' reads, so that these do not wait for
      each other or for the worker.
    * `permitted_identity` returns the identity of the only Postgres where attempts may be recorded and orders may end
      without a swap (None: any).
    * `unreadable` is called for orders whose rows cannot be read.
    * `batch_written` is called after each batched commit with its kind, its rows and the seconds that it took.
    * `today` returns the day for limits per day (None: the UTC day of Postgres' clock).
    * `wallets` are the policies of wallets; those of keys are in Postgres.
    """

    def __init__(
        self,
        database: Database,
        announce: Callable[[Sequence[Event]], None],
        clock: Clock,
        timeout: float = 5.0,
        *,
        for_orders: Database | None = None,
        for_reads: Database | None = None,
        permitted_identity: Callable[[], str | None] = lambda: None,
        unreadable: Unreadable = lambda _, __: None,
        batch_written: Callable[[str, int, float], None] = lambda _, __, ___: None,
        today: Callable[[], date | None] = lambda: None,
        wallets: WalletPolicies = NO_WALLET_POLICIES,
    ) -> None:
        super().__init__(database, announce, timeout, unreadable)
        self._clock = clock
        self._for_orders = for_orders or database
        self._for_reads = for_reads or database
        self._permitted_identity = permitted_identity
        self._today = today
        self._wallets = wallets
        self._cancelling_all = asyncio.Lock()
        self._creates: Batcher[CreateRequest, Created | DexexecError] = Batcher(
            self._create, separate=SEPARATE, written=partial(batch_written, "creates")
        )
        self._steps: Batcher[Step, step_writes.Answer] = Batcher(
            self._advance, separate=SEPARATE, written=partial(batch_written, "steps")
        )
        self._releases: Batcher[Release, None] = Batcher(
            lambda items: self._bounded(claims.release(database, items)), written=partial(batch_written, "releases")
        )
        self._notes: Batcher[WaitNote, None] = Batcher(
            lambda notes: self._bounded(wait_reasons.write_notes(database, notes)),
            written=partial(batch_written, "notes"),
        )

    async def run(self) -> None:
        """Write batches until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for batcher in (self._creates, self._steps, self._releases, self._notes):
                tasks.create_task(batcher.run())

    # New orders

    async def create(
        self,
        order: NewOrder,
        *,
        read_at: float | None = None,
        answer_by: float | None = None,
        policy: Policy = NO_LIMITS,
        committed: Callable[[], None] = lambda: None,
    ) -> Created:
        """Store an order with its first event; both are committed when this returns. `policy` is that of its owner.
        `committed` is called once a new order is committed, before this returns, and also if the caller does not wait
        any more.

        `read_at` is when the request had been read, from which the deadline counts (monotonic seconds; None: now).
        `answer_by` is when this call ends at the latest (None: after the store's time limit). Raises
        `IdempotencyMismatchError`, `IdempotencyInFlightError` and `PolicyError`. Raises `UnavailableError`: with the
        order's id if the commit may have happened; without it, nothing was stored and nothing will be.
        """
        now = self._clock.monotonic()
        request = CreateRequest(
            order=order,
            read_at=now if read_at is None else read_at,
            answer_by=now + self._timeout if answer_by is None else answer_by,
            policy=policy,
            committed=committed,
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
        # The statement is cancelled when the last client of the batch has been answered: it must not commit afterwards.
        seconds = max(request.answer_by for request in requests) - self._clock.monotonic()
        stored = await self._bounded(
            orders.create(self._for_orders, requests, self._clock, today=self._today(), wallets=self._wallets), seconds
        )
        # First of all: the orders are on their way to a worker while their clients are answered.
        for request, answer in zip(requests, stored.answers, strict=True):
            if isinstance(answer, Created) and not answer.replayed:
                request.committed()
        self._announce(stored.events)
        return stored.answers

    async def cancel(self, order_id: UUID, owner: int | None = None) -> Cancelled | TooLate | None:
        """Cancel an order, if nothing was signed for it; None if `owner` (None: any) has no such order. Raises
        `UnavailableError`: the order may be cancelled then, and the same call can be repeated."""
        answer, event = await self._bounded(cancellations.cancel(self._for_orders, order_id, owner))
        if event is not None:
            self._announce([event])
        if isinstance(answer, Cancelled):
            # After the commit: of a recurring order no slice is made any more.
            cancelled = slice_cancellations.cancel_slices(self._for_orders, [order_id])
            self._announce(await self._bounded(cancelled))
        return answer

    async def cancel_all(self, selection: Selection) -> CancelledAll:
        """Cancel all orders of a selection, a page at a time. Raises `PartlyCancelledError`: the same call can be
        repeated."""
        # One at a time in this process: several would take the connections of new orders.
        async with self._cancelling_all:
            return await self._cancel_all(selection)

    async def _cancel_all(self, selection: Selection) -> CancelledAll:
        cancelled = 0
        try:
            mass = await self._bounded(MassCancellation.begin(self._for_orders, selection))
            while True:
                begun = self._clock.monotonic()
                events = await self._bounded(mass.next_page())
                if events is not None:
                    cancelled += len(events)
                    self._announce(events)
                    ended = [event.order_id for event in events]
                    self._announce(await self._bounded(slice_cancellations.cancel_slices(self._for_orders, ended)))
                    # For as long as the page took: orders in flight keep half of Postgres' time.
                    await asyncio.sleep(min(LONGEST_REST, self._clock.monotonic() - begun))
                    continue
                left = await self._bounded(mass.left())
                if not left.remaining:
                    break
        except UnavailableError as error:
            raise PartlyCancelledError(cancelled, str(error)) from error
        if left.uncompared:
            raise PartlyCancelledError(cancelled, cancellations.NOT_COMPARED)
        return CancelledAll(cancelled=cancelled, too_late=left.too_late)

    async def amendable(self, order_id: UUID, owner: int | None = None) -> AmendableOrder | None:
        """Return an order as its client wants to change it; None if `owner` (None: any) has no such order."""
        return await self._bounded(amendments.read_amendable(self._for_orders, order_id, owner))

    async def amend(self, order_id: UUID, version: int, amendment: Amendment) -> int | None:
        """Change an order that rests at `version`, and return its version then; None if it does not. Raises
        `PolicyError`, and `UnavailableError`: the order may be changed then."""
        event = await self._bounded(
            amendments.amend(self._for_orders, order_id, version, amendment, today=self._today(), wallets=self._wallets)
        )
        if event is None:
            return None
        self._announce([event])
        return event.seq

    # Reading

    async def order(self, order_id: UUID, owner: int | None = None) -> dict[str, object] | None:
        """Return an order with its events, quotes and attempts, as JSON values; None if `owner` (None: any) has no
        such order."""
        return await self._bounded(queries.read_order(self._for_reads, order_id, owner))

    async def orders(
        self, limit: int, before: Cursor | None, wanted: OrderFilter = ALL_ORDERS
    ) -> list[dict[str, object]]:
        """Return summaries of orders, newest first, each with its `Cursor` as `_cursor`."""
        return await self._bounded(queries.read_orders(self._for_reads, limit, before, wanted))

    async def order_totals(self, wanted: OrderFilter) -> OrderTotals:
        """Count the orders of a list by status, up to a limit."""
        return await self._bounded(order_lists.count(self._for_reads, wanted))

    async def owners_named(self, name: str) -> list[int]:
        """Return the numbers of all keys that have or had this name."""
        return await self._bounded(order_lists.owners_named(self._for_reads, name))

    async def costs(self, query: CostQuery) -> CostReport:
        """Return the sums of what attempts cost in a time."""
        return await self._bounded(costs.read_costs(self._for_reads, query))

    async def order_stats(self, minutes: int, bucket_seconds: int, owner: int | None = None) -> OrderStats:
        """Return what became of the orders of `owner` (None: of all) that were accepted in the last minutes."""
        return await self._bounded(read_order_stats(self._for_reads, minutes, bucket_seconds, owner))

    async def endpoint_figures(self) -> list[EndpointFigures]:
        """Return how well the newest attempts landed, for each endpoint that they were sent to."""
        return await self._bounded(read_endpoint_figures(self._for_reads))

    async def events_after(self, wanted: Sequence[tuple[UUID, int]]) -> dict[UUID, list[Event]]:
        """Return the events above the given `seq`, for many orders at once; an order that does not exist is absent."""
        return await self._bounded(queries.read_events_after(self._for_reads, wanted))

    async def owners(self, order_ids: Sequence[UUID]) -> dict[UUID, int | None]:
        """Return whose each order is that exists (None: of no key)."""
        return await self._bounded(queries.read_owners(self._for_reads, order_ids))

    async def versions(self, order_ids: Sequence[UUID]) -> dict[UUID, int]:
        """Return the last `seq` of each order that exists."""
        return await self._bounded(queries.read_versions(self._for_reads, order_ids))

    async def check_writes(self) -> None:
        """Raise `UnavailableError` unless Postgres takes writes now."""
        await self._bounded(write_probe.write(self._for_orders))

    async def signing_stopped(self) -> bool:
        """Whether workers may not sign at present, because the record is not compared with the chain yet."""
        return await self._bounded(chain_comparisons.is_stopped(self._database))

    async def policies(self, owners: Sequence[int]) -> dict[int, Policy | None]:
        """Return the policies of those keys that have one; None for one that cannot be read."""
        return await self._bounded(policies.read_policies(self._for_reads, owners))

    async def halts(self) -> list[Halt]:
        """Return for whom signing is halted."""
        return await self._bounded(halts.read(self._for_reads))

    async def worker_trouble(self) -> str | None:
        """Return why no worker can execute orders now: empty when one can, None without a living worker."""
        return await self._bounded(leases.trouble(self._database))

    # Work

    async def begin(self, name: str, lease_seconds: float, trouble: str = "") -> WorkerSession:
        """Register a worker on a connection of its own, with the reason why it cannot execute orders yet, if so."""
        return await WorkerSession.begin(self._database, name, lease_seconds, trouble)

    async def remove_dead_workers(self) -> list[str]:
        """Remove dead workers, which frees their orders; returns their names."""
        return await self._bounded(leases.remove_dead_workers(self._database))

    async def idle(self, grace_ms: int, since: datetime, after: UUID, limit: int) -> list[tuple[UUID, datetime]]:
        """Return due orders that no worker holds, oldest first."""
        return await self._bounded(claims.idle(self._database, grace_ms, since, after, limit))

    async def claim(
        self, worker: int, order_ids: Sequence[UUID], suspects: int = 1, known: Mapping[UUID, NewOrder] = NONE_KNOWN
    ) -> list[Claimed]:
        """Claim those of the orders that are free; at most `suspects` suspects among them. The terms of those in
        `known`, which this process has stored, are not read again."""
        claimed: list[Claimed] = []
        if known:
            claimed = await self._bounded(claims.claim_new(self._database, worker, known))
            found = {each.order.id for each in claimed}
            order_ids = [order_id for order_id in order_ids if order_id not in found]
        if order_ids:
            claimed += await self._bounded(claims.claim(self._database, worker, order_ids, suspects, self._unreadable))
        return claimed

    async def take_confirmed(self, worker: int, page: ConfirmedPage) -> list[Claimed]:
        """Take a page of confirmed orders for one lookup of their swaps; oldest first."""
        return await self._bounded(confirmed_orders.take_confirmed(self._database, worker, page, self._unreadable))

    async def held(self, worker: int) -> dict[UUID, int]:
        """Return the orders that are claimed in this worker's name, with their claims."""
        return await self._bounded(claims.held(self._database, worker))

    async def advance(self, step: Step) -> list[Event] | None:
        """Write a step; returns its events, or None if the claim was stale. Raises `FundsReservedError`, and writes
        nothing, for an attempt that the wallet cannot pay beside the other open attempts; `GroupHeldError`, and writes
        nothing, for one of an order whose group another order has filled, or may still fill; `HaltedError`, and writes
        nothing, for one of an owner for whom signing is halted; `PolicyError`, and writes nothing, for one that breaks
        a limit of its owner."""
        answer = await self._steps.put(step)
        if isinstance(answer, Halt):
            raise HaltedError(answer)
        if isinstance(answer, PolicyBreaches):
            raise PolicyError(answer.breaches)
        if isinstance(answer, GroupHeld):
            raise GroupHeldError(answer)
        if isinstance(answer, Shortfall):
            raise FundsReservedError(answer)
        return answer

    async def reserved(self, wallet: str, slot: int, genesis: str = ANY_CHAIN) -> dict[str, int]:
        """Return what open attempts may still take from the balances that a wallet had at `slot`, on the chain with
        that genesis hash: base units by mint (`LAMPORTS` for SOL)."""
        return await self._bounded(reservations.reserved(self._database, wallet, slot, genesis))

    async def _advance(self, steps: list[Step]) -> list[step_writes.Answer]:
        answers = await self._bounded(
            step_writes.advance(self._database, steps, self._permitted_identity(), self._today(), self._wallets)
        )
        self._announce([event for events in answers if isinstance(events, list) for event in events])
        return answers

    async def release(self, item: Release) -> None:
        """Give an order back without a step."""
        await self._releases.put(item)

    async def note(self, note: WaitNote) -> None:
        """Store what an order waits for."""
        await self._notes.put(note)

    async def uncount_claims(self, order_ids: Sequence[UUID]) -> None:
        """Take back the last counted claim of these orders, which a stop of the worker has interrupted."""
        await self._bounded(claims.uncount_claims(self._database, order_ids))
