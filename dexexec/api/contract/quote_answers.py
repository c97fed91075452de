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


class Pool(Answer):
    """A pool that quotes use, and whether its accounts are in memory; `cold` is why not."""

    address: str
    warm: bool
    cold: str | None
    accounts: Count
    age_slots: Count
    notifications_per_second: float
    bytes: Count


class WatchedChain(Answer):
    """What this process keeps in memory of a chain, and how it is kept up to date; `cold` is why it is not."""

    network: str
    warm: bool
    cold: str | None
    node: str | None
    slot: Count
    age_ms: Count | None
    watched: Count
    limit: Count
    subscribed: Count
    refused: str | None
    notifications_per_second: float
    bytes: Count
    from_memory: Count
    from_node: Count
    gaps: Count
    last_gap: str | None


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
    pools: list[Pool]


class LandingSlots(Answer):
    """Percentiles of the slots from the first send to the landing."""

    p50: Count | None
    p90: Count | None


class LandingTime(Answer):
    """Percentiles of the time from the first send until the landing was seen, in milliseconds."""

    p50: Milliseconds | None
    p90: Milliseconds | None


class Endpoint(Answer):
    """How well the newest attempts of all workers landed that were sent to a node or a send-only endpoint."""

    endpoint: str
    """The name of its host."""
    send_only: bool
    attempts: Count
    accepted: Count
    landed: Count
    """Of those that it accepted: in a block, with or without effect."""
    land_rate: float
    """`landed` of all `attempts`."""
    landing_slots: LandingSlots
    landing_ms: LandingTime


class Venues(Answer):
    """The state of every enabled venue, of the endpoints that transactions were sent to, and of the watched chains."""

    venues: list[Venue]
    endpoints: list[Endpoint] | None
    """Null while Postgres cannot be read."""
    chains: list[WatchedChain]
