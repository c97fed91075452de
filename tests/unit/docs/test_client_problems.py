"""The client's errors against those of the service: both are what other programs rely on."""

import json

import pytest

from dexexec.api.problems import PROBLEMS
from dexexec.client.problem_document import read_problem
from dexexec.client.problem_types import BY_CODE


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_problem_of_the_service_has_a_class_of_its_status(code: str) -> None:
    assert code in BY_CODE, f"add a class for {code} to dexexec/client/problems.py, and to BY_CODE there"
    service = PROBLEMS[code]
    found = read_problem(service.http_status, {}, json.dumps({"type": f"/problems/{code}"}).encode())
    assert type(found) is BY_CODE[code]
    assert (found.code, found.status) == (code, service.http_status)
