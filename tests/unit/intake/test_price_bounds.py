"""The order's own bound in a body: one of three fields, exact, and rounded so that it is never too loose."""

import json
from typing import Any

import pytest

from dexexec.domain.bound import Bound
from dexexec.errors import FieldProblem, InvalidOrderError
from tests.unit.intake.test_order_body import read, read_fields, refusal

USDC_AMOUNT = 'a positive decimal string such as "0.01", with at most 6 decimals (USDC)'
ONE_OF = "only one of minOut, maxIn and limitPrice"


@pytest.mark.parametrize(
    ("fields", "bound"),
    [
        ({"amount": "2", "minOut": "299.5"}, Bound(299_500_000, 2 * 10**9)),
        ({"amount": "2", "minOut": 299.5}, Bound(299_500_000, 2 * 10**9)),
        ({"amount": "300", "side": "sell", "minOut": "1.9"}, Bound(1_900_000_000, 300 * 10**6)),
        ({"amount": "300", "mode": "exactOut", "maxIn": "2.1"}, Bound(300 * 10**6, 2_100_000_000)),
        ({"amount": "2", "side": "sell", "mode": "exactOut", "maxIn": "301"}, Bound(2 * 10**9, 301 * 10**6)),
        ({"amount": "2", "limitPrice": "150"}, Bound(300 * 10**6, 2 * 10**9)),
        ({"amount": "300", "mode": "exactOut", "limitPrice": "150"}, Bound(300 * 10**6, 2 * 10**9)),
        ({"amount": "300", "side": "sell", "limitPrice": "150"}, Bound(2 * 10**9, 300 * 10**6)),
        ({"amount": "2", "side": "sell", "mode": "exactOut", "limitPrice": "150"}, Bound(2 * 10**9, 300 * 10**6)),
        ({"amount": "0.000000001", "limitPrice": "0.0000000000000000000000000000001"}, Bound(1, 1)),
        ({"amount": "1", "limitPrice": "149.1234561"}, Bound(149_123_457, 10**9)),
        ({"amount": "1", "side": "sell", "mode": "exactOut", "limitPrice": "149.1234569"}, Bound(10**9, 149_123_456)),
        ({"amount": "1"}, None),
    ],
    ids=str,
)
def test_promise_13_a_bound_is_read_exactly(fields: dict[str, Any], bound: Bound | None) -> None:
    assert read_fields(**fields).bound == bound


def test_a_slippage_beside_a_bound_may_tighten_it_and_the_default_one_may_not() -> None:
    assert not read_fields(minOut="1").bound_open
    assert read_fields(minOut="1", slippageBps=10).bound_open
    assert read_fields().bound_open


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"maxIn": "1"}, FieldProblem("maxIn", "does not fit the mode exactIn", "minOut or limitPrice")),
        (
            {"mode": "exactOut", "minOut": "1"},
            FieldProblem("minOut", "does not fit the mode exactOut", "maxIn or limitPrice"),
        ),
        ({"minOut": "1", "limitPrice": "1"}, FieldProblem("limitPrice", "is given beside minOut", ONE_OF)),
        ({"minOut": "0"}, FieldProblem("minOut", "is zero", USDC_AMOUNT)),
        ({"minOut": None}, FieldProblem("minOut", "is null", USDC_AMOUNT)),
        ({"minOut": "0.0000001"}, FieldProblem("minOut", "has more decimals than USDC", USDC_AMOUNT)),
        ({"minOut": "1e3"}, FieldProblem("minOut", "is written with an exponent", USDC_AMOUNT)),
        ({"limitPrice": "-1"}, FieldProblem("limitPrice", "is negative", 'a positive decimal string such as "0.01"')),
        (
            {"limitPrice": "1" + "0" * 30},
            FieldProblem(
                "limitPrice", "makes the other amount more than a token account can hold", "a price of one SOL in USDC"
            ),
        ),
        (
            {"mode": "exactOut", "limitPrice": "1" + "0" * 30},
            FieldProblem("limitPrice", "makes the other amount less than one base unit", "a price of one SOL in USDC"),
        ),
        (
            {"maxPriceImpactBps": 10_001},
            FieldProblem("maxPriceImpactBps", "is out of range", "an integer from 0 to 10000"),
        ),
    ],
    ids=str,
)
def test_a_bound_that_cannot_be_meant_is_refused_by_name(fields: dict[str, object], problem: FieldProblem) -> None:
    error = refusal(json.dumps({"side": "buy", "amount": "1"} | fields))
    assert type(error) is InvalidOrderError
    assert error.fields == [problem]


def test_every_bound_too_many_is_named() -> None:
    error = refusal('{"side": "buy", "amount": "1", "minOut": "1", "maxIn": "1", "limitPrice": "1"}')
    assert [problem.field for problem in error.fields] == ["maxIn", "limitPrice"]


def test_a_bound_is_checked_as_far_as_possible_when_other_fields_are_wrong() -> None:
    error = refusal('{"side": "buy", "amount": "x", "limitPrice": "y"}')
    assert [problem.field for problem in error.fields] == ["amount", "limitPrice"]
    assert [problem.field for problem in refusal('{"side": "hold", "amount": "1", "maxIn": "1"}').fields] == ["side"]


def test_the_same_bound_in_another_writing_makes_no_other_body() -> None:
    def body_hash(literal: str) -> bytes:
        return read(f'{{"side": "buy", "amount": "1", {literal}}}', key="k").body_hash

    assert body_hash('"minOut": "1.50"') == body_hash('"minOut": 1.5') != body_hash('"minOut": "1.6"')
    assert body_hash('"limitPrice": "150.0"') == body_hash('"limitPrice": 1.5e2') != body_hash('"limitPrice": "151"')
