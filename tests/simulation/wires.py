"""The network between simulated processes and servers: delays, lost requests, lost answers, outages.

A request that was sent arrives or is lost, independently of its sender: it may have an effect after its
sender gave it up, lost its lease, or died.
"""

import asyncio
import random
from collections.abc import Callable
from typing import TypeVar

import psycopg

from dexexec.errors import DexexecError, UnavailableError
from dexexec.settlement.simulated.ledger import LedgerUnavailable
from tests.simulation.loop import VirtualLoop

T = TypeVar("T")

FASTEST, SLOWEST = 0.000_3, 0.003
"""Seconds that one way takes."""
PATIENCE = 1.5
"""Seconds until a caller gives up."""
LATEST = 6.0
"""Seconds that a request may be late by; longer than a lease."""


class Server:
    """A server as its wires see it. `trouble` is the share of requests that go wrong. `machine` is another one when
    another server has taken its place: what was sent to the one before never arrives there."""

    def __init__(self, name: str) -> None:
        self.name, self.up, self.trouble, self.machine = name, True, 0.0, 1


class SimulatedWire:
    """One process's way to `server`; `cut` while it is cut off."""

    def __init__(self, loop: VirtualLoop, rng: random.Random, server: Server) -> None:
        self._loop, self._rng, self._server = loop, rng, server
        self.cut = False

    async def call(self, what: str, effect: Callable[[], T]) -> T:
        """See `tests.support.fakes.wire.Wire`."""
        return await self._send(effect)

    async def wait(self, what: str, effect: Callable[[], "asyncio.Future[T]"]) -> T:
        """See `tests.support.fakes.wire.Wire`."""
        return await self._send(effect)

    def _send(self, effect: "Callable[[], T] | Callable[[], asyncio.Future[T]]") -> "asyncio.Future[T]":
        answer: asyncio.Future[T] = self._loop.create_future()
        rng, later = self._rng, self._loop.schedule
        there, back = rng.uniform(FASTEST, SLOWEST), rng.uniform(FASTEST, SLOWEST)
        luck = rng.random() / self._server.trouble if self._server.trouble else 1.0
        request_lost, answer_lost = self.cut or luck < 0.3, luck < 0.6
        if 0.6 <= luck < 1:
            there = rng.uniform(0, LATEST)
        if answer_lost or request_lost or there > PATIENCE:
            later(PATIENCE, self._fail, answer, "does not answer in time")
        if not request_lost:
            later(there, self._arrive, effect, answer, None if answer_lost else back, self._server.machine)
        return answer

    def _arrive(
        self,
        effect: "Callable[[], T] | Callable[[], asyncio.Future[T]]",
        answer: "asyncio.Future[T]",
        back: float | None,
        machine: int,
    ) -> None:
        if not self._server.up or machine != self._server.machine:
            self._loop.schedule(SLOWEST, self._fail, answer, "cannot be reached")
            return
        try:
            result = effect()
        except (DexexecError, psycopg.Error, LedgerUnavailable) as error:
            self._bring(back, answer, None, error)
            return
        if isinstance(result, asyncio.Future):
            result.add_done_callback(lambda done: self._bring_future(back, answer, done))
        else:
            self._bring(back, answer, result, None)

    def _bring_future(self, back: float | None, answer: "asyncio.Future[T]", done: "asyncio.Future[T]") -> None:
        error = done.exception()
        self._bring(back, answer, None if error else done.result(), error)

    def _bring(
        self, back: float | None, answer: "asyncio.Future[T]", result: T | None, error: BaseException | None
    ) -> None:
        if self.cut:
            self._loop.schedule(PATIENCE, self._fail, answer, "does not answer in time")
        elif back is not None:
            self._loop.schedule(back, self._give, answer, result, error)

    @staticmethod
    def _give(answer: "asyncio.Future[T]", result: T, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    def _fail(self, answer: "asyncio.Future[T]", why: str) -> None:
        if not answer.done():
            answer.set_exception(UnavailableError(f"{self._server.name} {why}"))
