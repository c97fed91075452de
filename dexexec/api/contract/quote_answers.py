"""Quotes without an order, and the state of venues."""

from dexexec.api.contract.answer import Answer, BaseUnits, Bps, Count, DecimalText, Milliseconds, absent
from dexexec.api.contract.history_answers import VenueQuote
from dexexec.concurrency.circuit_breaker import State
from dexexec.domain.order import Side
from dexexec.domain.quote import Mode


class QuoteNow(VenueQuote):
    """A venue's answer now."""

    expires_in_ms: Milliseconds = absent()


class QuoteOfSize(Answer):
    """The quotes for one size, the best first."""

    amount: DecimalText
    amount_base: BaseUnits
    best: str | None
    """The venue that an order would use."""
    ahead_bps: DecimalText | None
    """How much better it is than the second, net of fees."""
    venues: list[QuoteNow]


class Quotes(Answer):
    """Every venue's quote for each size."""

    side: Side
    mode: Mode
    input_mint: str
    output_mint: str
    slippage_bps: Bps
    quotes: list[QuoteOfSize]


class Latency(Answer):
    """Percentiles of the time to a quote, in milliseconds."""

    p50: Milliseconds | None
    p99: Milliseconds | None


class Venue(Answer):
    """A venue's state in this process."""

    venue: str
    network: str
    modes: list[Mode]
    pairs: list[list[str]] | None
    breaker: State
    breaker_open_ms: Milliseconds
    last_error: str | None
    answers: Count
    error_rate: float | None
    errors: dict[str, Count]
    latency_ms: Latency
    win_share: float | None


class Venues(Answer):
    """The state of every enabled venue."""

    venues: list[Venue]
