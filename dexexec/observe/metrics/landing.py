"""Metrics of the endpoints that transactions are sent to. They are named by their host, without keys of the URL."""

from collections.abc import Mapping, Sequence

from dexexec.domain.sends import SendAnswer
from dexexec.observe.metrics.instruments import Instruments

SLOTS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0, 64.0, 150.0)
SECONDS = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6, 2.5, 5.0, 10.0, 30.0, 60.0)


class LandingMetrics:
    """Counts what became of attempts, by endpoint."""

    def __init__(self, make: Instruments) -> None:
        self._attempts = make.counter(
            "dexexec_endpoint_attempts_total",
            "Attempts with a known outcome that were sent to an endpoint, by its answer and whether it is in a block.",
            ["endpoint", "answer", "landed"],
        )
        self._slots = make.histogram(
            "dexexec_endpoint_landing_slots",
            "Slots from the first send to the landing, of attempts that the endpoint accepted.",
            ["endpoint"],
            buckets=SLOTS,
        )
        self._landing_seconds = make.histogram(
            "dexexec_endpoint_landing_seconds",
            "Time from the first send until the landing was seen, of attempts that the endpoint accepted.",
            ["endpoint"],
            buckets=SECONDS,
        )

    def attempt_sent(self, sends: Sequence[Mapping[str, object]], *, landed: bool) -> None:
        """The outcome of an attempt is known. `sends` are its sends to each endpoint as JSON values."""
        for each in sends:
            endpoint = str(each["endpoint"])
            answer = str(each["answer"])
            self._attempts[endpoint, answer, "true" if landed else "false"].inc()
            slots = each["landingSlots"]
            milliseconds = each["landingMs"]
            if answer == SendAnswer.ACCEPTED and isinstance(slots, int) and isinstance(milliseconds, int):
                self._slots[endpoint].observe(slots)
                self._landing_seconds[endpoint].observe(milliseconds / 1000)
