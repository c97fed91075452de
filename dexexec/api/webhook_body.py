"""Reads the bodies of the routes of webhooks. One answer (422) names every invalid field and what is expected."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from dexexec.domain.amount import JsonNumber
from dexexec.domain.status import Status
from dexexec.domain.webhook import check_name
from dexexec.intake.field_types import Flag, Integer, Nested, Schema, Text, object_schema
from dexexec.intake.order_body import read_object
from dexexec.intake.order_fields import OrderFields
from dexexec.webhook_errors import InvalidWebhookError
from dexexec.webhooks.target_url import LONGEST, check_url

MOST_RESENT = 1_000
STATUS_NAMES = ", ".join(status.value for status in Status)


def _statuses_schema() -> Schema:
    return {"type": "array", "items": {"type": "string", "enum": list(Status)}, "minItems": 1}


def _ids_schema() -> Schema:
    return {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": MOST_RESENT}


NAME = Text(
    name="name",
    description="What it is called, unique for the key.",
    pattern="[a-z0-9][a-z0-9-]{0,39}",
    expected="1 to 40 of a-z, 0-9 and -, with a letter or a digit first",
    example="bookkeeping",
)
URL = Text(
    name="url",
    description="Where events are posted: https, and no private address unless the operator allows those.",
    pattern=f"[!-~]{{1,{LONGEST}}}",
    expected="a URL such as https://hooks.example.com/path",
    example="https://hooks.example.com/dexexec",
)
STATUSES = Nested(name="statuses", description="Only events with these statuses; without it, all.", of=_statuses_schema)
ALL_ORDERS = Flag(name="allOrders", description="Events of the orders of all keys. Needs the scope `admin`.")
ENABLED = Flag(name="enabled", description="Whether events are sent.")
KEEP_SECONDS = Integer(
    name="keepSeconds",
    description="How long the former secret signs beside the new one, in seconds.",
    least=0,
    most=7 * 86_400,
    example=86_400,
)
DELIVERIES = Nested(
    name="deliveries", description="The deliveries to send again; without it, all that failed.", of=_ids_schema
)
ORDER_ID = Text(
    name="orderId",
    description="The order whose events are sent again.",
    pattern=r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    expected="the id of an order",
)
FROM_SEQ = Integer(name="fromSeq", description="The first of its events.", least=1, most=10**9 - 1)
AFTER = Text(
    name="after",
    description="A position in the stream of all events: everything behind it is sent again.",
    pattern="[0-9a-z-]{1,200}",
    expected="a position of the stream of all events",
)


def new_schema() -> Schema:
    """The schema of a new webhook."""
    return {
        "description": "A new webhook.",
        **object_schema(NAME, URL, STATUSES, ALL_ORDERS, required=(NAME.name, URL.name)),
    }


def change_schema() -> Schema:
    """The schema of a change."""
    return {"description": "What to change of a webhook.", **object_schema(URL, STATUSES, ENABLED), "minProperties": 1}


def resend_schema() -> Schema:
    """The schema of what is sent again."""
    return {"description": "What to send again.", **object_schema(DELIVERIES)}


def replay_schema() -> Schema:
    """The schema of a replay: of an order, or of all events behind a position."""
    return {
        "description": "Events to send again: those of `orderId` from `fromSeq` on, or all `after` a position.",
        "oneOf": [
            object_schema(ORDER_ID, FROM_SEQ, required=(ORDER_ID.name,)),
            object_schema(AFTER, required=(AFTER.name,)),
        ],
    }


def rotate_schema() -> Schema:
    """The schema of a rotation."""
    return {"description": "How long the former secret is kept.", **object_schema(KEEP_SECONDS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookBody:
    """The fields of a webhook; None: not given."""

    name: str | None
    url: str | None = field(repr=False)
    statuses: frozenset[Status] | None
    all_orders: bool | None
    enabled: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The events of an order from a `seq` on, or all `after` a position."""

    order_id: UUID | None
    from_seq: int
    after: str | None


def read_new(body: bytes, *, private: bool) -> WebhookBody:
    """A new webhook. Raises `MalformedBodyError` and `InvalidWebhookError`."""
    fields = _fields(body, NAME.name, URL.name, STATUSES.name, ALL_ORDERS.name)
    for name in (NAME.name, URL.name):
        if name not in fields.given:
            fields.wrong(name, "is missing", {NAME.name: NAME.expected, URL.name: URL.expected}[name])
    return _checked(fields, private)


def read_change(body: bytes, *, private: bool) -> WebhookBody:
    """What to change of a webhook. Raises `MalformedBodyError` and `InvalidWebhookError`."""
    fields = _fields(body, URL.name, STATUSES.name, ENABLED.name)
    if not fields.given:
        fields.wrong("", "changes nothing", "one or more of url, statuses and enabled")
    return _checked(fields, private)


