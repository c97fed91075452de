"""`bracket` and `ocoGroup` in the body of an order: what is accepted, and what is wrong with the rest."""

import json
from decimal import Decimal

import pytest

from dexexec.domain.bracket import Bracket, Exit
from dexexec.domain.terms import OrderType
from dexexec.errors import FieldProblem, InvalidOrderError
from tests.unit.intake.test_order_body import read, read_fields, refusal

SELL = {"side": "sell", "amount": "150"}
PRICES = {"takeProfit": {"price": "160"}, "stop": {"price": "140"}}
FALLS = "the exits of a buy gain when the price falls"
RISES = "the exits of a sell gain when the price rises"
POSITIVE = 'a positive decimal string such as "0.01"'
EXAMPLE = '{"takeProfit": {"price": "160"}, "stop": {"price": "140"}}'
ONE_OF = '{"price": "160"} or {"bps": 500}'


def problems(**fields: object) -> list[FieldProblem]:
    error = refusal(json.dumps({**SELL, **fields}))
    assert isinstance(error, InvalidOrderError)
    return list(error.fields)


def test_a_market_order_may_have_a_bracket_and_a_group() -> None:
    order = read_fields(**SELL, bracket=PRICES, ocoGroup="Pair_1:a.b-c")
    assert order.type is OrderType.MARKET
    assert order.terms is not None
    assert order.terms.bracket == Bracket(take_profit=Exit(price=Decimal(160)), stop=Exit(price=Decimal(140)))
    assert order.oco_group == "Pair_1:a.b-c"
    assert not order.rests, "its entry is executed at once"


@pytest.mark.parametrize(
    "fields",
    [
        {"bracket": {"takeProfit": {"bps": 1_000_000}}},
        {"bracket": {"stop": {"bps": 9_999}}},
        {"bracket": {"stop": {"price": "140", "limitPrice": "139"}}},
        {"bracket": {"takeProfit": {"bps": 1}, "stop": {"price": "170"}}, "mode": "exactOut"},
        {"bracket": PRICES, "type": "limit", "limitPrice": "150"},
        {"bracket": PRICES, "type": "limit", "limitPrice": "150", "timeInForce": "FOK"},
        {"bracket": PRICES, "triggerPrice": "150", "triggerWhen": "above"},
    ],
)
def test_entries_of_every_type_and_brackets_with_one_exit(fields: dict[str, object]) -> None:
    assert read(json.dumps({**SELL, **fields})).terms is not None


@pytest.mark.parametrize(
    ("bracket", "field", "problem", "expected"),
    [
        ("160", "bracket", "is a string", f"an object such as {EXAMPLE}"),
        (None, "bracket", "is null", f"an object such as {EXAMPLE}"),
        ([], "bracket", "is an array", f"an object such as {EXAMPLE}"),
        ({}, "bracket", "has neither takeProfit nor stop", f"such as {EXAMPLE}"),
        ({"stop": 140}, "bracket.stop", "is a number", f"an object such as {ONE_OF}"),
        ({"stop": {}}, "bracket.stop", "has neither price nor bps", ONE_OF),
        ({"stop": {"limitPrice": "1"}}, "bracket.stop", "has neither price nor bps", ONE_OF),
        ({"stop": {"price": "1", "bps": 5}}, "bracket.stop.bps", "is given beside price", "only one of price and bps"),
        (
            {"stop": {"bps": 5, "limitPrice": "1"}},
            "bracket.stop.limitPrice", "is given beside bps", "price and limitPrice",
        ),
        ({"stop": {"bps": 10_000}}, "bracket.stop.bps", "is out of range", "an integer from 1 to 9999"),
        ({"stop": {"bps": 0}}, "bracket.stop.bps", "is out of range", "an integer from 1 to 9999"),
        ({"stop": {"bps": 1.5}}, "bracket.stop.bps", "is not an integer", "an integer from 1 to 9999"),
        ({"stop": {"bps": "5"}}, "bracket.stop.bps", "is a string", "an integer from 1 to 9999"),
        (
            {"takeProfit": {"bps": 1_000_001}},
            "bracket.takeProfit.bps", "is out of range", "an integer from 1 to 1000000",
        ),
        ({"takeProfit": {"price": "-1"}}, "bracket.takeProfit.price", "is negative", POSITIVE),
        ({"takeProfit": {"price": "0"}}, "bracket.takeProfit.price", "is zero", POSITIVE),
        ({"takeProfit": {"price": None}}, "bracket.takeProfit.price", "is null", POSITIVE),
        (
            {"takeProfit": {"price": "1", "limitPrice": "1"}},
            "bracket.takeProfit.limitPrice", "does not fit a take-profit", "price alone: it is a limit order at it",
        ),
        ({"stop": {"prise": "1"}}, "bracket.stop.prise", "is not a field of bracket.stop", "did you mean price?"),
        ({"stopLoss": {"price": "1"}}, "bracket.stopLoss", "is not a field of bracket", "did you mean stop?"),
    ],
)  # fmt: skip
def test_each_invalid_part_is_named_with_what_would_be_right(
    bracket: object, field: str, problem: str, expected: str
) -> None:
    assert FieldProblem(field, problem, expected) in problems(bracket=bracket)


