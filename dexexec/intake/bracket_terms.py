"""The exits of an order and its group in a body: `bracket` and `ocoGroup`. Beside `order_terms` on an order's way."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, localcontext

from dexexec.domain.amount import AmountError, JsonNumber, expected_amount, read_amount
from dexexec.domain.bracket import Bracket, Exit, ExitRole
from dexexec.domain.bracket_exits import BRACKET_GROUP
from dexexec.domain.order import Side
from dexexec.domain.quote import BPS
from dexexec.domain.terms import OrderType
from dexexec.intake.order_fields import OrderFields, Repeating, kind_of, shown, unknown_name

BRACKET = "bracket"
OCO_GROUP = "ocoGroup"
MAX_GAIN_BPS = 1_000_000
"""A hundred times what the entry spent."""
EXAMPLE = '{"takeProfit": {"price": "160"}, "stop": {"price": "140"}}'

_GROUP = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_INTEGER = re.compile(r"[0-9]{1,9}")
_LEGS = tuple(role.value for role in ExitRole)
_NAMES = ("price", "bps", "limitPrice")


def read_group(fields: OrderFields, order_type: OrderType | None) -> str | None:
    """The name of the order's group, if any."""
    group = fields.text(OCO_GROUP, _GROUP, "1 to 64 letters, digits and . _ : -")
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
    given = _object(fields, BRACKET, fields.given[BRACKET], _LEGS, EXAMPLE)
    if given is None:
        return None
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
    given = _object(fields, place, value, _NAMES, '{"price": "160"} or {"bps": 500}')
    if given is None:
        return Exit()
    price = _price(fields, f"{place}.price", given, "price")
    limit_price = _price(fields, f"{place}.limitPrice", given, "limitPrice")
    bps = _bps(fields, f"{place}.bps", given, MAX_GAIN_BPS if role is ExitRole.TAKE_PROFIT else BPS - 1)
    if "price" in given and "bps" in given:
        fields.wrong(f"{place}.bps", "is given beside price", "only one of price and bps")
    elif "price" not in given and "bps" not in given:
        fields.wrong(place, "has neither price nor bps", '{"price": "160"} or {"bps": 500}')
    elif role is ExitRole.TAKE_PROFIT and "limitPrice" in given:
        fields.wrong(f"{place}.limitPrice", "does not fit a take-profit", "price alone: it is a limit order at it")
    elif "bps" in given and "limitPrice" in given:
        fields.wrong(f"{place}.limitPrice", "is given beside bps", "price and limitPrice")
    return Exit(price=price, bps=bps, limit_price=limit_price)


def _object(
    fields: OrderFields, place: str, value: object, names: tuple[str, ...], example: str
) -> Mapping[str, object] | None:
    """The object at `place`; its unknown and repeated names are recorded."""
    if not isinstance(value, Mapping):
        fields.wrong(place, f"is {kind_of(value)}", f"an object such as {example}")
        return None
    for name in value.repeated if isinstance(value, Repeating) else ():
        fields.wrong(f"{place}.{shown(name)}", "is given more than once", "each field once")
    for name in value:
        if name not in names:
            problem = unknown_name(name, names, f"is not a field of {place}")
            fields.problems.append(replace(problem, field=f"{place}.{problem.field}"))
    return value


def _price(fields: OrderFields, place: str, given: Mapping[str, object], name: str) -> Decimal | None:
    if name not in given:
        return None
    value = given[name]
    try:
        if isinstance(value, str):
            price, _ = read_amount(value, None)
            # The default precision of 28 digits would round a long price.
            with localcontext(prec=120):
                return Decimal(format(price.normalize(), "f"))
        raise AmountError(f"is {kind_of(value)}", expected_amount(None))
    except AmountError as error:
        fields.wrong(place, error.problem, error.expected)
        return None


def _bps(fields: OrderFields, place: str, given: Mapping[str, object], most: int) -> int | None:
    if "bps" not in given:
        return None
    value = given["bps"]
    if isinstance(value, JsonNumber) and _INTEGER.fullmatch(value) and 1 <= int(value) <= most:
        return int(value)
    problem = f"is {kind_of(value)}"
    if isinstance(value, JsonNumber):
        problem = "is out of range" if value.lstrip("-").isdecimal() else "is not an integer"
    fields.wrong(place, problem, f"an integer from 1 to {most}")
    return None


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
