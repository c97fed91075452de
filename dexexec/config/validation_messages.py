"""Error messages for invalid settings, in words of the setting instead of pydantic's.

The value is repeated only if a number, a choice or a boolean is expected and the value is a number, a number with a
unit or a short word. Anything else may be a secret in the wrong variable.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError
from pydantic.fields import FieldInfo

CLOSE = 0.7
"""The similarity from which one name counts as a typo of another: `slipage` and `slippage`, not `orca` and
`meteora`."""
_PLAIN = re.compile(r"[+-]?[0-9][0-9_.,]{0,15}[A-Za-z%]{0,3}|[A-Za-z]{1,12}")
_NUMBERS = {int: "a whole number", float: "a number"}


def explain_all(error: ValidationError, fields: Mapping[str, tuple[str, FieldInfo]], environ: Mapping[str, str]) -> str:
    """One line for all errors of pydantic; `fields` has the variable and the field by pydantic's name."""
    sentences = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        place = str(problem["loc"][0]) if problem["loc"] else ""
        name, field = fields.get(place, (place, None))
        sentences.append(explain(name, field, problem["msg"], environ.get(name)))
    return "; ".join(sentences)


def explain(name: str, field: FieldInfo | None, message: str, value: str | None) -> str:
    """One line for people: the variable `name`, the expected value, and `value` unless it may be a secret. `message` is
    pydantic's, for fields with their own validators."""
    right = _expected(field) if field else ""
    # "Value error" marks a message of our own validators, which is already in terms of the setting.
    if not right or "Value error, " in message:
        return f"{name}: {message}".removeprefix(": ").replace("Value error, ", "")
    given = f", not {value!r}" if value is not None and _PLAIN.fullmatch(value) else ""
    return f"{name} must be {right}{given}"


def nearest(name: str, known: Iterable[str], *, prefix: str = "") -> str | None:
    """The known name that was probably meant, if one is similar. The common prefix does not count."""
    by_suffix = {candidate.removeprefix(prefix): candidate for candidate in known}
    near = difflib.get_close_matches(name.removeprefix(prefix), by_suffix, n=1, cutoff=CLOSE)
    return by_suffix[near[0]] if near else None


def _expected(field: FieldInfo) -> str:
    kind = _plain_type(field.annotation)
    bounds = list(field.metadata)
    if get_origin(kind) is tuple:  # a tuple of numbers
        inner = get_args(kind)[0]
        if get_origin(inner) is Annotated:
            inner, info = get_args(inner)[:2]
            bounds += getattr(info, "metadata", [])
        return f"{_NUMBERS[inner]}{_range(bounds)}, or several by comma" if inner in _NUMBERS else ""
    if kind is bool:
        return "true or false"
    if get_origin(kind) is Literal:
        *others, last = (str(choice) for choice in get_args(kind) if choice != "")
        return f"{', '.join(others)} or {last}" if others else last
    return f"{_NUMBERS[kind]}{_range(bounds)}" if kind in _NUMBERS else ""


def _plain_type(annotation: Any) -> Any:
    """The type without None, which means that a setting is unset."""
    if get_origin(annotation) in {Union, UnionType}:
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def _range(bounds: list[Any]) -> str:
    least = next((bound.ge for bound in bounds if isinstance(bound, Ge)), None)
    above = next((bound.gt for bound in bounds if isinstance(bound, Gt)), None)
    most = next((bound.le for bound in bounds if isinstance(bound, Le)), None)
    below = next((bound.lt for bound in bounds if isinstance(bound, Lt)), None)
    if least is not None and most is not None:
        return f" from {least} to {most}"
    words = [(" of {} or more", least), (" above {}", above), (" up to {}", most), (" below {}", below)]
    return "".join(word.format(bound) for word, bound in words if bound is not None)
