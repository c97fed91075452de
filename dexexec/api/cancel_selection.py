"""Reads which orders a client cancels together: from the query of `DELETE /api/orders`, or a message on the WebSocket.

`status` is required, so that no request without parameters cancels anything.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from dexexec.api.query import BadValueError, Parameter, choice, problem_of
from dexexec.domain.cancellation import Pair, Selection
from dexexec.domain.token import Tokens, looks_like_mint
from dexexec.errors import FieldProblem, InvalidQueryError
from dexexec.intake.order_fields import SHOWN, shown, unknown_name
from dexexec.intake.order_terms import TAG as TAG_FIELD

T = TypeVar("T")

_PAIR = 'the mints of inputMint and outputMint, or their symbols: "SOL/USDC"'
_STATUS = '"waiting" for orders that rest, or "open" for all orders that have not ended'


class Which(StrEnum):
    """The values of `status`."""

    WAITING = "waiting"
    OPEN = "open"


def _parse_pair(text: str) -> list[str]:
    names = text.split("/")
    if len(names) != 2:
        raise BadValueError("is not a pair")
    return names


def _parse_tag(text: str) -> str:
    if not re.fullmatch(TAG_FIELD.pattern, text):
        raise BadValueError("is not a tag")
    return text


STATUS: Parameter[Which | None] = Parameter(
    name="status",
    description="`waiting`: orders that rest, or were triggered and are tried now. `open`: these, and all other orders"
    " that have not ended.",
    rule={"type": "string", "enum": [which.value for which in Which]},
    parse=choice({which.value: which for which in Which}, "is not a status to cancel"),
    expected=_STATUS,
    required=True,
)
PAIR: Parameter[list[str] | None] = Parameter(
    name="pair",
    description="Only orders with this inputMint and outputMint, as mints or as symbols of configured tokens.",
    rule={"type": "string", "format": "pair", "pattern": "^[^/]+/[^/]+$", "examples": ["SOL/USDC"]},
    expected=_PAIR,
    parse=_parse_pair,
)
TAG: Parameter[str | None] = Parameter(
    name="tag",
    description="Only orders with this tag.",
    rule=TAG_FIELD.rule(),
    expected=TAG_FIELD.expected,
    parse=_parse_tag,
)
PARAMETERS: tuple[Parameter[Any], ...] = (STATUS, PAIR, TAG)


def read_selection(given: Mapping[str, object], tokens: Tokens) -> Selection:
    """The selection in the parameters. Raises `InvalidQueryError` with every bad one."""
    problems: list[FieldProblem] = []
    names = [parameter.name for parameter in PARAMETERS]
    for name in given:
        if name not in names and len(problems) < SHOWN:
            problems.append(unknown_name(name, names, "is not a parameter of cancelling orders"))
    which = _read(STATUS, given, problems)
    pair = known_pair(_read(PAIR, given, problems), tokens, problems)
    tag = _read(TAG, given, problems)
    if problems:
        raise InvalidQueryError(problems)
    return Selection(all_open=which == Which.OPEN, pair=pair, tag=tag)


def query_values(arguments: Mapping[str, list[bytes]]) -> dict[str, object]:
    """The parameters of a query as text. Raises `InvalidQueryError` if one is repeated."""
    repeated = [name for name, values in arguments.items() if len(values) > 1]
    if repeated:
        problems = [FieldProblem(shown(name), "is given more than once", "once") for name in repeated[:SHOWN]]
        raise InvalidQueryError(problems)
    return {name: values[0].decode("utf-8", "replace") for name, values in arguments.items()}


def _read(parameter: Parameter[T], given: Mapping[str, object], problems: list[FieldProblem]) -> T | None:
    """The value of a parameter; None if it is missing or invalid."""
    value = given.get(parameter.name)
    if parameter.name not in given and not parameter.required:
        return None
    try:
        if isinstance(value, str):
            return parameter.parse(value)
        raise BadValueError("is missing" if value is None else "is not a string")
    except BadValueError as error:
        problems.append(problem_of(parameter, error))
        return None


def known_pair(names: Sequence[str] | None, tokens: Tokens, problems: list[FieldProblem]) -> Pair | None:
    """The pair of two mints or symbols; None, with a problem, if one of them is not known."""
    if names is None:
        return None
    mints = []
    for name in names:
        found = _mints(name, tokens)
        if len(found) == 1:
            mints += found
            continue
        problem = f"has the symbol of {len(found)} tokens" if found else "has a token that is not known"
        problems.append(FieldProblem("pair", f"{problem}: {ascii(name[:44])[1:-1]}", _PAIR))
        return None
    if mints[0] == mints[1]:
        problems.append(FieldProblem("pair", "has the same token twice", _PAIR))
        return None
    return Pair(mints[0], mints[1])


def _mints(name: str, tokens: Tokens) -> list[str]:
    """The mints of a symbol, or the mint itself. It need not be configured: its orders may be older than the
    settings."""
    if looks_like_mint(name):
        return [name]
    return [token.mint for token in tokens if token.symbol.casefold() == name.casefold()]
