"""What a worker remembers of the orders that its process has accepted."""

from dataclasses import replace

from dexexec.execution.accepted_orders import MOST_ORDERS, AcceptedOrder, AcceptedOrders
from tests.support.parts import new_order


def test_an_order_is_given_once() -> None:
    accepted, order, other = AcceptedOrders(), new_order(), new_order()
    accepted.add(order, 7.5)
    accepted.add(other, 8.5)
    assert accepted.take([order.id, new_order().id]) == {order.id: AcceptedOrder(order, 7.5)}
    assert accepted.take([order.id, other.id]) == {other.id: AcceptedOrder(other, 8.5)}


def test_the_oldest_are_forgotten_first() -> None:
    accepted, orders = AcceptedOrders(), [new_order() for _ in range(MOST_ORDERS + 2)]
    for order in orders:
        accepted.add(order, 1.0)
    assert list(accepted.take([order.id for order in orders])) == [order.id for order in orders[2:]]


def test_an_order_of_a_group_is_read_with_the_others_of_its_group() -> None:
    accepted, order = AcceptedOrders(), replace(new_order(), oco_group="g")
    accepted.add(order, 1.0)
    assert accepted.take([order.id]) == {}
