"""Refusals as exceptions: one class for each problem type, under the class of its status."""

import json

import pytest

from dexexec.api.problems import PROBLEMS, document, headers
from dexexec.client import problems
from dexexec.client.errors import LONGEST_TEXT
from dexexec.client.problem_document import class_of, read_problem
from dexexec.client.problem_types import BY_CODE, BY_STATUS
from dexexec.client.problems import ConflictError, ProblemError, UnavailableError
from dexexec.client.requests import may_have_acted
from dexexec.errors import FieldProblem, InvalidOrderError, QueueFullError, TooLateError
from dexexec.errors import UnavailableError as Outage


@pytest.mark.parametrize("code", PROBLEMS)
def test_what_the_service_calls_retryable_is_repeated_except_a_halt(code: str) -> None:
    # A halt lasts until a person ends it. An order that comes then, minutes late, is not what its program wants.
    assert BY_CODE[code].retryable is (PROBLEMS[code].retryable and code != "halted")


def test_no_two_problems_share_a_class() -> None:
    assert len(set(BY_CODE.values())) == len(BY_CODE)
    assert all(one.code == code for code, one in BY_CODE.items())


def test_a_problem_has_everything_that_the_document_has() -> None:
    error = InvalidOrderError([FieldProblem("amount", "is negative", "a positive number")])
    found = read_problem(422, headers(error), json.dumps(document(error, "the-id")).encode())
    assert isinstance(found, problems.InvalidOrderError)
    assert found.fields == (FieldProblem("amount", "is negative", "a positive number"),)
    assert (found.request_id, found.retry_after, found.order_id) == ("the-id", None, None)
    assert str(found) == "422 The order has invalid fields: amount is negative, expected a positive number"
    late = TooLateError("attempt 1 is signed", {"orderStatus": "submitted", "attempt": {"attempt": 1}})
    read = read_problem(409, headers(late), json.dumps(document(late, "x")).encode())
    assert read.about == {"orderStatus": "submitted", "attempt": {"attempt": 1}}


def test_the_exact_retry_after_counts_before_the_header() -> None:
    error = QueueFullError("full")
    names = {name.lower(): value for name, value in headers(error).items()}
    assert read_problem(503, names, json.dumps(document(error, "x")).encode()).retry_after == 1.0
    assert read_problem(503, names, b'{"retryAfterMs": 10}').retry_after == 0.01
    assert read_problem(503, {"retry-after": "7"}, b"").retry_after == 7.0
    assert read_problem(503, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"").retry_after is None
    assert read_problem(503, {"retry-after": "9" * 9}, b"").retry_after == 3600.0
    assert read_problem(503, {}, b'{"retryAfterMs": true}').retry_after is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (*one,)
        for one in [
            (400, problems.BadRequestError), (401, problems.UnauthorizedError), (403, problems.ForbiddenError),
            (404, problems.NotFoundError), (409, ConflictError), (412, problems.VersionMismatchError),
            (418, ProblemError), (422, problems.UnprocessableError), (429, problems.TooManyRequestsError),
            (500, problems.InternalError), (502, problems.GatewayError), (503, UnavailableError),
            (504, problems.GatewayError), (507, problems.InternalError), (302, ProblemError),
        ]
    ],
)  # fmt: skip
def test_a_code_of_a_newer_service_falls_back_on_its_status(status: int, kind: type[ProblemError]) -> None:
    found = read_problem(status, {}, b'{"type": "/problems/not-thought-of-yet", "title": "New"}')
    assert type(found) is kind is class_of(status)
    assert (found.code, found.http_status, str(found)) == ("not-thought-of-yet", status, f"{status} New")


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"[1]", b"[" * 100_000, b'{"errors": 3, "title": 4}'])
def test_what_a_proxy_answers_is_an_error_too(body: bytes) -> None:
    found = read_problem(502, {"x-request-id": "r"}, body)
    assert isinstance(found, problems.GatewayError)
    assert found.retryable
    assert found.fields == ()
    assert found.request_id == "r"


def test_text_of_the_service_does_not_reach_the_terminal_as_it_is() -> None:
    found = read_problem(400, {}, json.dumps({"title": "\x1b[2J", "detail": "a\nb" + "x" * 10_000}).encode())
    assert str(found).isprintable()
    assert len(str(found)) <= LONGEST_TEXT


def test_classes_of_a_status_are_the_bases_of_its_problems() -> None:
    for code, kind in BY_CODE.items():
        if kind.status in BY_STATUS and kind is not BY_STATUS[kind.status]:
            assert issubclass(kind, BY_STATUS[kind.status]), code


def test_a_refusal_says_whether_something_may_have_happened() -> None:
    def read(error: Outage | QueueFullError) -> ProblemError:
        return read_problem(503, {}, json.dumps(document(error, "x")).encode())

    assert not may_have_acted("POST", read(QueueFullError("full")))
    assert not may_have_acted("POST", read(Outage("no Postgres")))
    assert may_have_acted("POST", read(Outage("no answer", "an-id")))
    assert may_have_acted("DELETE", read(Outage("no Postgres")))
    assert may_have_acted("POST", read_problem(500, {}, b""))
    assert may_have_acted("POST", read_problem(502, {}, b""))
    assert not may_have_acted("POST", read_problem(422, {}, b""))
