"""The terms in an order's body: its type, price, trigger and expiry. Beside `order_body` on an order's way.

Each rule names the field that is wrong and what would be right. A field that does not fit the type is an error, since
an order that silently ignored it would not be the one that its client meant.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from dexexec.domain.amount import AmountError, read_amount
from dexexec.domain.order import Side
from dexexec.domain.quote import BPS
from dexexec.domain.terms import ONCE, OrderType, Terms, TimeInForce, TriggerWhen
from dexexec.intake.bracket_terms import BRACKET_FIELD, read_bracket
from dexexec.intake.field_types import Choice, DecimalField, Field, Integer, Text, Time
from dexexec.intake.order_fields import OrderFields
from dexexec.intake.price_bounds import LIMIT_PRICE, MAX_IN, MIN_OUT

LONGEST_REST = timedelta(days=3650)
"""How far away `expiresAt` may be. Without one an order rests until it is filled or cancelled."""

TYPE = Choice(
    name="type",
    description="The kind of the order: `market` without it.",
    noun="type",
    choices={one.value: one for one in OrderType},
    expected='"market", "limit", "sniper" or "recurring" (a stop is "market" or "limit" with triggerPrice or trailBps)',
)
TIME_IN_FORCE = Choice(
    name="timeInForce",
    description="How long a limit order is tried: `GTC` rests until it is filled or cancelled, `GTT` until `expiresAt`;"
    " `IOC` and `FOK` are tried once, now. By default `GTC`, or `GTT` with `expiresAt`.",
    noun="time in force",
    choices={one.value: one for one in TimeInForce},
    expected='"GTC", "GTT", "IOC" or "FOK"',
)
TRIGGER_PRICE = DecimalField(
    name="triggerPrice",
    description="The price that triggers the order, in `outputMint` per `inputMint`.",
    example="151.25",
)
TRIGGER_WHEN = Choice(
    name="triggerWhen",
    description="On which side of `triggerPrice` the order is triggered.",
    noun="side of a trigger",
    choices={one.value: one for one in TriggerWhen},
    expected='"above" or "below"',
)
TRAIL_BPS = Integer(
    name="trailBps",
    # At 100 % it would never be reached.
    least=1,
    most=BPS - 1,
    description="How far a trailing stop follows the best price since the order was accepted, in bps.",
    example=300,
)
EXPIRES_AT = Time(
    name="expiresAt",
    description="Until when the order rests, at most 3650 days from now. Without it, until it is filled or cancelled.",
    example="2030-01-31T12:00:00Z",
)
TAG = Text(
    name="tag",
    description="The strategy that the order belongs to: costs and cancels are grouped by it.",
    pattern=r"[A-Za-z0-9._:-]{1,64}",
    expected="1 to 64 letters, digits and . _ : -",
    example="strategy-1",
)
TRIGGER_FIELDS = (TRIGGER_PRICE, TRIGGER_WHEN)
TERM_FIELDS: tuple[Field, ...] = (TIME_IN_FORCE, EXPIRES_AT, *TRIGGER_FIELDS, TRAIL_BPS, BRACKET_FIELD)
TRIGGER_NAMES = tuple(field.name for field in TRIGGER_FIELDS)
_TERM_NAMES = frozenset(field.name for field in TERM_FIELDS)


def read_type(fields: OrderFields) -> OrderType | None:
    """The order's type: `market` without the field; None if it is invalid."""
    return TYPE.read(fields, OrderType.MARKET)


def read_tag(fields: OrderFields) -> str | None:
    """The client's tag, if any."""
    return TAG.read(fields)


def read_terms(fields: OrderFields, order_type: OrderType | None, side: Side | None, now_ms: int) -> Terms | None:
    """The terms, without the limit's effect on amounts, which is the order's bound; None for a plain market order."""
    if not fields.given.keys() & _TERM_NAMES and order_type is not OrderType.LIMIT:
        return None
    trigger_price, trigger_when = _trigger(fields)
    time_in_force = None
    limit_price = None
    if order_type is OrderType.LIMIT:
        time_in_force = _time_in_force(fields)
        limit_price = _limit_price(fields)
    elif order_type is not None and "timeInForce" in fields.given:
        fields.wrong("timeInForce", "does not fit the type", 'only with "type": "limit"')
    terms = Terms(
        time_in_force=time_in_force,
        limit_price=limit_price,
        expires_at=read_expiry(fields, now_ms),
        trigger_price=trigger_price,
        trigger_when=trigger_when,
        trail_bps=_trail_bps(fields),
        bracket=read_bracket(fields, side=side, order_type=order_type, limit_price=limit_price),
    )
    _check_fit(fields, order_type, terms)
    return terms


