"""The parameters of a query. Each is defined once: it parses a text by its rule, and gives the same rule as a JSON
Schema, of which the OpenAPI document is made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from dexexec.errors import FieldProblem, InvalidQueryError
from dexexec.intake.field_types import Schema
from dexexec.intake.order_fields import SHOWN, unknown_name

T = TypeVar("T")


class BadValueError(Exception):
    """The text of a parameter is invalid: `problem` names the error, `expected` what would be right, if that is not
    what the parameter expects of any text."""

    def __init__(self, problem: str, expected: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.expected = expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(Generic[T]):
    """A parameter. `parse` raises `BadValueError`. The rule of a list, which is separated by commas, is an array. A
    rule that is costly to make is a function."""

    name: str
    description: str
    rule: Schema | Callable[[], Schema]
    parse: Callable[[str], T]
    expected: str = ""
    required: bool = False

    @property
    def schema(self) -> Schema:
        """The rule as JSON Schema."""
        return self.rule() if callable(self.rule) else self.rule

    def described(self) -> dict[str, object]:
        """The parameter object of OpenAPI."""
        # Without it a list would be written as a repeated parameter, which is refused.
        rule = self.schema
        listed = {"style": "form", "explode": False} if rule.get("type") == "array" else {}
        return {
            "name": self.name,
            "in": "query",
            "description": self.description,
            "required": self.required,
            "schema": rule,
            **listed,
        }


class Query:
    """The parameters of one request, parsed in their order. `problems` has every bad one; `stray` is that of a
    parameter that does not exist."""

    def __init__(
        self, arguments: Mapping[str, Sequence[bytes]], parameters: Sequence[Parameter[Any]], stray: str
    ) -> None:
        self.problems: list[FieldProblem] = []
        self._values: dict[str, object] = {}
        by_name = {parameter.name: parameter for parameter in parameters}
        for name, values in arguments.items():
            # A query of 8 KiB has room for thousands of names.
            if len(self.problems) == SHOWN:
                break
            if name not in by_name:
                self.problems.append(unknown_name(name, list(by_name), stray))
            elif len(values) > 1:
                self.problems.append(FieldProblem(name, "is given more than once", "each parameter once"))
            else:
                self._parse(by_name[name], values[0].decode("utf-8", "replace"))

    def get(self, parameter: Parameter[T], default: T) -> T:
        """The value of a parameter; the default if it is missing or invalid."""
        return cast(T, self._values.get(parameter.name, default))

    def values(self) -> dict[str, object]:
        """The values of all valid parameters."""
        return dict(self._values)

    def check(self) -> None:
        """Raises `InvalidQueryError` with every bad parameter."""
        if self.problems:
            raise InvalidQueryError(self.problems)

    def _parse(self, parameter: Parameter[Any], text: str) -> None:
        try:
            self._values[parameter.name] = parameter.parse(text)
        except BadValueError as error:
            self.problems.append(problem_of(parameter, error))


def problem_of(parameter: Parameter[Any], error: BadValueError) -> FieldProblem:
    """The problem of a parameter with an invalid text."""
    return FieldProblem(parameter.name, error.problem, error.expected or parameter.expected)


def choice(choices: Mapping[str, T], problem: str) -> Callable[[str], T]:
    """A parser of one of a few texts."""

    def parse(text: str) -> T:
        if text not in choices:
            raise BadValueError(problem)
        return choices[text]

    return parse
