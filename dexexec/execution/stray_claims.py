"""Releases orders that are claimed in a worker's name although it does not execute them.

Such a claim is left by a claim or a new order whose answer was lost, or by a release that failed.
"""

import contextlib
from collections.abc import Callable
from uuid import UUID

from dexexec.broker.queue import Queue
from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer
from dexexec.store import Release, Store


class StrayClaims:
    """Compares the claims in Postgres with what the worker works on, every `interval` seconds. `claiming` returns the
    orders whose claim is in progress."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        works_on: Callable[[UUID, int], bool],
        claiming: Callable[[], frozenset[UUID]],
        interval: float,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._store = store
        self._queue = queue
        self._works_on = works_on
        self._claiming = claiming
        self._interval = interval
        self._clock = clock
        self._observer = observer

    async def run(self, session: int) -> None:
        """Release the strays of this worker session, until cancelled."""
        before: dict[UUID, int] = {}
        while True:
            await self._clock.sleep(self._interval)
            with contextlib.suppress(UnavailableError):  # the heartbeat reports it
                strays = await self._find(session)
                # A new order that is being stored is claimed before it is executed. So an order must be a stray twice
                # in a row, under the same claim. If it is executed all the same, its next claim fences this one.
                to_release = [order_id for order_id, claim in strays.items() if before.get(order_id) == claim]
                before = strays
                for order_id in to_release:
                    self._observer.order_released(order_id, "it was claimed by this worker, which did not execute it")
                    await self._store.release(
                        Release(order_id=order_id, claim=strays[order_id], blame=False, resume_in_ms=0)
                    )
                await self._queue.enqueue(to_release)
            raise_if_cancelled()

    async def _find(self, session: int) -> dict[UUID, int]:
        """Orders that are claimed and not executed, with their claims."""
        held = await self._store.held(session)
        claiming = self._claiming()
        return {
            order_id: claim
            for order_id, claim in held.items()
            if order_id not in claiming and not self._works_on(order_id, claim)
        }
