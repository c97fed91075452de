"""What all models of answers have in common: the forms of amounts, times and ids, and the names on the wire.

The models give the JSON Schemas of the answers and do not produce them, which would be slower: the tests check every
answer that they receive against these schemas.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

# Texts, since these numbers can exceed what a JSON number holds exactly in many clients.
BaseUnits = Annotated[str, Field(pattern="^(0|[1-9][0-9]*)$", examples=["10000000"])]
SignedUnits = Annotated[str, Field(pattern="^-?(0|[1-9][0-9]*)$", examples=["-120"])]
Lamports = Annotated[str, Field(pattern="^(0|[1-9][0-9]*)$", examples=["5000"])]
DecimalText = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$", examples=["151.25"])]
# Milliseconds, or microseconds where a sum begins or ends exactly there.
Timestamp = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}(\d{3})?)?Z$",
        examples=["2026-01-31T12:00:00.123Z"],
        json_schema_extra={"format": "date-time"},
    ),
]
OrderId = Annotated[
    str,
    Field(
        pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        examples=["01a20375-9296-7c99-b5c0-eef1ea8717b4"],
        json_schema_extra={"format": "uuid"},
    ),
]
Milliseconds = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Bps = Annotated[int, Field(ge=0)]


EXTENSIBLE: JsonDict = {"x-extensible": True}
"""Of an enumeration: more values may come, and a client must expect one that it has not seen."""


def absent(description: str | None = None) -> Any:
    """A field that is left out where it does not apply. It is only null if its type allows that."""
    return Field(default=None, description=description)


class Answer(BaseModel):
    """Base of all answers: names are camelCase on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, use_attribute_docstrings=True)


def part_of(whole: type[Answer]) -> ConfigDict:
    """The configuration of a model for some fields of another one. With all of its required fields, an answer is the
    whole, and must have the whole's schema."""
    required: list[JsonValue] = [to_camel(name) for name, field in whole.model_fields.items() if field.is_required()]
    return ConfigDict(json_schema_extra={"not": {"required": required}})
