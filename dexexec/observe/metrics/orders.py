"""Metrics of orders: how many, how they end, how long each stage takes, and what became of their attempts."""

from collections.abc import Sequence

from dexexec.domain.event import Event
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.stage import Stage
from dexexec.observe.metrics.instruments import Instruments

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
OTHER = "other"
_REASONS = frozenset(FailureReason)


def bounded_reason(reason: object) -> str:
    """The reason as a label: one of the documented codes, `other`, or empty."""
    # The chain's programs have error codes of their own, without a limit on how many.
    return str(reason) if reason in _REASONS else OTHER if reason else ""


class OrderMetrics:
    """Counts orders and attempts."""

    def __init__(self, make: Instruments) -> None:
        self._accepted = make.counter(
            "dexexec_orders_accepted_total",
            "Orders that were stored: of clients, and those that the service made for them (slices, exits).",
            ["kind"],
        )
        self._replayed = make.counter(
            "dexexec_orders_replayed_total", "Requests that repeated an Idempotency-Key and got the first order's id."
        )
        self._events = make.counter(
            "dexexec_order_events_total", "Committed events of orders, by the status that they set.", ["status"]
        )
        self._ended = make.counter(
            "dexexec_orders_ended_total",
            "Orders that ended. The reason is empty for a fill, the venue for an order that none was chosen for.",
            ["status", "kind", "reason", "venue"],
        )
        self._stages = make.histogram(
            "dexexec_order_stage_seconds", "Duration of one stage of an order's way.", ["stage"], buckets=SECONDS
        )
        self._retries = make.counter(
            "dexexec_order_retries_total", "Rounds that ended without a swap and are followed by another.", ["reason"]
        )
        self._recorded = make.counter(
            "dexexec_attempts_total", "Attempts that were signed and recorded, before they were sent.", ["venue"]
        )
        self._resolved = make.counter(
            "dexexec_attempts_ended_total", "Attempts whose outcome was proven.", ["venue", "outcome"]
        )
        self._faults = make.counter(
            "dexexec_order_faults_total",
            "Happenings that need a person or point to a bug, each also an error or critical line in the log.",
            ["fault"],
        )
        self._claims_lost = make.counter(
            "dexexec_claims_lost_total", "Orders that another worker claimed while this one still executed them."
        )

    def order_replayed(self) -> None:
        """A client received the id of an order that an earlier request had made."""
        self._replayed[()].inc()

    def events_committed(self, events: Sequence[Event]) -> None:
        """Events are committed."""
        # Many share a commit, so they are added up first: counting costs more than the addition.
        counts: dict[str, int] = {}
        for event in events:
            counts[event.status] = counts.get(event.status, 0) + 1
        for status, count in counts.items():
            self._events[status].inc(count)
        # Not more than this per event: it runs in the event loop, for every commit.
        for event in events:
            for stage, seconds in event.stages.items():
                self.stage_ended(stage, seconds)
            if event.seq == 1:
                self._accepted[event.kind or OTHER].inc()
            elif event.final:
                detail = event.detail
                reason = bounded_reason(detail.get("reason"))
                self._ended[event.status, event.kind or OTHER, reason, str(detail.get("venue") or "")].inc()

    def stage_ended(self, stage: Stage, seconds: float) -> None:
        """A stage of an order took `seconds`."""
        self._stages[stage].observe(seconds)

    def order_retried(self, reason: str) -> None:
        """A round ended without a swap, and another follows."""
        self._retries[bounded_reason(reason)].inc()

    def attempt_recorded(self, venue: str) -> None:
        """An attempt is recorded, and may be sent from now on."""
        self._recorded[venue].inc()

    def attempt_resolved(self, venue: str, outcome: str) -> None:
        """The outcome of an attempt is proven and recorded."""
        self._resolved[venue, outcome].inc()

    def order_faulted(self, fault: str) -> None:
        """Something happened that should not."""
        self._faults[fault].inc()

    def claim_lost(self) -> None:
        """Another worker has claimed an order."""
        self._claims_lost[()].inc()