def read_resend(body: bytes) -> list[int] | None:
    """The numbers of deliveries; None: all that failed. Raises `MalformedBodyError` and `InvalidWebhookError`."""
    fields = _fields(body, DELIVERIES.name)
    value = fields.given.get(DELIVERIES.name, ())
    # Numbers are their literal text here: 1.5, 1e3 and -1 are no ids, and `true` is no number.
    valid = isinstance(value, list) and all(
        isinstance(each, JsonNumber) and each.isdecimal() and 0 < int(each[:19]) < 10**18 for each in value
    )
    if DELIVERIES.name in fields.given and (not valid or not isinstance(value, list) or not value):
        fields.wrong(DELIVERIES.name, "is not a list of numbers", "the ids of deliveries, such as [17, 18]")
    elif isinstance(value, list) and len(value) > MOST_RESENT:
        fields.wrong(DELIVERIES.name, f"has {len(value)} numbers", f"at most {MOST_RESENT}")
    _check(fields)
    return [int(each) for each in value] if isinstance(value, list) else None


def read_replay(body: bytes) -> Replay:
    """What to send again. Raises `MalformedBodyError` and `InvalidWebhookError`."""
    fields = _fields(body, ORDER_ID.name, FROM_SEQ.name, AFTER.name)
    order_id, after = ORDER_ID.read(fields), AFTER.read(fields)
    from_seq = FROM_SEQ.read(fields, 1)
    # Exactly one of the two: with both it would not be clear which events are meant.
    if (ORDER_ID.name in fields.given) == (AFTER.name in fields.given):
        fields.wrong("", "names no events, or two sets of them", "either orderId (with fromSeq), or after")
    # Refused and not ignored: a `seq` belongs to one order, and means nothing beside a position.
    if FROM_SEQ.name in fields.given and ORDER_ID.name not in fields.given:
        fields.wrong(FROM_SEQ.name, "is without orderId", "fromSeq beside orderId")
    _check(fields)
    return Replay(order_id=UUID(order_id) if order_id else None, from_seq=from_seq, after=after)


def read_rotate(body: bytes) -> timedelta:
    """How long the former secret signs. Raises `MalformedBodyError` and `InvalidWebhookError`."""
    fields = _fields(body, KEEP_SECONDS.name)
    keep = KEEP_SECONDS.read(fields, 86_400)
    _check(fields)
    return timedelta(seconds=keep)


def _fields(body: bytes, *names: str) -> OrderFields:
    # An empty body is an empty object: these routes need no field, or name the missing ones.
    given: Mapping[str, object] = read_object(body) if body else {}
    return OrderFields(given, names, "is not a field here")


def _checked(fields: OrderFields, private: bool) -> WebhookBody:
    name, url = NAME.read(fields), URL.read(fields)
    _by_rule(fields, NAME.name, name, check_name)
    # No lookup here: an answer must not show which names exist in the operator's network.
    _by_rule(fields, URL.name, url, lambda text: check_url(text, private=private))
    statuses = _statuses(fields)
    flags = {flag.name: flag.read(fields) if flag.name in fields.given else None for flag in (ALL_ORDERS, ENABLED)}
    _check(fields)
    return WebhookBody(
        name=name, url=url, statuses=statuses, all_orders=flags[ALL_ORDERS.name], enabled=flags[ENABLED.name]
    )


def _statuses(fields: OrderFields) -> frozenset[Status] | None:
    if STATUSES.name not in fields.given:
        return None
    value = fields.given[STATUSES.name]
    known = {status.value: status for status in Status}
    if not isinstance(value, list) or not value:
        # Not read as "all": somebody may have removed the last one from a list to stop the events.
        fields.wrong(STATUSES.name, "is not a list of statuses", f"one or more of {STATUS_NAMES}; leave it out for all")
        return None
    # Unknown ones are refused: with a misspelt status the webhook would wait for ever.
    wrong = [each for each in value if not (type(each) is str and each in known)]
    if wrong:
        fields.wrong(STATUSES.name, "has an unknown status", f"one or more of {STATUS_NAMES}")
        return None
    return frozenset(known[each] for each in value)


def _by_rule(fields: OrderFields, name: str, text: str | None, check: Callable[[str], object]) -> None:
    if text is None:
        return
    try:
        check(text)
    except ValueError as error:
        fields.wrong(name, "is not allowed", str(error))


def _check(fields: OrderFields) -> None:
    if fields.problems:
        raise InvalidWebhookError(fields.problems)
