"""The API's neighbours in memory: what a store, a queue and a limiter promise it, with switches to break them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from dexexec.broker.rate_limiter import Grant
from dexexec.clock import Clock
from dexexec.domain.amendment import AmendableOrder, Amendment
from dexexec.domain.cancellation import Cancelled, CancelledAll, Selection, TooLate
from dexexec.domain.cost import CostSum
from dexexec.domain.endpoint_figures import EndpointFigures
from dexexec.domain.event import timestamp
from dexexec.domain.handout import AwaitedOrder
from dexexec.domain.order import NewOrder
from dexexec.domain.order_filter import OrderFilter, OrderTotals
from dexexec.domain.order_stats import OrderStats
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.status import Status
from dexexec.errors import DexexecError, IdempotencyMismatchError, UnavailableError
from dexexec.store import CostQuery, CostReport, Created, Cursor
from dexexec.store.orders import in_the_past

START = datetime(2026, 1, 1, tzinfo=UTC)


NO_HISTORY: Mapping[str, object] = {
    "fill": None,
    "feesPaid": "0",
    "cost": {"final": False, **CostSum().detail()},
    "events": [],
    "quotes": [],
    "attempts": [],
}
"""What the answer of a new order has beside its summary."""


def summary_of(order: NewOrder, at: datetime) -> dict[str, object]:
    """A new order as a list shows it."""
    not_yet = dict.fromkeys(
        ("venue", "txHash", "failureReason", "amountIn", "amountOut", "deadlineAt", "finishedAt", "finalizedAt")
    )
    return {
        "orderId": str(order.id),
        "type": order.type.value,
        "status": Status.PENDING.value,
        "side": order.side.value,
        "amount": format(order.amount, "f"),
        "mode": order.mode.value,
        "inputMint": order.input_mint,
        "outputMint": order.output_mint,
        "slippageBps": order.slippage_bps,
        "minOut": None,
        "maxIn": None,
        "maxPriceImpactBps": order.max_price_impact_bps,
        "attemptCount": 0,
        "seq": 1,
        "createdAt": timestamp(at),
        "tag": order.tag,
        "wallet": order.wallet,
        "dryRun": order.dry_run,
        **not_yet,
    }


class Switch:
    """How a neighbour reacts to a call: answer, refuse, or not answer until it is switched again."""

    def __init__(self, name: str) -> None:
        self.name, self.up = name, True
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    def hang(self) -> None:
        self.asked.clear()
        self.go_on.clear()

    async def passed(self) -> None:
        self.asked.set()
        await self.go_on.wait()
        if not self.up:
            raise UnavailableError(f"{self.name} does not answer")


class MemoryStore:
    """Orders in a list, oldest first, each a microsecond younger than the one before."""

    def __init__(self, clock: Clock) -> None:
        self.switch, self.list_switch = Switch("Postgres"), Switch("Postgres")
        self.clock = clock
        self.created: list[NewOrder] = []
        self.read_at = 0.0  # of the last one
        self.asked = self.cancelled = self.listed = 0
        self.worker, self.stopped, self.trouble = True, False, ""
        self.write_switch, self.writes_checked = Switch("Postgres"), 0
        self.cancels: list[UUID] = []
        self.cancel_answer: Cancelled | TooLate | None = None
        self.amendable_order: AmendableOrder | None = None
        self.awaited_order: AwaitedOrder | None = None
        self.signatures: list[bytes] = []
        self.amendments: list[Amendment] = []
        self.selections: list[Selection] = []
        self.cancel_all_answer: CancelledAll | DexexecError = CancelledAll(cancelled=0, too_late=0)
        self.cost_queries: list[CostQuery] = []
        self.endpoints: list[EndpointFigures] = []
        self.cost_report = CostReport(
            until=START, more=False, groups=[], total=CostSum(), groups_omitted=0, mints_omitted=False
        )
        self.waiting_for: object = None
        self.filters: list[OrderFilter] = []
        self.totals = OrderTotals(by_status={}, at_least=False)
        self.owners: dict[str, list[int]] = {}

    async def create(
        self,
        order: NewOrder,
        *,
        read_at: float,
        answer_by: float,
        policy: Policy = NO_LIMITS,
        committed: Callable[[], None] = lambda: None,
    ) -> Created:
        """With the order's id in the error of a request whose time is over while it is stored."""
        self.asked += 1
        try:
            async with asyncio.timeout(answer_by - self.clock.monotonic()):
                await self.switch.passed()
        except TimeoutError:
            raise UnavailableError("Postgres does not answer in time", str(order.id)) from None
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.read_at = read_at
        for known in self.created:
            if order.idempotency_key and (known.client, known.idempotency_key) == (order.client, order.idempotency_key):
                if known.body_hash != order.body_hash:
                    raise IdempotencyMismatchError("this key belongs to an order with another body")
                return Created(known.id, replayed=True)
        if order.passed:
            raise in_the_past(order)
        self.created.append(order)
        committed()
        return Created(order.id, replayed=False)

    async def order(self, order_id: UUID, owner: int | None = None) -> dict[str, object] | None:
        await self.switch.passed()
        known = next((o for o in self.created if o.id == order_id and owner in {None, o.owner}), None)
        return None if known is None else {**summary_of(known, START), **NO_HISTORY, "waitingFor": self.waiting_for}

    def _sees(self, order_id: UUID, owner: int | None) -> bool:
        return owner is None or any(order.id == order_id and order.owner == owner for order in self.created)

    async def cancel(self, order_id: UUID, owner: int | None = None) -> Cancelled | TooLate | None:
        await self.switch.passed()
        if not self._sees(order_id, owner):
            return None
        self.cancels.append(order_id)
        return self.cancel_answer

    async def amendable(self, order_id: UUID, owner: int | None = None) -> AmendableOrder | None:
        await self.switch.passed()
        return self.amendable_order if self._sees(order_id, owner) else None

    async def amend(self, order_id: UUID, version: int, amendment: Amendment) -> int | None:
        await self.write_switch.passed()
        self.amendments.append(amendment)
        return version + 1

    async def awaited(self, order_id: UUID, owner: int | None = None) -> AwaitedOrder | None:
        await self.switch.passed()
        return self.awaited_order

    async def keep_signature(self, order_id: UUID, message: bytes, signature: bytes) -> int | None:
        await self.write_switch.passed()
        self.signatures.append(signature)
        return 1

    async def cancel_all(self, selection: Selection) -> CancelledAll:
        self.selections.append(selection)
        if isinstance(self.cancel_all_answer, DexexecError):
            raise self.cancel_all_answer
        return self.cancel_all_answer

    async def order_totals(self, wanted: OrderFilter) -> OrderTotals:
        await self.switch.passed()
        self.filters.append(wanted)
        return self.totals

    async def owners_named(self, name: str) -> list[int]:
        await self.switch.passed()
        return self.owners.get(name, [])

    async def orders(self, limit: int, before: Cursor | None, wanted: OrderFilter) -> list[dict[str, object]]:
        self.filters.append(wanted)
        self.listed += 1
        await self.switch.passed()
        await self.list_switch.passed()
        rows = [(START + timedelta(microseconds=n), order) for n, order in enumerate(self.created)]
        older = [(at, o) for at, o in reversed(rows) if before is None or (at, o.id) < (before.created_at, before.id)]
        listed = older if not wanted.statuses or Status.PENDING in wanted.statuses else []
        return [{**summary_of(o, at), "_cursor": Cursor(at, o.id)} for at, o in listed[:limit]]

    async def costs(self, query: CostQuery) -> CostReport:
        await self.switch.passed()
        self.cost_queries.append(query)
        return self.cost_report

    async def order_stats(self, minutes: int, bucket_seconds: int, owner: int | None = None) -> OrderStats:
        await self.switch.passed()
        until = datetime.now(UTC)
        since = until - timedelta(minutes=minutes)
        return OrderStats(since=since, until=until, bucket_seconds=bucket_seconds, buckets=(), truncated=False)

    async def endpoint_figures(self) -> list[EndpointFigures]:
        await self.switch.passed()
        return self.endpoints

    async def check_writes(self) -> None:
        self.writes_checked += 1
        await self.write_switch.passed()
        await self.switch.passed()

    async def worker_trouble(self) -> str | None:
        await self.switch.passed()
        return self.trouble if self.worker else None

    async def signing_stopped(self) -> bool:
        await self.switch.passed()
        return self.stopped


class MemoryQueue:
    """Ids in a list. `batches` is what each command put on it."""

    def __init__(self) -> None:
        self.depth_switch, self.enqueue_switch = Switch("Redis"), Switch("Redis")
        self.write_switch = Switch("Redis")
        self.batches: list[list[UUID]] = []
        self.others = 0
        self.depth_asked = 0

    @property
    def ids(self) -> list[UUID]:
        return [order_id for batch in self.batches for order_id in batch]

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        await self.enqueue_switch.passed()
        self.batches.append(list(order_ids))
        return len(order_ids)

    async def check_writes(self) -> None:
        await self.write_switch.passed()
        await self.depth_switch.passed()

    async def depth(self) -> int:
        self.depth_asked += 1
        await self.depth_switch.passed()
        return len(self.ids) + self.others


class MemoryLimiter:
    """Counts what each key took; a window that never ends."""

    def __init__(self) -> None:
        self.switch = Switch("Redis")
        self.taken: dict[str, int] = {}

    async def take(self, key: str, limit: int, count: int = 1) -> Grant:
        await self.switch.passed()
        granted = min(count, limit - self.taken.get(key, 0))
        self.taken[key] = self.taken.get(key, 0) + granted
        return Grant(granted, 0.0 if granted == count else 12.3)