def test_names_that_are_repeated_inside_a_bracket_are_refused() -> None:
    body = '{"side": "sell", "amount": "1", "bracket": {"stop": {"price": "1", "price": "2"}, "stop": {"bps": 5}}}'
    error = refusal(body)
    assert isinstance(error, InvalidOrderError)
    assert [one.field for one in error.fields] == ["bracket.stop"]
    body = '{"side": "sell", "amount": "1", "bracket": {"stop": {"price": "1", "price": "2"}}}'
    error = refusal(body)
    assert isinstance(error, InvalidOrderError)
    assert list(error.fields) == [FieldProblem("bracket.stop.price", "is given more than once", "each field once")]


@pytest.mark.parametrize("price", ["140", "139.9"])
def test_a_take_profit_must_be_better_than_the_stop(price: str) -> None:
    found = problems(bracket={"takeProfit": {"price": price}, "stop": {"price": "140"}})
    assert found == [FieldProblem("bracket.takeProfit.price", "is not above the stop", f"a price above 140: {RISES}")]
    bracket = {"takeProfit": {"price": "140"}, "stop": {"price": price}}
    found = problems(side="buy", bracket=bracket)
    expected = f"a price below {price}: {FALLS}"
    assert found == [FieldProblem("bracket.takeProfit.price", "is not below the stop", expected)]
    assert read_fields(side="buy", bracket={"takeProfit": {"price": "139"}, "stop": {"price": price}})


def test_exits_must_not_be_reached_by_a_fill_at_the_limit_of_the_entry() -> None:
    entry = {"type": "limit", "limitPrice": "150"}
    found = problems(**entry, bracket={"takeProfit": {"price": "150"}, "stop": {"price": "150"}})
    assert [one.field for one in found] == ["bracket.takeProfit.price"]
    assert problems(**entry, bracket={"takeProfit": {"price": "150"}}) == [
        FieldProblem("bracket.takeProfit.price", "is not above limitPrice", f"a price above 150: {RISES}")
    ]
    at_once = "is not below limitPrice, so a fill would reach it at once"
    assert problems(**entry, bracket={"stop": {"price": "150"}}) == [
        FieldProblem("bracket.stop.price", at_once, f"a price below 150: {RISES}")
    ]
    at_once = "is not above limitPrice, so a fill would reach it at once"
    assert problems(side="buy", **entry, bracket={"stop": {"price": "149"}}) == [
        FieldProblem("bracket.stop.price", at_once, f"a price above 150: {FALLS}")
    ]


@pytest.mark.parametrize(
    ("group", "problem"),
    [
        ("", "is empty"),
        ("a b", "has another form"),
        ("x" * 65, "has another form"),
        ("ä", "has another form"),
        (7, "is a number"),
        (None, "is null"),
    ],
)
def test_a_group_has_a_short_plain_name(group: object, problem: str) -> None:
    assert problems(ocoGroup=group) == [FieldProblem("ocoGroup", problem, "1 to 64 letters, digits and . _ : -")]
    assert read_fields(ocoGroup="x" * 64).oco_group == "x" * 64


def test_no_order_joins_the_exits_of_a_bracket() -> None:
    problem = "begins with bracket:, which is for the exits of brackets"
    assert problems(ocoGroup="bracket:1") == [FieldProblem("ocoGroup", problem, "another name")]


def test_the_order_of_fields_and_the_notation_of_prices_make_no_other_body() -> None:
    one = '{"side": "sell", "amount": "1", "bracket": {"stop": {"price": "140"}, "takeProfit": {"price": "160.50"}}}'
    same = '{"side": "sell", "bracket": {"takeProfit": {"price": "160.5"}, "stop": {"price": "140.0"}}, "amount": "1"}'
    other = one.replace("140", "141")
    assert read(one, "key").body_hash == read(same, "key").body_hash != read(other, "key").body_hash
