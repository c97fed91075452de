"""Races for one order on real Postgres, between two processes' stores: cancel, trigger, fill, change. The row decides:
in each round exactly one order of events holds, and each side's answer shows which.

`RACE_ROUNDS` and `RACE_SEED` in the environment make more of them, for figures: the winners are printed.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from dexexec.domain.amendment import Amendment
from dexexec.domain.bound import Bound
from dexexec.domain.cancellation import Cancelled, CancelledAll, Selection, TooLate
from dexexec.domain.status import Status
from dexexec.domain.terms import Terms, TimeInForce
from dexexec.store import Address, Claimed, Store, Triggering, WorkerSession
from tests.support.limit_orders import limit_order
from tests.support.parts import open_store
from tests.support.prepared_orders import ROUTED, attempt, claimed_by, step

ROUNDS = int(os.environ.get("RACE_ROUNDS", "40"))
SEED = int(os.environ.get("RACE_SEED", "1"))
LONGEST_LEAD = 0.003
"""How much later than the other one side begins, at most (seconds): about as long as a statement takes."""
LOWER = Terms(time_in_force=TimeInForce.GTC, limit_price=Decimal(150))
CHANGES = {"limitPrice": {"from": "151.25", "to": "150"}}
One = TypeVar("One")
Two = TypeVar("Two")


@dataclass
class Races:
    """Two stores on one database, as two processes have them, and a worker of the second."""

    api: Store
    other: Store
    worker: WorkerSession
    rng: random.Random
    winners: Counter[str] = field(default_factory=Counter)

    async def resting(self) -> UUID:
        """A new resting order, at version 2."""
        return (await self.api.create(limit_order())).order_id

    async def claimed(self) -> Claimed:
        """A resting order that was triggered, in the worker's hands."""
        order_id = await self.resting()
        assert await self.trigger(order_id) == [order_id]
        return await claimed_by(self.other, self.worker, order_id)

    async def trigger(self, order_id: UUID) -> list[UUID]:
        """Trigger the order as it was stored."""
        item = Triggering(order_id=order_id, version=2, detail={"detail": "the price is 151.3"})
        return await self.other.trigger([item])

    async def submit(self, claimed: Claimed) -> bool:
        """Record an attempt, as the worker does before it sends; whether it may be sent."""
        version = claimed.order.version
        events = (*ROUTED, (Status.SUBMITTED, {}))
        new = attempt(1, f"signature of {claimed.order.id}")
        return await self.other.advance(step(claimed, version, *events, venue="here", attempt=new)) is not None

    async def amend(self, order_id: UUID) -> int | None:
        """Lower the limit."""
        amendment = Amendment(
            changes=CHANGES,
            amount=Decimal("0.01"),
            amount_base=10_000_000,
            bound=Bound(1_500_000, 10_000_000),
            bound_open=False,
            terms=LOWER.detail(),
            moves_expiry=False,
            expires_at=None,
            detail={"waitsFor": "price", "amended": CHANGES, "detail": "it waits for a price of 150 or more"},
        )
        return await self.api.amend(order_id, 2, amendment)

    async def at_once(self, first: Coroutine[Any, Any, One], second: Coroutine[Any, Any, Two]) -> tuple[One, Two]:
        """The answers to both, of which one begins a little later."""
        lead = self.rng.uniform(-LONGEST_LEAD, LONGEST_LEAD)

        return await asyncio.gather(_later(first, -lead), _later(second, lead))

    async def events(self, order_id: UUID) -> list[Status]:
        """The statuses of the order's events."""
        found = await self.api.events_after([(order_id, 0)])
        assert [event.seq for event in found[order_id]] == list(range(1, len(found[order_id]) + 1))
        return [event.status for event in found[order_id]]


async def _later(call: Coroutine[Any, Any, One], seconds: float) -> One:
    await asyncio.sleep(max(0.0, seconds))
    return await call


