"""Recurring orders in a body: the schedule, the price range on both sides, and every field that can be wrong."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.recurring import Missed, Recurring
from dexexec.domain.terms import OrderType
from dexexec.errors import FieldProblem
from tests.unit.intake.test_order_body import AtAFixedTime, read, refusal

NOW = datetime.fromtimestamp(AtAFixedTime().unix_ms() / 1000, UTC)
EVERY = 'an ISO 8601 duration from PT1S to P31D, such as "PT5M"'
SLICES = "an integer from 2 to 1000"
PRICE_OF_SOL = "a price of one SOL in USDC"


def body(**fields: object) -> str:
    given = {"type": "recurring", "side": "buy", "amount": "12", "slices": 12, "every": "PT5M", **fields}
    return json.dumps({name: value for name, value in given.items() if value is not None})


def problems_of(text: str) -> list[FieldProblem]:
    return list(refusal(text).fields)


def schedule(**fields: object) -> Recurring:
    terms = read(body(**fields)).terms
    assert terms is not None
    assert terms.recurring is not None
    return terms.recurring


def test_a_recurring_order_rests_and_has_a_schedule() -> None:
    order = read(body())
    assert order.type is OrderType.RECURRING
    assert order.rests
    assert order.bound is None
    assert order.bound_open
    assert schedule() == Recurring(
        slices=12, every=timedelta(minutes=5), missed=Missed.SKIP, deadline_seconds=schedule().deadline_seconds
    )
    in_an_hour = NOW + timedelta(hours=1)
    given = schedule(missed="catchUp", deadlineSeconds=30, every="PT90S", startAt=in_an_hour.isoformat())
    assert given == Recurring(
        slices=12, every=timedelta(seconds=90), missed=Missed.CATCH_UP, deadline_seconds=30, start_at=in_an_hour
    )


def test_the_worse_end_of_the_range_is_the_bound_and_the_better_one_an_amount_on_both_sides() -> None:
    buy = read(body(minPrice="150", maxPrice="160"))
    assert buy.bound == Bound(1_800_000_000, 12 * 10**9)
    assert not buy.bound_open
    assert schedule(minPrice="150", maxPrice="160").best_other == 1_920_000_000
    sell = read(body(side="sell", amount="1800", minPrice="150", maxPrice="160"))
    assert sell.bound == Bound(11_250_000_000, 1_800_000_000)
    assert schedule(side="sell", amount="1800", minPrice="150", maxPrice="160").best_other == 12 * 10**9


def test_one_end_of_the_range_leaves_the_other_open() -> None:
    assert read(body(maxPrice="160")).bound is None
    assert schedule(maxPrice="160").best_other == 1_920_000_000
    assert schedule(minPrice="150").best_other is None
    assert schedule(minPrice="150", maxPrice="160").max_price == Decimal(160)


def test_a_slippage_beside_the_range_may_tighten_the_bound() -> None:
    assert read(body(minPrice="150", slippageBps=10)).bound_open


def test_no_price_outside_the_range_is_allowed_by_rounding() -> None:
    # 12 SOL at 0.00000001 USDC are 0.12 base units of USDC: the least is rounded up, the most down to nothing.
    assert read(body(minPrice="0.00000001")).bound == Bound(1, 12 * 10**9)
    assert problems_of(body(maxPrice="0.00000001")) == [
        FieldProblem("maxPrice", "makes the other amount less than one base unit", PRICE_OF_SOL)
    ]
    # Exactly 1,000 USDC are wanted in all: at 3 USDC per SOL they cost 333.33 SOL at most, or at least.
    bought = {"mode": "exactOut", "amount": "1000"}
    assert read(body(**bought, minPrice="3")).bound == Bound(1_000_000_000, 333_333_333_333)
    assert schedule(**bought, maxPrice="3").best_other == 333_333_333_334


def test_the_same_order_in_another_notation_has_the_same_hash() -> None:
    one, other, third = (
        read(body(**fields), "k").body_hash
        for fields in (
            {"every": "PT300S", "minPrice": "150.0"},
            {"every": "PT5M", "minPrice": "150"},
            {"every": "PT6M", "minPrice": "150"},
        )
    )
    assert one == other != third


BAD_FIELDS: list[tuple[dict[str, object], FieldProblem]] = [
    ({"slices": None}, FieldProblem("slices", "is missing", SLICES)),
    ({"slices": 1}, FieldProblem("slices", "is out of range", SLICES)),
    ({"slices": 1001}, FieldProblem("slices", "is out of range", SLICES)),
    ({"slices": "12"}, FieldProblem("slices", "is a string", SLICES)),
    ({"slices": 1.5}, FieldProblem("slices", "is not an integer", SLICES)),
    ({"slices": -12}, FieldProblem("slices", "is out of range", SLICES)),
    (
        {"amount": "0.000000011"},
        FieldProblem("slices", "leaves slices of less than one base unit", "at most 11 for this amount"),
    ),
    ({"every": None}, FieldProblem("every", "is missing", EVERY)),
    ({"every": 300}, FieldProblem("every", "is a number", EVERY)),
    ({"every": "5m"}, FieldProblem("every", "is not an ISO 8601 duration of weeks, days or less", EVERY)),
    ({"every": "P1M"}, FieldProblem("every", "is not an ISO 8601 duration of weeks, days or less", EVERY)),
    ({"every": "PT0.999S"}, FieldProblem("every", "is out of range", EVERY)),
    ({"every": "PT0S"}, FieldProblem("every", "is out of range", EVERY)),
    ({"every": "P32D"}, FieldProblem("every", "is out of range", EVERY)),
    (
        {"every": "P31D", "slices": 118},
        FieldProblem("every", "makes 118 slices take too long", "at most 3650 days in all"),
    ),
    ({"missed": "retry"}, FieldProblem("missed", "is not a known way to treat missed slices", '"skip" or "catchUp"')),
    ({"missed": True}, FieldProblem("missed", "is a boolean", '"skip" or "catchUp"')),
    ({"minPrice": "0"}, FieldProblem("minPrice", "is zero", 'a positive decimal string such as "0.01"')),
    (
        {"maxPrice": "cheap"},
        FieldProblem("maxPrice", "is not a plain decimal number", 'a positive decimal string such as "0.01"'),
    ),
    (
        {"minPrice": "150", "maxPrice": "150"},
        FieldProblem("minPrice", "is not below maxPrice", "a price below maxPrice"),
    ),
    (
        {"minPrice": "9" * 30},
        FieldProblem("minPrice", "makes the other amount more than a token account can hold", PRICE_OF_SOL),
    ),
    (
        {"limitPrice": "150"},
        FieldProblem("limitPrice", "does not fit a recurring order", "minPrice, maxPrice or both"),
    ),
    ({"minOut": "150"}, FieldProblem("minOut", "does not fit a recurring order", "minPrice, maxPrice or both")),
    ({"timeInForce": "GTC"}, FieldProblem("timeInForce", "does not fit the type", 'only with "type": "limit"')),
    ({"type": "market"}, FieldProblem("slices", "does not fit the type", 'only with "type": "recurring"')),
    ({"type": None}, FieldProblem("every", "does not fit the type", 'only with "type": "recurring"')),
]


@pytest.mark.parametrize(("fields", "problem"), BAD_FIELDS)
def test_each_wrong_field_is_named_with_what_would_be_right(fields: dict[str, object], problem: FieldProblem) -> None:
    assert problem in problems_of(body(**fields))


def test_a_trigger_does_not_fit() -> None:
    problems = problems_of(body(triggerPrice="150", triggerWhen="above"))
    assert [(problem.field, problem.problem) for problem in problems] == [
        ("triggerPrice", "does not fit a recurring order"),
        ("triggerWhen", "does not fit a recurring order"),
    ]


def _start(offset: timedelta, **fields: object) -> list[FieldProblem]:
    return problems_of(body(startAt=(NOW + offset).isoformat(), **fields))


def test_a_start_must_be_ahead_before_the_expiry_and_within_ten_years() -> None:
    assert [problem.problem for problem in _start(timedelta(minutes=-2))] == ["is in the past"]
    assert [problem.problem for problem in _start(timedelta(days=3660))] == ["is too far away"]
    expires_at = (NOW + timedelta(hours=1)).isoformat()
    late = _start(timedelta(hours=2), expiresAt=expires_at)
    assert late == [FieldProblem("startAt", "is not before expiresAt", "a time before expiresAt")]
    assert [problem.problem for problem in problems_of(body(startAt="tomorrow"))] == [
        "is not a time with a zone (RFC 3339)"
    ]
    assert [problem.problem for problem in problems_of(body(startAt=12))] == ["is a number"]


def test_a_start_that_has_just_passed_is_now() -> None:
    just_passed = NOW - timedelta(seconds=10)
    assert schedule(startAt=just_passed.isoformat()).start_at == just_passed
