"""Checks whether a scenario kept the promises: during the run, and at the end by comparing record and chain."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.event import Event
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.order import NewOrder
from dexexec.domain.status import TRANSITIONS, Status
from dexexec.domain.swap import FailedOnChain, Landed
from dexexec.domain.terms import OrderType
from dexexec.observe.observer import Observer, make_logger
from tests.simulation.groups import broken_groups, unarmed
from tests.simulation.machine import StruckError
from tests.simulation.recurring import miscounted
from tests.simulation.wires import LATEST, PATIENCE, SLOWEST
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.rows import SECOND, AttemptRow, OrderRow

LOG = make_logger("critical")
TRIES = 3
"""Transactions that are signed for an order at most."""
OWN_REASONS = {FailureReason.NO_ROUTE, FailureReason.POISONED, FailureReason.RECORD_LOST, FailureReason.DUPLICATE}
"""Why an order may fail although its tries are not spent."""
RESTORED = "unknown"
"""The client of an order that came back whole."""
OUTCOMES_WITHOUT_FILL = {"failed", "unsent", "expired"}


class PromiseChecks:
    """Collects `problems`. `now` gives the virtual time of each."""

    def __init__(self, database: MemoryDatabase, now: Callable[[], float]) -> None:
        self.problems: list[str] = []
        self._database, self._now = database, now
        self._last_announced: dict[UUID, Event] = {}
        self._trace = hashlib.blake2b(digest_size=8)
        self._sent: set[str] = set()
        self._read: dict[UUID, int] = {}
        self._posted: dict[UUID, NewOrder] = {}
        self._cancelled: set[UUID] = set()
        self._recorded: set[str] = set()  # signatures that the database has lost
        self.gone: set[UUID] = set()
        """Orders that the database has lost. Some came back."""
        self.compared: Callable[[], bool] = lambda: True
        """Whether the record that answers now was compared with the chain."""
        self.unlanded = 0

    def fail(self, what: str) -> None:
        """Note a broken promise."""
        self.problems.append(f"{self._now():.3f} s: {what}")

    @property
    def trace(self) -> str:
        """A hash of all announced events with their times: equal for equal runs."""
        return self._trace.hexdigest()

    # On the way

    def read(self, order: NewOrder) -> None:
        """A request is read: from now on its order's time counts."""
        self._read[order.id] = self._database.now()
        self._posted[order.id] = order

    def cancelled(self, order_id: UUID) -> None:
        """A client was told that its order is cancelled: it must stay so, unless the record loses that commit."""
        self._cancelled.add(order_id)

    def promoted(self, copy: dict[str, Any]) -> None:
        """Another database takes over, with the state of this copy: later events may be announced again."""
        self._recorded |= self._database.signatures.keys()
        before = set(self._database.orders)
        self._database.promote(copy)
        self.gone |= before - self._database.orders.keys()
        self._cancelled.clear()  # they may be live again
        self._last_announced = {order_id: row.events[-1] for order_id, row in self._database.orders.items()}

    def announced(self, events: Sequence[Event]) -> None:
        """Promise 7, as it happens."""
        for event in events:
            self._trace.update(f"{event.order_id} {event.seq} {event.status} {self._now():.6f}\n".encode())
            before = self._last_announced.get(event.order_id)
            if event.seq != (before.seq + 1 if before else 1):
                self.fail(f"{event.order_id}: event {event.seq} after {before and before.seq}")
            if before is not None and before.final:
                self.fail(f"{event.order_id}: {event.status} after it had ended as {before.status}")
            if before is not None and event.status not in TRANSITIONS[before.status].values():
                self.fail(f"{event.order_id}: {event.status} after {before.status}")
            if before is not None and (before.status, event.status) == (Status.CONFIRMED, Status.SUBMITTED):
                self.unlanded += 1
            if "lastValidHeight" in event.detail and not self.compared():
                self.fail(f"{event.order_id}: promise 3: signed before record and chain were compared")
            self._last_announced[event.order_id] = event
            row = self._database.orders[event.order_id]
            if event.seq > 1 and row.claim_of[event.seq - 1] != row.claim:
                self.fail(f"{event.order_id}: promise 10: claim {row.claim_of[event.seq - 1]} wrote under {row.claim}")

    def sent(self, signature: str) -> None:
        """Promise 13, if no process was stopped between reading the clock and sending: bytes that leave for the first
        time leave in time."""
        if signature in self._sent:
            return
        self._sent.add(signature)
        order_id = self._database.signatures.get(signature)
        if order_id is not None and self._database.now() > self._database.orders[order_id].deadline_at:
            self.fail(f"{order_id}: promise 13: first sent after its deadline")

    def arrived(self, signature: str) -> None:
        """Promise 4: what comes to the chain is in the record."""
        if signature not in self._database.signatures and signature not in self._recorded:
            self.fail(f"{signature[:8]} was sent before it was recorded")

    # At last

    def check_all(
        self,
        final_outcome: Callable[[str], Landed | FailedOnChain | None],
        *,
        poison: bool,
        unstopped: bool,
        on_time: bool,
    ) -> None:
        """Compare the record with the chain. `final_outcome` gives a signature's final outcome; `poison`: so few
        crashes make an order poison that the faults may do it; `unstopped`: no process was stopped between two looks at
        the clock; `on_time`: no request came late."""
        long_ago = self._database.now() - 5_000_000
        for worker in self._database.workers.values():
            if worker.lease_until < long_ago:
                self.fail(f"promise 2: {worker.name} is dead, and nobody removed it")
        swapped: set[UUID] = set()
        for order_id, row in self._database.orders.items():
            name = str(order_id)[:8]
            self._one_birth(name, row, on_time)
            self._one_history(name, row)
            landed = {
                one.attempt.n: outcome
                for one in row.attempts
                if isinstance(outcome := final_outcome(one.attempt.signed.signature), Landed)
            }
            if order_id in self._cancelled and row.status is not Status.CANCELLED:
                self.fail(f"{name}: promise 7: its client was told that it is cancelled, and it is {row.status}")
            if row.new.dry_run and (row.attempts or row.status is Status.CONFIRMED):
                self.fail(f"{name}: promise 19: a dry run is {row.status} after {len(row.attempts)} attempts")
            if len(landed) > 1:
                self.fail(f"{name}: promise 3: {len(landed)} swaps landed")
            if row.finished_at is None:
                self.fail(f"{name}: promise 2: still {row.status}, claim {row.claim}, {row.claims} in vain")
                continue
            if row.failure_reason == FailureReason.POISONED and not poison:
                self.fail(f"{name}: promise 11: called poison after {row.claims} crashes")
            if row.open_attempt is not None:
                self.fail(f"{name}: ended with an open attempt")
            self._one_end(name, row, unstopped)
            for one in row.attempts:
                self._one_attempt(name, one, landed.get(one.attempt.n))
            swaps = row.status is Status.CONFIRMED and row.new.type is not OrderType.RECURRING
            if swaps != bool(landed):
                self.fail(f"{name}: {row.status}, and {len(landed)} swaps landed")
            for n, outcome in landed.items():
                self._one_fill(name, row, n, outcome)
            if landed:
                swapped.add(order_id)
        orders = self._database.orders
        for problem in (*broken_groups(orders, swapped), *unarmed(orders), *miscounted(orders)):
            self.fail(problem)

    def check_memos(self, landed: Mapping[str, AttemptId]) -> None:
        """Compare the chain with the record: by the memos of what landed, which the record cannot lose. Every swap is
        in the record, and neither an order nor a key has two of them."""
        by_order = Counter(attempt.order_id for attempt in landed.values())
        # The service itself makes the exits of brackets, without keys.
        keys = {one: posted.idempotency_key for one, posted in self._posted.items()}
        by_key = Counter(key for one in by_order if (key := keys.get(one)) is not None)
        for order_id, count in by_order.items():
            if count > 1:
                self.fail(f"{order_id}: promise 3: {count} swaps of it are on chain")
            if order_id in self.gone and order_id in self._posted:
                self._one_key(order_id)
        for key, count in by_key.items():
            if count > 1:
                self.fail(f"{key}: promise 9: {count} orders of one key are on chain")
        for signature, attempt in landed.items():
            if self._database.signatures.get(signature) != attempt.order_id:
                self.fail(f"{attempt.order_id}: promise 3: {signature[:8]} is on chain, and not in the record")

    def _one_key(self, order_id: UUID) -> None:
        """A repeated post with the key of a restored order returns that order."""
        found = self._database.order_of_key(self._posted[order_id])
        if self._posted[order_id].idempotency_key is not None and found != (order_id, True):
            self.fail(f"{order_id}: promise 9: its key belongs to {found}")

    def _one_birth(self, name: str, row: OrderRow, on_time: bool) -> None:
        """Promises 1 and 13: however long its process was stopped or waited, an order is not born after its client was
        answered, and its deadline counts from the request. Only what the network adds to a statement is unknown."""
        if row.new.client == RESTORED or row.new.parent is not None:
            return
        read, unknown = self._read[row.new.id], round((SLOWEST if on_time else LATEST) * SECOND)
        if row.created_at > read + round(PATIENCE * SECOND) + unknown:
            self.fail(f"{name}: promise 1: born {(row.created_at - read) / SECOND:.1f} s after its request")
        if row.deadline_at > read + row.new.deadline_ms * 1_000 + unknown:
            self.fail(f"{name}: promise 13: its deadline does not count from its request")

    def _one_history(self, name: str, row: OrderRow) -> None:
        if [event.seq for event in row.events] != list(range(1, row.version + 1)):
            self.fail(f"{name}: promise 7: {[event.seq for event in row.events]}")
        if row.claim_of != sorted(row.claim_of):
            self.fail(f"{name}: promise 10: events by the claims {row.claim_of}")
        if self._last_announced.get(row.new.id) != row.events[-1]:
            self.fail(f"{name}: its last event was not announced")

    def _one_end(self, name: str, row: OrderRow, unstopped: bool) -> None:
        """Promise 17. A worker's deadline is earlier than Postgres' by what the answer to its claim took."""
        if row.new.type is OrderType.RECURRING:
            return  # it ends with its slices
        if row.status is Status.FAILED and row.attempt_count < TRIES and row.failure_reason not in OWN_REASONS:
            self.fail(f"{name}: promise 17: failed for {row.failure_reason} after {row.attempt_count} attempts")
        early = row.deadline_at - (row.finished_at or 0)
        once = row.new.terms is not None and row.new.terms.single_try
        if row.status is Status.EXPIRED and unstopped and not once and early > PATIENCE * SECOND:
            self.fail(f"{name}: promise 17: expired {early} us before its deadline")

    def _one_attempt(self, name: str, row: AttemptRow, landed: Landed | None) -> None:
        """Promise 5: what was given up is not on the chain."""
        if row.outcome in OUTCOMES_WITHOUT_FILL and landed is not None:
            self.fail(f"{name}: promise 5: attempt {row.attempt.n} was called {row.outcome}, and landed")
        if row.outcome == "landed" and landed is None:
            self.fail(f"{name}: attempt {row.attempt.n} was called landed, and is not on the chain")

    def _one_fill(self, name: str, row: OrderRow, n: int, landed: Landed) -> None:
        """The fill is what moved; promise 13."""
        attempt = next(one for one in row.attempts if one.attempt.n == n)
        new = row.new
        mints = (new.input_mint, new.output_mint) if new.side == "buy" else (new.output_mint, new.input_mint)
        spent, received = -landed.moved.get(mints[0], 0), landed.moved.get(mints[1], 0)
        if (row.amount_in, row.amount_out) != (spent, received):
            self.fail(f"{name}: recorded {(row.amount_in, row.amount_out)}, moved {(spent, received)}")
        quoted = attempt.attempt.quoted
        if not quoted:  # it was read back, and the bound of its quote is lost
            return
        bounds = [(int(str(quoted["minOut"])), int(str(quoted["maxIn"]))), *_bounds_of_order(row)]
        if received < max(least for least, _ in bounds) or spent > min(most for _, most in bounds):
            self.fail(f"{name}: promise 13: {(spent, received)} for {quoted}, bounds {bounds}")