def _trigger(fields: OrderFields) -> tuple[Decimal | None, TriggerWhen | None]:
    price = TRIGGER_PRICE.read(fields)
    when = TRIGGER_WHEN.read(fields) if TRIGGER_WHEN.name in fields.given else None
    present = [name for name in TRIGGER_NAMES if name in fields.given]
    # Beside `trailBps` the other field of the pair would be wrong as well.
    if len(present) == 1 and TRAIL_BPS.name not in fields.given:
        [missing] = set(TRIGGER_NAMES) - set(present)
        expected = '"above" or "below"' if missing == "triggerWhen" else 'a price such as "151.25"'
        fields.wrong(missing, f"is missing beside {present[0]}", expected)
    return price, when


def _trail_bps(fields: OrderFields) -> int | None:
    """How far a trailing stop is from the best price."""
    if TRAIL_BPS.name not in fields.given:
        return None
    for name in TRIGGER_NAMES:
        if name in fields.given:
            fields.wrong(name, f"is given beside {TRAIL_BPS.name}", "a trailing stop or a fixed trigger, not both")
    return TRAIL_BPS.optional(fields)


def _time_in_force(fields: OrderFields) -> TimeInForce | None:
    # An expiry alone states how long the order rests; without one it rests until it is cancelled.
    default = TimeInForce.GTT if "expiresAt" in fields.given else TimeInForce.GTC
    return TIME_IN_FORCE.read(fields, default)


def _limit_price(fields: OrderFields) -> Decimal | None:
    for name in (MIN_OUT, MAX_IN):
        if name in fields.given:
            fields.wrong(name, "does not fit a limit order", "limitPrice alone: it is the order's bound")
    if LIMIT_PRICE not in fields.given:
        fields.wrong(LIMIT_PRICE, "is missing", 'the price of a limit order, such as "151.25"')
        return None
    # An invalid price is reported where the bound is read from it.
    value = fields.given[LIMIT_PRICE]
    try:
        return read_amount(value, None)[0] if isinstance(value, str) else None
    except AmountError:
        return None


def read_expiry(fields: OrderFields, now_ms: int) -> datetime | None:
    """The expiry in UTC: an RFC 3339 time with its zone, in the future."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    expected = f'a time in the future such as "{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"'
    at = EXPIRES_AT.read(fields, expected)
    if at is None:
        return None
    if at <= now:
        fields.past("expiresAt", expected)
    elif at > now + LONGEST_REST:
        fields.wrong("expiresAt", "is too far away", f"at most {LONGEST_REST.days} days from now")
    return at


def _check_fit(fields: OrderFields, order_type: OrderType | None, terms: Terms) -> None:
    """Records the fields that contradict each other."""
    given: Mapping[str, object] = fields.given
    if terms.limit_price is not None and "slippageBps" in given:
        fields.wrong("slippageBps", "does not fit a limit order", "limitPrice alone: no fill is worse")
    if terms.time_in_force is TimeInForce.GTT and "expiresAt" not in given:
        fields.wrong("expiresAt", "is missing", "the time until which a GTT order is tried")
    if terms.time_in_force is TimeInForce.GTC and "expiresAt" in given:
        fields.wrong("expiresAt", "does not fit GTC", '"timeInForce": "GTT"')
    if terms.time_in_force in ONCE and "expiresAt" in given and not terms.has_trigger:
        fields.wrong("expiresAt", f"does not fit {terms.time_in_force}", "deadlineSeconds: the order does not rest")
    if order_type is OrderType.MARKET and "expiresAt" in given and not terms.has_trigger:
        fields.wrong("expiresAt", "does not fit a market order", "deadlineSeconds: the order does not rest")
    if terms.rests and "deadlineSeconds" in given:
        fields.wrong("deadlineSeconds", "does not fit an order that rests", "expiresAt")
    if order_type is OrderType.MARKET and terms.has_trigger:
        for name in (MIN_OUT, MAX_IN, LIMIT_PRICE):
            if name in given:
                fields.wrong(name, "does not fit a market order with a trigger", '"type": "limit" with limitPrice')
