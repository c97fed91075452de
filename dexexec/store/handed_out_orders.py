"""The part of `Store` about orders whose transaction a client signs."""

from uuid import UUID

from dexexec.domain.handout import AwaitedOrder, Handout
from dexexec.store import handouts
from dexexec.store.database import Database
from dexexec.store.resting_orders import RestingOrders


class HandedOutOrders(RestingOrders):
    """Reads what was handed out, and keeps the signatures that come back."""

    _for_orders: Database
    """Connections for requests of clients that change orders."""

    async def handout(self, order_id: UUID) -> Handout | None:
        """Return the newest transaction that an order's client has to sign, unless it became an attempt."""
        return await self._bounded(handouts.read(self._for_orders, order_id))

    async def awaited(self, order_id: UUID, owner: int | None = None) -> AwaitedOrder | None:
        """Return an order as its client wants to sign for it; None if `owner` (None: any) has no such order."""
        return await self._bounded(handouts.read_awaited(self._for_orders, order_id, owner))

    async def keep_signature(self, order_id: UUID, message: bytes, signature: bytes) -> int | None:
        """Keep a client's signature of that transaction, and make the order due. Returns the number of its attempt;
        None if another one was handed out meanwhile, or the order goes on without it. Raises `UnavailableError`: the
        signature may be kept then."""
        return await self._bounded(handouts.sign(self._for_orders, order_id, message, signature))
