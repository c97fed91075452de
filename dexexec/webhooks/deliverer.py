"""Delivers: claims what is due, tries many at once, and writes what became of each.

Runs in every worker, with connections to Postgres of its own. A delivery whose process dies between the target's answer
and the commit is repeated some seconds later; none is lost.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import cancelled, raise_if_cancelled
from dexexec.domain.webhook import ClaimedDelivery
from dexexec.errors import UnavailableError
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.webhooks.answers import Answer, Verdict, failed
from dexexec.webhooks.ports import Claiming, Claims, Outcomes, Sending
from dexexec.webhooks.retry_schedule import probe_pause, retry_pause

MOST_IN_FLIGHT = 128
"""Requests of one process."""
MOST_PER_OWNER = 32
"""Requests to the webhooks of one key, over all processes: so a key with slow targets leaves places for the others."""
POLL_SECONDS = 0.5
WRITE_SECONDS = 15.0
"""How much longer a lease is than a try: for the commit of its outcome."""
WRITE_TRIES = 3
GRACE_SECONDS = 1.0
"""How long a process that stops, or has lost its session, waits for requests in flight. What it then cuts off is
repeated."""
LOOK_SECONDS = 1.0
"""Between two looks for sessions that are gone."""
HANDOVER_SECONDS = 3.0
"""How long the deliveries of a session that is gone are left alone. Its process may live: it notices the loss within
`POLL_SECONDS`, and cuts off what is in flight `GRACE_SECONDS` later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLimits:
    """`per_webhook` requests are in flight to a webhook at most. A lease lasts for `lease_seconds`."""

    per_webhook: int
    lease_seconds: float


class Deliverer:
    """Delivers what is due. `random` returns numbers from 0 to 1, and `new_lease` a text that was never used before."""

    def __init__(
        self,
        claims: Claims,
        outcomes: Outcomes,
        sender: Sending,
        limits: DeliveryLimits,
        *,
        clock: Clock,
        observer: Observer,
        random: Callable[[], float],
        new_lease: Callable[[], str],
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        self._claims = claims
        self._outcomes = outcomes
        self._sender = sender
        self._limits = limits
        self._clock = clock
        self._observer = observer
        self._random = random
        self._new_lease = new_lease
        self._failpoints = failpoints
        self._session: Claiming | None = None
        self._looked_at = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending: dict[int, asyncio.Task[None]] = {}
        """Those of the tasks whose target has not answered yet, by the number of the delivery."""
        self._wake = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """How many requests are in flight."""
        return len(self._tasks)

    def wake(self) -> None:
        """Look for deliveries at once: there are new ones, or places have become free."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        is_down = False
        try:
            while True:
                self._wake.clear()
                try:
                    await self.turn()
                    is_down = False
                except UnavailableError as error:
                    if not is_down:
                        self._observer.server_unavailable("delivering to webhooks", error)
                    is_down = True
                except Exception as error:  # noqa: BLE001 - a bug must cost one turn, and never the worker and its orders
                    self._observer.webhook_turn_failed("claiming", error)
                    is_down = True
                raise_if_cancelled()
                await self._rest(is_down)
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)
            await cancelled(list(self._tasks))
            # Last: other processes take over what is in flight in a session that has ended.
            await self.close()

    async def close(self) -> None:
        """End the session, if there is one."""
        session, self._session = self._session, None
        if session is not None:
            await session.end()

    async def turn(self) -> int:
        """Claim what is due, and begin to deliver it. Returns how many. Raises `UnavailableError`."""
        now = self._clock.monotonic()
        if now >= self._looked_at + LOOK_SECONDS:
            self._looked_at = now
            await self._sender.close_old()
            if freed := await self._claims.free_lost(HANDOVER_SECONDS):
                self._observer.deliveries_taken_over(freed)
        # Also while there is no place: so the loss of the session is noticed.
        claimed = await self._claim(MOST_IN_FLIGHT - len(self._tasks))
        for each in claimed:
            task = asyncio.create_task(self._deliver(each))
            self._tasks.add(task)
            self._sending[each.id] = task
            task.add_done_callback(partial(self._end, each.id))
        return len(claimed)

    async def _claim(self, limit: int) -> list[ClaimedDelivery]:
        if self._session is None:
            self._session = await self._claims.begin_session()
        session = self._session
        try:
            return await session.claim(
                self._new_lease(),
                seconds=self._limits.lease_seconds,
                limit=limit,
                per_webhook=self._limits.per_webhook,
                per_owner=MOST_PER_OWNER,
            )
        except UnavailableError:
            if session.is_lost:
                await self.close()
                await self._cut_off()
            raise

    async def _cut_off(self) -> None:
        """End what is in flight, since other processes will try it. What is answered already is still written."""
        if self._sending:
            await asyncio.wait(self._sending.values(), timeout=GRACE_SECONDS)
        await cancelled(list(self._sending.values()))

    async def settle(self) -> None:
        """Wait until nothing is in flight."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _rest(self, is_down: bool) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep(POLL_SECONDS))
        woken = asyncio.ensure_future(self._wake.wait())
        # While Postgres is away, an end of a try is no reason to look again.
        try:
            await asyncio.wait([sleep] if is_down else [sleep, woken], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancelled([sleep, woken])

    def _end(self, delivery_id: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._sending.pop(delivery_id, None)
        self.wake()
        if not task.cancelled() and (error := task.exception()) is not None:
            # A bug costs one try: its lease ends, and it is due again.
            self._observer.delivery_crashed(error)

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        await self._failpoints.reach(Failpoint.DELIVERING)
        begun = self._clock.monotonic()
        answer = await self._send(claimed)
        self._sending.pop(claimed.id, None)
        seconds = self._clock.monotonic() - begun
        await self._failpoints.reach(Failpoint.ANSWERED)
        # Once more where Postgres is away for a moment: the lease lasts longer than that, and a repeated delivery costs
        # the client more than this. After the last try it is repeated when the lease ends.
        for tried in range(WRITE_TRIES):
            try:
                await self._write(claimed, answer, seconds)
            except UnavailableError as error:
                if tried + 1 == WRITE_TRIES:
                    self._observer.server_unavailable("writing what became of a delivery", error)
                else:
                    await self._clock.sleep(1.0)
            else:
                break
        await self._failpoints.reach(Failpoint.DELIVERED)

    async def _send(self, claimed: ClaimedDelivery) -> Answer:
        try:
            return await self._sender.send(claimed)
        except Exception as error:  # noqa: BLE001 - a bug that one delivery meets must not stop those behind it
            self._observer.delivery_crashed(error)
            return failed("it could not be sent because of a bug: the log has more")

    async def _write(self, claimed: ClaimedDelivery, answer: Answer, seconds: float) -> None:
        self._observer.metrics.delivery_tried(answer.verdict, seconds)
        if answer.verdict is Verdict.DELIVERED:
            await self._outcomes.delivered(claimed, answer.text)
            return
        is_gone = answer.verdict is Verdict.GONE
        given_up = await self._outcomes.failed(
            claimed,
            answer.text,
            pause=retry_pause(claimed.tries, self._random()),
            probe_pause=probe_pause(claimed.failures, self._random()),
            target_pause=answer.target_pause,
            give_up=is_gone,
            disable=is_gone and not claimed.is_test,
        )
        if given_up is None:
            return
        self._observer.delivery_failed(
            claimed.name, claimed.host, claimed.message_id, answer.for_log, tries=claimed.tries, given_up=given_up
        )
        if is_gone and not claimed.is_test:
            self._observer.webhook_disabled(claimed.name, answer.for_log)
