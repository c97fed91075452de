"""The answers of the service as typed values. Amounts in base units are ints, prices and shares are `Decimal`.

Each value has the fields that programs use most as attributes, and the whole JSON object as `data`. A field that a
newer service adds is there too.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from dexexec.client.errors import MalformedAnswerError
from dexexec.client.fields import (
    Json,
    decimal_of,
    integer_of,
    objects_of,
    optional_text,
    optional_time,
    text_of,
    time_of,
    units_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The service has the order. `replayed`: it had it already, and an earlier try or request has placed it."""

    order_id: str
    idempotency_key: str
    replayed: bool
    data: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A step of an order. `final`: no event follows."""

    order_id: str
    seq: int
    status: str
    at: datetime
    final: bool
    data: Json = field(repr=False)

    @property
    def reason(self) -> str | None:
        """Why the order waits, is tried again, or ended without a fill."""
        return optional_text(self.data, "reason")

    @property
    def detail(self) -> str | None:
        """The same as a sentence for people."""
        return optional_text(self.data, "detail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order. In a list it has no `events`. `seq` is its version, for a change."""

    order_id: str
    type: str
    status: str
    side: str
    amount: str
    mode: str
    input_mint: str
    output_mint: str
    seq: int
    created_at: datetime
    finished_at: datetime | None
    venue: str | None
    tx_hash: str | None
    failure_reason: str | None
    amount_in: int | None
    amount_out: int | None
    tag: str | None
    dry_run: bool
    events: Sequence[Event] = field(repr=False)
    data: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of orders. `next` is the cursor of the next one; None on the last."""

    orders: Sequence[Order]
    next: str | None
    data: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The order is cancelled and will never be swapped. `replayed`: it was so before."""

    order_id: str
    seq: int
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The signature is kept, and the service lands the transaction as this attempt. `replayed`: it was kept before."""

    order_id: str
    attempt: int
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledAll:
    """How many orders were cancelled, and for how many it was too late. After a lost answer some more may be."""

    cancelled: int
    too_late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Amended:
    """The order's new version, and each changed field with its value `from` and `to`."""

    order_id: str
    seq: int
    changed: Json
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueQuote:
    """A venue's answer for one size. Without a quote, or behind a better one, it has a `reason`."""

    venue: str
    price: Decimal | None
    amount_in: int | None
    amount_out: int | None
    net: int | None
    reason: str | None
    detail: str | None
    data: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The quotes of one size, the best first. `best` is the venue that an order would use."""

    amount: Decimal
    amount_base: int
    best: str | None
    ahead_bps: Decimal | None
    venues: Sequence[VenueQuote]
    data: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """The state of a venue in the process that answered."""

    venue: str
    network: str
    breaker: str
    last_error: str | None
    data: Json = field(repr=False)


class Venues(list[Venue]):
    """The state of every venue. `data` also has the endpoints that transactions are sent to, and the watched chains."""

    data: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What orders cost in a time. `next` is where to continue from, as `since`, if one request was not enough."""

    since: str
    until: str
    next: str | None
    total: Json
    groups: Sequence[Json]
    data: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """An order explained: its state in one sentence, what to do now, and everything that happened."""

    order_id: str
    summary: str
    advice: str | None
    sentences: Sequence[str]
    data: Json = field(repr=False)


def read_json(body: bytes) -> Json:
    """The JSON object of an answer. Its fractions are `Decimal`. Raises `MalformedAnswerError`."""
    try:
        # Shares and times are the only fractions in JSON numbers, and even they are no floats here.
        value = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise MalformedAnswerError("the answer is not JSON") from None
    if not isinstance(value, dict):
        raise MalformedAnswerError("the answer is not a JSON object")
    return value


def read_event(body: Json) -> Event | None:
    """The event in a message; None if it is not one."""
    try:
        return event_of(body)
    except MalformedAnswerError:
        return None


def event_of(body: Json) -> Event:
    """The event in an object."""
    seq = integer_of(body, "seq")
    if seq < 1 or type(body.get("final")) is not bool:
        raise MalformedAnswerError("the event has no seq over 0, or no final")
    return Event(
        order_id=text_of(body, "orderId"),
        seq=seq,
        status=text_of(body, "status"),
        at=time_of(body, "at"),
        final=body["final"] is True,
        data=body,
    )


