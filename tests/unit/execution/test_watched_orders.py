"""The confirmed orders that a worker keeps until they are final."""

from typing import Any
from uuid import uuid4

from dexexec.domain.swap import SignedSwap
from dexexec.execution.job import Job
from dexexec.execution.watched_orders import MOST_ORDERS, WatchedOrder, WatchedOrders
from dexexec.store import Attempt, Claimed
from dexexec.testing.clock import ManualClock
from tests.support.attempts import claimed_order

LOOK_MS = 4_000.0


def watched(clock: ManualClock) -> WatchedOrders:
    orders = WatchedOrders(clock)
    orders.open()
    return orders


def confirmed(network: str = "solana") -> WatchedOrder:
    signed = SignedSwap(signature="s", payload=b"", last_valid_height=150, network=network)
    job = Job.of(Claimed(order=claimed_order(id=uuid4()), attempt=None), 0.0, lambda: False)
    return WatchedOrder(job, Attempt(n=1, venue="a", signed=signed, quoted={}))


def under(order: WatchedOrder) -> Any:
    return order.job.order.id, order.job.order.claim


def test_an_order_is_due_again_and_again_until_it_is_removed() -> None:
    clock = ManualClock()
    orders, order = watched(clock), confirmed()
    orders.add(order, LOOK_MS)
    assert orders.due("solana") == []
    clock.advance(LOOK_MS / 1_000)
    assert orders.due("localnet") == []
    assert orders.due("solana") == [order]
    orders.look_again([order], LOOK_MS)
    assert orders.due("solana") == []
    clock.advance(LOOK_MS / 1_000)
    assert orders.due("solana") == [order]
    orders.remove(order)
    assert (orders.due("solana"), len(orders)) == ([], 0)
    orders.look_again([order], 0)
    assert orders.due("solana") == []


def test_those_that_have_waited_longest_come_first() -> None:
    clock = ManualClock()
    orders, late, early = watched(clock), confirmed(), confirmed()
    orders.add(late, 2 * LOOK_MS)
    orders.add(early, LOOK_MS)
    clock.advance(10)
    assert orders.due("solana") == [early, late]


def test_an_order_is_held_under_its_claim_only() -> None:
    orders, order = watched(ManualClock()), confirmed()
    order_id, claim = under(order)
    orders.add(order, LOOK_MS)
    assert orders.has(order_id, claim)
    assert not orders.has(order_id, claim + 1)
    orders.close()
    assert not orders.has(order_id, claim)


def test_without_a_watcher_or_room_nothing_is_kept() -> None:
    orders, order = WatchedOrders(ManualClock()), confirmed()
    assert not orders.has_room()
    orders.add(order, LOOK_MS)
    assert len(orders) == 0, "the session ended while its step was written"
    orders.open()
    for _ in range(MOST_ORDERS):
        assert orders.has_room()
        orders.add(confirmed(), LOOK_MS)
    assert not orders.has_room()
