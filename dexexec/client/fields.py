"""Reads the fields of an answer. What has another type than the API promises is a `MalformedAnswerError`."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation

from dexexec.client.errors import MalformedAnswerError

Json = Mapping[str, object]


def text_of(body: Json, name: str) -> str:
    """The text of a field."""
    value = body.get(name)
    if isinstance(value, str):
        return value
    raise MalformedAnswerError(f"{name} is missing, or not a string")


def optional_text(body: Json, name: str) -> str | None:
    """The text of a field; None if it is missing or null."""
    return None if body.get(name) is None else text_of(body, name)


def integer_of(body: Json, name: str) -> int:
    """The integer of a field."""
    value = body.get(name)
    if type(value) is int:  # True would pass as the number 1
        return value
    raise MalformedAnswerError(f"{name} is missing, or not an integer")


def optional_integer(body: Json, name: str) -> int | None:
    """The integer of a field; None if it is missing or null."""
    return None if body.get(name) is None else integer_of(body, name)


def units_of(body: Json, name: str) -> int | None:
    """Base units, which are strings in JSON, since many languages read its numbers as floats."""
    value = decimal_of(body, name)
    # Checked, not rounded: half a base unit cannot exist, so the answer means something else.
    if value is not None and value != value.to_integral_value():
        raise MalformedAnswerError(f"{name} is not a whole number")
    return None if value is None else int(value)


def decimal_of(body: Json, name: str) -> Decimal | None:
    """The exact number of a field, which is a string; None if it is missing or null."""
    text = optional_text(body, name)
    if text is None:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise MalformedAnswerError(f"{name} is not a number") from None
    if value.is_finite() and abs(value.adjusted()) <= 100:  # written out, a larger one would fill the memory
        return value
    raise MalformedAnswerError(f"{name} is out of range")


def time_of(body: Json, name: str) -> datetime:
    """The time of a field."""
    try:
        return datetime.fromisoformat(text_of(body, name))
    except ValueError:
        raise MalformedAnswerError(f"{name} is not a time") from None


def objects_of(body: Json, name: str) -> list[Json]:
    """The objects of a list; none if it is missing."""
    value = body.get(name, [])
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        return value
    raise MalformedAnswerError(f"{name} is not a list of objects")


def optional_time(body: Json, name: str) -> datetime | None:
    """The time of a field; None if it is missing or null."""
    return None if body.get(name) is None else time_of(body, name)


def flag_of(body: Json, name: str) -> bool:
    """The truth value of a field."""
    value = body.get(name)
    if isinstance(value, bool):
        return value
    raise MalformedAnswerError(f"{name} is missing, or neither true nor false")
