"""The fields of a new order's body, and the error for each invalid one."""

import json
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.clock import SystemClock
from dexexec.config.settings import Settings
from dexexec.domain.order import U64_MAX, NewOrder, Side
from dexexec.domain.policy import Policy
from dexexec.domain.quote import Mode
from dexexec.domain.token import USDC, WSOL, Token
from dexexec.errors import (
    FieldProblem,
    InvalidOrderError,
    MalformedBodyError,
    RequestError,
    UnsupportedMediaTypeError,
)
from dexexec.intake.order_body import BodyReader, require_json

BONK = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
SETTINGS = Settings(_env_file=None, tokens=(Token(BONK, "BONK", 5),))


class AtAFixedTime(SystemClock):
    """The first of January 2026: no test depends on today's date."""

    def unix_ms(self) -> int:
        """As `SystemClock`."""
        return 1_767_225_600_000


READER = BodyReader(SETTINGS, AtAFixedTime())
ID = UUID(int=7)


def read(body: bytes | str, key: str | None = None) -> NewOrder:
    return READER.read(body.encode() if isinstance(body, str) else body, ID, "10.0.0.1", key)


def read_fields(key: str | None = None, **fields: object) -> NewOrder:
    return read(json.dumps({"side": "buy", "amount": "0.01"} | fields), key)


