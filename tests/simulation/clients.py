"""Clients of a scenario: they post orders, repeat them under one key, give up, and try another body."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar
from uuid import UUID

from dexexec.domain.bound import Bound, amount_at, bound_of
from dexexec.domain.cancellation import Cancelled, TooLate
from dexexec.domain.order import NewOrder, Side
from dexexec.domain.quote import Mode
from dexexec.domain.status import Status
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import IdempotencyMismatchError, UnavailableError
from dexexec.intake.intake import Intake
from dexexec.store import Created
from tests.simulation.groups import perhaps_grouped
from tests.simulation.loop import VirtualLoop
from tests.simulation.machine import Machine, StruckError
from tests.simulation.plan import Plan
from tests.simulation.promise_checks import PromiseChecks
from tests.simulation.recurring import perhaps_recurring
from tests.simulation.resting import perhaps_resting
from tests.support.fakes.database import MemoryDatabase
from tests.support.fakes.store import MemoryStore

T = TypeVar("T")
LONGEST_DEADLINE_MS = 40_000
DRY_SHARE = 0.15
CLIENT_PATIENCE = 2.5
"""Virtual seconds until a client gives up."""


class NoAnswerError(Exception):
    """The client has waited long enough, and has gone away."""


class Clients:
    """Post orders and follow them."""

    def __init__(
        self,
        plan: Plan,
        rng: random.Random,
        loop: VirtualLoop,
        api: Machine,
        database: MemoryDatabase,
        checks: PromiseChecks,
        new_order: Callable[[], NewOrder],
    ) -> None:
        self._plan = plan
        self._rng = rng
        self._loop = loop
        self._api = api
        self._database = database
        self._checks = checks
        self._new_order = new_order
        self._intake: Intake | None = None
        self._store: MemoryStore | None = None
        self.cancelled = 0

    def connect(self, intake: Intake, store: MemoryStore) -> None:
        """From now on orders are posted to this intake and cancelled in this store: the API process was started
        again."""
        self._intake = intake
        self._store = store

    async def run_one(self) -> None:
        """Posts one order: with a key, perhaps several times at once and until there is an answer, and then with
        another body; without a key, once."""
        rng = self._rng
        await asyncio.sleep(rng.uniform(0, min(5.0, self._plan.fault_seconds)))
        order = self._new_order()
        if order.idempotency_key is None:
            await self._post(order)
            return
        copies = [order] + [
            replace(order, id=UUID(int=rng.getrandbits(128), version=4)) for _ in range(rng.choice((0, 0, 1, 2)))
        ]
        answers = await asyncio.gather(*(self._insist(copy) for copy in copies))
        await self._sometimes_cancel(answers[0].order_id)
        for _ in range(3 if self._plan.promotions else 0):  # also while the record lacks the order
            await asyncio.sleep(rng.uniform(0, self._plan.fault_seconds / 2))
            answers.append(await self._insist(order))
        known = {answer.order_id for answer in answers} - self._checks.gone
        if len(known) > 1:
            self._checks.fail(f"promise 9: one key, several orders: {answers}")
        if any(order_id not in self._database.orders for order_id in known):
            self._checks.fail("promise 1: an order was accepted that is not stored")
        other = replace(order, id=UUID(int=rng.getrandbits(128), version=4), body_hash=b"other")
        if isinstance(await self._post(other), Created) and not self._checks.gone & {one.order_id for one in answers}:
            self._checks.fail("promise 9: a key was taken twice, with two bodies")

    async def _sometimes_cancel(self, order_id: UUID) -> None:
        """One client in four changes its mind: mostly at once, while the order is on its way, and until it is told."""
        own = random.Random(order_id.int)  # so that the other draws do not depend on it
        if own.random() >= 0.25:
            return
        await asyncio.sleep(own.uniform(0, 0.3) if own.random() < 0.7 else own.uniform(0, 10))
        while (answer := await self._cancel(order_id)) is None:
            await asyncio.sleep(own.uniform(0.05, 0.5))
        if isinstance(answer, Cancelled):
            self.cancelled += 1
            self._checks.cancelled(order_id)

    async def _cancel(self, order_id: UUID) -> Cancelled | TooLate | None:
        """The answer; None where none came in time, or the order is not there (a promoted standby lacks it)."""
        if self._store is None:
            return None
        answer = await self._request(self._store.cancel(order_id))
        if isinstance(answer, StruckError | UnavailableError | asyncio.CancelledError | NoAnswerError):
            return None
        if isinstance(answer, BaseException):
            self._checks.fail(f"a client that cancelled was told {answer!r}")
            return None
        gone = answer is None and order_id in self._checks.gone
        return TooLate(order_id=order_id, status=Status.PENDING, ended=True) if gone else answer

    async def _request(self, work: Coroutine[Any, Any, T]) -> T | BaseException:
        """What the API process answers, or its error; `NoAnswerError` once the client has waited long enough."""
        call = self._loop.start(self._api.process, work)
        await asyncio.wait([call], timeout=CLIENT_PATIENCE)
        if not call.done():
            call.cancel()
            return NoAnswerError()
        error = call.exception() if not call.cancelled() else asyncio.CancelledError()
        return call.result() if error is None else error

    async def _insist(self, order: NewOrder) -> Created:
        while True:
            answer = await self._post(replace(order, id=UUID(int=self._rng.getrandbits(128), version=4)))
            if isinstance(answer, Created):
                return answer
            if isinstance(answer, IdempotencyMismatchError):
                self._checks.fail("promise 9: the same body is called another")
            await asyncio.sleep(self._rng.uniform(0.05, 0.5))

    async def _accept(self, intake: Intake, order: NewOrder) -> Created:
        """What the process does with the request."""
        self._checks.read(order)
        return await intake.accept(order)

    async def _post(self, order: NewOrder) -> Created | BaseException | None:
        """The answer, the error, or None where none came in time: then the client has gone away."""
        if self._intake is None:
            return None
        answer = await self._request(self._accept(self._intake, order))
        if isinstance(answer, NoAnswerError):
            return None
        if not isinstance(answer, Created | StruckError | UnavailableError | IdempotencyMismatchError):
            self._checks.fail(f"a client was told {answer!r}")
        return answer


def random_order(rng: random.Random) -> NewOrder:
    """An order of one to ten thousand thousandths of SOL or USDC, often with a key, sometimes with a bound."""
    side, mode = rng.choice(list(Side)), rng.choice(list(Mode))
    amount = Decimal(rng.randint(1, 10_000)) / 1_000
    base = int(amount.scaleb(9 if (side is Side.BUY) == (mode is Mode.EXACT_IN) else 6))
    key = f"key-{rng.getrandbits(32):x}" if rng.random() < 0.8 else None
    order = NewOrder(
        id=UUID(int=rng.getrandbits(128), version=4),
        side=side,
        amount=amount,
        amount_base=base,
        mode=mode,
        input_mint=WSOL,
        output_mint=USDC,
        slippage_bps=50,
        deadline_ms=rng.choice((2_000, 10_000, LONGEST_DEADLINE_MS)),
        client="client",
        idempotency_key=key,
        body_hash=b"body",
        bound=(bound := _bound(rng, side, mode, base)),
        bound_open=bound is None or rng.random() < 0.5,
    )
    order = perhaps_resting(order, order.bound)
    own = random.Random(order.id.int + 2)  # so that the other draws do not depend on it
    return perhaps_recurring(perhaps_grouped(replace(order, dry_run=own.random() < DRY_SHARE)))


def _bound(rng: random.Random, side: Side, mode: Mode, base: int) -> Bound | None:
    """Some clients name a bound of their own: a price that the venues come to now and then."""
    if rng.random() < 0.7:
        return None
    price = Fraction(rng.randint(147, 153), 1_000)  # base units of USDC for one of SOL
    given_in_output = (side is Side.BUY) != (mode is Mode.EXACT_IN)
    return bound_of(mode, base, amount_at(price, base, given_in_output=given_in_output, mode=mode))
