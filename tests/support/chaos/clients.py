"""Persistent clients: orders posted under one key until they are accepted, and sockets that are closed and opened
again at any time."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from tests.support.service.client import Answer, Http, Watch

PAUSE = 0.05
REFUSALS = (409, 503)
"""Another request with this key is in flight; Postgres or Redis does not answer, or the queue is full."""


async def insist(
    calls: Http,
    address: Callable[[], str],
    order: Mapping[str, object],
    key: str,
    refusals: Collection[int] = REFUSALS,
) -> str:
    """Post until it is accepted; returns its id. A request without an answer is repeated, and the key makes that
    harmless. `address` is called for each request."""
    while True:
        answer = await _try(calls, address(), order, key)
        if answer is not None:
            if answer.status == 202:
                return str(answer.body["orderId"])
            assert answer.status in refusals, answer
        await asyncio.sleep(PAUSE)


async def take_back(
    calls: Http, address: Callable[[], str], order_id: str, refusals: Collection[int] = REFUSALS
) -> None:
    """Cancel an order that nothing can be signed for, until that is confirmed."""
    while True:
        with suppress(OSError):
            answer = await calls.delete(f"{address()}/api/orders/{order_id}")
            if answer.status == 200:
                return
            assert answer.status in refusals, answer
        await asyncio.sleep(PAUSE)


async def _try(calls: Http, url: str, order: Mapping[str, object], key: str) -> Answer | None:
    try:
        return await calls.post(url, order, **{"Idempotency-Key": key})
    except OSError:  # killed, stopped, or not there any more
        return None


@dataclass
class Follower(Watch):
    """A `Watch` for orders that keep coming: it ends once `complete` was called and all orders have ended."""

    _all_posted: bool = False
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _sockets: "asyncio.Task[Watch] | None" = None

    def also(self, order_ids: Iterable[str]) -> Self:
        """Follow these as well."""
        super().also(order_ids)
        self._more.set()
        return self

    def forget(self) -> None:
        """Follow nothing more of what was followed."""
        self.events = {}
        self.hang_up()

    def these_are_all(self) -> None:
        """No more orders will come."""
        self._all_posted = True
        self._more.set()

    def hang_up(self) -> None:
        """Close the socket without a word, and open another: what a client does when nothing is heard any more. A
        handshake that is not answered ends by itself."""
        if self._sockets is not None and self._socket is not None:
            self._sockets.cancel()

    async def run(self) -> Self:
        """Until all that will ever be followed are finished."""
        while self.unfinished or not self._all_posted:
            self._more.clear()
            self._sockets = asyncio.create_task(super().run())
            try:
                await asyncio.wait([self._sockets])
            finally:
                self._sockets.cancel()
            if not self._sockets.cancelled():
                self._sockets.result()
                if not self._all_posted:
                    await self._more.wait()
        return self
