"""The terms in a body: limit, time in force, trigger, expiry and tag. What does not fit the type is refused by name."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.order import FOREVER_MS
from dexexec.domain.terms import OrderType, Terms, TimeInForce, TriggerWhen
from dexexec.errors import FieldProblem, InvalidOrderError
from dexexec.intake.order_body import BodyReader
from dexexec.testing.clock import ManualClock
from tests.unit.intake.test_order_body import ID, SETTINGS, read_fields, refusal

FAR = "2027-06-01T12:00:00Z"
LATE = datetime(2027, 6, 1, 12, tzinfo=UTC)
PRICE = 'a positive decimal string such as "0.01"'
LIMIT = {"type": "limit", "limitPrice": "151.25"}
STOP = {"triggerPrice": "120", "triggerWhen": "below"}


@pytest.mark.parametrize(
    ("fields", "terms"),
    [
        ({}, None),
        ({"type": "market"}, None),
        (LIMIT, Terms(time_in_force=TimeInForce.GTC, limit_price=Decimal("151.25"))),
        (
            LIMIT | {"expiresAt": FAR},
            Terms(time_in_force=TimeInForce.GTT, limit_price=Decimal("151.25"), expires_at=LATE),
        ),
        (
            LIMIT | {"expiresAt": "2027-06-01T14:00:00+02:00", "timeInForce": "GTT"},
            Terms(time_in_force=TimeInForce.GTT, limit_price=Decimal("151.25"), expires_at=LATE),
        ),
        (LIMIT | {"timeInForce": "FOK"}, Terms(time_in_force=TimeInForce.FOK, limit_price=Decimal("151.25"))),
        (STOP, Terms(trigger_price=Decimal(120), trigger_when=TriggerWhen.BELOW)),
        (
            LIMIT | {"triggerPrice": 152.5, "triggerWhen": "above"},
            Terms(
                time_in_force=TimeInForce.GTC,
                limit_price=Decimal("151.25"),
                trigger_price=Decimal("152.5"),
                trigger_when=TriggerWhen.ABOVE,
            ),
        ),
    ],
    ids=str,
)
def test_terms_are_read_exactly_and_stored_as_they_are_read_back(fields: dict[str, Any], terms: Terms | None) -> None:
    order = read_fields(**fields)
    assert order.terms == terms
    assert order.type is (OrderType.LIMIT if "type" in fields and fields["type"] == "limit" else OrderType.MARKET)
    if terms is not None:
        assert Terms.of(json.loads(json.dumps(terms.detail()))) == terms


def test_promise_13_a_limit_is_the_orders_bound_for_both_sides_and_no_slippage_loosens_it() -> None:
    sold = read_fields(**LIMIT, amount="2")
    assert (sold.bound, sold.bound_open) == (Bound(302_500_000, 2 * 10**9), False)
    bought = read_fields(**LIMIT, amount="302.5", side="sell")
    assert (bought.bound, bought.bound_open) == (Bound(2 * 10**9, 302_500_000), False)


def test_an_order_that_rests_has_its_expiry_as_its_deadline_and_one_try_has_the_usual_one() -> None:
    assert read_fields(**LIMIT).deadline_ms == FOREVER_MS
    assert read_fields(**STOP).deadline_ms == FOREVER_MS
    assert 0 < read_fields(**LIMIT, expiresAt=FAR).deadline_ms < FOREVER_MS
    assert read_fields(**LIMIT, timeInForce="IOC", deadlineSeconds=7).deadline_ms == 7_000
    assert read_fields(**LIMIT).rests
    assert not read_fields(**LIMIT, timeInForce="IOC").rests
    assert not read_fields().rests


def test_a_tag_is_kept() -> None:
    assert read_fields(tag="grid:1").tag == "grid:1"
    assert read_fields().tag is None


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"type": "stop"},
            FieldProblem(
                "type",
                "is not a known type",
                '"market", "limit", "sniper" or "recurring"'
                ' (a stop is "market" or "limit" with triggerPrice or trailBps)',
            ),
        ),
        ({"type": "limit"}, FieldProblem("limitPrice", "is missing", 'the price of a limit order, such as "151.25"')),
        (LIMIT | {"limitPrice": "-1"}, FieldProblem("limitPrice", "is negative", PRICE)),
        (
            LIMIT | {"timeInForce": "gtc"},
            FieldProblem("timeInForce", "is not a known time in force", '"GTC", "GTT", "IOC" or "FOK"'),
        ),
        (
            {"timeInForce": "IOC"},
            FieldProblem("timeInForce", "does not fit the type", 'only with "type": "limit"'),
        ),
        (
            LIMIT | {"timeInForce": "GTT"},
            FieldProblem("expiresAt", "is missing", "the time until which a GTT order is tried"),
        ),
        (
            LIMIT | {"timeInForce": "GTC", "expiresAt": FAR},
            FieldProblem("expiresAt", "does not fit GTC", '"timeInForce": "GTT"'),
        ),
        (
            LIMIT | {"timeInForce": "IOC", "expiresAt": FAR},
            FieldProblem("expiresAt", "does not fit IOC", "deadlineSeconds: the order does not rest"),
        ),
        (
            {"expiresAt": FAR},
            FieldProblem("expiresAt", "does not fit a market order", "deadlineSeconds: the order does not rest"),
        ),
        (LIMIT | {"expiresAt": "2020-01-01T00:00:00Z"}, FieldProblem("expiresAt", "is in the past", "*")),
        (LIMIT | {"expiresAt": "2999-01-01T00:00:00Z"}, FieldProblem("expiresAt", "is too far away", "*")),
        (
            LIMIT | {"expiresAt": "2027-06-01T12:00:00"},
            FieldProblem("expiresAt", "is not a time with a zone (RFC 3339)", "*"),
        ),
        (
            LIMIT | {"expiresAt": "2027-02-30T12:00:00Z"},
            FieldProblem("expiresAt", "is not a time with a zone (RFC 3339)", "*"),
        ),
        (LIMIT | {"expiresAt": 1_800_000_000}, FieldProblem("expiresAt", "is a number", "*")),
        (LIMIT | {"expiresAt": None}, FieldProblem("expiresAt", "is null", "*")),
        (
            LIMIT | {"deadlineSeconds": 5},
            FieldProblem("deadlineSeconds", "does not fit an order that rests", "expiresAt"),
        ),
        (LIMIT | {"slippageBps": 5}, FieldProblem("slippageBps", "does not fit a limit order", "*")),
        (
            {"triggerPrice": "1"},
            FieldProblem("triggerWhen", "is missing beside triggerPrice", '"above" or "below"'),
        ),
        (
            {"triggerWhen": "above"},
            FieldProblem("triggerPrice", "is missing beside triggerWhen", 'a price such as "151.25"'),
        ),
        (STOP | {"triggerPrice": "0"}, FieldProblem("triggerPrice", "is zero", PRICE)),
        (STOP | {"triggerPrice": ["1"]}, FieldProblem("triggerPrice", "is an array", PRICE)),
        (STOP | {"triggerWhen": True}, FieldProblem("triggerWhen", "is a boolean", '"above" or "below"')),
        (
            STOP | {"minOut": "1"},
            FieldProblem("minOut", "does not fit a market order with a trigger", '"type": "limit" with limitPrice'),
        ),
        ({"tag": "a b"}, FieldProblem("tag", "has another form", "1 to 64 letters, digits and . _ : -")),
        ({"tag": ""}, FieldProblem("tag", "is empty", "1 to 64 letters, digits and . _ : -")),
        ({"tag": 7}, FieldProblem("tag", "is a number", "1 to 64 letters, digits and . _ : -")),
    ],
    ids=str,
)
def test_terms_that_cannot_be_meant_are_refused_by_name(fields: dict[str, object], problem: FieldProblem) -> None:
    error = refusal(json.dumps({"side": "buy", "amount": "1"} | fields))
    assert type(error) is InvalidOrderError
    [found] = error.fields
    expected = found.expected if problem.expected == "*" else problem.expected
    assert found == FieldProblem(problem.field, problem.problem, expected)
    assert found.expected


def test_a_limit_order_takes_no_other_bound() -> None:
    error = refusal(json.dumps({"side": "buy", "amount": "1", "minOut": "1"} | LIMIT))
    assert type(error) is InvalidOrderError
    assert {problem.field for problem in error.fields} == {"minOut", "limitPrice"}


def test_the_notation_of_a_trigger_does_not_make_another_request() -> None:
    reader = BodyReader(SETTINGS)
    first, again, other = (
        reader.read(
            json.dumps({"side": "buy", "amount": "1", "triggerPrice": price, "triggerWhen": "below"}).encode(),
            ID,
            "",
            "k",
        ).body_hash
        for price in ("120", "120.0", "121")
    )
    assert first == again != other


def test_promise_9_a_request_with_a_key_whose_time_has_passed_is_left_to_the_record() -> None:
    body = json.dumps({"side": "buy", "amount": "1", **LIMIT, "expiresAt": FAR}).encode()
    clock = ManualClock(int(LATE.timestamp() * 1000) - 1_000)
    reader = BodyReader(SETTINGS, clock)
    in_time = reader.read(body, ID, "", "k")
    clock.advance(2)
    repeated = reader.read(body, ID, "", "k")
    assert (in_time.passed, repeated.passed) == ((), ("expiresAt",))
    assert repeated.body_hash == in_time.body_hash
    with pytest.raises(InvalidOrderError, match="expiresAt: is in the past"):
        reader.read(body, ID, "", None)
    with pytest.raises(InvalidOrderError, match="side: is not a known side; expiresAt: is in the past"):
        reader.read(body.replace(b"buy", b"hold"), ID, "", "k")
