"""The types of fields in a JSON body. Each field is defined once: it reads a value by its rule, and gives the same rule
as a JSON Schema, of which the OpenAPI document is made.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

from dexexec.domain.amount import MAX_CHARACTERS, AmountError, JsonNumber, expected_amount, read_amount
from dexexec.domain.duration import read_duration
from dexexec.domain.share import read_share
from dexexec.domain.token import Token
from dexexec.intake.order_fields import OrderFields

T = TypeVar("T")
Schema = dict[str, object]

# Patterns of what the parsers of the domain accept, written so that JSON Schema's and Python's expressions agree:
# no lookahead, no \d (which is Unicode in Python), and both ends anchored.
DECIMAL = r"^([1-9][0-9]*(\.[0-9]+)?|0\.[0-9]*[1-9][0-9]*)$"
"""A positive plain decimal number, as `dexexec.domain.amount` reads it."""
NUMBERS: Schema = {"minimum": 1e-40, "exclusiveMaximum": 1e41}
"""The same bounds for a JSON number: `dexexec.domain.amount` reads no digits further from the dot."""
SHARE = r"^(all|100(\.0{1,2})?%|[1-9][0-9]?(\.[0-9]{1,2})?%|0\.([1-9][0-9]?|0[1-9])%)$"
"""A share of the balance, as `dexexec.domain.share` reads it."""
_SECONDS = r"[0-9]{1,9}(\.[0-9]{1,6})?S"
_MINUTES = f"[0-9]{{1,8}}M({_SECONDS})?"
_CLOCK = f"T([0-9]{{1,7}}H({_MINUTES}|{_SECONDS})?|{_MINUTES}|{_SECONDS})"
DURATION = f"^P([0-9]{{1,5}}W|[0-9]{{1,5}}D({_CLOCK})?|{_CLOCK})$"
"""A duration, as `dexexec.domain.duration` reads it."""
TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})$"
"""A time with its zone: RFC 3339, where the seconds may be left out."""
BASE58_KEY = "^[1-9A-HJ-NP-Za-km-z]{32,44}$"

_INTEGER = re.compile(r"-?[0-9]{1,9}")


class Amount(NamedTuple):
    """The amount as it was sent, and the same in base units of its token. Both are 0 if it is a share of the balance,
    which is then in `share_bps`."""

    value: Decimal
    base_units: int
    share_bps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a body. `description` is for the reader of the schema, `example` a value that is accepted."""

    name: str
    description: str
    example: object = None

    def rule(self) -> Schema:
        """The JSON Schema of a value, without its description."""
        raise NotImplementedError

    def schema(self) -> Schema:
        """The JSON Schema of the field."""
        examples = {} if self.example is None else {"examples": [self.example]}
        return {**self.rule(), "description": self.description, **examples}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Field, Generic[T]):
    """One of a few texts. `expected` is for the error of an unknown one."""

    noun: str
    choices: Mapping[str, T]
    expected: str

    def rule(self) -> Schema:
        """An enumeration."""
        return {"type": "string", "enum": list(self.choices)}

    def read(self, fields: OrderFields, default: T | None = None) -> T | None:
        """The value of the choice. Without a default the field is required."""
        return choose(fields, self, self.choices, self.expected, default)