@asynccontextmanager
async def races(address: Address, name: str) -> AsyncIterator[Races]:
    """Run them, and print the winners."""
    async with open_store(address) as api, open_store(address) as other:
        worker = await other.begin("w", 60)
        setup = Races(api, other, worker, random.Random(f"{name} {SEED}"))
        yield setup
        await worker.end()
    print(f"{name}: seed {SEED}, {ROUNDS} rounds, {dict(setup.winners)}")  # noqa: T201 - the figures
    assert sum(setup.winners.values()) == ROUNDS


async def test_promise_3_of_a_cancel_and_a_fill_one_wins_and_both_answers_show_it(database_address: Address) -> None:
    async with races(database_address, "cancel and fill") as r:
        for _ in range(ROUNDS):
            claimed = await r.claimed()
            order_id = claimed.order.id
            answer, sent = await r.at_once(r.api.cancel(order_id), r.submit(claimed))
            if sent:
                assert isinstance(answer, TooLate)
                assert answer.attempt is not None
                assert (answer.status, answer.attempt["outcome"]) == (Status.SUBMITTED, "open")
                assert (await r.events(order_id))[-1] is Status.SUBMITTED
            else:
                assert isinstance(answer, Cancelled)
                assert (await r.events(order_id))[-1] is Status.CANCELLED
                assert (await r.api.order(order_id) or {})["attempts"] == []
            r.winners["fill" if sent else "cancel"] += 1


async def test_promise_3_of_cancelling_all_and_a_fill_one_wins_and_the_count_shows_it(
    database_address: Address,
) -> None:
    async with races(database_address, "cancel all and fill") as r:
        for n in range(ROUNDS):
            claimed = await r.claimed()
            sent_before = r.winners["fill"]
            answer, sent = await r.at_once(r.api.cancel_all(Selection()), r.submit(claimed))
            # The orders that were sent in earlier rounds are still under way.
            expected = CancelledAll(cancelled=0 if sent else 1, too_late=sent_before + sent)
            assert answer == expected, n
            r.winners["fill" if sent else "cancel"] += 1


async def test_promise_10_of_a_cancel_and_a_trigger_either_may_come_first_and_nothing_is_executed(
    database_address: Address,
) -> None:
    async with races(database_address, "cancel and trigger") as r:
        for _ in range(ROUNDS):
            order_id = await r.resting()
            answer, triggered = await r.at_once(r.api.cancel(order_id), r.trigger(order_id))
            # A triggered order can still be cancelled, as nothing is signed for it.
            assert answer == Cancelled(order_id=order_id, seq=4 if triggered else 3)
            assert await r.other.claim(r.worker.id, [order_id]) == []
            waits = [Status.WAITING] * (2 if triggered else 1)
            assert await r.events(order_id) == [Status.PENDING, *waits, Status.CANCELLED]
            r.winners["trigger" if triggered else "cancel"] += 1


async def test_promise_10_of_a_change_and_a_trigger_one_wins_and_both_answers_show_it(
    database_address: Address,
) -> None:
    async with races(database_address, "change and trigger") as r:
        for _ in range(ROUNDS):
            order_id = await r.resting()
            seq, triggered = await r.at_once(r.amend(order_id), r.trigger(order_id))
            assert (seq is None) == bool(triggered)
            order = await r.api.amendable(order_id)
            assert order is not None
            assert (order.version, order.resting) == (3, not triggered)
            assert order.posted["limitPrice"] == ("151.25" if triggered else "150")
            r.winners["trigger" if triggered else "change"] += 1


async def test_promise_10_of_a_change_and_a_cancel_the_order_ends_cancelled(database_address: Address) -> None:
    async with races(database_address, "change and cancel") as r:
        for _ in range(ROUNDS):
            order_id = await r.resting()
            seq, answer = await r.at_once(r.amend(order_id), r.api.cancel(order_id))
            assert answer == Cancelled(order_id=order_id, seq=3 if seq is None else 4)
            assert (await r.events(order_id))[-1] is Status.CANCELLED
            r.winners["cancel" if seq is None else "change"] += 1
