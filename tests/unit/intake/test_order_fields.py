"""Each field of a new order that can be wrong: what is wrong with it, and what would be right."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dexexec.config.settings import Settings
from dexexec.domain.order import U64_MAX
from dexexec.domain.token import USDC, WSOL, Token
from dexexec.errors import FieldProblem, InvalidOrderError, MalformedBodyError
from dexexec.intake.order_body import FIELDS, BodyReader
from dexexec.intake.order_fields import SHOWN
from tests.unit.intake.test_order_body import BONK, ID, read, refusal

AMOUNT_IN_SOL = 'a positive decimal string such as "0.01", with at most 9 decimals (SOL)'
MINTS = f"one of {WSOL} (SOL), {USDC} (USDC), {BONK} (BONK)"
MOST_SOL = "at most 18446744073.709551615 SOL"

# Bad fields: each case is the only thing wrong with its body


def amount_case(literal: str, problem: str, expected: str = AMOUNT_IN_SOL) -> tuple[str, FieldProblem]:
    return f'{{"side": "buy", "amount": {literal}}}', FieldProblem("amount", problem, expected)


def field_case(name: str, literal: str, problem: str, expected: str) -> tuple[str, FieldProblem]:
    return f'{{"side": "buy", "amount": "1", "{name}": {literal}}}', FieldProblem(name, problem, expected)


SLIPPAGE, DEADLINE = "an integer from 0 to 5000", "an integer from 1 to 86400"

BAD_FIELDS = [
    ('{"amount": "1"}', FieldProblem("side", "is missing", '"buy" or "sell"')),
    ('{"amount": "1", "side": "hold"}', FieldProblem("side", "is not a known side", '"buy" or "sell"')),
    ('{"amount": "1", "side": "BUY"}', FieldProblem("side", "is not a known side", '"buy" or "sell"')),
    ('{"amount": "1", "side": ""}', FieldProblem("side", "is not a known side", '"buy" or "sell"')),
    ('{"amount": "1", "side": "\\ud800"}', FieldProblem("side", "is not a known side", '"buy" or "sell"')),
    ('{"amount": "1", "side": null}', FieldProblem("side", "is null", '"buy" or "sell"')),
    ('{"amount": "1", "side": ["buy"]}', FieldProblem("side", "is an array", '"buy" or "sell"')),
    ('{"amount": "1", "side": {"buy": 1}}', FieldProblem("side", "is an object", '"buy" or "sell"')),
    ('{"amount": "1", "side": 1}', FieldProblem("side", "is a number", '"buy" or "sell"')),
    ('{"side": "buy"}', FieldProblem("amount", "is missing", AMOUNT_IN_SOL)),
    amount_case("null", "is null"),
    amount_case("true", "is a boolean"),
    amount_case('["1"]', "is an array"),
    amount_case("[NaN]", "is an array"),
    amount_case('{"value": "1"}', "is an object"),
    amount_case('""', "is empty"),
    amount_case('" 1"', "has spaces around it"),
    amount_case('"1 "', "has spaces around it"),
    amount_case('"1\\n"', "has spaces around it"),
    amount_case('"\\u00a01"', "has spaces around it"),
    amount_case('"NaN"', "is not a finite number"),
    amount_case('"-nan"', "is not a finite number"),
    amount_case('"Infinity"', "is not a finite number"),
    amount_case('"-inf"', "is not a finite number"),
    amount_case('"0"', "is zero"),
    amount_case('"0.000"', "is zero"),
    amount_case("0", "is zero"),
    amount_case("-0.0", "is zero"),
    amount_case("0e99999999", "is zero"),
    amount_case('"-1"', "is negative"),
    amount_case("-0.01", "is negative"),
    amount_case("-1e999999999", "is negative"),
    amount_case('"1e-2"', "is written with an exponent"),
    amount_case('"1E400"', "is written with an exponent"),
    amount_case('"1e400"', "is written with an exponent"),
    amount_case('"ten"', "is not a plain decimal number"),
    amount_case('"0x10"', "is not a plain decimal number"),
    amount_case('"1_000"', "is not a plain decimal number"),
    amount_case('"1,5"', "is not a plain decimal number"),
    amount_case('"1 000"', "is not a plain decimal number"),
    amount_case('"+1"', "is not a plain decimal number"),
    amount_case('"01"', "is not a plain decimal number"),
    amount_case('".5"', "is not a plain decimal number"),
    amount_case('"5."', "is not a plain decimal number"),
    amount_case('"1.2.3"', "is not a plain decimal number"),
    amount_case('"\\u0661"', "is not a plain decimal number"),
    amount_case('"\\uff11"', "is not a plain decimal number"),
    amount_case('"\\u00bd"', "is not a plain decimal number"),
    amount_case('"1\\u0000"', "is not a plain decimal number"),
    amount_case('"\\ud83d"', "is not a plain decimal number"),
    amount_case('"0.0000000001"', "has more decimals than SOL"),
    amount_case("0.0000000001", "has more decimals than SOL"),
    amount_case("1e-10", "has more decimals than SOL"),
    amount_case("1e-400", "has more decimals than SOL"),
    amount_case("1e-999999999", "has more decimals than SOL"),
    amount_case("1e400", "is too large", MOST_SOL),
    amount_case("1e999999999", "is too large", MOST_SOL),
    amount_case("1e9999999999999999999999999", "is out of range"),
    amount_case("1e-9999999999999999999999999", "is out of range"),
    amount_case(f"{10**40}", "is too large", MOST_SOL),
    amount_case(f'"{10**40}"', "is too large", MOST_SOL),
    amount_case('"18446744073.709551616"', "is too large", MOST_SOL),
    amount_case(f'"{"9" * 60_000}"', "has 60000 characters", "at most 100 characters"),
    amount_case("9" * 60_000, "has 60000 characters", "at most 100 characters"),
    field_case("inputMint", '"SOL"', "is not a known mint", MINTS),
    field_case("inputMint", '""', "is not a known mint", MINTS),
    field_case("inputMint", "null", "is null", MINTS),
    field_case("inputMint", "11111111111111111111111111111111", "is a number", MINTS),
    field_case("outputMint", f'"{WSOL[:-1]}3"', "is not a known mint", MINTS),
    field_case("outputMint", "[]", "is an array", MINTS),
    field_case("outputMint", f'"{WSOL}"', "is the same as inputMint", "two different mints"),
    field_case("inputMint", f'"{USDC}"', "is the same as outputMint", "two different mints"),
    field_case("slippageBps", "-1", "is out of range", SLIPPAGE),
    field_case("slippageBps", "5001", "is out of range", SLIPPAGE),
    field_case("slippageBps", "9" * 60_000, "is out of range", SLIPPAGE),
    field_case("slippageBps", "0.5", "is not an integer", SLIPPAGE),
    field_case("slippageBps", "50.0", "is not an integer", SLIPPAGE),
    field_case("slippageBps", "5e1", "is not an integer", SLIPPAGE),
    field_case("slippageBps", '"50"', "is a string", SLIPPAGE),
    field_case("slippageBps", "true", "is a boolean", SLIPPAGE),
    field_case("slippageBps", "null", "is null", SLIPPAGE),
    field_case("deadlineSeconds", "0", "is out of range", DEADLINE),
    field_case("deadlineSeconds", "86401", "is out of range", DEADLINE),
    field_case("deadlineSeconds", '"60"', "is a string", DEADLINE),
    field_case("mode", '"exactin"', "is not a known mode", '"exactIn" or "exactOut"'),
    field_case("mode", "null", "is null", '"exactIn" or "exactOut"'),
    field_case("slipageBps", "50", "is not a field of an order", "did you mean slippageBps?"),
    field_case("input_mint", "50", "is not a field of an order", "did you mean inputMint?"),
    field_case("Side", '"buy"', "is not a field of an order", "did you mean side?"),
    field_case("limit", '"151"', "is not a field of an order", "did you mean limitPrice?"),
    field_case("trigger", '"151"', "is not a field of an order", "did you mean triggerPrice?"),
    field_case("colour", '"red"', "is not a field of an order", f"only {', '.join(FIELDS)}"),
    field_case("", "1", "is not a field of an order", f"only {', '.join(FIELDS)}"),
    field_case("side", '"buy"', "is given more than once", "each field once"),
    field_case("amount", '"2"', "is given more than once", "each field once"),
]


@pytest.mark.parametrize(("body", "problem"), BAD_FIELDS, ids=[f"{p.field}-{b[:70]}" for b, p in BAD_FIELDS])
def test_a_bad_field_is_named_with_what_is_wrong_and_what_would_be_right(body: str, problem: FieldProblem) -> None:
    error = refusal(body)
    assert type(error) is InvalidOrderError
    assert error.fields == [problem]


def test_all_bad_fields_are_in_one_answer() -> None:
    error = refusal(
        '{"side": "hold", "amount": "-1", "slippageBps": 1e9, "mode": 1, "inputMint": "x", "typ": 1, "typ": 2}'
    )
    assert [(f.field, f.problem) for f in error.fields] == [
        ("typ", "is given more than once"),
        ("typ", "is not a field of an order"),
        ("side", "is not a known side"),
        ("mode", "is a number"),
        ("inputMint", "is not a known mint"),
        ("slippageBps", "is not an integer"),
        ("amount", "is negative"),
    ]


def test_the_amount_is_checked_as_far_as_possible_when_its_token_is_unknown() -> None:
    assert [f.field for f in refusal('{"side": "hold", "amount": "0.00000000000001"}').fields] == ["side"]
    tiny = refusal('{"side": "hold", "amount": 1e-999999999}').fields  # as a plain decimal, a gigabyte
    assert tiny[1].problem == "has more decimals than the token"
    both = refusal('{"side": "hold", "amount": 1e60}').fields
    assert both[1] == FieldProblem("amount", "is too large", "at most 2^64 - 1 base units")


def test_a_number_is_no_mint_even_if_its_digits_are_those_of_one() -> None:
    digits = "11111111111111111111111111111111"
    reader = BodyReader(Settings(_env_file=None, tokens=(Token(digits, "ONES", 0),)))
    assert reader.read(f'{{"side":"buy","amount":"1","outputMint":"{digits}"}}'.encode(), ID, "c", None)
    with pytest.raises(InvalidOrderError, match="outputMint: is a number"):
        reader.read(f'{{"side":"buy","amount":"1","outputMint":{digits}}}'.encode(), ID, "c", None)


def test_a_made_up_name_is_shown_short_and_in_plain_ascii() -> None:
    (problem,) = refusal('{"side": "buy", "amount": "1", "\\ud800\\n' + "x-" * 50 + '": 1}').fields
    assert problem.field == r"\ud800\n" + "x-" * 19


def test_a_body_full_of_bad_names_costs_little_and_gets_a_short_answer() -> None:
    names = ",".join(f'"slippageBp{n}":NaN' for n in range(3_000))
    strays = ",".join(f'"slippageBp{n}":1' for n in range(3_000))
    started = time.process_time()
    assert len(refusal(f"{{{names}}}").fields) == SHOWN
    assert len(refusal(f"{{{strays},{strays}}}").fields) == SHOWN + 2  # and the two that are missing
    assert time.process_time() - started < 1


@given(st.binary(max_size=200))
@example(b'{"side":"buy","amount":"0.1"}')
@example(b'{"side":"buy","amount":"0.1",}')
@example(b'\xef\xbb\xbf{"side":"buy","amount":"0.1"}')
def test_no_bytes_at_all_lead_to_anything_but_an_order_or_a_refusal(body: bytes) -> None:
    with suppress(MalformedBodyError, InvalidOrderError):
        assert read(body).amount_base > 0


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["buy", "0.1", WSOL, USDC]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES))
def test_any_values_in_the_known_fields_lead_to_a_checked_order_or_a_refusal(fields: dict[str, object]) -> None:
    try:
        order = read(json.dumps(fields))
    except (MalformedBodyError, InvalidOrderError):
        return
    assert 0 < order.amount_base <= U64_MAX
    assert order.input_mint != order.output_mint
    assert 0 <= order.slippage_bps <= 5_000
