"""The rules of claims, steps and attempts checked against a small model, in any order that hypothesis generates.

Nothing runs by itself here. A `Hand` is what some worker believes of an order since it claimed it, and stays when
that is no longer true: so every hand may be a zombie's. Steps go along the status table and take their proof from a
chain with forks; the model decides which of them the store must accept. At the end all faults end, and all orders end.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from dexexec.broker.queue import Entry
from dexexec.domain.amendment import Amendment
from dexexec.domain.cancellation import Cancelled, Selection, TooLate
from dexexec.domain.event import Detail
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.status import NEEDS_PROOF, TRANSITIONS, Status, Trigger, advance, ends
from dexexec.domain.swap import NotSeen, SignedSwap, proves_expiry
from dexexec.errors import IdempotencyMismatchError, UnavailableError
from dexexec.execution.sweeper import GRACE_MS, THE_BEGINNING
from dexexec.store import Attempt, Claimed, ConfirmedPage, NewAttempt, Release, Resolution, Step, Triggering
from tests.simulation.chains import at_once
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.queue import MemoryQueue, MemoryRedis
from tests.support.fakes.store import MemoryStore, MemoryWorkerSession
from tests.support.parts import new_order
from tests.support.resting_orders import SEEN, limit_order

T = TypeVar("T")
LEASE = 10.0
VALID_FOR, FINALITY = 6, 4
MAX_CLAIMS = 6
LIMIT_149 = {"timeInForce": "GTC", "limitPrice": "149"}
FILLED = (Status.CONFIRMED, Status.SIMULATED)
BEFORE_SENDING = (Status.PENDING, Status.ROUTING, Status.BUILDING)


class NoWire:
    """The server is here."""

    async def call(self, what: str, effect: Callable[[], T]) -> T:
        """The answer."""
        return effect()

    async def wait(self, what: str, effect: "Callable[[], asyncio.Future[T]]") -> T:
        """Not used by these tests."""
        raise AssertionError(what)


@dataclass
class OnChain:
    """A signature that was sent. It is on the chain from `since`, and is seen from `seen` on."""

    last_valid: int
    since: int | None = None
    seen: int = 0


@dataclass
class Hand:
    """What a worker believes of an order."""

    claimed: Claimed
    status: Status
    version: int
    attempt: Attempt | None

    @property
    def id(self) -> UUID:
        """The order's."""
        return self.claimed.order.id


@dataclass
class Truth:
    """What the model believes of an order: who may write, its version and its status."""

    claim: int = 0
    version: int = 1
    status: Status = Status.PENDING
    ended: bool = False
    resting: bool = False
    rests: bool = False
    dry: bool = False
    signatures: list[str] = field(default_factory=list)
    may_land: bool = False

    @property
    def can_be_cancelled(self) -> bool:
        """Nothing was signed for it; or it is one that rests, and nothing that was signed can land."""
        return not self.ended and (not self.signatures or (self.rests and not self.may_land))

    def cancelled(self) -> None:
        """Its client has cancelled it: no worker writes any more."""
        self.claim, self.version, self.status = self.claim + 1, self.version + 1, Status.CANCELLED
        self.ended, self.resting = True, False