def refusal(body: bytes | str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read(body)
    return caught.value


# What is accepted


def test_side_and_amount_are_enough_and_the_rest_has_defaults() -> None:
    assert read('{"side": "buy", "amount": "0.01"}') == NewOrder(
        id=ID,
        side=Side.BUY,
        amount=Decimal("0.01"),
        amount_base=10_000_000,
        mode=Mode.EXACT_IN,
        input_mint=WSOL,
        output_mint=USDC,
        slippage_bps=SETTINGS.slippage_bps,
        deadline_ms=SETTINGS.deadline_seconds * 1000,
        client="10.0.0.1",
        max_price_impact_bps=1_000,
    )


def test_every_field_is_taken_as_given() -> None:
    order = read_fields(
        side="sell", inputMint=USDC, outputMint=BONK, slippageBps=0, mode="exactOut", deadlineSeconds=86_400
    )
    assert (order.side, order.mode) == (Side.SELL, Mode.EXACT_OUT)
    assert (order.input_mint, order.output_mint) == (USDC, BONK)
    assert (order.slippage_bps, order.deadline_ms) == (0, 86_400_000)


@pytest.mark.parametrize(
    ("side", "mode", "decimals"),
    [("buy", "exactIn", 9), ("buy", "exactOut", 6), ("sell", "exactIn", 6), ("sell", "exactOut", 9)],
)
def test_the_amount_counts_what_is_spent_for_exact_in_and_what_is_received_for_exact_out(
    side: str, mode: str, decimals: int
) -> None:
    """With SOL (9 decimals) as input and USDC (6) as output: buy spends SOL, sell spends USDC."""
    assert read_fields(side=side, mode=mode, amount="1").amount_base == 10**decimals


@pytest.mark.parametrize(
    ("literal", "base_units"),
    [
        ('"0.000000001"', 1),
        ('"1"', 10**9),
        ('"1.50"', 1_500_000_000),
        ('"0.0100000000000000"', 10_000_000),
        ('"18446744073.709551615"', U64_MAX),
        ("0.1", 100_000_000),
        ("0.3", 300_000_000),
        ("18446744073.709551615", U64_MAX),
        ("123456789.123456789", 123_456_789_123_456_789),
        ("1e-2", 10_000_000),
        ("1E+2", 100 * 10**9),
        ("1e-9", 1),
        ("5", 5 * 10**9),
    ],
)
def test_a_number_or_a_string_is_read_exactly(literal: str, base_units: int) -> None:
    order = read(f'{{"side": "buy", "amount": {literal}}}')
    assert order.amount_base == base_units
    assert order.amount * 10**9 == base_units
    assert int(order.amount.as_tuple().exponent) <= 0


@given(st.integers(1, U64_MAX))
def test_every_u64_amount_survives_as_a_string_and_as_a_number(base_units: int) -> None:
    text = f"{base_units // 10**9}.{base_units % 10**9:09d}"
    for literal in (f'"{text}"', text):
        assert read(f'{{"side": "buy", "amount": {literal}}}').amount_base == base_units


# What is not JSON


def test_brackets_in_a_text_are_no_levels() -> None:
    assert type(refusal(json.dumps({"side": "buy", "amount": '[{"' * 200}))) is InvalidOrderError


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is empty"),
        (b"   ", "the body is not JSON: Expecting value at line 1, column 4"),
        (b'{"side": "buy", "amount": }', "the body is not JSON: Expecting value at line 1, column 27"),
        (b'{"side": "buy"} trailing', "the body is not JSON: Extra data at line 1, column 17"),
        (b"{'side': 'buy'}", "the body is not JSON: Expecting property name enclosed in double quotes at line 1"),
        (b'{"side": "buy",}', "the body is not JSON"),
        (b'{"side": "b\nuy"}', "the body is not JSON: Invalid control character"),
        (b'{"side": "buy", "amount": 007}', "the body is not JSON"),
        (b'{"side": "buy", "amount": .5}', "the body is not JSON"),
        (b"\xef\xbb\xbf{}", "the body is not JSON"),
        (b'{"side": "\xff"}', "the body is not UTF-8 at byte 10"),
        (b"\xff\xfe{\x00}\x00", "the body is not UTF-8 at byte 0"),
        (b"[" * 65_536, "the body is nested too deeply"),
        (b'{"amount":' * 6_000, "the body is nested too deeply"),
        (b'{"amount":' * 101 + b"1" + b"}" * 101, "the body is nested too deeply: more than 100 levels"),
        (b'["\\"]", ' * 101 + b"1" + b"]" * 101, "the body is nested too deeply"),
        (b"[]", "the body is an array"),
        (b'"buy"', "the body is a string"),
        (b"12", "the body is a number"),
        (b"true", "the body is a boolean"),
        (b"null", "the body is null"),
        (b"NaN", "the body is not JSON"),
    ],
)
def test_a_body_that_is_no_json_object_is_malformed_with_the_position(body: bytes, reason: str) -> None:
    error = refusal(body)
    assert type(error) is MalformedBodyError
    assert str(error).startswith(reason)
    (problem,) = error.fields
    assert problem == FieldProblem("", str(error), 'a JSON object such as {"side": "buy", "amount": "0.01"}')


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_a_bare_nan_or_infinity_is_not_json_and_the_field_is_named(literal: str) -> None:
    error = refusal(f'{{"side": "buy", "amount": {literal}}}')
    assert type(error) is MalformedBodyError
    assert error.fields == [
        FieldProblem("amount", f"is {literal}, which is not JSON", "a value that JSON can hold"),
    ]


# The body's hash


def test_the_hash_depends_on_the_request_and_not_on_how_it_is_written() -> None:
    written = [
        '{"side": "buy", "amount": "0.01", "slippageBps": 50}',
        '{"slippageBps":50,"amount":"0.01","side":"buy"}',
        '{"side": "\\u0062uy", "amount": "0.0100", "slippageBps": 50}',
        '{"side": "buy", "amount": 0.01, "slippageBps": 50}',
        '{"side": "buy", "amount": 1e-2, "slippageBps": 50}',
    ]
    assert len({read(body, "key").body_hash for body in written}) == 1
    others = [
        '{"side": "sell", "amount": "0.01", "slippageBps": 50}',
        '{"side": "buy", "amount": "0.1", "slippageBps": 50}',
        '{"side": "buy", "amount": "0.01", "slippageBps": 51}',
        '{"side": "buy", "amount": "0.01"}',
        '{"side": "buy", "amount": "0.01", "deadlineSeconds": 50}',
    ]
    assert len({read(body, "key").body_hash for body in (written[0], *others)}) == 1 + len(others)
    assert len(read(written[0], "key").body_hash) == 32


