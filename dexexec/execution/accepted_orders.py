"""The orders that this process accepted last, so that its worker need not read them again when it claims them.

Between intake and the lease loop, beside the queue. It decides nothing: the claim finds out whether an order is still
as it was stored, and an order that is not remembered is read from Postgres.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from dexexec.domain.order import NewOrder

MOST_ORDERS = 1_024


@dataclass(frozen=True, slots=True)
class AcceptedOrder:
    """An order with its deadline in monotonic seconds."""

    order: NewOrder
    deadline: float


class AcceptedOrders:
    """Remembers up to `MOST_ORDERS` orders, until they are taken."""

    def __init__(self) -> None:
        self._orders: OrderedDict[UUID, AcceptedOrder] = OrderedDict()

    def add(self, order: NewOrder, deadline: float) -> None:
        """An order was stored, and its id is about to go on the queue."""
        # A claim of such an order reads what the other orders of its group have sent, which only Postgres has.
        if order.oco_group is not None:
            return
        self._orders[order.id] = AcceptedOrder(order, deadline)
        # The oldest has gone to another process, or waits on a long queue.
        if len(self._orders) > MOST_ORDERS:
            self._orders.popitem(last=False)

    def take(self, order_ids: Iterable[UUID]) -> dict[UUID, AcceptedOrder]:
        """Those of the orders that are remembered. They are forgotten then."""
        return {order_id: self._orders.pop(order_id) for order_id in order_ids if order_id in self._orders}
