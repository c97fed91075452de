"""What the statements of `dexexec.store` do to the rows, in memory. Each method is one commit."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation

from dexexec.domain.amendment import AmendableOrder, Amendment
from dexexec.domain.cancellation import Cancelled, CancelledAll, Pair, Selection, TooLate
from dexexec.domain.event import Detail, Event
from dexexec.domain.funds import Reserved, reserved_at, shortfall
from dexexec.domain.halt import EVERYBODY, Halt, halt_of
from dexexec.domain.launch import NewPool
from dexexec.domain.order import FOREVER_MS, NewOrder
from dexexec.domain.outcome import Outcome
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.policy_check import Trade, breaches, posted_trade
from dexexec.domain.share import posted_terms
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms
from dexexec.domain.wait_reason import wait_detail
from dexexec.domain.worker_trouble import TroubleKind
from dexexec.errors import (
    FundsReservedError,
    GroupHeldError,
    IdempotencyMismatchError,
    PartlyCancelledError,
    UnavailableError,
)
from dexexec.operator_errors import HaltedError, PolicyError
from dexexec.store import (
    Attempt,
    Claimed,
    ConfirmedPage,
    Created,
    HighWater,
    NewAttempt,
    Release,
    RestingNote,
    RestingOrder,
    Step,
    Triggering,
    WaitNote,
    policies,
)
from dexexec.store.cancellations import DETAIL, NOT_COMPARED
from dexexec.store.orders import first_detail, in_the_past
from dexexec.store.steps import SUSPECT_AFTER
from tests.support.fakes import groups, handouts, slices
from tests.support.fakes.rows import (
    MS,
    SECOND,
    AttemptRow,
    ComparisonRow,
    OrderRow,
    WorkerRow,
    key_digest,
    moment,
    pause,
    read_claimed,
    read_resting,
    shown_attempt,
    us_of,
)

SERVER = {"_clock", "_last", "_timeline"}
"""What a server has for itself, and no copy of its data has."""


class MemoryDatabase:
    """`now_us` is the server's clock. Every reading of it is later than the one before."""

    def __init__(self, now_us: Callable[[], int] = lambda: time.time_ns() // 1_000) -> None:
        self._clock, self._last = now_us, 0
        self.orders: dict[UUID, OrderRow] = {}
        self.keys: dict[str | None, tuple[bytes, UUID]] = {}
        self.workers: dict[int, WorkerRow] = {}
        self.signatures: dict[str, UUID] = {}
        self._worker_ids = 0
        self._timeline = 1
        self.identity = self.made_as = "memory/1"
        self.made_at = self.now()
        self.comparisons: dict[tuple[str, str], ComparisonRow] = {}
        self.comparing: dict[tuple[str, str], object] = {}
        """Wallets whose lock is held, and by which process."""
        self.launches: dict[str, NewPool] = {}
        self.restored_keys: dict[str, tuple[str, UUID]] = {}
        self.handouts: dict[UUID, handouts.HandoutRow] = {}
        self.filled_groups: dict[tuple[str, bool], UUID] = {}
        """Which order filled a group, of dry runs or of others."""
        self.halts: dict[int, Halt] = {}
        self.policies: dict[int, Policy] = {}
        self.spending: dict[UUID, policies.Spend] = {}
        """By order, on the day for which it counts."""
        self.days: dict[UUID, date] = {}
        self.today = date(2026, 1, 1)

    def copy(self) -> dict[str, Any]:
        """All that is in it now, as a standby has it that is cut off at this moment."""
        return deepcopy({name: value for name, value in vars(self).items() if name not in SERVER})

    def promote(self, copy: dict[str, Any]) -> None:
        """From now on another server answers, which has no more than this copy. All sessions are over, and their
        locks."""
        vars(self).update(deepcopy(copy))
        self.comparing.clear()
        for worker in self.workers.values():
            worker.connected = False
        self._timeline += 1
        self.identity = f"memory/{self._timeline}"

    def now(self) -> int:
        """The time, microseconds."""
        self._last = max(self._clock(), self._last + 1)
        return self._last

    # Orders

    def create(self, order: NewOrder, deadline_in_ms: float, policy: Policy = NO_LIMITS) -> tuple[Created, list[Event]]:
        """The order with its first events, or the one that its key belongs to. Raises `IdempotencyMismatchError` and
        `PolicyError`."""
        found = self.order_of_key(order)
        if found is not None:
            known, same_body = found
            if not same_body:
                raise IdempotencyMismatchError("this key belongs to an order with another body: use a new key")
            return Created(known, replayed=True), []
        if order.passed:
            raise in_the_past(order)
        locked = self._check_new(order, policy)
        if order.id in self.orders:
            raise UniqueViolation("orders_pkey")
        if order.idempotency_key is not None:
            self.keys[order.idempotency_key] = (order.body_hash, order.id)
        if order.parent in self.orders:
            parent = self.orders[order.parent].new
            order = replace(
                order,
                owner=parent.owner,
                wallet=parent.wallet,
                request_id=parent.request_id,
                traceparent=parent.traceparent,
            )
        now = self.now()
        event = Event(order_id=order.id, seq=1, status=Status.PENDING, at=moment(now), detail=first_detail(order))
        row = OrderRow(
            order, now, now + round(deadline_in_ms * MS), now, bound=order.bound, bound_open=order.bound_open,
            events=[event], claim_of=[0],
        )  # fmt: skip
        self.orders[order.id] = row
        self._write_spends(locked)
        if order.rests:
            return Created(order.id, replayed=False), [event, self._rest_new(row, now)]
        return Created(order.id, replayed=False), [event]

    def _rest_new(self, row: OrderRow, now: int) -> Event:
        """The second event of an order that rests from the start."""
        row.status, row.version, row.resting, row.rested_at = Status.WAITING, 2, True, now
        row.wake_at = row.deadline_at if row.new.deadline_ms < FOREVER_MS else None
        if row.new.type is OrderType.RECURRING:
            row.wake_at = now
        detail = wait_detail(row.new)
        event = Event(order_id=row.new.id, seq=2, status=Status.WAITING, at=moment(now), detail=detail)
        row.events.append(event)
        row.claim_of.append(0)
        return event

    def order_of_key(self, order: NewOrder) -> tuple[UUID, bool] | None:
        """The order that its key belongs to, and whether that has the same body."""
        digest = key_digest(order)
        if digest is not None and digest[:12] in self.restored_keys:
            body_digest, known = self.restored_keys[digest[:12]]
            return known, body_digest == digest[12:]
        if order.idempotency_key in self.keys:
            body_hash, known = self.keys[order.idempotency_key]
            return known, body_hash == order.body_hash
        return None

    def held(self, row: OrderRow, now: int) -> bool:
        """Whether a worker whose lease lives has it."""
        worker = self.workers.get(row.worker) if row.worker is not None else None
        return worker is not None and worker.lease_until > now

    def held_by(self, worker_id: int) -> dict[UUID, int]:
        """What is claimed in that worker's name."""
        rows = self.orders.items()
        return {i: row.claim for i, row in rows if row.worker == worker_id and row.finished_at is None}

    def claim(self, worker_id: int, order_ids: Sequence[UUID], suspects: int) -> list[Claimed]:
        """What is due and free, for a worker whose own lease lives."""
        now = self.now()
        me = self.workers.get(worker_id)
        if me is None or me.lease_until <= now:
            return []
        claimed: list[Claimed] = []
        for row in (self.orders[order_id] for order_id in sorted(set(order_ids)) if order_id in self.orders):
            if row.finished_at is not None or row.resting or self.held(row, now) or row.due_at > now - pause(row):
                continue
            if row.status is Status.CONFIRMED:
                continue
            if row.claims >= SUSPECT_AFTER and row.open_attempt is None:
                if suspects <= 0 or me.started_at > now - pause(row):
                    continue
                suspects -= 1
            claimed.append(self._claim(row, worker_id, now))
        return claimed

    def _claim(self, row: OrderRow, worker_id: int, now: int) -> Claimed:
        row.claim, row.claims, row.worker = row.claim + 1, row.claims + 1, worker_id
        row.due_at = now
        return read_claimed(row, now, groups.signatures(self, row))

    def take_confirmed(self, worker_id: int, page: ConfirmedPage) -> list[Claimed]:
        """A page of confirmed orders for one look, oldest first, for a worker whose own lease lives."""
        now = self.now()
        me = self.workers.get(worker_id)
        if me is None or me.lease_until <= now:
            return []
        behind = (us_of(page.behind[0]), page.behind[1])
        due = sorted(
            ((row.created_at, order_id) for order_id, row in self.orders.items() if self._is_due(row, page, now)),
        )
        taken = [self.orders[order_id] for created_at, order_id in due if (created_at, order_id) > behind]
        for row in taken[: page.limit]:
            row.claim, row.worker, row.due_at = row.claim + 1, None, now + round(page.next_look_ms * MS)
        return [read_claimed(row, now, groups.signatures(self, row)) for row in taken[: page.limit]]

    def _is_due(self, row: OrderRow, page: ConfirmedPage, now: int) -> bool:
        attempt = row.open_attempt
        if row.status is not Status.CONFIRMED or row.finished_at is not None or attempt is None or self.held(row, now):
            return False
        signed, venue = attempt.attempt.signed, attempt.attempt.venue
        of_venue = not signed.network and venue in page.venues
        of_network = signed.network == page.network and (not page.genesis or signed.genesis in {"", page.genesis})
        return row.due_at <= now - round(page.overdue_ms * MS) and (page.network is None or of_venue or of_network)

    def advance(self, step: Step, identity: str | None = None) -> list[Event] | None:
        """The step's events, or None when its claim or version is stale, or it needs a comparison and that was for
        another `identity`. Raises `UniqueViolation`."""
        if step.needs_comparison and identity not in (None, self.identity):
            return None
        row = self.orders.get(step.order_id)
        if row is None or (row.claim, row.version) != (step.claim, step.version) or row.finished_at is not None:
            return None
        if row.new.dry_run and step.attempt is not None:
            return None
        now = self.now()
        shown = groups.reported(self, row, step)
        if step.attempt is not None and (halt := halt_of(self.halts.values(), row.new.owner)) is not None:
            raise HaltedError(halt)
        if step.may_swap and (held := groups.held(self, row, step.group_lookups)) is not None:
            raise GroupHeldError(held)
        if step.attempt is not None:
            locked = self._admit(row, step.attempt.trade)
            self._reserve(step.attempt, now)
            self._record(row, step, now)
            self._write_spends(locked)
        for resolution in (*((step.resolution,) if step.resolution else ()), *step.corrections):
            for one in row.attempts:
                if one.attempt.n == resolution.n and (one.outcome is None or resolution in step.corrections):
                    one.outcome, one.proof = resolution.outcome, dict(resolution.proof)
                    one.sends = resolution.sends or one.sends
                    one.resolved_at = None if resolution.outcome is None else now
        handouts.write(self, step, now)
        row.status = step.events[-1][0]
        confirmed = row.status is Status.CONFIRMED
        if row.status is Status.SIMULATED:
            row.new = replace(row.new, dry_run=True)
        row.venue, row.tx_hash = step.venue or row.venue, step.tx_hash or row.tx_hash
        row.failure_reason = step.reason or row.failure_reason
        if step.fill is not None:
            row.amount_in, row.amount_out = step.fill.amount_in, step.fill.amount_out
        if row.status not in {Status.CONFIRMED, Status.SIMULATED}:
            row.amount_in = row.amount_out = None
        row.rounds += step.rounds
        row.refusals += step.refusals
        if (amount := step.amount) is not None:
            row.new = replace(row.new, amount_base=amount.base_units)
            row.bound, row.bound_open = amount.bound, row.bound_open and amount.bound is None
        if (fixed := step.bound) is not None:
            row.bound = row.bound.intersect(fixed.bound) if row.bound else fixed.bound
            row.bound_open, row.first_quote = False, row.first_quote or (fixed.quoted_in, fixed.quoted_out)
        if step.unbind:
            row.bound, row.bound_open = None, True
        row.waiting = None
        gives_back = step.resume_in_ms is not None or step.rest_ms is not None
        if step.attempt is not None or step.final or gives_back:
            row.claims = 0
        row.due_at = now + round((step.resume_in_ms or 0) * MS)
        if gives_back:
            row.worker = None
        row.resting = step.rest_ms is not None
        if step.rest_ms is not None:
            row.rests, row.rested_at = row.rests + 1, now
            row.quiet_until = now + round(step.rest_ms * MS)
        if step.final:
            row.finished_at, row.finalized_at = now, now if confirmed else None
        events = [
            Event(order_id=step.order_id, seq=seq, status=status, at=moment(self.now()), detail=detail)
            for seq, (status, detail) in enumerate(shown, row.version + 1)
        ]
        row.version += len(events)
        row.events += events
        row.claim_of += [step.claim] * len(events)
        return events

    def order_of(self, order_id: UUID, owner: int | None) -> OrderRow | None:
        """The order, if `owner` (None: any) has it."""
        row = self.orders.get(order_id)
        return row if row is not None and owner in (None, row.new.owner) else None

    def cancel(self, order_id: UUID, owner: int | None = None) -> tuple[Cancelled | TooLate | None, Event | None]:
        """The answer to a client that cancels, and the new event. Raises `UnavailableError` while the record is not
        compared."""
        row = self.order_of(order_id, owner)
        if row is None:
            return None, None
        if row.status is Status.CANCELLED:
            return Cancelled(order_id=order_id, seq=row.version, repeated=True), None
        if not _unsigned(row):
            ended = row.finished_at is not None
            return TooLate(order_id=order_id, status=row.status, ended=ended, attempt=shown_attempt(row)), None
        if not self.compared(row.created_at):
            raise UnavailableError(NOT_COMPARED)
        row.claim += 1
        row.claims, row.worker, row.waiting, row.failure_reason = 0, None, None, None
        row.resting = False
        row.status, row.finished_at = Status.CANCELLED, self.now()
        row.version += 1
        event = Event(order_id=order_id, seq=row.version, status=row.status, at=moment(row.finished_at), detail=DETAIL)
        row.events.append(event)
        row.claim_of.append(row.claim)
        return Cancelled(order_id=order_id, seq=row.version), event

    def amendable(self, order_id: UUID, owner: int | None = None) -> AmendableOrder | None:
        """The order as its client wants to change it."""
        row = self.order_of(order_id, owner)
        if row is None:
            return None
        new = row.new
        return AmendableOrder(
            id=order_id,
            version=row.version,
            status=row.status,
            type=new.type,
            resting=row.resting,
            ended=row.finished_at is not None,
            triggered=row.triggered,
            posted={
                "type": new.type.value,
                "side": new.side.value,
                "mode": new.mode.value,
                "inputMint": new.input_mint,
                "outputMint": new.output_mint,
                **posted_terms(new.amount, new.terms.detail() if new.terms else {}),
            },
            last=row.events[-1].detail,
        )

    def amend(self, order_id: UUID, version: int, amendment: Amendment) -> Event | None:
        """The event of a change; None if the order does not rest at that version."""
        row, now = self.orders[order_id], self.now()
        if not row.resting or row.version != version:
            return None
        self._write_spends(self._admit(row, None if row.new.dry_run else amendment.trade))
        terms = Terms.of(amendment.terms)
        if amendment.resizes:
            row.first_quote = row.high_water = None
        row.new = replace(row.new, amount=amendment.amount, amount_base=amendment.amount_base, terms=terms)
        if amendment.max_price_impact_bps is not None:
            row.new = replace(row.new, max_price_impact_bps=amendment.max_price_impact_bps)
        row.bound, row.bound_open = amendment.bound, row.bound_open or amendment.bound_open
        if amendment.moves_expiry:
            expires_at = us_of(amendment.expires_at) if amendment.expires_at else None
            row.wake_at = expires_at if amendment.wakes_at_expiry else now
            row.deadline_at = expires_at or row.created_at + FOREVER_MS * MS
        row.waiting, row.rests, row.quiet_until, row.rested_at = None, 0, None, now
        row.version += 1
        event = Event(
            order_id=order_id, seq=row.version, status=Status.WAITING, at=moment(now), detail=amendment.detail
        )
        row.events.append(event)
        row.claim_of.append(row.claim)
        return event

    def cancel_all(self, selection: Selection) -> tuple[CancelledAll, list[Event]]:
        """The answer to a client that cancels many orders, and the events. Raises `PartlyCancelledError`."""
        events: list[Event] = []
        too_late = uncompared = 0
        for order_id, row in self.orders.items():
            if not _selected(row, selection):
                continue
            if not _unsigned(row):
                too_late += row.status is not Status.CONFIRMED
            elif not self.compared(row.created_at):
                uncompared += 1
            elif (event := self.cancel(order_id)[1]) is not None:
                events.append(event)
        if uncompared:
            raise PartlyCancelledError(len(events), NOT_COMPARED)
        return CancelledAll(cancelled=len(events), too_late=too_late), events

    def cancel_slices(self, parents: Sequence[UUID]) -> list[Event]:
        """The events of slices that end with these orders."""
        return slices.cancel_slices(self, parents, _unsigned)

    def compared(self, created_at: int) -> bool:
        """Whether an order that was created then may end without a swap."""
        rows = self.comparisons.values()
        compared_here = [row.compared_at for row in rows if row.identity == self.identity and row.compared_at]
        if compared_here and created_at > max(compared_here):
            return True
        return (self.made_as == self.identity or bool(rows)) and all(
            row.pending is None and (row.identity or self.made_as) == self.identity for row in rows
        )

    def _check_new(self, order: NewOrder, policy: Policy) -> policies.LockedPolicies:
        """Raises `PolicyError`."""
        locked = self._lock(order.owner, policy)
        broken = breaches(policy, posted_trade(order)) or locked.accept(order, {order.owner or 0: policy})
        if broken:
            raise PolicyError(broken)
        return locked

    def _admit(self, row: OrderRow, trade: Trade | None) -> policies.LockedPolicies:
        """Raises `PolicyError`."""
        owner = row.new.owner
        policy = self.policies.get(owner, NO_LIMITS) if owner is not None else NO_LIMITS
        locked = self._lock(owner, policy)
        if trade is not None and owner is not None and (broken := locked.admit(row.new.id, [owner], trade)):
            raise PolicyError(broken)
        return locked

    def _lock(self, owner: int | None, policy: Policy) -> policies.LockedPolicies:
        """What the orders of that owner spend today."""
        locked = policies.LockedPolicies(self.today, {owner: policy} if owner is not None else {})
        for order_id, spend in self.spending.items():
            if spend.owner == owner and self.days[order_id] == self.today:
                row = self.orders[order_id]
                ended = (row.amount_in or 0) if row.status is Status.CONFIRMED else 0
                counted = spend.amount if row.finished_at is None else ended
                key = (spend.owner, spend.mint)
                locked.spent[key] = locked.spent.get(key, 0) + counted
                locked.own[order_id, spend.owner] = spend.amount
        locked.open_orders = Counter(
            row.new.owner for row in self.orders.values() if row.finished_at is None and row.new.owner is not None
        )
        return locked

    def _write_spends(self, locked: policies.LockedPolicies) -> None:
        for spend in locked.spends:
            self.spending[spend.order_id], self.days[spend.order_id] = spend, locked.day

    def _reserve(self, new: NewAttempt, now: int) -> None:
        """Raises `FundsReservedError`."""
        if new.spending is None:
            return
        lacking = shortfall(new.spending, self._reservations(new.spending.wallet, new.signed.genesis, now))
        if lacking is not None:
            raise FundsReservedError(lacking)

    def reserved(self, wallet: str, slot: int, genesis: str) -> dict[str, int]:
        """What open attempts may take of a wallet's balances of `slot` on a chain."""
        return reserved_at(slot, self._reservations(wallet, genesis, self.now()))

    def _reservations(self, wallet: str, genesis: str, now: int) -> list[Reserved]:
        found = []
        for one in (one for row in self.orders.values() for one in row.attempts):
            slot = (one.proof or {}).get("slot")
            lately = one.outcome is None or (slot is not None and (one.resolved_at or 0) > now - 60 * SECOND)
            known = one.attempt.signed.genesis
            here = known == genesis or not known or not genesis
            if one.spending is not None and one.spending.wallet == wallet and lately and here:
                found.append(Reserved(slot if isinstance(slot, int) else None, one.spending.amounts()))
        return found

    def _record(self, row: OrderRow, step: Step, now: int) -> None:
        new = step.attempt
        assert new is not None
        if row.open_attempt is not None:
            raise UniqueViolation("attempts_open")
        if new.signed.signature in self.signatures or any(one.attempt.n == new.n for one in row.attempts):
            raise UniqueViolation("attempts_signature_key")
        self.signatures[new.signed.signature] = step.order_id
        row.attempts.append(
            AttemptRow(
                Attempt(n=new.n, venue=new.venue, signed=new.signed, quoted=new.quoted), now, spending=new.spending
            )
        )
        row.attempt_count += 1
        row.tx_hash = new.signed.signature

    def halt(self, owner: int, reason: str) -> Halt:
        """Nothing is signed for that owner from now on."""
        since = self.halts[owner].since if owner in self.halts else moment(self.now())
        self.halts[owner] = Halt(owner, since, reason)
        return self.halts[owner]

    def resume(self, owner: int) -> bool:
        """Whether there was a halt. What waited for its end is due."""
        now = self.now()
        for row in self.orders.values():
            waits = row.status is Status.WAITING and not row.resting and row.worker is None
            if row.finished_at is None and waits and owner in (EVERYBODY, row.new.owner):
                row.due_at = min(row.due_at, now + 2 * SECOND)
        return self.halts.pop(owner, None) is not None

    def release(self, item: Release) -> None:
        """Free the order until its time; a stale claim changes nothing."""
        row = self.orders.get(item.order_id)
        if row is None or row.claim != item.claim or row.finished_at is not None:
            return
        row.worker = None
        row.claims = row.claims if item.blame else 0
        row.due_at = self.now() + round(item.resume_in_ms * MS)

    def note(self, note: WaitNote) -> None:
        """What it waits for, since the reason has been the same."""
        row = self.orders.get(note.order_id)
        if row is None or row.claim != note.claim or row.finished_at is not None:
            return
        known, since = row.waiting, moment(self.now()).isoformat()
        if known is not None and known["reason"] == note.reason:
            since = known["since"]
        row.waiting = {"reason": note.reason.value, "detail": note.detail, "since": since}

    def uncount_claims(self, order_ids: Sequence[UUID]) -> None:
        """Take one turn back."""
        for row in (self.orders[order_id] for order_id in order_ids if order_id in self.orders):
            if row.finished_at is None:
                row.claims = max(row.claims - 1, 0)

    def idle(self, grace_ms: int, since: datetime, after: UUID, limit: int) -> list[tuple[UUID, datetime]]:
        """Due for `grace_ms` and held by no living worker, oldest first, behind the cursor."""
        now, behind = self.now(), (us_of(since), after)
        found = sorted(
            (row.created_at, order_id)
            for order_id, row in self.orders.items()
            if row.finished_at is None and not row.resting and row.status is not Status.CONFIRMED
            and row.due_at <= now - grace_ms * MS - pause(row)
            and not self.held(row, now) and (row.created_at, order_id) > behind
        )  # fmt: skip
        return [(order_id, moment(created_at)) for created_at, order_id in found[:limit]]

    # Orders that rest

    def leads(self, worker_id: int) -> bool:
        """Whether that worker is the oldest living one."""
        now = self.now()
        return worker_id == min((n for n, row in self.workers.items() if row.lease_until > now), default=None)

    def rested_since(self, since: int) -> tuple[list[RestingOrder], int]:
        """Orders that began to rest since a time, and the next time."""
        now = self.now()
        rows = [row for row in self.orders.values() if row.resting and row.rested_at >= since]
        return [read_resting(row, now) for row in rows], now

    def rested_page(self, behind: tuple[datetime, UUID]) -> list[RestingOrder]:
        """All resting orders behind the given one, oldest first."""
        now, after = self.now(), (us_of(behind[0]), behind[1])
        rows = sorted((row.created_at, row.new.id) for row in self.orders.values() if row.resting)
        return [read_resting(self.orders[order_id], now) for at, order_id in rows if (at, order_id) > after]

    def rested_among(self, order_ids: Sequence[UUID]) -> list[RestingOrder]:
        """Those of the orders that rest."""
        now = self.now()
        rows = [self.orders[order_id] for order_id in order_ids if order_id in self.orders]
        return [read_resting(row, now) for row in rows if row.resting]

    def raise_high_water(self, marks: Sequence[HighWater]) -> None:
        """Raise the marks of resting orders."""
        for mark in marks:
            row = self.orders.get(mark.order_id)
            if row is not None and row.resting and row.version == mark.version:
                row.high_water = mark.rate if row.high_water is None else max(row.high_water, mark.rate)

    def note_resting(self, notes: Sequence[RestingNote]) -> list[Event]:
        """The events of those that still rest at their version."""
        events = []
        for note in notes:
            row, now = self.orders.get(note.order_id), self.now()
            if row is not None and row.resting and row.version == note.version:
                row.rested_at = now
                events.append(self._waiting_event(row, note.detail, now))
        return events

    @staticmethod
    def _waiting_event(row: OrderRow, detail: Detail, now: int) -> Event:
        row.version += 1
        event = Event(order_id=row.new.id, seq=row.version, status=Status.WAITING, at=moment(now), detail=detail)
        row.events.append(event)
        row.claim_of.append(row.claim)
        return event

    def trigger(self, items: Sequence[Triggering]) -> list[Event]:
        """The events of those that still rest at their version."""
        events = []
        for item in items:
            row, now = self.orders.get(item.order_id), self.now()
            if row is None or not row.resting or row.version != item.version or row.new.type is OrderType.RECURRING:
                continue
            row.rests = row.rests if (row.quiet_until or 0) > now - 300 * SECOND else 0
            row.resting, row.due_at, row.waiting = False, now, None
            row.triggered = row.triggered or item.stop
            if item.bound is not None:
                row.bound = item.bound.intersect(row.bound) if row.bound else item.bound
                row.bound_open = False
            if item.mint_decimals is not None and row.new.terms is not None:
                row.new = replace(row.new, terms=replace(row.new.terms, mint_decimals=item.mint_decimals))
            events.append(self._waiting_event(row, item.detail, now))
        return events

    def wake(self) -> list[UUID]:
        """Make due what expires."""
        now = self.now()
        due = [
            row
            for row in self.orders.values()
            if row.resting
            and row.wake_at is not None
            and row.wake_at <= now
            and row.new.type is not OrderType.RECURRING
        ]
        for row in due:
            row.resting, row.due_at = False, now
        return [row.new.id for row in due]

    # Workers

    def register(self, name: str, lease_seconds: float, trouble: str = "") -> int:
        """A new worker's id."""
        self._worker_ids += 1
        now = self.now()
        self.workers[self._worker_ids] = WorkerRow(name, now, now + round(lease_seconds * SECOND), trouble=trouble)
        return self._worker_ids

    def worker_trouble(self) -> str | None:
        """Of the living workers, the least."""
        now = self.now()
        troubles = [row.trouble for row in self.workers.values() if row.lease_until > now and row.connected]
        return min(troubles, key=lambda text: (text.startswith(f"{TroubleKind.COMPARISON}: "), text), default=None)

    def renew(self, worker_id: int, lease_seconds: float, trouble: str = "") -> bool:
        """Whether it is still there."""
        row = self.workers.get(worker_id)
        if row is None:
            return False
        row.lease_until, row.trouble = self.now() + round(lease_seconds * SECOND), trouble
        return True

    def remove(self, worker_id: int) -> None:
        """It leaves."""
        self.workers.pop(worker_id, None)

    def disconnect(self, worker_id: int) -> None:
        """Its session is over, and its row stays."""
        if worker_id in self.workers:
            self.workers[worker_id].connected = False

    def remove_dead_workers(self) -> list[str]:
        """Remove those whose session or lease is over; their names."""
        now = self.now()
        dead = [n for n, row in self.workers.items() if row.lease_until < now or not row.connected]
        return [self.workers.pop(n).name for n in dead]


def _unsigned(row: OrderRow) -> bool:
    """Whether nothing that was signed for the order can land: no attempt, or for one that rests none but dead ones."""
    if row.status not in (Status.PENDING, Status.WAITING, Status.ROUTING, Status.BUILDING):
        return False
    dead = sum(one.outcome in (Outcome.FAILED, Outcome.EXPIRED, Outcome.UNSENT) for one in row.attempts)
    return not row.attempt_count or (row.new.rests and dead == row.attempt_count)


def _selected(row: OrderRow, selection: Selection) -> bool:
    pair = Pair(row.new.input_mint, row.new.output_mint)
    return (
        row.finished_at is None
        and (selection.all_open or row.new.rests)
        and selection.pair in (None, pair)
        and selection.tag in (None, row.new.tag)
        and selection.owner in (None, row.new.owner)
    )
