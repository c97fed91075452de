"""Answers as values: exact numbers, and an error for what is no answer of the service."""

import json
from decimal import Decimal
from inspect import signature

import pytest

from dexexec.client import AsyncWebhooks, Webhooks, answers, service_answers
from dexexec.client.errors import MalformedAnswerError
from dexexec.client.problems import InvalidOrderError

EVENT = {"orderId": "i", "seq": 1, "status": "pending", "at": "2026-01-31T12:00:00.123Z", "final": False}


def test_no_number_becomes_a_float() -> None:
    body = answers.read_json(b'{"errorRate": 0.1, "n": 12345678901234567890}')
    assert body == {"errorRate": Decimal("0.1"), "n": 12345678901234567890}
    quote: dict[str, object] = {
        "amount": "0.1",
        "amountBase": "100000000",
        "best": None,
        "aheadBps": "5.26",
        "venues": [],
    }
    [read] = answers.quotes_of({"quotes": [quote]})
    assert (read.amount, read.amount_base, read.ahead_bps) == (Decimal("0.1"), 100_000_000, Decimal("5.26"))


def test_an_event_keeps_fields_that_this_version_has_not() -> None:
    event = answers.read_event({**EVENT, "new": [1], "reason": "slippage"})
    assert event is not None
    assert (event.data["new"], event.reason, event.detail, event.at.microsecond) == ([1], "slippage", None, 123_000)


@pytest.mark.parametrize(
    "change", [{"seq": True}, {"seq": 0}, {"seq": "1"}, {"at": "now"}, {"final": 1}, {"orderId": 1}]
)
def test_what_is_no_event_is_none(change: dict[str, object]) -> None:
    assert answers.read_event({**EVENT, **change}) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"[" * 100_000])
def test_an_answer_that_is_no_object_is_an_error(body: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        answers.read_json(body)


@pytest.mark.parametrize("units", ["1.5", "1E+999999999", "NaN", "x", 5])
def test_base_units_are_whole_numbers_of_a_size_that_exists(units: object) -> None:
    quote = {"amount": "1", "amountBase": units, "venues": []}
    with pytest.raises(MalformedAnswerError, match="amountBase"):
        answers.quotes_of({"quotes": [quote]})


PROBLEM = {"type": "/problems/invalid-order", "status": 422, "title": "t", "detail": "d"}


def test_a_refusal_within_a_check_is_the_error_of_its_type() -> None:
    checked = service_answers.checked_of({"ok": False, "problem": PROBLEM})
    assert isinstance(checked.refusal, InvalidOrderError)
    assert (checked.refusal.http_status, checked.order) == (422, None)


@pytest.mark.parametrize("body", [{}, {"ok": 1}, {"ok": False}, {"ok": True, "problem": PROBLEM}])
def test_a_check_that_contradicts_itself_is_an_error(body: dict[str, object]) -> None:
    with pytest.raises(MalformedAnswerError):
        service_answers.checked_of(body)


def test_both_clients_have_the_same_methods_for_webhooks() -> None:
    names = {name for name in vars(AsyncWebhooks) if not name.startswith("_")}
    assert names == {name for name in vars(Webhooks) if not name.startswith("_")}
    for name in names:
        expected = list(signature(getattr(AsyncWebhooks, name)).parameters.values())
        assert list(signature(getattr(Webhooks, name)).parameters.values()) == expected, name


def test_a_list_of_other_things_is_an_error() -> None:
    with pytest.raises(MalformedAnswerError, match="orders is not a list of objects"):
        answers.page_of(json.loads('{"orders": [1]}'))
