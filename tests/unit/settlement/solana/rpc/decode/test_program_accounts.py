"""A program's accounts are requested by size and bytes, and an answer with other accounts is invalid."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.solana import Account, AccountFilters, ProgramAccounts
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.decode.values import DECODE_ERRORS
from tests.support.raydium_accounts import address

PROGRAM, AT, OTHER = address(1), address(2), address(3)
FILTERS = AccountFilters(4, ((0, b"\1"), (2, b"\3\4")))
SEARCH = methods.program_accounts(PROGRAM, FILTERS)
RIGHT = {"data": ["AQIDBA==", "base64"], "executable": False, "lamports": 5, "owner": PROGRAM, "rentEpoch": 0}


def answer(*accounts: Any) -> dict[str, Any]:
    return {"context": {"slot": 77}, "value": list(accounts)}


def test_a_search_is_at_confirmed_and_with_the_slot() -> None:
    assert SEARCH.method == "getProgramAccounts"
    assert SEARCH.params == [
        PROGRAM,
        {
            "encoding": "base64",
            "withContext": True,
            "filters": [
                {"dataSize": 4},
                {"memcmp": {"offset": 0, "bytes": "2"}},
                {"memcmp": {"offset": 2, "bytes": "EK"}},
            ],
            "commitment": "confirmed",
        },
    ]


def test_accounts_come_by_address_with_the_slot() -> None:
    accounts = SEARCH.decode(answer({"pubkey": AT, "account": RIGHT}, {"pubkey": OTHER, "account": RIGHT}))
    account = Account(PROGRAM, 5, b"\1\2\3\4")
    assert accounts == ProgramAccounts(77, {AT: account, OTHER: account})
    assert SEARCH.decode(answer()) == ProgramAccounts(77, {})


@pytest.mark.parametrize(
    "result",
    [
        [{"pubkey": AT, "account": RIGHT}],  # a node that knows no context
        answer({"pubkey": "no address", "account": RIGHT}),
        answer({"pubkey": AT[:-3], "account": RIGHT}),
        answer({"pubkey": AT, "account": RIGHT | {"owner": OTHER}}),
        answer({"pubkey": AT, "account": RIGHT | {"data": ["AQIDBAA=", "base64"]}}),  # five bytes
        answer({"pubkey": AT, "account": RIGHT | {"data": ["AQIDBQ==", "base64"]}}),  # another last byte
        answer({"pubkey": AT, "account": RIGHT | {"data": ["AQIDBA==", "base58"]}}),
        answer({"pubkey": AT}),
        answer(None),
        {"value": []},
        None,
    ],
)
def test_an_answer_with_other_accounts_is_refused(result: Any) -> None:
    with pytest.raises(DECODE_ERRORS):
        SEARCH.decode(result)


@given(data=st.binary(max_size=12), size=st.integers(0, 12), offset=st.integers(0, 14), wanted=st.binary(max_size=4))
def test_filters_suit_what_a_node_would_give(data: bytes, size: int, offset: int, wanted: bytes) -> None:
    suits = AccountFilters(size, ((offset, wanted),)).suits(Account(PROGRAM, 1, data))
    assert suits == (len(data) == size and (not wanted or data.find(wanted, offset, offset + len(wanted)) == offset))
