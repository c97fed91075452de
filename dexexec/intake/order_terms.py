"""The terms in an order's body: its type, price, trigger and expiry. Beside `order_body` on an order's way.

Each rule names the field that is wrong and what would be right. A field that does not fit the type is an error, since
an order that silently ignored it would not be the one that its client meant.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from dexexec.domain.amount import AmountError, read_amount
from dexexec.domain.order import Side
from dexexec.domain.quote import BPS
from dexexec.domain.terms import ONCE, OrderType, Terms, TimeInForce, TriggerWhen
from dexexec.intake.bracket_terms import BRACKET, read_bracket
from dexexec.intake.order_fields import OrderFields
from dexexec.intake.price_bounds import LIMIT_PRICE, MAX_IN, MIN_OUT

LONGEST_REST = timedelta(days=3650)
"""How far away `expiresAt` may be. Without one an order rests until it is filled or cancelled."""

TRIGGER_PRICE = "triggerPrice"
TRIGGER_FIELDS = (TRIGGER_PRICE, "triggerWhen")
TRAIL = "trailBps"
TERM_FIELDS = ("timeInForce", "expiresAt", *TRIGGER_FIELDS, TRAIL, BRACKET)
_TYPES = {one.value: one for one in OrderType}
_TIMES_IN_FORCE = {one.value: one for one in TimeInForce}
_SIDES_OF_TRIGGER = {one.value: one for one in TriggerWhen}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def read_type(fields: OrderFields) -> OrderType | None:
    """The order's type: `market` without the field; None if it is invalid."""
    names = [f'"{name}"' for name in _TYPES]
    expected = " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
    stop = '(a stop is "market" or "limit" with triggerPrice or trailBps)'
    return fields.choice("type", "type", _TYPES, f"{expected} {stop}", OrderType.MARKET)


def read_tag(fields: OrderFields) -> str | None:
    """The client's tag, if any."""
    return fields.text("tag", _TAG, "1 to 64 letters, digits and . _ : -")


def read_terms(fields: OrderFields, order_type: OrderType | None, side: Side | None, now_ms: int) -> Terms | None:
    """The terms, without the limit's effect on amounts, which is the order's bound; None for a plain market order."""
    if not fields.given.keys() & {*TERM_FIELDS} and order_type is not OrderType.LIMIT:
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
    price = fields.price("triggerPrice")
    when = None
    if "triggerWhen" in fields.given:
        when = fields.choice("triggerWhen", "side of a trigger", _SIDES_OF_TRIGGER, '"above" or "below"')
    present = [name for name in TRIGGER_FIELDS if name in fields.given]
    # Beside `trailBps` the other field of the pair would be wrong as well.
    if len(present) == 1 and TRAIL not in fields.given:
        [missing] = set(TRIGGER_FIELDS) - set(present)
        expected = '"above" or "below"' if missing == "triggerWhen" else 'a price such as "151.25"'
        fields.wrong(missing, f"is missing beside {present[0]}", expected)
    return price, when


def _trail_bps(fields: OrderFields) -> int | None:
    """How far a trailing stop is from the best price. At 100 % it would never be reached."""
    if TRAIL not in fields.given:
        return None
    for name in TRIGGER_FIELDS:
        if name in fields.given:
            fields.wrong(name, f"is given beside {TRAIL}", "a trailing stop or a fixed trigger, not both")
    return fields.integer(TRAIL, 1, BPS - 1, 1)


def _time_in_force(fields: OrderFields) -> TimeInForce | None:
    # An expiry alone states how long the order rests; without one it rests until it is cancelled.
    default = TimeInForce.GTT if "expiresAt" in fields.given else TimeInForce.GTC
    return fields.choice("timeInForce", "time in force", _TIMES_IN_FORCE, '"GTC", "GTT", "IOC" or "FOK"', default)


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


def read_time(fields: OrderFields, name: str, expected: str) -> datetime | None:
    """The time in the field, in UTC: RFC 3339, with its zone; None if it is missing or invalid."""
    if name not in fields.given:
        return None
    value = fields.given[name]
    if type(value) is not str:
        fields.wrong(name, fields.kind(name), expected)
        return None
    try:
        at = datetime.fromisoformat(value).astimezone(UTC) if _TIME.fullmatch(value) else None
    except (ValueError, OverflowError):
        at = None
    if at is None:
        fields.wrong(name, "is not a time with a zone (RFC 3339)", expected)
    return at


def read_expiry(fields: OrderFields, now_ms: int) -> datetime | None:
    """The expiry in UTC: an RFC 3339 time with its zone, in the future."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    expected = f'a time in the future such as "{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"'
    at = read_time(fields, "expiresAt", expected)
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