def placed_of(body: Json, idempotency_key: str, *, replayed: bool) -> Placed:
    """The answer to a POST."""
    return Placed(order_id=text_of(body, "orderId"), idempotency_key=idempotency_key, replayed=replayed, data=body)


def order_of(body: Json) -> Order:
    """An order, alone or in a list."""
    return Order(
        order_id=text_of(body, "orderId"),
        type=text_of(body, "type"),
        status=text_of(body, "status"),
        side=text_of(body, "side"),
        amount=text_of(body, "amount"),
        mode=text_of(body, "mode"),
        input_mint=text_of(body, "inputMint"),
        output_mint=text_of(body, "outputMint"),
        seq=integer_of(body, "seq"),
        created_at=time_of(body, "createdAt"),
        finished_at=optional_time(body, "finishedAt"),
        venue=optional_text(body, "venue"),
        tx_hash=optional_text(body, "txHash"),
        failure_reason=optional_text(body, "failureReason"),
        amount_in=units_of(body, "amountIn"),
        amount_out=units_of(body, "amountOut"),
        tag=optional_text(body, "tag"),
        dry_run=body.get("dryRun") is True,
        events=[event_of(event) for event in objects_of(body, "events")],
        data=body,
    )


def page_of(body: Json) -> Page:
    """A page of a list."""
    return Page(
        orders=[order_of(order) for order in objects_of(body, "orders")], next=optional_text(body, "next"), data=body
    )


def amended_of(body: Json, *, replayed: bool) -> Amended:
    """The answer to a change."""
    changed = given if isinstance(given := body.get("changed"), dict) else {}
    return Amended(order_id=text_of(body, "orderId"), seq=integer_of(body, "seq"), changed=changed, replayed=replayed)


def cancelled_of(body: Json, *, replayed: bool) -> Cancelled:
    """The answer to a cancel."""
    return Cancelled(order_id=text_of(body, "orderId"), seq=integer_of(body, "seq"), replayed=replayed)


def signed_of(body: Json, *, replayed: bool) -> Signed:
    """The answer to a signed transaction."""
    return Signed(order_id=text_of(body, "orderId"), attempt=integer_of(body, "attempt"), replayed=replayed)


def cancelled_all_of(body: Json, before: int) -> CancelledAll:
    """The answer to a cancel of many orders; `before` were cancelled by tries that were interrupted."""
    return CancelledAll(cancelled=before + integer_of(body, "cancelled"), too_late=integer_of(body, "tooLate"))


def quotes_of(body: Json) -> list[Quote]:
    """The quotes of all sizes."""
    return [
        Quote(
            amount=decimal_of(quote, "amount") or Decimal(0),
            amount_base=units_of(quote, "amountBase") or 0,
            best=optional_text(quote, "best"),
            ahead_bps=decimal_of(quote, "aheadBps"),
            venues=[_venue_quote(venue) for venue in objects_of(quote, "venues")],
            data=quote,
        )
        for quote in objects_of(body, "quotes")
    ]


def venues_of(body: Json) -> Venues:
    """The state of all venues."""
    venues = Venues(
        Venue(
            venue=text_of(venue, "venue"),
            network=text_of(venue, "network"),
            breaker=text_of(venue, "breaker"),
            last_error=optional_text(venue, "lastError"),
            data=venue,
        )
        for venue in objects_of(body, "venues")
    )
    # A list with the rest of the answer beside it: programs that read only the venues need no change.
    venues.data = body
    return venues


def costs_of(body: Json) -> Costs:
    """Sums of costs."""
    total = body.get("total")
    return Costs(
        since=text_of(body, "since"),
        until=text_of(body, "until"),
        next=optional_text(body, "next"),
        total=total if isinstance(total, dict) else {},
        groups=objects_of(body, "groups"),
        data=body,
    )


def explanation_of(body: Json) -> Explanation:
    """An order's explanation."""
    return Explanation(
        order_id=text_of(body, "orderId"),
        summary=text_of(body, "summary"),
        advice=optional_text(body, "advice"),
        sentences=[text_of(sentence, "text") for sentence in objects_of(body, "sentences")],
        data=body,
    )


def _venue_quote(body: Json) -> VenueQuote:
    return VenueQuote(
        venue=text_of(body, "venue"),
        price=decimal_of(body, "price"),
        amount_in=units_of(body, "amountIn"),
        amount_out=units_of(body, "amountOut"),
        net=units_of(body, "net"),
        reason=optional_text(body, "reason"),
        detail=optional_text(body, "detail"),
        data=body,
    )
