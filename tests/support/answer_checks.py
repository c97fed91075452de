"""Checks every answer that a test receives against the OpenAPI and the AsyncAPI document of the service.

A client must ignore fields that are new to it. Here such a field is an error, since it is not documented.
"""

import gzip
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import jsonschema_rs

from dexexec.api.app import ROUTES
from dexexec.api.contract.asyncapi import asyncapi, server_messages
from dexexec.api.contract.openapi import openapi

JSON_TYPES = {"application/json", "application/problem+json"}
OPEN = {"additionalProperties", "allOf", "oneOf", "anyOf"}
NO_CONTENT = {204, 304}


class NotInContractError(AssertionError):
    """An answer that the documents do not have."""


def check_answer(method: str, target: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raises `NotInContractError`. Answers of other servers are left alone."""
    if headers.get("Server") != "dexexec" or method == "OPTIONS" or status == 101:
        return
    path = target.partition("?")[0]
    if path.startswith("/assets/"):
        return  # files of the page, which are no part of the contract
    responses = _responses("GET" if method == "HEAD" else method, path)
    response = responses.get(str(status))
    if response is None:
        raise NotInContractError(f"{method} {path}: {status} is not documented: {body[:500]!r}")
    for name, header in response["headers"].items():
        required = _openapi()["components"]["headers"][name].get("required", False)
        if required and name not in headers:
            raise NotInContractError(f"{method} {path}: {status} lacks the header {name}: {header}")
    if method == "HEAD" or status in NO_CONTENT:
        return
    media_type = headers.get("Content-Type", "").partition(";")[0]
    content = response.get("content", {})
    if media_type not in content:
        raise NotInContractError(f"{method} {path}: {status} has {media_type!r}, documented is {list(content)}")
    if media_type in JSON_TYPES:
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        _validate(json.dumps(content[media_type]["schema"]), json.loads(body), f"{method} {path}: {status}")


def check_order(order: object) -> None:
    """Raises `NotInContractError` unless `order` is an answer to `GET /api/orders/{id}`."""
    content = _responses("GET", "/api/orders/00000000-0000-0000-0000-000000000000")["200"]["content"]
    _validate(json.dumps(content["application/json"]["schema"]), order, "an order")


def check_message(message: object) -> None:
    """Raises `NotInContractError` unless a message of a WebSocket is one of the service's."""
    valid = [name for name, validator in _messages().items() if validator.is_valid(message)]
    if len(valid) != 1:
        problems = {name: _first(validator, message) for name, validator in _messages().items()}
        raise NotInContractError(f"the message is {valid or 'none'} of the document's: {message} {problems}")


def _responses(method: str, path: str) -> Mapping[str, Any]:
    """The answers to a request, by status; of a path or a method that does not exist those of no operation."""
    found = next((item for pattern, item in _paths() if pattern.fullmatch(path)), None)
    outside = _openapi()["components"]["responses"]
    anywhere = _openapi()["paths"]["/healthz"]["get"]["responses"]
    others = {"405": outside["MethodNotAllowed"], "426": outside["UpgradeRequired"]}
    if found is None:
        return {**anywhere, **others, "404": outside["NotFound"]}
    operation = found.get(method.lower())
    return {**others, **(operation["responses"] if operation else anywhere)}


@cache
def _openapi() -> dict[str, Any]:
    return cast("dict[str, Any]", _closed(json.loads(json.dumps(openapi()))))


@cache
def _paths() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """In the order in which the service looks for the first match."""
    paths = _openapi()["paths"]
    return [(re.compile(route.pattern), paths[route.path]) for route in ROUTES]


@cache
def _messages() -> dict[str, jsonschema_rs.Draft202012Validator]:
    document = _closed(json.loads(json.dumps(asyncapi())))
    assert isinstance(document, dict)
    components = document["components"]
    return {
        name: jsonschema_rs.Draft202012Validator({**components["messages"][name]["payload"], "components": components})
        for name in server_messages()
    }


def _validate(schema: str, value: object, about: str) -> None:
    error = _first(_validator(schema), value)
    if error is not None:
        raise NotInContractError(f"{about}: {error}")


def _first(validator: jsonschema_rs.Draft202012Validator, value: object) -> str | None:
    """What is wrong with a value, and where; None if it is valid."""
    return next((f"{error.instance_path}: {error.message}"[:600] for error in validator.iter_errors(value)), None)


@cache
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({**json.loads(schema), "components": _openapi()["components"]})


def _closed(value: object) -> object:
    """The same with every object that lists its properties closed to others."""
    if isinstance(value, list):
        return [_closed(one) for one in value]
    if not isinstance(value, dict):
        return value
    closed = {name: _closed(one) for name, one in value.items()}
    if closed.get("type") == "object" and closed.get("properties") and not closed.keys() & OPEN:
        closed["additionalProperties"] = False
    return closed
