"""Metrics of venues: answers, errors, wins, breakers, and fills against their quotes."""

from dexexec.observe.metrics.instruments import Instruments
from dexexec.observe.metrics.orders import SECONDS, bounded_reason

BPS = (-500.0, -100.0, -50.0, -20.0, -10.0, -5.0, -2.0, -1.0, 0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0)
BREAKER_LEVELS = {"closed": 0.0, "half-open": 1.0, "open": 2.0}


class VenueMetrics:
    """Counts what venues answer."""

    def __init__(self, make: Instruments) -> None:
        self._quotes = make.histogram(
            "dexexec_venue_quote_seconds", "Time until a venue's quote arrived.", ["venue"], buckets=SECONDS
        )
        self._errors = make.counter(
            "dexexec_venue_errors_total",
            "Requests for a quote that brought none.",
            ["venue", "reason"],
        )
        self._wins = make.counter("dexexec_venue_wins_total", "Rounds in which a venue had the best quote.", ["venue"])
        self._breakers = make.gauge(
            "dexexec_venue_breaker_state",
            "Breaker of a venue: 0 closed, 1 half-open, 2 open (skipped). The worst of all processes.",
            ["venue"],
            over_processes="livemax",
        )
        self._quarantines = make.gauge(
            "dexexec_venue_quarantined",
            "1 while a venue gets no orders because a program of its was upgraded.",
            ["venue"],
            over_processes="livemax",
        )
        self._opened = make.counter(
            "dexexec_venue_breaker_opened_total", "How often the breaker of a venue opened.", ["venue"]
        )
        # Negative buckets too: a fill may be better than its quote, and that is worth seeing.
        self._realised = make.histogram(
            "dexexec_fill_slippage_bps",
            "Realised fill against the chosen quote, in basis points; above zero the fill was worse.",
            ["venue"],
            buckets=BPS,
        )
        self._rejected = make.counter(
            "dexexec_guard_rejections_total", "Transactions that the guard refused to sign.", ["venue"]
        )
        self._unsigned = make.counter(
            "dexexec_signer_failures_total",
            "Requests for which the signer of a wallet gave no usable signature.",
            ["wallet", "trouble"],
        )

    def venue_quoted(self, venue: str, seconds: float, *, best: bool) -> None:
        """A venue quoted. `best`: it had the best quote of the round."""
        self._quotes[venue].observe(seconds)
        if best:
            self._wins[venue].inc()

    def venue_failed(self, venue: str, reason: str) -> None:
        """A venue did not quote."""
        self._errors[venue, bounded_reason(reason)].inc()

    def quarantine_seen(self, venue: str, *, quarantined: bool) -> None:
        """Whether a venue is quarantined."""
        self._quarantines[venue].set(float(quarantined))

    def breaker_seen(self, venue: str, state: str) -> None:
        """The state of a venue's breaker."""
        self._breakers[venue].set(BREAKER_LEVELS[state])

    def breaker_opened(self, venue: str) -> None:
        """The breaker of a venue opened."""
        self._opened[venue].inc()

    def fill_compared(self, venue: str, slippage_bps: float) -> None:
        """A swap landed, this much worse than quoted."""
        self._realised[venue].observe(slippage_bps)

    def transaction_rejected(self, venue: str) -> None:
        """The guard refused a transaction."""
        self._rejected[venue].inc()

    def signer_failed(self, wallet: str, trouble: str) -> None:
        """The signer of a wallet gave no usable signature."""
        self._unsigned[wallet, trouble].inc()
