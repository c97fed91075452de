"""Amounts that are a share of the balance, and `closeAccount`, in the body of an order."""

import json
from decimal import Decimal

import pytest

from dexexec.domain.terms import OrderType, Terms, TimeInForce, TriggerWhen
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import FieldProblem, InvalidOrderError
from dexexec.intake.order_body import BodyReader
from tests.unit.intake.test_order_body import BONK, ID, SETTINGS, AtAFixedTime, read_fields, refusal

FIXED = 'a number of tokens such as "0.01"'
SHARE = '"all", or a percentage above 0 and up to 100 with at most two decimals, such as "50%"'


def problems(**fields: object) -> list[FieldProblem]:
    """What is wrong with the order that sells all USDC with these fields."""
    error = refusal(json.dumps({"side": "sell", "amount": "all"} | fields))
    assert isinstance(error, InvalidOrderError)
    return list(error.fields)


def test_all_and_percentages_are_shares_of_the_balance() -> None:
    for text, share_bps in (("all", 10_000), ("100%", 10_000), ("50%", 5_000), ("0.01%", 1)):
        order = read_fields(side="sell", amount=text)
        assert order.terms == Terms(share_bps=share_bps)
        assert (order.amount, order.type, order.bound) == (Decimal(0), OrderType.MARKET, None)
        assert not order.rests


def test_one_token_stands_for_the_amount_until_the_balance_is_read() -> None:
    assert read_fields(side="sell", amount="all").amount_base == 10**6
    assert read_fields(side="buy", amount="all").amount_base == 10**9
    assert read_fields(side="sell", amount="all", outputMint=BONK).amount_base == 10**5


def test_close_account_is_a_term_of_any_amount() -> None:
    assert read_fields(side="sell", amount="all", closeAccount=True).terms == Terms(
        share_bps=10_000, close_account=True
    )
    assert read_fields(side="sell", amount="1.5", closeAccount=True).terms == Terms(close_account=True)
    assert read_fields(side="sell", amount="1.5", closeAccount=False).terms is None


def test_limits_and_stops_take_a_share() -> None:
    order = read_fields(side="sell", amount="all", type="limit", limitPrice="151.25", closeAccount=True)
    assert order.terms == Terms(
        time_in_force=TimeInForce.GTC, limit_price=Decimal("151.25"), share_bps=10_000, close_account=True
    )
    # The bound is computed from the price once there is an amount, and no slippage may take its place.
    assert (order.bound, order.bound_open, order.rests) == (None, False, True)
    stop = read_fields(side="buy", amount="50%", triggerPrice="120", triggerWhen="below")
    assert stop.terms == Terms(trigger_price=Decimal(120), trigger_when=TriggerWhen.BELOW, share_bps=5_000)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"mode": "exactOut"}, [("amount", "exactOut leaves open")]),
        ({"minOut": "1"}, [("minOut", "does not fit a share of the balance")]),
        ({"maxIn": "1"}, [("maxIn", "does not fit the mode exactIn")]),
        ({"mode": "exactOut", "minOut": "1"}, [("amount", "exactOut"), ("minOut", "does not fit the mode exactOut")]),
        ({"type": "recurring", "slices": 3, "every": "PT5M"}, [("amount", "does not fit the type recurring")]),
        ({"limitPrice": "1"}, [("limitPrice", "does not fit a market order for a share")]),
        ({"amount": "0%"}, [("amount", "is zero")]),
        ({"amount": "100.01%"}, [("amount", "is more than 100%")]),
        ({"amount": "ALL"}, [("amount", "is not a valid share of the balance")]),
        ({"amount": "33.333%"}, [("amount", "is not a valid share of the balance")]),
        ({"closeAccount": "true"}, [("closeAccount", "is a string")]),
        ({"closeAccount": None}, [("closeAccount", "is null")]),
        ({"closeAccount": 1}, [("closeAccount", "is a number")]),
        ({"side": "buy", "closeAccount": True}, [("closeAccount", "spends SOL, which is in the wallet itself")]),
        ({"amount": "50%", "closeAccount": True}, [("closeAccount", "does not fit 50% of the balance")]),
        ({"amount": "1", "mode": "exactOut", "closeAccount": True}, [("closeAccount", "does not fit exactOut")]),
        ({"side": "hold", "minOut": "x", "closeAccount": 7}, [("side", ""), ("minOut", ""), ("closeAccount", "")]),
    ],
)
def test_what_does_not_fit_is_named(fields: dict[str, object], expected: list[tuple[str, str]]) -> None:
    found = problems(**fields)
    for name, part in expected:
        assert any(one.field == name and part in one.problem and one.expected for one in found), found
    assert sorted(one.field for one in found) == sorted(name for name, _ in expected)


def test_an_almost_right_share_is_answered_with_the_right_one() -> None:
    assert problems(amount="50 %") == [FieldProblem("amount", "is not a valid share of the balance", SHARE)]


def test_where_wallets_have_no_balances_that_is_the_answer() -> None:
    reader = BodyReader(SETTINGS, AtAFixedTime(), no_balances="the simulated chain has no balances")

    def refused(**fields: object) -> list[FieldProblem]:
        with pytest.raises(InvalidOrderError) as caught:
            reader.read(json.dumps({"side": "sell", "amount": "1"} | fields).encode(), ID, "10.0.0.1", None)
        return list(caught.value.fields)

    problem = "is a share of the balance, and the simulated chain has no balances"
    assert refused(amount="all") == [FieldProblem("amount", problem, FIXED)]
    assert refused(closeAccount=True) == [
        FieldProblem("closeAccount", "is not possible: the simulated chain has no balances", "no closeAccount")
    ]


def test_a_repeated_key_compares_shares_by_value() -> None:
    def digest(**fields: object) -> bytes:
        return read_fields("key", side="sell", **fields).body_hash

    assert digest(amount="50%") == digest(amount="50.00%") == digest(amount="50.0%")
    assert digest(amount="all") == digest(amount="100%")
    others = [digest(amount=text) for text in ("all", "50%", "50", "50.01%")]
    assert len({*others, digest(amount="all", closeAccount=True)}) == 5
    limit = {"type": "limit", "amount": "all"}
    assert digest(**limit, limitPrice="151.25") == digest(**limit, limitPrice="151.250")


def test_both_sides_spend_their_own_token() -> None:
    assert read_fields(side="sell", amount="all").swap.mint_in == USDC
    assert read_fields(side="buy", amount="all").swap.mint_in == WSOL
