"""The exits of an order and its group in a body: `bracket` and `ocoGroup`. Beside `order_terms` on an order's way."""

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, localcontext

from dexexec.domain.bracket import Bracket, Exit, ExitRole
from dexexec.domain.bracket_exits import BRACKET_GROUP
from dexexec.domain.order import Side
from dexexec.domain.quote import BPS
from dexexec.domain.terms import OrderType
from dexexec.intake.field_types import DecimalField, Field, Integer, Nested, Schema, Text, object_schema
from dexexec.intake.order_fields import OrderFields, kind_of

BRACKET = "bracket"
OCO_GROUP = "ocoGroup"
MAX_GAIN_BPS = 1_000_000
"""A hundred times what the entry spent."""
EXAMPLE = '{"takeProfit": {"price": "160"}, "stop": {"price": "140"}}'

_LEGS = tuple(role.value for role in ExitRole)
_PRICE = DecimalField(name="price", description="Where the exit is, in `outputMint` per `inputMint`.", example="160")
_LIMIT_PRICE = DecimalField(
    name="limitPrice", description="The worst price that the triggered stop accepts.", example="139"
)
_ABOUT_BPS = "Instead of a price: by how many bps of what the entry spent the exit returns "
_BPS = {
    ExitRole.TAKE_PROFIT: Integer(
        name="bps", least=1, most=MAX_GAIN_BPS, description=f"{_ABOUT_BPS}more.", example=500
    ),
    ExitRole.STOP: Integer(name="bps", least=1, most=BPS - 1, description=f"{_ABOUT_BPS}less.", example=300),
}
_NAMES = ("price", "bps", "limitPrice")


def _bracket_schema() -> Schema:
    """Each exit has exactly one of price and bps; only a stop at a price has a limit."""
    one_place: Schema = {"oneOf": [{"required": ["price"]}, {"required": ["bps"]}]}
    profit = object_schema(_PRICE, _BPS[ExitRole.TAKE_PROFIT]) | one_place
    stop = object_schema(_PRICE, _BPS[ExitRole.STOP], _LIMIT_PRICE) | one_place
    legs = {
        ExitRole.TAKE_PROFIT.value: profit | {"description": "A limit order where the fill has gained."},
        ExitRole.STOP.value: stop
        | {"dependentRequired": {"limitPrice": ["price"]}, "description": "A stop where the fill has lost."},
    }
    return {"type": "object", "properties": legs, "minProperties": 1, "additionalProperties": False}


BRACKET_FIELD: Field = Nested(
    name=BRACKET,
    description="The take-profit and the stop that the order's fill arms. They are orders of their own, and one cancels"
    " the other.",
    of=_bracket_schema,
    example=json.loads(EXAMPLE),
)
GROUP_FIELD = Text(
    name=OCO_GROUP,
    description="When one order of the group is filled, the others are cancelled. Names that begin with `bracket:` are"
    " reserved.",
    pattern=r"[A-Za-z0-9._:-]{1,64}",
    expected="1 to 64 letters, digits and . _ : -",
    example="exit-7",
)


def read_group(fields: OrderFields, order_type: OrderType | None) -> str | None:
    """The name of the order's group, if any."""
    group = GROUP_FIELD.read(fields)
    if group is not None and group.startswith(BRACKET_GROUP):
        fields.wrong(OCO_GROUP, f"begins with {BRACKET_GROUP}, which is for the exits of brackets", "another name")
    if order_type is OrderType.RECURRING and OCO_GROUP in fields.given:
        # Its slices are orders of their own, so it has no one fill that could cancel others.
        fields.wrong(OCO_GROUP, "does not fit a recurring order", "no ocoGroup")
    return group


def read_bracket(
    fields: OrderFields, *, side: Side | None, order_type: OrderType | None, limit_price: Decimal | None
) -> Bracket | None:
    """The exits that the order's fill arms; None without them. `limit_price` is that of the order itself. Prices are
    only compared when everything that they depend on is valid."""
    if BRACKET not in fields.given:
        return None
    if order_type is OrderType.RECURRING:
        fields.wrong(BRACKET, "does not fit a recurring order", "no bracket: its slices are orders of their own")
    whole = _object(fields, BRACKET, fields.given[BRACKET], _LEGS, EXAMPLE)
    if whole is None:
        return None
    given = whole.given
    known = len(fields.problems)
    legs = {role: _exit(fields, role, given[role.value]) for role in ExitRole if role.value in given}
    bracket = Bracket(take_profit=legs.get(ExitRole.TAKE_PROFIT), stop=legs.get(ExitRole.STOP))
    if not given.keys() & set(_LEGS):
        fields.wrong(BRACKET, "has neither takeProfit nor stop", f"such as {EXAMPLE}")
    elif side is not None and len(fields.problems) == known:
        _check_prices(fields, bracket, side, limit_price)
    return bracket


