"""The log events of webhooks: a part of `Observer`. A URL may be a secret, so only its host is logged."""

from dexexec.observe.log import Logger
from dexexec.observe.metrics import Metrics


class WebhookEvents:
    """Logs what happens with deliveries."""

    log: Logger
    metrics: Metrics

    def webhook_disabled(self, name: str, why: str) -> None:
        """Nothing more is sent to a webhook."""
        self.log.warning("webhook disabled", webhook=name, why=why)

    def webhook_position_lost(self, webhooks: int, why: str) -> None:
        """The stream of events cannot go on where the deliveries of webhooks were planned. It is read from its
        beginning; what was planned before is not planned again."""
        self.log.warning("webhooks follow the stream from its beginning", webhooks=webhooks, why=why)

    def delivery_failed(self, name: str, host: str, message: str, answer: str, *, tries: int, given_up: bool) -> None:
        """A target did not take a message. Unless it is given up, it is sent again after a pause."""
        if given_up:
            hint = f"python -m dexexec webhooks resend {name}"
            self.log.warning(
                "webhook delivery failed", webhook=name, host=host, message=message, tries=tries, why=answer, hint=hint
            )
            self.metrics.deliveries_given_up(1)
        else:
            self.log.info("webhook delivery retried", webhook=name, host=host, message=message, tries=tries, why=answer)

    def deliveries_given_up(self, count: int) -> None:
        """Deliveries ended without a try of their own, since all tries of others to the same webhook failed."""
        self.log.warning("webhook deliveries failed: their target was away for a day", count=count)
        self.metrics.deliveries_given_up(count)

    def deliveries_taken_over(self, count: int) -> None:
        """Deliveries of a process that is gone are due again in some seconds."""
        self.log.info("webhook deliveries taken over from a process that is gone", count=count)

    def webhook_turn_failed(self, doing: str, error: BaseException) -> None:
        """A bug interrupted the work for all webhooks. The next turn repeats it."""
        self.log.error("a turn for webhooks failed", doing=doing, exc_info=error)

    def delivery_crashed(self, error: BaseException) -> None:
        """A bug interrupted a delivery. It is repeated."""
        self.log.error("a webhook delivery crashed", exc_info=error)
