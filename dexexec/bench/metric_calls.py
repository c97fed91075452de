"""What the metrics cost per order, without a service: all that is counted on an order's way, again and again."""

import time
from datetime import UTC, datetime
from uuid import UUID

from dexexec.domain.event import Event
from dexexec.domain.outcome import Outcome
from dexexec.domain.stage import Stage
from dexexec.domain.status import Status
from dexexec.observe.metrics import Metrics
from dexexec.observe.metrics.instruments import NoInstruments, PrometheusInstruments

ORDERS = 2_000
ROUNDS = 15
VENUES = ("raydium", "meteora")


def seconds_per_order() -> float:
    """CPU seconds that counting adds to an order, by the quickest of some rounds with it and without it, in turns."""
    counting, dropping = Metrics(PrometheusInstruments()), Metrics(NoInstruments())
    commits = _commits()
    spent: dict[Metrics, list[float]] = {counting: [], dropping: []}
    for _ in range(ROUNDS):
        for metrics, seconds in spent.items():
            begun = time.process_time()
            for _ in range(ORDERS):
                _count(metrics, commits)
            seconds.append(time.process_time() - begun)
    # The quickest round is the one that other programs disturbed the least.
    return (min(spent[counting]) - min(spent[dropping])) / ORDERS


def _commits() -> list[list[Event]]:
    """The events of an order that is filled in its first round, as they are committed together."""
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def event(seq: int, status: Status, **stages: float) -> Event:
        timed = {Stage(name): seconds for name, seconds in stages.items()}
        detail = {"venue": VENUES[0], "finalized": status is Status.CONFIRMED}
        return Event(order_id=UUID(int=1), seq=seq, status=status, at=at, detail=detail, kind="market", stages=timed)

    prepared = {"queue": 0.001, "routing": 0.02, "building": 0.004, "signing": 0.03}
    return [
        [event(1, Status.PENDING)],
        [event(2, Status.ROUTING), event(3, Status.BUILDING), event(4, Status.SUBMITTED, **prepared)],
        [event(5, Status.CONFIRMED, recording=0.004, confirming=0.4)],
    ]


def _count(metrics: Metrics, commits: list[list[Event]]) -> None:
    """Everything that one order counts. Commits are counted as if no other order shared them."""
    metrics.stage_ended(Stage.ACCEPTING, 0.006)
    for events in commits:
        metrics.batch_written("steps", 1, 0.004)
        metrics.events_committed(events)
    for venue in VENUES:
        metrics.venue_quoted(venue, 0.02, best=venue == VENUES[0])
    metrics.attempt_recorded(VENUES[0])
    metrics.stage_ended(Stage.SENDING, 0.05)
    metrics.fill_compared(VENUES[0], 0.4)
    metrics.attempt_resolved(VENUES[0], Outcome.LANDED)
