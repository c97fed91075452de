"""Messages of clients on a WebSocket: each mistake has its own code, and every mistake is answered."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.api.websocket_messages import (
    MAX_MESSAGE,
    MAX_SEQ,
    BadMessageError,
    Cancel,
    CancelAll,
    Command,
    Subscribe,
    Unsubscribe,
    error,
    parse,
    parse_query,
    unsubscribed,
)
from dexexec.api.websocket_registry import TokenBucket

ORDER = UUID("01234567-89ab-cdef-0123-456789abcdef")
ID = str(ORDER)


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ({"orderId": ID}, Subscribe(ORDER, 0)),
        ({"orderId": ID.upper()}, Subscribe(ORDER, 0)),
        ({"orderId": ID, "afterSeq": 0}, Subscribe(ORDER, 0)),
        ({"orderId": ID, "afterSeq": 5, "action": "subscribe"}, Subscribe(ORDER, 5)),
        ({"orderId": ID, "afterSeq": MAX_SEQ}, Subscribe(ORDER, MAX_SEQ)),
        ({"orderId": ID, "action": "unsubscribe"}, Unsubscribe(ORDER)),
        ({"cancel": ID}, Cancel(ORDER)),
        ({"cancelAll": {"status": "open"}}, CancelAll({"status": "open"})),
    ],
)
def test_a_good_message_is_understood(message: dict[str, object], command: Command) -> None:
    assert parse(json.dumps(message)) == command


BAD = [
    (b'{"orderId": "x"}', "binary-message", "binary"),
    ("x" * (MAX_MESSAGE + 1), "message-too-large", "4097 bytes"),
    ("\N{EURO SIGN}" * (MAX_MESSAGE // 3 + 1), "message-too-large", "at most 4096"),
    ("", "malformed-message", "not JSON"),
    ("hello", "malformed-message", "not JSON"),
    ("{", "malformed-message", "not JSON"),
    (f'{{"orderId": "{ID}", "afterSeq": NaN}}', "malformed-message", "not JSON"),
    ("[" * MAX_MESSAGE, "malformed-message", "not JSON"),
    ("[]", "not-an-object", "not a JSON object"),
    ("7", "not-an-object", "not a JSON object"),
    ('"x"', "not-an-object", "not a JSON object"),
    ("null", "not-an-object", "not a JSON object"),
    ("{}", "missing-field", "orderId"),
    ('{"cancel": "x"}', "invalid-order-id", "cancel must be"),
    ('{"cancelAll": "waiting"}', "invalid-selection", "cancelAll must be"),
    ('{"cancelAll": {"status": "waiting"}, "afterSeq": 1}', "unknown-field", "afterSeq"),
    (f'{{"cancelAll": {{}}, "cancel": "{ID}"}}', "unknown-field", "cancelAll"),
    (f'{{"cancel": "{ID}", "orderId": "{ID}"}}', "unknown-field", "orderId"),
    (f'{{"cancel": "{ID}", "afterSeq": 1}}', "unknown-field", "afterSeq"),
    ('{"afterSeq": 1}', "missing-field", "orderId"),
    (f'{{"orderId": "{ID}", "orderid": 1}}', "unknown-field", '"orderid"'),
    (f'{{"orderId": "{ID}", "{"x-" * 100}": 1}}', "unknown-field", "x-x-..."),
    (f'{{"orderId": "{ID}", "\\ud800": 1}}', "unknown-field", "ud800"),
    (f'{{"orderId": "{ID}", "orderId": "{ID}"}}', "duplicate-field", '"orderId"'),
    ('{"orderId": 7}', "invalid-order-id", "orderId"),
    ('{"orderId": null}', "invalid-order-id", "orderId"),
    ('{"orderId": "7"}', "invalid-order-id", "orderId"),
    (f'{{"orderId": "{ID[:-1]}g"}}', "invalid-order-id", "orderId"),
    (f'{{"orderId": "{ID.replace("-", "")}"}}', "invalid-order-id", "orderId"),
    (f'{{"orderId": "{{{ID[1:-1]}}}"}}', "invalid-order-id", "orderId"),
    (f'{{"orderId": "{ID.replace("-", "")}----"}}', "invalid-order-id", "orderId"),
    (f'{{"orderId": "{ID}", "afterSeq": true}}', "invalid-after-seq", "integer"),
    (f'{{"orderId": "{ID}", "afterSeq": -1}}', "invalid-after-seq", "integer"),
    (f'{{"orderId": "{ID}", "afterSeq": 1.0}}', "invalid-after-seq", "integer"),
    (f'{{"orderId": "{ID}", "afterSeq": "1"}}', "invalid-after-seq", "integer"),
    (f'{{"orderId": "{ID}", "afterSeq": null}}', "invalid-after-seq", "integer"),
    (f'{{"orderId": "{ID}", "afterSeq": {MAX_SEQ + 1}}}', "invalid-after-seq", str(MAX_SEQ)),
    (f'{{"orderId": "{ID}", "afterSeq": 1e400}}', "invalid-after-seq", "integer"),
    (f'{{"orderId": "{ID}", "afterSeq": {"9" * 3_000}}}', "invalid-after-seq", "integer"),
    (f'{{"orderId": "{ID}", "action": "cancel"}}', "invalid-action", '"unsubscribe"'),
    (f'{{"orderId": "{ID}", "action": ["x"]}}', "invalid-action", '"unsubscribe"'),
    (f'{{"orderId": "{ID}", "action": "unsubscribe", "afterSeq": 1}}', "unknown-field", "afterSeq"),
]


@pytest.mark.parametrize(("message", "code", "says"), BAD)
def test_a_bad_message_gets_an_error_with_its_cause(message: str | bytes, code: str, says: str) -> None:
    with pytest.raises(BadMessageError) as caught:
        parse(message)
    assert caught.value.code == code
    assert says in str(caught.value)
    answer = json.loads(error(caught.value.code, str(caught.value), caught.value.order_id))
    assert answer["error"]["code"] == code


def test_an_error_about_an_order_names_it() -> None:
    with pytest.raises(BadMessageError) as caught:
        parse(f'{{"orderId": "{ID.upper()}", "afterSeq": -1}}')
    answer = json.loads(error(caught.value.code, "y", caught.value.order_id))["error"]
    assert answer == {"code": "invalid-after-seq", "message": "y", "orderId": ID}


@given(st.text(max_size=300) | st.binary(max_size=50) | st.recursive(st.none(), st.lists).map(json.dumps))
def test_nothing_a_client_sends_escapes_as_another_error(message: str | bytes) -> None:
    with pytest.raises(BadMessageError):
        parse(message)


json_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(ID)


@given(st.dictionaries(st.sampled_from(["orderId", "afterSeq", "action", "x"]), json_values, max_size=4))
def test_every_accepted_value_is_in_range(message: dict[str, object]) -> None:
    try:
        command = parse(json.dumps(message))
    except BadMessageError:
        return
    assert isinstance(command, Subscribe)
    assert command.order_id == ORDER
    assert 0 <= command.after_seq <= MAX_SEQ


def test_the_url_may_carry_the_first_subscription() -> None:
    assert parse_query({}) is None
    assert parse_query({"token": [b"x"]}) is None
    assert parse_query({"orderId": [ID.encode()]}) == Subscribe(ORDER, 0)
    assert parse_query({"orderId": [ID.encode()], "afterSeq": [b"12"]}) == Subscribe(ORDER, 12)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"orderId": [b"7"]}, "invalid-order-id"),
        ({"orderId": [b"\xff"]}, "invalid-order-id"),
        ({"orderId": [ID.encode()] * 2}, "duplicate-field"),
        ({"afterSeq": [b"1"]}, "missing-field"),
        ({"orderId": [ID.encode()], "afterSeq": [b"-1"]}, "invalid-after-seq"),
        ({"orderId": [ID.encode()], "afterSeq": [b"1.5"]}, "invalid-after-seq"),
        ({"orderId": [ID.encode()], "afterSeq": ["²".encode()]}, "invalid-after-seq"),
        ({"orderId": [ID.encode()], "afterSeq": [b"9" * 5_000]}, "invalid-after-seq"),
    ],
)
def test_a_bad_url_gets_an_error_with_its_cause(arguments: dict[str, list[bytes]], code: str) -> None:
    with pytest.raises(BadMessageError) as caught:
        parse_query(arguments)
    assert caught.value.code == code


def test_the_end_of_a_subscription_has_the_seq_to_resume_after() -> None:
    assert json.loads(unsubscribed(ORDER, 4)) == {"orderId": ID, "unsubscribed": True, "afterSeq": 4}


def test_a_bucket_lets_ten_seconds_worth_through_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=2.0, now=100.0)
    assert [bucket.take(1, 100.0) for _ in range(21)] == [True] * 20 + [False]
    assert not bucket.take(1, 100.5)  # the refused ones are owed
    bucket = TokenBucket(rate=2.0, now=100.0)
    assert bucket.take(20, 100.0)
    assert bucket.take(2, 101.0)
    assert not bucket.take(1, 101.0)


def test_a_bucket_never_holds_more_than_ten_seconds_worth() -> None:
    bucket = TokenBucket(rate=2.0, now=0.0)
    assert bucket.take(20, 1_000_000.0)
    assert not bucket.take(1, 1_000_000.0)
