"""Turns events into deliveries: follows the stream of all events, and adds a delivery for each webhook that wants one.

Runs in every worker. Of two that plan the same page, one commits it. The position of a webhook moves with the commit
of its deliveries, so a crash neither loses nor repeats one.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import raise_if_cancelled
from dexexec.domain.webhook import PlannedDelivery, body_of, type_of
from dexexec.errors import UnavailableError
from dexexec.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from dexexec.observe.observer import Observer
from dexexec.store import PlacedEvent, PositionUnknownError
from dexexec.store.event_positions import START
from dexexec.store.webhook_planning import PlannedWebhook
from dexexec.store.webhooks import EventStream
from dexexec.webhooks.ports import Planning

TURN_SECONDS = 0.25
IDLE_SECONDS = 2.0
"""Between two turns while there is no webhook: a new one gets its first event that late at most."""
UPKEEP_SECONDS = 5.0
PAGE_EVENTS = 500
PAGES_PER_TURN = 20
"""For one group of webhooks, so that one far behind does not hold up the others."""
MARGIN = timedelta(minutes=10)
"""Events so much older than what is known to be planned are planned already. It decides only after a position was
lost, as by the restore of a backup, when the stream is read from its beginning."""


class Planner:
    """Plans deliveries. `planned` is called when there are new ones; `keep_days` is how long ended ones are kept."""

    def __init__(
        self,
        table: Planning,
        stream: EventStream,
        *,
        keep_days: int,
        planned: Callable[[], None],
        clock: Clock,
        observer: Observer,
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        self._table = table
        self._stream = stream
        self._keep_days = keep_days
        self._planned = planned
        self._clock = clock
        self._observer = observer
        self._failpoints = failpoints
        self._upkeep_at = 0.0

    async def run(self) -> None:
        """Plan until cancelled."""
        is_down = False
        while True:
            pause = TURN_SECONDS
            try:
                if not await self.turn():
                    pause = IDLE_SECONDS
                if self._clock.monotonic() >= self._upkeep_at:
                    self._upkeep_at = self._clock.monotonic() + UPKEEP_SECONDS
                    await self.keep_up()
                is_down = False
            except UnavailableError as error:
                if not is_down:
                    self._observer.server_unavailable("planning webhooks", error)
                is_down = True
            except Exception as error:  # noqa: BLE001 - a bug must cost one turn, and never the worker and its orders
                self._observer.webhook_turn_failed("planning", error)
            raise_if_cancelled()
            await self._clock.sleep(pause)

    async def turn(self) -> bool:
        """Plan what is new. Returns whether there is any webhook. Raises `UnavailableError`."""
        webhooks = await self._table.active()
        if not webhooks:
            return False
        # Before anything is read: an event has the time at which it was written, and may be committed much later. So
        # events of transactions that are open now are not known to be planned.
        known_until = await self._table.known_until()
        # Webhooks that are at the same position share what is read: usually all, at the end of the stream.
        groups: dict[str, list[PlannedWebhook]] = {}
        for webhook in webhooks:
            groups.setdefault(webhook.position, []).append(webhook)
        for position, group in groups.items():
            await self._follow(position, group, known_until)
        for webhook in webhooks:
            if webhook.replay_position is not None:
                await self._replay(webhook, webhook.replay_position)
        return True

    async def keep_up(self) -> None:
        """Disable, give up and delete what is due, some pages of it. Raises `UnavailableError`."""
        for name, why in await self._table.disable_invalid():
            self._observer.webhook_disabled(name, why)
        expired = await self._table.expire()
        if expired:
            self._observer.deliveries_given_up(expired)
        for _ in range(PAGES_PER_TURN):
            if not await self._table.forget(self._keep_days):
                break

    async def _follow(self, position: str, group: Sequence[PlannedWebhook], known_until: datetime) -> None:
        ids = [webhook.id for webhook in group]
        for _ in range(PAGES_PER_TURN):
            try:
                page = await self._stream.read(position, PAGE_EVENTS)
            except PositionUnknownError as error:
                if position == START:
                    raise UnavailableError(f"the stream of events cannot be read: {error}") from error
                # A restored record has other positions. What is planned already is left out by its row or its time.
                self._observer.webhook_position_lost(len(group), str(error))
                await self._table.plan(ids, position, START, [], known_until=None)
                return
            # Only where nothing is waiting to become readable, everything of before has been read.
            is_whole = not page.more and page.waiting_seconds is None
            added = await self._table.plan(
                ids,
                position,
                page.position,
                planned(page.events, group),
                known_until=known_until if is_whole else None,
            )
            if added:
                await self._failpoints.reach(Failpoint.PLANNED)
                self._planned()
            position = page.position
            if not page.more:
                return

    async def _replay(self, webhook: PlannedWebhook, position: str) -> None:
        try:
            page = await self._stream.read(position, PAGE_EVENTS)
        except PositionUnknownError as error:
            self._observer.webhook_position_lost(1, str(error))
            await self._table.replay(webhook.id, position, None, [])
            return
        end = None if not page.more and page.waiting_seconds is None else page.position
        if await self._table.replay(webhook.id, position, end, planned(page.events, [webhook], replayed=True)):
            self._planned()


def planned(
    events: Iterable[PlacedEvent], webhooks: Sequence[PlannedWebhook], *, replayed: bool = False
) -> list[PlannedDelivery]:
    """The deliveries of events to those of the webhooks that want them, in the order of the events."""
    deliveries = []
    for placed in events:
        event = placed.event
        wanting = [
            webhook.id
            for webhook in webhooks
            if webhook.wants(event.status, placed.owner) and (replayed or is_new(event.at, webhook))
        ]
        if wanting:
            deliveries.append(
                PlannedDelivery(
                    webhooks=tuple(wanting),
                    order_id=event.order_id,
                    seq=event.seq,
                    type=type_of(event.status),
                    payload=body_of(event),
                )
            )
    return deliveries


def is_new(at: datetime, webhook: PlannedWebhook) -> bool:
    """Whether an event of this time may not have been planned yet."""
    return at > webhook.planned_until - MARGIN
