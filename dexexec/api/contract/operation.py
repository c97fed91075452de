"""What describes an operation of the OpenAPI document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dexexec.api.contract.answer import Answer
from dexexec.api.query import Parameter

READING = ("too-many-reads", "reads-busy")
"""Problems of requests that wait for their turn to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer that is no problem document: its model (None: any JSON), its meaning and the headers that only it
    has."""

    model: type[Answer] | None = None
    part: type[Answer] | None = None
    """What the parameter `fields` leaves of it."""
    description: str
    headers: tuple[str, ...] = ()
    links: Mapping[str, object] = field(default_factory=dict)
    media_types: tuple[str, ...] = ("application/json",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`problems` are the codes of those that it can give beside `ANY_REQUEST`. `body` is the name of a component."""

    id: str
    tag: str
    summary: str
    description: str = ""
    answers: Mapping[int, Answered]
    parameters: Sequence[Mapping[str, object]] = ()
    query: Sequence[Parameter[Any]] = ()
    body: str = ""
    body_optional: bool = False
    """Whether the body may be left out: an empty one has no wrong field, or the answer describes what is missing."""
    body_examples: Mapping[str, object] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
