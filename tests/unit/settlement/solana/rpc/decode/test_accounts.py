"""Accounts, balances and priority fees in a node's answers become values, and other shapes are no answers."""

from typing import Any

import pytest

from dexexec.domain.solana import Account, Accounts, TokenBalance
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.decode.accounts import read_accounts
from dexexec.settlement.solana.rpc.decode.values import DECODE_ERRORS
from tests.support.raydium_accounts import address

OWNER, MINT, ACCOUNT, OTHER = (address(n) for n in range(1, 5))
TOKENS = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
CONTEXT = {"apiVersion": "2.2.16", "slot": 341_197_933}


def test_accounts_come_with_their_bytes_or_as_missing() -> None:
    one = {
        "data": ["AQID", "base64"],
        "executable": False,
        "lamports": 1_461_600,
        "owner": TOKENS,
        "rentEpoch": 18_446_744_073_709_551_615,
        "space": 3,
    }
    result = {"context": CONTEXT, "value": [None, one]}
    assert read_accounts(result, 2) == Accounts(341_197_933, (None, Account(TOKENS, 1_461_600, b"\1\2\3")))


def token_account(amount: str = "18446744073709551615", **changed: Any) -> dict[str, Any]:
    """One account of `getTokenAccountsByOwner`; `changed` are fields of its info."""
    units = {"amount": amount, "decimals": 6, "uiAmount": 1.0, "uiAmountString": "1"}
    info = {"isNative": False, "mint": MINT, "owner": OWNER, "state": "initialized", "tokenAmount": units} | changed
    data = {"program": "spl-token", "parsed": {"info": info, "type": "account"}, "space": 165}
    return {"pubkey": ACCOUNT, "account": {"data": data, "lamports": 2_039_280, "owner": TOKENS, "rentEpoch": 0}}


def read(*accounts: Any) -> list[TokenBalance]:
    return methods.token_balances(OWNER, TOKENS).decode({"context": CONTEXT, "value": list(accounts)})


def test_a_holding_is_returned_in_base_units_with_the_decimals() -> None:
    assert read(token_account(), token_account("0")) == [
        TokenBalance(ACCOUNT, MINT, 2**64 - 1, 6),
        TokenBalance(ACCOUNT, MINT, 0, 6),
    ]
    assert read() == []


def test_a_token_account_that_the_node_cannot_parse_is_left_out() -> None:
    unparsed = token_account()
    unparsed["account"]["data"] = ["AQID", "base64"]
    assert read(unparsed, token_account("7")) == [TokenBalance(ACCOUNT, MINT, 7, 6)]


@pytest.mark.parametrize(
    "wrong",
    [
        token_account("-1"),
        token_account("1.5"),
        token_account(""),
        token_account(owner=OTHER),
        token_account(mint="no address"),
        token_account(tokenAmount=None),
        token_account() | {"pubkey": MINT[:-3]},
        token_account() | {"account": token_account()["account"] | {"owner": OTHER}},
        {"pubkey": ACCOUNT},
        None,
    ],
)
def test_a_balance_in_another_shape_or_of_another_owner_is_refused(wrong: Any) -> None:
    with pytest.raises(DECODE_ERRORS):
        read(token_account(), wrong)


def test_priority_fees_are_sorted_by_slot_for_any_order_of_the_node() -> None:
    fees = [{"slot": slot, "prioritizationFee": fee} for slot, fee in ((9, 3), (7, 1), (8, 10_000))]
    call = methods.recent_priority_fees([OWNER, MINT])
    assert (call.method, call.params) == ("getRecentPrioritizationFees", [[OWNER, MINT]])
    assert call.decode(fees) == [1, 10_000, 3]
    assert call.decode([]) == []


@pytest.mark.parametrize(
    "result",
    [
        None,
        {"context": CONTEXT, "value": []},
        7,
        [7],
        [{"slot": 1}],
        [{"slot": 1, "prioritizationFee": -1}],
        [{"prioritizationFee": 1}],
    ],
)
def test_priority_fees_in_another_shape_are_refused(result: Any) -> None:
    with pytest.raises(DECODE_ERRORS):
        methods.recent_priority_fees([]).decode(result)


def test_priority_fees_are_returned_for_128_accounts_at_once() -> None:
    assert methods.recent_priority_fees([OWNER] * 128).params == [[OWNER] * 128]
    with pytest.raises(ValueError, match="128"):
        methods.recent_priority_fees([OWNER] * 129)
