"""Reads which orders a client cancels together: from the query of `DELETE /api/orders`, or a message on the WebSocket.

`status` is required, so that no request without parameters cancels anything.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

from dexexec.domain.cancellation import Pair, Selection
from dexexec.domain.token import Tokens, looks_like_mint
from dexexec.errors import FieldProblem, InvalidQueryError
from dexexec.intake.order_fields import SHOWN, unknown_name

PARAMETERS = ("status", "pair", "tag")
TAG = re.compile(r"[A-Za-z0-9._:-]{1,64}")

_PAIR = 'the mints of inputMint and outputMint, or their symbols: "SOL/USDC"'
_STATUS = '"waiting" for orders that rest, or "open" for all orders that have not ended'


class Which(StrEnum):
    """The values of `status`."""

    WAITING = "waiting"
    OPEN = "open"


def read_selection(given: Mapping[str, object], tokens: Tokens) -> Selection:
    """The selection in the parameters. Raises `InvalidQueryError` with every bad one."""
    problems: list[FieldProblem] = []
    for name in given:
        if name not in PARAMETERS and len(problems) < SHOWN:
            problems.append(unknown_name(name, PARAMETERS, "is not a parameter of cancelling orders"))
    which = given.get("status")
    if which not in tuple(Which):
        problems.append(FieldProblem("status", _problem("status", given, "is not a status to cancel"), _STATUS))
    pair = None
    if "pair" in given:
        pair = _read_pair(given, tokens, problems)
    tag = given.get("tag")
    if "tag" in given and not (isinstance(tag, str) and TAG.fullmatch(tag)):
        expected = "1 to 64 letters, digits and . _ : -"
        problems.append(FieldProblem("tag", _problem("tag", given, "is not a tag"), expected))
    if problems:
        raise InvalidQueryError(problems)
    return Selection(all_open=which == Which.OPEN, pair=pair, tag=str(tag) if tag is not None else None)


def query_values(arguments: Mapping[str, list[bytes]]) -> dict[str, object]:
    """The parameters of a query as text. Raises `InvalidQueryError` if one is repeated."""
    repeated = [name for name, values in arguments.items() if len(values) > 1]
    if repeated:
        problems = [
            FieldProblem(ascii(name[:40])[1:-1], "is given more than once", "once") for name in repeated[:SHOWN]
        ]
        raise InvalidQueryError(problems)
    return {name: values[0].decode("utf-8", "replace") for name, values in arguments.items()}


def _read_pair(given: Mapping[str, object], tokens: Tokens, problems: list[FieldProblem]) -> Pair | None:
    value = given["pair"]
    names = value.split("/") if isinstance(value, str) else ()
    if len(names) != 2:
        problems.append(FieldProblem("pair", _problem("pair", given, "is not a pair"), _PAIR))
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


def _problem(name: str, given: Mapping[str, object], otherwise: str) -> str:
    value = given.get(name)
    if name not in given or value is None:
        return "is missing"
    return otherwise if isinstance(value, str) else "is not a string"
