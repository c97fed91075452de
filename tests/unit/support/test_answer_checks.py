"""The check of answers finds what the contract does not have; otherwise no test that uses it could fail for that."""

import json
from collections.abc import Mapping

import pytest

from dexexec.api.contract.problem_examples import example
from dexexec.api.problems import PROBLEMS
from tests.support.answer_checks import NotInContractError, check_answer, check_message

ID = "01a20375-9296-7c99-b5c0-eef1ea8717b4"
ORDER = f"/api/orders/{ID}"
COMMON = {"Server": "dexexec", "X-Request-Id": "abc"}
JSON = {**COMMON, "Content-Type": "application/json"}
PROBLEM = {**COMMON, "Content-Type": "application/problem+json"}
CANCELLED = {"orderId": ID, "status": "cancelled", "seq": 2}
EVENT = {"orderId": ID, "seq": 1, "status": "pending", "at": "2026-01-31T12:00:00.123Z", "final": False}


def check(method: str, target: str, status: int, headers: Mapping[str, str], body: object) -> None:
    check_answer(method, target, status, headers, json.dumps(body).encode())


def test_what_the_contract_has_is_accepted() -> None:
    check("DELETE", ORDER, 200, JSON, CANCELLED)
    check("DELETE", f"{ORDER}/?x=1", 200, JSON, CANCELLED)
    check("DELETE", ORDER, 404, PROBLEM, example(PROBLEMS["order-not-found"]))
    check("GET", "/no/such/path", 404, PROBLEM, example(PROBLEMS["not-found"]))
    check("PUT", "/no/such/path", 405, PROBLEM | {"Allow": "GET"}, example(PROBLEMS["method-not-allowed"]))
    check_answer("HEAD", "/healthz", 200, JSON, b"")


def test_other_servers_are_left_alone() -> None:
    check("DELETE", ORDER, 299, {"Server": "nginx"}, "anything")


@pytest.mark.parametrize(
    ("status", "headers", "body", "problem"),
    [
        (201, JSON, CANCELLED, "201 is not documented"),
        (200, {"Server": "dexexec", "Content-Type": "application/json"}, CANCELLED, "lacks the header X-Request-Id"),
        (200, {**COMMON, "Content-Type": "text/plain"}, CANCELLED, "has 'text/plain'"),
        (200, JSON, {**CANCELLED, "more": 1}, "more"),
        (200, JSON, {"orderId": ID, "seq": 2}, "status"),
        (200, JSON, {**CANCELLED, "seq": "2"}, "seq"),
        (404, PROBLEM, example(PROBLEMS["not-found"]), "/problems/not-found"),
        (409, PROBLEM, {**example(PROBLEMS["too-late"]), "title": None}, "title"),
    ],
)
def test_what_the_contract_does_not_have_is_named(
    status: int, headers: Mapping[str, str], body: object, problem: str
) -> None:
    with pytest.raises(NotInContractError, match=problem):
        check("DELETE", ORDER, status, headers, body)


def test_a_message_must_be_one_of_the_services() -> None:
    check_message(EVENT)
    check_message({**EVENT, "anotherField": "of this step"})
    for message in ({}, {**EVENT, "seq": -1}, {"error": {"code": "tired", "message": ""}}, {"cancelled": True}):
        with pytest.raises(NotInContractError):
            check_message(message)