class Engine(RuleBasedStateMachine):
    """Workers, clients and a chain, moved by hand."""

    workers: Bundle[MemoryWorkerSession] = Bundle("workers")
    hands: Bundle[Hand] = Bundle("hands")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_700_000_000.0
        self.database = MemoryDatabase(lambda: int(self.now * 1e6))
        self.redis = MemoryRedis(lambda: int(self.now * 1e3))
        wire = NoWire()
        self.store = MemoryStore(self.database, wire=wire)
        self.queue = MemoryQueue(self.redis, wire)
        at_once(self.queue.prepare())
        self.truth: dict[UUID, Truth] = {}
        self.keys: dict[str, tuple[bytes, UUID]] = {}
        self.chain: dict[str, OnChain] = {}
        self.height = 100
        self.count = 0

    # Clients

    @rule(key=st.sampled_from([None, None, "a", "b"]), body=st.sampled_from([b"1", b"1", b"2"]))
    def submit(self, key: str | None, body: bytes) -> None:
        self.count += 1
        order = new_order(order_id=UUID(int=self.count), key=key, body_hash=body)
        known = self.keys.get(key) if key else None
        try:
            created = at_once(self.store.create(order))
        except IdempotencyMismatchError:
            assert known is not None
            assert known[0] != body
            return
        if known is not None:
            assert (created.order_id, created.replayed, known[0]) == (known[1], True, body)
            return
        assert (created.order_id, created.replayed) == (order.id, False)
        self.truth[order.id] = Truth()
        if key:
            self.keys[key] = body, order.id
        at_once(self.queue.enqueue([order.id]))

    @rule()
    def submit_limit(self) -> None:
        """An order that rests: no worker has it before it is triggered."""
        self.count += 1
        order = replace(limit_order(), id=UUID(int=self.count))
        at_once(self.store.create(order))
        self.truth[order.id] = Truth(version=2, status=Status.WAITING, resting=True, rests=True)

    @rule(rests=st.booleans())
    def submit_dry(self, rests: bool) -> None:
        """An order that is only simulated."""
        self.count += 1
        order = replace(limit_order() if rests else new_order(), id=UUID(int=self.count), dry_run=True)
        at_once(self.store.create(order))
        status = Status.WAITING if rests else Status.PENDING
        self.truth[order.id] = Truth(version=1 + rests, status=status, resting=rests, rests=rests, dry=True)
        at_once(self.queue.enqueue([] if rests else [order.id]))

    @rule(pick=st.integers(0, 9), stale=st.booleans(), enqueues=st.booleans())
    def trigger(self, pick: int, stale: bool, enqueues: bool) -> None:
        """One that rests is triggered, perhaps by what was read before a change; perhaps Redis loses its entry."""
        resting = [order_id for order_id, truth in self.truth.items() if truth.resting]
        if not resting:
            return
        order_id = resting[pick % len(resting)]
        truth = self.truth[order_id]
        item = Triggering(order_id=order_id, version=truth.version - stale, detail=SEEN)
        triggered = at_once(self.store.trigger([item, item]))
        assert triggered == ([] if stale else [order_id]), "once, and only as it is now"
        if triggered:
            truth.resting, truth.version = False, truth.version + 1
            at_once(self.queue.enqueue(triggered if enqueues else []))

    @rule(pick=st.integers(0, 9), stale=st.booleans())
    def amend(self, pick: int, stale: bool) -> None:
        """Its client changes its limit: only while it rests, and only as it was read."""
        known = list(self.truth)
        if not known:
            return
        order_id = known[pick % len(known)]
        truth = self.truth[order_id]
        order = limit_order("149")
        amendment = Amendment(
            changes={}, amount=order.amount, amount_base=order.amount_base, bound=order.bound, bound_open=False,
            terms=LIMIT_149, moves_expiry=False, expires_at=None, detail={},
        )  # fmt: skip
        version = at_once(self.store.amend(order_id, truth.version - stale, amendment))
        assert (version is not None) == (truth.resting and not stale)
        truth.version += version is not None

    @rule(hand=hands)
    def rest_again(self, hand: Hand) -> None:
        """A round without a fill sends an order back to rest."""
        if hand.attempt is None and hand.status in (Status.ROUTING, Status.BUILDING) and hand.claimed.order.rests:
            self.write(hand, Trigger.WAIT, rest_ms=1_000.0)

    @rule(pick=st.integers(0, 9))
    def cancel_resting(self, pick: int) -> None:
        """Its client takes back an order that rests."""
        resting = [order_id for order_id, truth in self.truth.items() if truth.resting]
        if resting:
            self.cancels(resting[pick % len(resting)])

    @rule(hand=hands)
    def cancel(self, hand: Hand) -> None:
        """Its client cancels the order: until something was signed for it, and then no worker writes any more."""
        self.cancels(hand.id)

    def cancels(self, order_id: UUID) -> None:
        truth = self.truth[order_id]
        possible = truth.can_be_cancelled
        was_cancelled = truth.status is Status.CANCELLED
        answer = at_once(self.store.cancel(order_id))
        assert isinstance(answer, Cancelled if possible or was_cancelled else TooLate)
        if possible:
            truth.cancelled()

    @rule(all_open=st.booleans())
    def cancel_all(self, all_open: bool) -> None:
        """All orders that rest, or all that have not ended: what was signed and may land is counted, not cancelled."""
        meant = [truth for truth in self.truth.values() if not truth.ended and (all_open or truth.rests)]
        possible = [truth for truth in meant if truth.can_be_cancelled]
        late = [t for t in meant if not t.can_be_cancelled and t.status is not Status.CONFIRMED]
        answer = at_once(self.store.cancel_all(Selection(all_open=all_open)))
        assert (answer.cancelled, answer.too_late) == (len(possible), len(late))
        for truth in possible:
            truth.cancelled()

    # Workers

    @initialize(target=hands, orders=st.integers(1, 2))
    def beginning(self, orders: int) -> MultipleResults[Hand]:
        for _ in range(orders):
            self.submit(None, b"1")
        return multiple(*self.take_up(self.registered(), acknowledges=True))

    @rule(target=workers)
    def begin(self) -> MemoryWorkerSession:
        return self.registered()

    def registered(self) -> MemoryWorkerSession:
        return at_once(self.store.begin("w", LEASE))

    @rule(worker=workers)
    def heartbeat(self, worker: MemoryWorkerSession) -> None:
        row = self.database.workers.get(worker.id)
        try:
            assert at_once(worker.renew()) == (row is not None)
        except UnavailableError:
            assert row is not None
            assert not row.connected

    @rule(worker=consumes(workers))
    def die(self, worker: MemoryWorkerSession) -> None:
        worker.drop()

    @rule(seconds=st.sampled_from([0.5, 1.1, 4.0, 11.0, 35.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(worker=workers, acknowledges=st.booleans(), target=hands)
    def lease(self, worker: MemoryWorkerSession, acknowledges: bool) -> MultipleResults[Hand]:
        return multiple(*self.take_up(worker, acknowledges))

    @rule(target=hands)
    def take_over(self) -> MultipleResults[Hand]:
        """Every worker that held an order is a zombie from now on."""
        self.now += LEASE + 1
        self.sweep()
        return multiple(*self.take_up(self.registered(), acknowledges=True))

    def take_up(self, worker: MemoryWorkerSession, acknowledges: bool) -> list[Hand]:
        entries = self.leased(f"w{worker.id}")
        before = {order_id: self.holder(order_id) for order_id in self.truth}
        found = at_once(self.store.claim(worker.id, [entry.order_id for entry in entries]))
        assert all(claimed.order.status is not Status.CONFIRMED for claimed in found), "those are the watchers'"
        if acknowledges:
            at_once(self.queue.ack(entries))
        return self.hands_of(found, before)

    @rule(worker=workers, limit=st.integers(1, 3), next_look_ms=st.sampled_from([0, 3_000]), target=hands)
    def watch(self, worker: MemoryWorkerSession, limit: int, next_look_ms: int) -> MultipleResults[Hand]:
        """A page of confirmed orders, for one look."""
        return multiple(*self.take_page(worker, limit, next_look_ms))

    def take_page(self, worker: MemoryWorkerSession, limit: int, next_look_ms: int) -> list[Hand]:
        before = {order_id: self.holder(order_id) for order_id in self.truth}
        found = at_once(self.store.take_confirmed(worker.id, ConfirmedPage(next_look_ms=next_look_ms, limit=limit)))
        assert all(claimed.order.status is Status.CONFIRMED for claimed in found)
        return self.hands_of(found, before)

    def hands_of(self, found: list[Claimed], before: dict[UUID, int | None]) -> list[Hand]:
        for claimed in found:
            order, truth = claimed.order, self.truth[claimed.order.id]
            assert before[order.id] is None, "promise 10: another worker's lease lives"
            assert order.claim == truth.claim + 1
            assert not truth.ended
            assert not truth.resting, "nobody has triggered it"
            assert (order.status, order.version) == (truth.status, truth.version)
            assert list(claimed.signatures) == truth.signatures
            truth.claim = order.claim
        return [Hand(one, one.order.status, one.order.version, one.attempt) for one in found]

    def leased(self, consumer: str) -> list[Entry]:
        return self.redis._deliver(consumer, 3)

    def holder(self, order_id: UUID) -> int | None:
        row = self.database.orders[order_id]
        worker = self.database.workers.get(row.worker) if row.worker is not None else None
        return row.worker if worker and worker.lease_until > self.now * 1e6 else None

    @rule(hand=hands, blame=st.booleans())
    def hand_back(self, hand: Hand, blame: bool) -> None:
        at_once(self.store.release(Release(hand.id, hand.claimed.order.claim, blame, 0)))

    @rule(hand=hands)
    def poison(self, hand: Hand) -> None:
        """Promise 11: who was claimed too often ends, or is left alone if its swap may land."""
        if hand.claimed.order.claims > MAX_CLAIMS and hand.attempt is None:
            self.write(hand, Trigger.FAIL)

    # Steps

    @rule(hand=hands)
    def go_on(self, hand: Hand) -> None:
        """What a pipeline would do next."""
        if hand.attempt is not None:
            self.conclude(hand)
        elif hand.status in (Status.PENDING, Status.WAITING, Status.ROUTING):
            self.write(hand, Trigger.ROUTE, Trigger.BUILD)
        elif hand.status is Status.BUILDING:
            if self.truth[hand.id].dry:
                self.simulate(hand)
            else:
                self.record(hand)

    @rule(hand=hands, steps=st.integers(2, 4))
    def work(self, hand: Hand, steps: int) -> None:
        for _ in range(steps):
            self.go_on(hand)
            self.send(hand)

    @rule(hand=hands)
    def start_over(self, hand: Hand) -> None:
        if hand.attempt is None and hand.status in BEFORE_SENDING:
            self.write(hand, Trigger.ROUTE)

    @rule(hand=hands)
    def send(self, hand: Hand) -> None:
        """Promise 4: only what is recorded is ever sent, also by a zombie."""
        if hand.attempt is not None:
            signed = hand.attempt.signed
            assert self.database.signatures[signed.signature] == hand.id
            self.chain.setdefault(signed.signature, OnChain(signed.last_valid_height))

    def record(self, hand: Hand) -> None:
        self.count += 1
        signed = SignedSwap(signature=f"sig-{self.count}", payload=b"bytes", last_valid_height=self.height + VALID_FOR)
        n = hand.claimed.order.attempts + len(self.truth[hand.id].signatures) + 1
        new = NewAttempt(n=n, venue="v", signed=signed, quoted={})
        if self.write(hand, Trigger.SUBMIT, attempt=new):
            hand.attempt = Attempt(n=new.n, venue="v", signed=signed, quoted={})
            self.truth[hand.id].signatures.append(signed.signature)
            self.truth[hand.id].may_land = True

    @rule(hand=hands)
    def sign_a_dry_run(self, hand: Hand) -> None:
        """Promise 19: no attempt of a dry run is ever recorded."""
        if self.truth[hand.id].dry and hand.attempt is None and hand.status is Status.BUILDING:
            self.record(hand)
            assert hand.attempt is None

    @rule(hand=hands)
    def simulate(self, hand: Hand) -> None:
        """A worker that runs everything dry ends any order so that is not signed."""
        if hand.attempt is None and hand.status is Status.BUILDING and not self.truth[hand.id].signatures:
            self.write(hand, Trigger.SIMULATE)

    def conclude(self, hand: Hand) -> None:
        """Look at the chain, and write what that proves."""
        attempt = hand.attempt
        assert attempt is not None
        known = self.chain.get(attempt.signed.signature)
        if known is not None and known.since is not None and known.seen <= self.height:
            final = self.height >= known.since + FINALITY
            if final or hand.status is Status.SUBMITTED:
                outcome = Resolution(attempt.n, Outcome.LANDED if final else None, {"slot": known.since})
                self.write(hand, Trigger.FINALIZE if final else Trigger.LAND, resolution=outcome)
            return
        if hand.status is Status.CONFIRMED:
            self.write(hand, Trigger.UNLAND, resolution=Resolution(attempt.n, None, {}))
            return
        look = NotSeen(self.height - FINALITY, history=True, node="n", slot=self.height)
        if proves_expiry(look, attempt.signed.last_valid_height):
            trigger = (Trigger.ROUTE, Trigger.FAIL, Trigger.EXPIRE)[attempt.n % 3]
            rest_ms = None
            if hand.claimed.order.rests and attempt.n % 3 == 1:
                trigger, rest_ms = Trigger.WAIT, 1_000.0
            if self.write(hand, trigger, resolution=Resolution(attempt.n, Outcome.EXPIRED, {}), rest_ms=rest_ms):
                hand.attempt = None

    def write(
        self,
        hand: Hand,
        *triggers: Trigger,
        attempt: NewAttempt | None = None,
        resolution: Resolution | None = None,
        rest_ms: float | None = None,
    ) -> bool:
        """One step from what `hand` believes; the model decides whether the store must accept it (promises 7 and
        10)."""
        truth, status = self.truth[hand.id], hand.status
        events: list[tuple[Status, Detail]] = []
        proven = resolution is not None and resolution.outcome is not None
        for trigger in triggers:
            if trigger not in TRANSITIONS[status]:
                return False
            assert proven or status not in (Status.SUBMITTED, Status.CONFIRMED) or trigger not in NEEDS_PROOF
            status = advance(status, trigger)
            events.append((status, {}))
        final = ends(status, finalized=proven)
        fill = Fill(1, 2, 3, 4) if status in FILLED else None
        rests = 0 if triggers[-1] in {Trigger.LAND, Trigger.UNLAND} else None
        step = Step(
            order_id=hand.id, claim=hand.claimed.order.claim, version=hand.version, events=tuple(events),
            final=final, fill=fill, attempt=attempt, resolution=resolution, resume_in_ms=rests, rest_ms=rest_ms,
        )  # fmt: skip
        taken = (truth.claim, truth.version) == (hand.claimed.order.claim, hand.version) and not truth.ended
        taken = taken and not (truth.dry and attempt is not None)
        answer = at_once(self.store.advance(step))
        assert (answer is not None) == taken, "promise 10: who writes"
        if taken:
            hand.status, hand.version = status, hand.version + len(events)
            truth.status, truth.version, truth.ended = hand.status, hand.version, final
            truth.resting = rest_ms is not None
            truth.may_land = truth.may_land and not (proven and resolution is not None)
        return taken

    # Sweeper and Redis

    @rule()
    def sweep(self) -> None:
        at_once(self.store.remove_dead_workers())
        entries = at_once(self.queue.reclaim("sweeper", 5_000))
        at_once(self.queue.ack(entries))
        at_once(self.queue.enqueue([entry.order_id for entry in entries]))
        rows = at_once(self.store.idle(GRACE_MS, THE_BEGINNING, UUID(int=0), 100))
        at_once(self.queue.enqueue([order_id for order_id, _ in rows]))

    @rule()
    def flush(self) -> None:
        self.redis.flush()
        at_once(self.queue.prepare())

    @rule()
    def lose_stream(self) -> None:
        self.redis.drop_stream()
        at_once(self.queue.prepare())

    @rule()
    def hint(self) -> None:
        """Entries more than needed, as a late enqueue or a reclaimed one makes them."""
        at_once(self.queue.enqueue(list(self.truth)))

    # The chain

    @rule(blocks=st.integers(1, VALID_FOR + FINALITY + 1))
    def blocks_pass(self, blocks: int) -> None:
        self.height += blocks

    @rule(hand=hands, hidden=st.booleans(), looks=st.booleans())
    def land(self, hand: Hand, hidden: bool, looks: bool) -> None:
        """`hidden`: the node is on another fork at first."""
        self.work(hand, 4)
        one = self.chain.get(hand.attempt.signed.signature) if hand.attempt else None
        if one is not None and one.since is None and self.height <= one.last_valid:
            one.since, one.seen = self.height, self.height + (FINALITY - 1 if hidden else 0)
        if looks:
            self.go_on(hand)

    @rule(pick=st.integers(0, 9))
    def land_any(self, pick: int) -> None:
        """Also what the engine has given up, if the chain would still take it."""
        waiting = [one for one in self.chain.values() if one.since is None and self.height <= one.last_valid]
        if waiting:
            one = waiting[pick % len(waiting)]
            one.since = one.seen = self.height

    @rule(hand=hands, looks=st.booleans())
    def fork(self, hand: Hand, looks: bool) -> None:
        one = self.chain.get(hand.attempt.signed.signature) if hand.attempt else None
        if one is not None and one.since is not None and self.height < one.since + FINALITY:
            one.since = None
        if looks:
            self.go_on(hand)

    # What always holds

    @invariant()
    def the_record_is_what_the_model_says(self) -> None:
        assert self.database.orders.keys() == self.truth.keys()
        for order_id, row in self.database.orders.items():
            truth = self.truth[order_id]
            assert (row.claim, row.version, row.status) == (truth.claim, truth.version, truth.status)
            assert (row.finished_at is not None, row.resting) == (truth.ended, truth.resting)
            assert (row.amount_in is not None) == (row.status in FILLED)
            assert not (truth.dry and row.attempts), "promise 19"

    @invariant()
    def seq_has_no_gap_and_statuses_follow_the_table(self) -> None:
        for row in self.database.orders.values():
            assert [event.seq for event in row.events] == list(range(1, row.version + 1))
            assert all(b.status in TRANSITIONS[a.status].values() for a, b in pairwise(row.events))
            assert row.claim_of == sorted(row.claim_of)

    @invariant()
    def at_most_one_swap_lands_and_what_was_given_up_does_not(self) -> None:
        for row in self.database.orders.values():
            on_chain = [one for one in row.attempts if self.stands(one.attempt.signed.signature)]
            assert len(on_chain) <= 1, "promise 3"
            assert all(one.outcome in (None, "landed") for one in on_chain), "promise 5"
            assert sum(one.outcome is None for one in row.attempts) <= 1

    def stands(self, signature: str) -> bool:
        return signature in self.chain and self.chain[signature].since is not None

    # And at last

    def teardown(self) -> None:
        """Promise 2: one worker that lives, and a sweeper, bring every order to its end."""
        self.now += LEASE + 1
        worker = self.registered()
        for _ in range(40):
            if all(truth.ended for truth in self.truth.values()):
                break
            self.now += GRACE_MS / 1000 + 30
            self.height += FINALITY
            at_once(worker.renew())
            self.trigger(0, stale=False, enqueues=False)
            self.sweep()
            for hand in self.take_page(worker, 9, 0):
                self.go_on(hand)
            for hand in self.take_up(worker, acknowledges=True):
                for _ in range(6):
                    self.go_on(hand)
                    self.send(hand)
                    self.height += VALID_FOR
                at_once(self.store.release(Release(hand.id, hand.claimed.order.claim, blame=False, resume_in_ms=0)))
        assert {order_id: truth.status for order_id, truth in self.truth.items() if not truth.ended} == {}
        self.at_most_one_swap_lands_and_what_was_given_up_does_not()


TestEngine = Engine.TestCase
TestEngine.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
