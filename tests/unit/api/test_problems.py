"""Refusals as problem documents: one cause, one type, and nothing in them that a client should not see."""

import json
import re

import pytest
from tornado.httputil import HTTPInputError
from tornado.web import HTTPError

from dexexec import errors, operator_errors, webhook_errors
from dexexec.api import problems
from dexexec.errors import (
    FieldProblem,
    InvalidOrderError,
    OrderNotFoundError,
    QueueFullError,
    RequestError,
    TooManyOrdersError,
    UnavailableError,
)
from dexexec.intake import signing_errors
from dexexec.store import event_positions

OWN = {
    errors.__name__,
    operator_errors.__name__,
    problems.__name__,
    signing_errors.__name__,
    event_positions.__name__,
    webhook_errors.__name__,
}


def causes(error: type[RequestError] = RequestError) -> list[type[RequestError]]:
    return [found for child in error.__subclasses__() for found in (child, *causes(child))]


def test_every_cause_has_a_type_of_its_own_that_can_be_requested() -> None:
    classes = [cause for cause in causes() if cause.__module__ in OWN]
    assert {cause.code: cause for cause in classes} == dict(problems.PROBLEMS)
    assert len(classes) == len(problems.PROBLEMS)


@pytest.mark.parametrize("code", problems.PROBLEMS)
def test_a_type_is_a_short_path_and_its_explanation_is_a_sentence(code: str) -> None:
    assert re.fullmatch(r"/problems/[a-z]+(-[a-z]+)*", problems.uri(code))
    found = problems.explanation(code)
    assert found is not None
    assert found["type"] == problems.uri(code)
    assert 400 <= int(str(found["status"])) < 600
    assert re.fullmatch(r"[A-Z].{10,}\.", str(found["meaning"]))
    assert "\n" not in str(found["meaning"])


def test_an_unknown_code_has_no_explanation() -> None:
    assert problems.explanation("nothing") is None


def test_a_document_has_all_fields_of_the_error() -> None:
    error = InvalidOrderError([FieldProblem("side", "is missing", '"buy" or "sell"')])
    assert problems.document(error, "r1") == {
        "type": "/problems/invalid-order",
        "title": "The order has invalid fields",
        "status": 422,
        "detail": "side: is missing",
        "instance": "r1",
        "errors": [{"field": "side", "problem": "is missing", "expected": '"buy" or "sell"'}],
    }
    assert problems.headers(error) == {"Content-Type": "application/problem+json"}


def test_a_document_without_details_still_names_the_error() -> None:
    assert problems.document(OrderNotFoundError(), "r1")["detail"] == "No such order"


@pytest.mark.parametrize(
    ("seconds", "header", "milliseconds"), [(0.0, "1", 0), (0.0301, "1", 31), (1.0, "1", 1000), (12.3, "13", 12_300)]
)
def test_retry_after_is_exact_in_the_document_and_never_too_early_in_the_header(
    seconds: float, header: str, milliseconds: int
) -> None:
    error = TooManyOrdersError("slow down", seconds)
    assert problems.headers(error)["Retry-After"] == header
    assert problems.document(error, "r1")["retryAfterMs"] == milliseconds


def test_an_unknown_outcome_names_the_order_to_look_up() -> None:
    assert problems.document(UnavailableError("no answer", "an-id"), "r1")["orderId"] == "an-id"
    assert "orderId" not in problems.document(QueueFullError("full"), "r1")


@pytest.mark.parametrize(
    ("status", "code"), [(404, "not-found"), (405, "method-not-allowed"), (400, "bad-request"), (403, "bad-request")]
)
def test_what_tornado_refuses_is_answered_in_our_words(status: int, code: str) -> None:
    found = problems.from_exception(HTTPError(status, "Tornado's own words"), status)
    assert found.code == code
    assert "Tornado" not in json.dumps(problems.document(found, "r1"))


def test_a_form_that_tornado_cannot_read_is_an_unsupported_media_type() -> None:
    error = HTTPError(400, "Invalid body")
    error.__cause__ = HTTPInputError("no boundary")
    assert problems.from_exception(error, 400).code == "unsupported-media-type"


@pytest.mark.parametrize("exception", [ValueError("password=hunter2"), None])
def test_an_internal_error_shows_no_details_to_clients(exception: Exception | None) -> None:
    document = problems.document(problems.from_exception(exception, 500), "r1")
    assert (document["type"], document["status"], document["instance"]) == ("/problems/internal", 500, "r1")
    assert "hunter2" not in json.dumps(document)