def test_a_changed_default_does_not_change_the_hash_of_a_repeated_request() -> None:
    body = b'{"side": "buy", "amount": "0.01"}'
    later = BodyReader(Settings(_env_file=None, slippage_bps=77, deadline_seconds=9))
    assert later.read(body, ID, "10.0.0.1", "key").body_hash == read(body, "key").body_hash


# The content type


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json ; charset=utf8; profile=x",
    ],
)
def test_json_in_utf_8_is_taken_however_it_is_announced(content_type: str) -> None:
    require_json(content_type, None)
    require_json(content_type, "identity")


@pytest.mark.parametrize(
    ("content_type", "encoding", "reason"),
    [
        (None, None, "the Content-Type header is missing: send application/json"),
        ("", None, "the Content-Type is not application/json"),
        ("text/plain", None, "the Content-Type is not application/json"),
        ("application/x-www-form-urlencoded", None, "the Content-Type is not application/json"),
        ("application/jsonp", None, "the Content-Type is not application/json"),
        ("application/json, text/html", None, "the Content-Type is not application/json"),
        ("application/json; charset=latin-1", None, "JSON is UTF-8: leave the charset out, or send utf-8"),
        ("application/json; charset=utf-16", None, "JSON is UTF-8: leave the charset out, or send utf-8"),
        ("application/json", "gzip", "the body must be sent without Content-Encoding"),
    ],
)
def test_anything_else_is_an_unsupported_media_type(
    content_type: str | None, encoding: str | None, reason: str
) -> None:
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        require_json(content_type, encoding)
    assert str(caught.value) == reason


def test_an_order_runs_dry_if_it_says_so_or_if_all_do() -> None:
    assert not read_fields().dry_run
    assert read_fields(dryRun=True).dry_run
    assert not read_fields(dryRun=False).dry_run
    all_dry = BodyReader(Settings(_env_file=None, dry_run=True))
    assert all_dry.read(b'{"side": "buy", "amount": "0.01"}', ID, "10.0.0.1", None).dry_run


@pytest.mark.parametrize("value", ["true", 1, None, [], {}])
def test_a_dry_run_is_asked_for_with_a_boolean(value: object) -> None:
    [problem] = refusal(json.dumps({"side": "buy", "amount": "0.01", "dryRun": value})).fields
    assert (problem.field, problem.expected) == ("dryRun", "true or false")


def test_a_client_that_expects_a_swap_gets_none_where_all_orders_run_dry() -> None:
    all_dry = BodyReader(Settings(_env_file=None, dry_run=True))
    with pytest.raises(RequestError) as caught:
        all_dry.read(b'{"side": "buy", "amount": "0.01", "dryRun": false}', ID, "10.0.0.1", None)
    [problem] = caught.value.fields
    assert (problem.field, problem.problem) == ("dryRun", "is false, and this service runs every order dry")


def test_the_same_key_with_and_without_a_dry_run_is_another_body() -> None:
    assert read_fields("k", dryRun=True).body_hash != read_fields("k").body_hash
    assert read_fields("k", dryRun=True).body_hash != read_fields("k", dryRun=False).body_hash


def test_a_policy_lowers_the_defaults_and_leaves_what_the_client_has_written() -> None:
    posted = {"side": "buy", "amount": "0.01"}
    tight = READER.within(Policy(max_slippage_bps=7, max_price_impact_bps=9))
    written = {**posted, "slippageBps": 40, "maxPriceImpactBps": 80}
    order, own = (tight.read(json.dumps(body).encode(), ID, "", None) for body in (posted, written))
    assert (order.slippage_bps, order.max_price_impact_bps) == (7, 9)
    assert (own.slippage_bps, own.max_price_impact_bps) == (40, 80)
    assert READER.within(Policy(max_slippage_bps=5_000)) is READER, "a default is never raised"
