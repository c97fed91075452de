"""The answers of the service as typed values. Amounts in base units are ints, prices and shares are `Decimal`.

Each value has the fields that programs use most as attributes, and the whole JSON object as `data`. A field that a
newer service adds is there too.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation

from dexexec.client.errors import MalformedAnswerError

Json = Mapping[str, object]


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
        return _optional(self.data, "reason")

    @property
    def detail(self) -> str | None:
        """The same as a sentence for people."""
        return _optional(self.data, "detail")


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
    seq = _integer(body, "seq")
    if seq < 1 or type(body.get("final")) is not bool:
        raise MalformedAnswerError("the event has no seq over 0, or no final")
    return Event(
        order_id=_text(body, "orderId"),
        seq=seq,
        status=_text(body, "status"),
        at=_time(body, "at"),
        final=body["final"] is True,
        data=body,
    )


def placed_of(body: Json, idempotency_key: str, *, replayed: bool) -> Placed:
    """The answer to a POST."""
    return Placed(order_id=_text(body, "orderId"), idempotency_key=idempotency_key, replayed=replayed, data=body)


def order_of(body: Json) -> Order:
    """An order, alone or in a list."""
    return Order(
        order_id=_text(body, "orderId"),
        type=_text(body, "type"),
        status=_text(body, "status"),
        side=_text(body, "side"),
        amount=_text(body, "amount"),
        mode=_text(body, "mode"),
        input_mint=_text(body, "inputMint"),
        output_mint=_text(body, "outputMint"),
        seq=_integer(body, "seq"),
        created_at=_time(body, "createdAt"),
        finished_at=None if body.get("finishedAt") is None else _time(body, "finishedAt"),
        venue=_optional(body, "venue"),
        tx_hash=_optional(body, "txHash"),
        failure_reason=_optional(body, "failureReason"),
        amount_in=_units(body, "amountIn"),
        amount_out=_units(body, "amountOut"),
        tag=_optional(body, "tag"),
        dry_run=body.get("dryRun") is True,
        events=[event_of(event) for event in _objects(body, "events")],
        data=body,
    )


def page_of(body: Json) -> Page:
    """A page of a list."""
    return Page(orders=[order_of(order) for order in _objects(body, "orders")], next=_optional(body, "next"), data=body)


def amended_of(body: Json, *, replayed: bool) -> Amended:
    """The answer to a change."""
    changed = given if isinstance(given := body.get("changed"), dict) else {}
    return Amended(order_id=_text(body, "orderId"), seq=_integer(body, "seq"), changed=changed, replayed=replayed)


def cancelled_of(body: Json, *, replayed: bool) -> Cancelled:
    """The answer to a cancel."""
    return Cancelled(order_id=_text(body, "orderId"), seq=_integer(body, "seq"), replayed=replayed)


def signed_of(body: Json, *, replayed: bool) -> Signed:
    """The answer to a signed transaction."""
    return Signed(order_id=_text(body, "orderId"), attempt=_integer(body, "attempt"), replayed=replayed)


def cancelled_all_of(body: Json, before: int) -> CancelledAll:
    """The answer to a cancel of many orders; `before` were cancelled by tries that were interrupted."""
    return CancelledAll(cancelled=before + _integer(body, "cancelled"), too_late=_integer(body, "tooLate"))


def quotes_of(body: Json) -> list[Quote]:
    """The quotes of all sizes."""
    return [
        Quote(
            amount=_decimal(quote, "amount") or Decimal(0),
            amount_base=_units(quote, "amountBase") or 0,
            best=_optional(quote, "best"),
            ahead_bps=_decimal(quote, "aheadBps"),
            venues=[_venue_quote(venue) for venue in _objects(quote, "venues")],
            data=quote,
        )
        for quote in _objects(body, "quotes")
    ]


def venues_of(body: Json) -> Venues:
    """The state of all venues."""
    venues = Venues(
        Venue(
            venue=_text(venue, "venue"),
            network=_text(venue, "network"),
            breaker=_text(venue, "breaker"),
            last_error=_optional(venue, "lastError"),
            data=venue,
        )
        for venue in _objects(body, "venues")
    )
    # A list with the rest of the answer beside it: programs that read only the venues need no change.
    venues.data = body
    return venues


def costs_of(body: Json) -> Costs:
    """Sums of costs."""
    total = body.get("total")
    return Costs(
        since=_text(body, "since"),
        until=_text(body, "until"),
        next=_optional(body, "next"),
        total=total if isinstance(total, dict) else {},
        groups=_objects(body, "groups"),
        data=body,
    )


def explanation_of(body: Json) -> Explanation:
    """An order's explanation."""
    return Explanation(
        order_id=_text(body, "orderId"),
        summary=_text(body, "summary"),
        advice=_optional(body, "advice"),
        sentences=[_text(sentence, "text") for sentence in _objects(body, "sentences")],
        data=body,
    )


def _venue_quote(body: Json) -> VenueQuote:
    return VenueQuote(
        venue=_text(body, "venue"),
        price=_decimal(body, "price"),
        amount_in=_units(body, "amountIn"),
        amount_out=_units(body, "amountOut"),
        net=_units(body, "net"),
        reason=_optional(body, "reason"),
        detail=_optional(body, "detail"),
        data=body,
    )


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    if isinstance(value, str):
        return value
    raise MalformedAnswerError(f"{name} is missing, or not a string")


def _optional(body: Json, name: str) -> str | None:
    return None if body.get(name) is None else _text(body, name)


def _integer(body: Json, name: str) -> int:
    value = body.get(name)
    if type(value) is int:  # True would pass as the number 1
        return value
    raise MalformedAnswerError(f"{name} is missing, or not an integer")


def _units(body: Json, name: str) -> int | None:
    """Base units, which are strings in JSON, since many languages read its numbers as floats."""
    value = _decimal(body, name)
    # Checked, not rounded: half a base unit cannot exist, so the answer means something else.
    if value is not None and value != value.to_integral_value():
        raise MalformedAnswerError(f"{name} is not a whole number")
    return None if value is None else int(value)


def _decimal(body: Json, name: str) -> Decimal | None:
    text = _optional(body, name)
    if text is None:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise MalformedAnswerError(f"{name} is not a number") from None
    if value.is_finite() and abs(value.adjusted()) <= 100:  # written out, a larger one would fill the memory
        return value
    raise MalformedAnswerError(f"{name} is out of range")


def _time(body: Json, name: str) -> datetime:
    try:
        return datetime.fromisoformat(_text(body, name))
    except ValueError:
        raise MalformedAnswerError(f"{name} is not a time") from None


def _objects(body: Json, name: str) -> list[Json]:
    """The objects of a list; none if it is missing."""
    value = body.get(name, [])
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        return value
    raise MalformedAnswerError(f"{name} is not a list of objects")
