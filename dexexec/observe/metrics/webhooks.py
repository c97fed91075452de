"""Metrics of webhooks. They have no label for a webhook: clients make them, and may make many."""

from dexexec.observe.metrics.instruments import Instruments

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class WebhookMetrics:
    """Counts tries and deliveries that are given up."""

    def __init__(self, make: Instruments) -> None:
        self._webhook_tries = make.counter(
            "dexexec_webhook_tries_total", "Requests to webhooks by outcome: delivered, failed or gone.", ["outcome"]
        )
        self._webhook_seconds = make.histogram(
            "dexexec_webhook_try_seconds", "Duration of a request to a webhook.", ["outcome"], buckets=SECONDS
        )
        self._webhooks_given_up = make.counter("dexexec_webhook_deliveries_given_up_total", "Deliveries that failed.")
        self._webhook_requests = make.gauge("dexexec_webhook_requests_in_flight", "Requests to webhooks in flight.")

    def delivery_tried(self, outcome: str, seconds: float) -> None:
        """A request to a webhook ended."""
        self._webhook_tries[outcome].inc()
        self._webhook_seconds[outcome].observe(seconds)

    def deliveries_given_up(self, count: int) -> None:
        """Deliveries failed for good."""
        self._webhooks_given_up[()].inc(count)

    def webhook_requests_seen(self, count: int) -> None:
        """How many requests to webhooks are in flight."""
        self._webhook_requests[()].set(count)