def _bounds_of_order(row: OrderRow) -> list[tuple[int, int]]:
    """What the whole order is bound to: by its client, and by the first quote that was selected for it, unless only
    the client's bound applies."""
    new, bounds = row.new, []
    if new.bound is not None:
        bounds.append((new.bound.min_out, new.bound.max_in))
    quotes = [quote for event in row.events for quote in _listed(event) if quote["selected"]]
    # A stop that was reached fixes its bound anew in each round, and the attempt has it.
    is_stop = new.terms is not None and new.terms.has_trigger
    if quotes and new.bound_open and not is_stop:
        first_in, first_out = int(quotes[0]["amountIn"]), int(quotes[0]["amountOut"])
        if new.mode == "exactIn":
            bounds.append((first_out * (10_000 - new.slippage_bps) // 10_000, first_in))
        else:
            bounds.append((new.amount_base, -(-first_in * (10_000 + new.slippage_bps) // 10_000)))
    return bounds


def _listed(event: Event) -> list[Any]:
    quotes = event.detail.get("quotes")
    return quotes if isinstance(quotes, list) else []


class CheckingObserver(Observer):
    """Reports log events that must never happen."""

    def __init__(self, checks: PromiseChecks) -> None:
        super().__init__(LOG)
        self._checks = checks

    def order_run_crashed(self, order_id: UUID, claims: int, error: BaseException) -> None:
        """Allowed only for an injected error."""
        if not isinstance(error, StruckError):
            self._checks.fail(f"{order_id} crashed: {error!r}")

    def order_release_failed(self, order_id: UUID, error: BaseException) -> None:
        """Allowed only for an injected error."""
        if not isinstance(error, StruckError):
            self._checks.fail(f"{order_id} stranded: {error!r}")

    def fill_out_of_bounds(self, order_id: UUID, venue: str, signature: str) -> None:
        """Never."""
        self._checks.fail(f"{order_id} was filled out of its bounds")
