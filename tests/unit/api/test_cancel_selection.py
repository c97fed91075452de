"""Which orders a client cancels together: every bad parameter is named, and nothing is selected by accident."""

import pytest

from dexexec.api.cancel_selection import query_values, read_selection
from dexexec.domain.cancellation import Pair, Selection
from dexexec.domain.token import KNOWN, USDC, WSOL, Token, Tokens
from dexexec.errors import InvalidQueryError

OTHER = "9" * 43
TOKENS = Tokens([*KNOWN, Token("A" * 43, "TWIN", 6), Token("B" * 43, "twin", 6)])


@pytest.mark.parametrize(
    ("given", "selection"),
    [
        ({"status": "waiting"}, Selection()),
        ({"status": "open"}, Selection(all_open=True)),
        ({"status": "waiting", "pair": f"{WSOL}/{USDC}"}, Selection(pair=Pair(WSOL, USDC))),
        ({"status": "waiting", "pair": "sol/USDC"}, Selection(pair=Pair(WSOL, USDC))),
        ({"status": "waiting", "pair": f"USDC/{OTHER}"}, Selection(pair=Pair(USDC, OTHER))),
        ({"status": "open", "tag": "grid.1:a-b_c"}, Selection(all_open=True, tag="grid.1:a-b_c")),
    ],
)
def test_a_selection_is_read(given: dict[str, object], selection: Selection) -> None:
    assert read_selection(given, TOKENS) == selection


@pytest.mark.parametrize(
    ("given", "field", "problem"),
    [
        ({}, "status", "is missing"),
        ({"status": None}, "status", "is missing"),
        ({"status": "confirmed"}, "status", "is not a status to cancel"),
        ({"status": "WAITING"}, "status", "is not a status to cancel"),
        ({"status": ["waiting"]}, "status", "is not a string"),
        ({"status": "waiting", "pair": "SOL"}, "pair", "is not a pair"),
        ({"status": "waiting", "pair": ""}, "pair", "is not a pair"),
        ({"status": "waiting", "pair": 7}, "pair", "is not a string"),
        ({"status": "waiting", "pair": "SOL/USDC/SOL"}, "pair", "is not a pair"),
        ({"status": "waiting", "pair": "SOL/JUP"}, "pair", "has a token that is not known: JUP"),
        ({"status": "waiting", "pair": "SOL/"}, "pair", "has a token that is not known: "),
        ({"status": "waiting", "pair": f"SOL/{WSOL}"}, "pair", "has the same token twice"),
        ({"status": "waiting", "pair": "SOL/TWIN"}, "pair", "has the symbol of 2 tokens: TWIN"),
        ({"status": "waiting", "tag": ""}, "tag", "is not a tag"),
        ({"status": "waiting", "tag": "a" * 65}, "tag", "is not a tag"),
        ({"status": "waiting", "tag": True}, "tag", "is not a string"),
        ({"status": "waiting", "pairs": "SOL/USDC"}, "pairs", "is not a parameter of cancelling orders"),
    ],
)
def test_a_bad_parameter_is_named(given: dict[str, object], field: str, problem: str) -> None:
    with pytest.raises(InvalidQueryError) as caught:
        read_selection(given, TOKENS)
    [found] = caught.value.fields
    assert (found.field, found.problem) == (field, problem)
    assert found.expected


def test_every_bad_parameter_is_named_at_once() -> None:
    with pytest.raises(InvalidQueryError) as caught:
        read_selection({"state": "waiting", "pair": "x", "tag": " "}, TOKENS)
    assert [found.field for found in caught.value.fields] == ["state", "status", "pair", "tag"]


def test_a_repeated_parameter_is_refused() -> None:
    with pytest.raises(InvalidQueryError, match="pair: is given more than once"):
        query_values({"status": [b"waiting"], "pair": [b"SOL/USDC", b"USDC/SOL"]})
    assert query_values({"status": [b"open"], "tag": [b"\xff"]}) == {"status": "open", "tag": "\ufffd"}
