"""The OpenAPI document: valid by its standard, whole over routes and problems, with examples that fit."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from dexexec.api.app import ROUTES
from dexexec.api.contract.openapi import openapi
from dexexec.api.problems import PROBLEMS

DOCUMENT: dict[str, Any] = json.loads(json.dumps(openapi()))
PATHS: dict[str, dict[str, Any]] = DOCUMENT["paths"]
OPERATIONS = [(path, method, PATHS[path][method]) for path in PATHS for method in PATHS[path]]


def validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(target := value.get("$ref"), str):
            yield target
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_it_is_valid_by_the_tool_of_its_standard() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_has_every_route_with_every_method_and_nothing_else() -> None:
    routes = {(m, route.path) for route in ROUTES for m in route.methods if m not in {"HEAD", "OPTIONS"}}
    assert {(method.upper(), path) for path, method, _ in OPERATIONS} == routes


def test_every_problem_is_in_it_with_an_example_and_as_an_answer() -> None:
    examples = DOCUMENT["components"]["examples"]
    assert {f"/problems/{code}" for code in PROBLEMS} == {one["value"]["type"] for one in examples.values()}
    responses = [operation["responses"] for _, _, operation in OPERATIONS]
    answered = {code for listed in (*responses, DOCUMENT["components"]["responses"]) for code in codes_of(listed)}
    assert answered == set(PROBLEMS)


def codes_of(responses: dict[str, Any]) -> Iterator[str]:
    for response in responses.values():
        yield from response.get("content", {}).get("application/problem+json", {}).get("examples", {})


@pytest.mark.parametrize("code", PROBLEMS)
def test_the_example_of_a_problem_is_a_whole_document(code: str) -> None:
    example = DOCUMENT["components"]["examples"][code]["value"]
    validator({"$ref": "#/components/schemas/Problem"}).validate(example)
    assert (example["status"], example["title"]) == (PROBLEMS[code].http_status, PROBLEMS[code].title)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=lambda value: str(value)[:40])
def test_the_examples_of_an_operation_fit_its_schemas(path: str, method: str, operation: dict[str, Any]) -> None:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        assert content["examples"]
        for example in content["examples"].values():
            validator(content["schema"]).validate(example["value"])
    for parameter in operation.get("parameters", ()):
        if "example" in parameter:
            validator(parameter["schema"]).validate(parameter["example"])
    assert set(re.findall(r"\{(\w+)\}", path)) == {
        parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"
    }


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    used = set(references(DOCUMENT))
    components = {f"#/components/{kind}/{name}" for kind, listed in DOCUMENT["components"].items() for name in listed}
    # Those outside of all operations cannot be referenced by one, and a security scheme is used by its name.
    apart = ("#/components/responses/", "#/components/securitySchemes/")
    assert used == {component for component in components if not component.startswith(apart)}
    named = {name for requirement in DOCUMENT["security"] for name in requirement}
    assert named == DOCUMENT["components"]["securitySchemes"].keys()


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for _, _, operation in OPERATIONS)
