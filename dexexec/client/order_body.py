"""Values of requests as JSON: amounts and prices exactly, times and durations as ISO 8601 has them. Pure.

A float is refused: 0.1 as a float is another number than the one that was typed, and what is sent here is money.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Final

from dexexec.domain.duration import duration_text
from dexexec.domain.event import timestamp

MOST_DIGITS = 100
"""How far a digit of a number may be from its dot. The service refuses amounts long before that."""
LONGEST_KEY = 255


class Unset(Enum):
    """The value of a field that is not sent, where None is a value of its own."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


def encode(body: object) -> bytes:
    """The JSON of a request's body."""
    return json.dumps(json_value("body", body), separators=(",", ":")).encode()


def json_value(name: str, value: object) -> object:
    """The JSON value of the field `name`. Raises `TypeError` and `ValueError` for what cannot be sent exactly."""
    # First of all, and also for subclasses such as numpy's: no other rule may let one through.
    if isinstance(value, float):
        raise TypeError(
            f"{name} is the float {value!r}, and a float is not exactly the number that was typed:"
            f' use a string ("{value!r}") or decimal.Decimal("{value!r}")'
        )
    answer: object
    match value:
        # Before str, which an enum of strings is as well.
        case StrEnum():
            answer = value.value
        case None | bool() | str() | int():
            answer = value
        case Decimal():
            answer = number_text(name, value)
        case datetime():
            answer = time_text(name, value)
        case timedelta():
            answer = _duration(name, value)
        case Mapping():
            answer = {_field_name(name, key): json_value(f"{name}.{key}", inner) for key, inner in value.items()}
        case list() | tuple():
            answer = [json_value(f"{name}[{n}]", inner) for n, inner in enumerate(value)]
        case _ if is_dataclass(value) and not isinstance(value, type):
            answer = dataclass_body(value)
        case _:
            raise TypeError(f"{name} is a {type(value).__name__}: use a string, an int or a decimal.Decimal")
    return answer


def dataclass_body(value: object) -> dict[str, object]:
    """The fields of a dataclass with the names of the API, without those that are None."""
    given = {one.name: getattr(value, one.name) for one in fields(value)}  # type: ignore[arg-type]
    return {camel(name): json_value(name, one) for name, one in given.items() if one is not None}


def camel(name: str) -> str:
    """The API's name of a field: `slippage_bps` is `slippageBps`."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def query_text(given: Mapping[str, object]) -> dict[str, str]:
    """The parameters of a query that have a value, as text."""
    values = {name: json_value(name, value) for name, value in given.items() if value is not None}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}


def idempotency_header(key: str) -> str:
    """A key that can be sent in a header. Raises `ValueError`: the HTTP library would take the request for lost."""
    if not 1 <= len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable() or key != key.strip():
        raise ValueError(
            f"the Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters, no space at an end"
        )
    return key


def number_text(name: str, number: Decimal) -> str:
    """A number without an exponent, which the service would refuse."""
    if not number.is_finite():
        raise ValueError(f"{name} is {number}, which is no amount")
    if abs(number.adjusted()) > MOST_DIGITS:
        # Written out it would fill the memory.
        raise ValueError(f"{name} has more than {MOST_DIGITS} digits")
    return format(number, "f")


def time_text(name: str, at: datetime) -> str:
    """A time in UTC with milliseconds."""
    if at.tzinfo is None:
        raise ValueError(f"{name} has no time zone: use datetime.now(timezone.utc), or another zone")
    return timestamp(at)


def _duration(name: str, duration: timedelta) -> str:
    if duration <= timedelta(0):
        raise ValueError(f"{name} is not a positive duration")
    return duration_text(duration)


def _field_name(name: str, key: object) -> str:
    if isinstance(key, str):
        return key
    raise TypeError(f"{name} has a {type(key).__name__} as the name of a field")