def canonical_bracket(bracket: Bracket) -> str:
    """The bracket as one text, whatever the order of its fields was."""
    return json.dumps(bracket.detail(), sort_keys=True)


def _exit(fields: OrderFields, role: ExitRole, value: object) -> Exit:
    place = f"{BRACKET}.{role}"
    inner = _object(fields, place, value, _NAMES, '{"price": "160"} or {"bps": 500}')
    if inner is None:
        return Exit()
    price = _plain(_PRICE.read(inner))
    limit_price = _plain(_LIMIT_PRICE.read(inner))
    bps = _BPS[role].optional(inner)
    given = inner.given
    _report(fields, place, inner)
    if "price" in given and "bps" in given:
        fields.wrong(f"{place}.bps", "is given beside price", "only one of price and bps")
    elif "price" not in given and "bps" not in given:
        fields.wrong(place, "has neither price nor bps", '{"price": "160"} or {"bps": 500}')
    elif role is ExitRole.TAKE_PROFIT and "limitPrice" in given:
        fields.wrong(f"{place}.limitPrice", "does not fit a take-profit", "price alone: it is a limit order at it")
    elif "bps" in given and "limitPrice" in given:
        fields.wrong(f"{place}.limitPrice", "is given beside bps", "price and limitPrice")
    return Exit(price=price, bps=bps, limit_price=limit_price)


def _object(fields: OrderFields, place: str, value: object, names: tuple[str, ...], example: str) -> OrderFields | None:
    """The fields of the object at `place`; its unknown and repeated names are recorded."""
    if not isinstance(value, Mapping):
        fields.wrong(place, f"is {kind_of(value)}", f"an object such as {example}")
        return None
    inner = OrderFields(value, names, f"is not a field of {place}")
    _report(fields, place, inner)
    return inner


def _report(fields: OrderFields, place: str, inner: OrderFields) -> None:
    """Move the problems of the object at `place` to those of the whole body."""
    fields.problems += [replace(problem, field=f"{place}.{problem.field}") for problem in inner.problems]
    inner.problems.clear()


def _plain(price: Decimal | None) -> Decimal | None:
    """The price without trailing zeros and exponent."""
    if price is None:
        return None
    # The default precision of 28 digits would round a long price.
    with localcontext(prec=120):
        return Decimal(format(price.normalize(), "f"))


def _check_prices(fields: OrderFields, bracket: Bracket, side: Side, limit_price: Decimal | None) -> None:
    """Record prices that contradict each other: an exit that would be reached at once, or a profit below the stop."""
    # The exits of a sell buy: they receive the output mint, so a higher price is better for them.
    rising = side is Side.SELL
    gain, loss = ("above", "below") if rising else ("below", "above")
    profit = bracket.take_profit.price if bracket.take_profit else None
    stop = bracket.stop.price if bracket.stop else None
    why = f"the exits of a {side} gain when the price {'rises' if rising else 'falls'}"
    if profit is not None and stop is not None and not (profit > stop if rising else profit < stop):
        fields.wrong(
            f"{BRACKET}.{ExitRole.TAKE_PROFIT}.price", f"is not {gain} the stop", f"a price {gain} {stop:f}: {why}"
        )
        return
    if limit_price is None:
        return
    if profit is not None and not (profit > limit_price if rising else profit < limit_price):
        place = f"{BRACKET}.{ExitRole.TAKE_PROFIT}.price"
        fields.wrong(place, f"is not {gain} limitPrice", f"a price {gain} {limit_price:f}: {why}")
    if stop is not None and not (stop < limit_price if rising else stop > limit_price):
        place = f"{BRACKET}.{ExitRole.STOP}.price"
        problem = f"is not {loss} limitPrice, so a fill would reach it at once"
        fields.wrong(place, problem, f"a price {loss} {limit_price:f}: {why}")
