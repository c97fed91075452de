"""Orders that rest, in a scenario: clients post them, and an oracle that is often wrong triggers them at random.

A worker must get every trigger right, since the bound of the order decides and not the oracle. So a wrong one is the
hardest test.
"""

import random
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from dexexec.domain.bound import Bound
from dexexec.domain.order import NewOrder
from dexexec.domain.terms import OrderType, Terms, TimeInForce, TriggerWhen
from dexexec.resting.wakes import enqueue
from dexexec.store import RestingOrder, Store, Triggering
from dexexec.store.resting import BEFORE_ALL
from tests.support.fakes.queue import MemoryQueue

SEEN = {"triggered": {"price": "1"}, "detail": "an oracle that is often wrong saw its price"}
ANY_PRICE = Decimal(1)
"""The terms' own price is for people: bound and trigger decide."""
IN_A_WHILE = datetime(2100, 1, 1, tzinfo=UTC)
TRIGGERED_SHARE = 0.2


def perhaps_resting(order: NewOrder, bound: Bound | None) -> NewOrder:
    """The order as one of another kind, for every third one. An order with a bound becomes a limit order."""
    own = random.Random(order.id.int + 1)  # so that the other draws do not depend on it
    if own.random() > 0.35:
        return order
    time_in_force = own.choice((TimeInForce.GTT, TimeInForce.GTT, TimeInForce.IOC))
    stop = (
        Terms(trigger_price=ANY_PRICE, trigger_when=own.choice(list(TriggerWhen)), expires_at=IN_A_WHILE)
        if bound is None or own.random() < 0.3
        else Terms()
    )
    if bound is None:
        return replace(order, terms=stop)
    terms = replace(stop, time_in_force=time_in_force, limit_price=ANY_PRICE, expires_at=IN_A_WHILE)
    return replace(order, type=OrderType.LIMIT, terms=terms, bound=bound, bound_open=False)


class RandomTriggers:
    """A duty of the leader: triggers orders whatever their price is."""

    name = "triggering orders at random"

    def __init__(self, store: Store, queue: MemoryQueue, rng: random.Random) -> None:
        self._store = store
        self._queue = queue
        self._rng = rng

    async def turn(self) -> None:
        """Trigger some of the orders that rest."""
        orders = await self._store.rested_page(BEFORE_ALL)
        chosen = [self._trigger(order) for order in orders if self._rng.random() < TRIGGERED_SHARE]
        if chosen:
            await enqueue(self._queue.port, await self._store.trigger(chosen))

    def resign(self) -> None:
        """Nothing was learned."""

    def _trigger(self, order: RestingOrder) -> Triggering:
        # Sometimes by what was read before a change, which must have no effect.
        version = order.version - (self._rng.random() < 0.1)
        return Triggering(order_id=order.id, version=version, detail=SEEN, stop=order.terms.has_trigger)