@dataclass(frozen=True, slots=True, kw_only=True)
class MintField(Field):
    """The mint of a token. `noun` is for the error of an unknown one; which are known depends on the settings."""

    noun: str = "mint"

    def rule(self) -> Schema:
        """An address in base58."""
        # No list of the configured ones: the schema is the same in every installation.
        return {"type": "string", "format": "mint", "pattern": BASE58_KEY}

    def read(
        self, fields: OrderFields, tokens: Mapping[str, Token], expected: str, default: Token | None
    ) -> Token | None:
        """The configured token with this mint."""
        return choose(fields, self, tokens, expected, default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer(Field):
    """An integer from `least` to `most`."""

    least: int
    most: int

    def rule(self) -> Schema:
        """An integer with its bounds."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    @property
    def expected(self) -> str:
        """What is right, for errors."""
        return f"an integer from {self.least} to {self.most}"

    def read(self, fields: OrderFields, default: int) -> int:
        """The integer in the field; the default if it is missing or invalid."""
        if self.name not in fields.given:
            return default
        value = fields.given[self.name]
        if isinstance(value, JsonNumber) and _INTEGER.fullmatch(value) and self.least <= int(value) <= self.most:
            return int(value)
        problem = fields.kind(self.name)
        if isinstance(value, JsonNumber):
            problem = "is out of range" if value.lstrip("-").isdecimal() else "is not an integer"
        fields.wrong(self.name, problem, self.expected)
        return default

    def optional(self, fields: OrderFields) -> int | None:
        """The integer in the field; None if it is missing."""
        return self.read(fields, self.least) if self.name in fields.given else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecimalField(Field):
    """A positive decimal number, such as a price: a text, or a JSON number that is read exactly."""

    def rule(self) -> Schema:
        """A text or a number."""
        return {
            "anyOf": [
                {"type": "string", "format": "decimal", "pattern": DECIMAL, "maxLength": MAX_CHARACTERS},
                {"type": "number", **NUMBERS},
            ]
        }

    def read(self, fields: OrderFields) -> Decimal | None:
        """The number in the field; None if it is missing or invalid."""
        if self.name not in fields.given:
            return None
        value = fields.given[self.name]
        try:
            if isinstance(value, str):
                return read_amount(value, None)[0]
            raise AmountError(fields.kind(self.name), expected_amount(None))
        except AmountError as error:
            fields.wrong(self.name, error.problem, error.expected)
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountField(Field):
    """An amount of a token, or a share of the wallet's balance."""

    def rule(self) -> Schema:
        """A decimal, `all` or a percentage."""
        return {
            "anyOf": [
                {"type": "string", "format": "amount", "pattern": DECIMAL, "maxLength": MAX_CHARACTERS},
                # Read from its literal text, so that 0.1 is exactly that.
                {"type": "number", **NUMBERS},
                {"type": "string", "format": "share", "pattern": SHARE},
            ]
        }

    def read(self, fields: OrderFields, token: Token | None) -> Amount | None:
        """The amount and its base units; its token may be unknown because of another invalid field."""
        value = fields.given.get(self.name)
        try:
            if isinstance(value, str):
                share_bps = read_share(value)
                return Amount(*read_amount(value, token)) if share_bps is None else Amount(Decimal(0), 0, share_bps)
            raise AmountError(fields.kind(self.name), expected_amount(token))
        except AmountError as error:
            fields.wrong(self.name, error.problem, error.expected)
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag(Field):
    """True or false; false if it is missing."""

    def rule(self) -> Schema:
        """A boolean."""
        return {"type": "boolean", "default": False}

    def read(self, fields: OrderFields) -> bool:
        """The boolean in the field; False if it is missing or invalid."""
        value = fields.given.get(self.name, False)
        if isinstance(value, bool):
            return value
        fields.wrong(self.name, fields.kind(self.name), "true or false")
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Field):
    """A text that fully matches `pattern`."""

    pattern: str
    expected: str

    def rule(self) -> Schema:
        """A pattern."""
        return {"type": "string", "pattern": f"^{self.pattern}$"}

    def read(self, fields: OrderFields) -> str | None:
        """The text in the field; None if it is missing or invalid."""
        if self.name not in fields.given:
            return None
        value = fields.given[self.name]
        # Not `isinstance`: the text of a number is a subclass of str here.
        if type(value) is str and re.fullmatch(self.pattern, value):
            return value
        problem = "is empty" if value == "" else "has another form" if type(value) is str else fields.kind(self.name)
        fields.wrong(self.name, problem, self.expected)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Time(Field):
    """A time in RFC 3339 with its zone."""

    def rule(self) -> Schema:
        """A date-time."""
        return {"type": "string", "format": "date-time", "pattern": TIME}

    def read(self, fields: OrderFields, expected: str) -> datetime | None:
        """The time in the field, in UTC; None if it is missing or invalid."""
        if self.name not in fields.given:
            return None
        value = fields.given[self.name]
        if type(value) is not str:
            fields.wrong(self.name, fields.kind(self.name), expected)
            return None
        try:
            at = datetime.fromisoformat(value).astimezone(UTC) if re.fullmatch(TIME, value) else None
        except (ValueError, OverflowError):
            at = None
        if at is None:
            fields.wrong(self.name, "is not a time with a zone (RFC 3339)", expected)
        return at


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration(Field):
    """An ISO 8601 duration of weeks, days or less. The field is required."""

    def rule(self) -> Schema:
        """The form of a duration."""
        return {"type": "string", "format": "duration", "pattern": DURATION}

    def read(self, fields: OrderFields, expected: str) -> timedelta | None:
        """The duration in the field; None if it is missing or invalid."""
        value = fields.given.get(self.name)
        if type(value) is not str:
            fields.wrong(self.name, fields.kind(self.name), expected)
            return None
        duration = read_duration(value)
        if duration is None:
            fields.wrong(self.name, "is not an ISO 8601 duration of weeks, days or less", expected)
        return duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested(Field):
    """A field whose value has rules of its own; `of` gives their schema."""

    of: Callable[[], Schema]

    def rule(self) -> Schema:
        """The schema of the value."""
        return self.of()


def object_schema(*fields: Field, required: tuple[str, ...] = ()) -> Schema:
    """The schema of an object with these fields and no others."""
    needed = {"required": list(required)} if required else {}
    return {
        "type": "object",
        "properties": {field.name: field.schema() for field in fields},
        **needed,
        "additionalProperties": False,
    }


def nullable(schema: Schema) -> Schema:
    """The schema of a field that `null` takes away."""
    about = {"description", "examples"}
    rule = {name: value for name, value in schema.items() if name not in about}
    return {"anyOf": [rule, {"type": "null"}], **{name: schema[name] for name in schema if name in about}}


def choose(
    fields: OrderFields, field: "Choice[T] | MintField", choices: Mapping[str, T], expected: str, default: T | None
) -> T | None:
    """The value of `choices` for the field. Without a default the field is required."""
    if default is not None and field.name not in fields.given:
        return default
    value = fields.given.get(field.name)
    # Not `isinstance`: numbers and constants are subclasses of str here.
    choice = choices.get(value) if type(value) is str else None
    if choice is None:
        problem = f"is not a known {field.noun}" if type(value) is str else fields.kind(field.name)
        fields.wrong(field.name, problem, expected)
    return choice
