"""Each kind of change that breaks a client is found, and each that does not is accepted."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.released.contract_changes import asyncapi_breaks, openapi_breaks
from tests.released.documents import breaks, current
from tests.released.schema_changes import Comparison, Direction, UnknownKeywordError

TEXT, NUMBER = {"type": "string"}, {"type": "number"}
OBJECT: dict[str, Any] = {"type": "object", "properties": {"a": TEXT, "b": NUMBER}, "required": ["a"]}
CLOSED = {**OBJECT, "additionalProperties": False}


def changed(old: Any, new: Any, direction: Direction) -> list[str]:
    return list(Comparison({}, {}, direction).breaks(old, new, "x"))


ONLY_FOR_REQUESTS: list[tuple[Any, Any, str]] = [
    ({}, TEXT, "x: its type is string, and was anything"),
    ({"type": ["string", "null"]}, TEXT, "x: its type is string, and was null or string"),
    (NUMBER, {"type": "integer"}, "x: its type is integer, and was number"),
    ({"enum": ["a", "b"]}, {"enum": ["a"]}, "x: 'b' is not accepted any more"),
    ({"enum": ["a", "b"]}, {"const": "a"}, "x: 'b' is not accepted any more"),
    ({}, {"enum": ["a"]}, "x: its values are ['a'], and were anything"),
    ({"minimum": 0}, {"minimum": 1}, "x: minimum is 1, and was 0"),
    ({}, {"maximum": 5}, "x: maximum is 5, and was anything"),
    ({"maxLength": 10}, {"maxLength": 9}, "x: maxLength is 9, and was 10"),
    ({}, {"minItems": 1}, "x: minItems is 1, and was anything"),
    ({}, {"pattern": "^a$"}, "x: pattern is ^a$, and was anything"),
    ({"pattern": "^a{0,9}$"}, {"pattern": "^a{0,8}$"}, "x: pattern is ^a{0,8}$, and was ^a{0,9}$"),
    ({}, {"format": "uuid"}, "x: format is uuid, and was anything"),
    ({}, {"uniqueItems": False, "multipleOf": 2}, "x: multipleOf is 2, and was anything"),
    ({}, {"not": {"required": ["a"]}}, "x: not is {'required': ['a']}, and was anything"),
    (OBJECT, {**OBJECT, "required": ["a", "b"]}, "x.b: is required now"),
    (OBJECT, {**OBJECT, "additionalProperties": False}, "x.*: is nothing, and was anything"),
    (CLOSED, {**CLOSED, "properties": {"a": TEXT}}, "x.b: does not exist any more"),
    ({"anyOf": [TEXT, NUMBER]}, {"anyOf": [TEXT]}, "x: {'type': 'number'} is not accepted any more"),
    ({"allOf": []}, {"allOf": [TEXT]}, "x: {'type': 'string'} is a new condition"),
    (True, False, "x: is nothing, and was anything"),
]
"""What makes a schema narrower. For an answer the other way round breaks."""


@pytest.mark.parametrize(("wide", "narrow", "problem"), ONLY_FOR_REQUESTS)
def test_a_request_must_not_become_narrower(wide: Any, narrow: Any, problem: str) -> None:
    assert problem in changed(wide, narrow, Direction.REQUEST)
    assert changed(narrow, wide, Direction.REQUEST) == []


@pytest.mark.parametrize(("wide", "narrow", "problem"), [one for one in ONLY_FOR_REQUESTS if "*" not in one[2]])
def test_an_answer_must_not_become_wider(wide: Any, narrow: Any, problem: str) -> None:
    field_is_gone = "does not exist" in problem
    assert changed(narrow, wide, Direction.ANSWER) == [] if field_is_gone else changed(narrow, wide, Direction.ANSWER)
    assert bool(changed(wide, narrow, Direction.ANSWER)) is field_is_gone


def test_an_answer_may_have_more_fields_and_must_keep_those_it_had() -> None:
    more = {**OBJECT, "properties": {**OBJECT["properties"], "c": TEXT}, "required": ["a", "c"]}
    assert changed(OBJECT, more, Direction.ANSWER) == []
    assert changed(CLOSED, more, Direction.ANSWER) == []
    assert changed(more, OBJECT, Direction.ANSWER) == ["x.c: may be missing now", "x.c: does not exist any more"]


def test_changes_are_found_at_any_depth_and_behind_references() -> None:
    def document(inner: Mapping[str, object]) -> dict[str, Any]:
        return {"components": {"schemas": {"A": {"properties": {"list": {"items": inner}}}}}}

    old, new = document({"type": "string"}), document({"type": "string", "maxLength": 3})
    reference = {"$ref": "#/components/schemas/A"}
    found = list(Comparison(old, new, Direction.REQUEST).breaks(reference, reference, "x"))
    assert found == ["x.list[]: maxLength is 3, and was anything"]
    assert list(Comparison(new, old, Direction.REQUEST).breaks(reference, reference, "x")) == []


def test_texts_for_people_may_change() -> None:
    old, new = {**TEXT, "description": "a", "examples": ["x"]}, {**TEXT, "description": "b", "title": "c"}
    assert changed(old, new, Direction.REQUEST) == changed(old, new, Direction.ANSWER) == []


def test_a_keyword_that_it_does_not_know_is_an_error() -> None:
    with pytest.raises(UnknownKeywordError, match="patternProperties"):
        changed({}, {"patternProperties": {}}, Direction.REQUEST)


# The whole documents, of this version

Change = Callable[[dict[str, Any]], object]
LIST, ORDER, POST = "/api/orders", "/api/orders/{id}", "/api/orders/execute"

OPENAPI_CHANGES: list[tuple[Change, str]] = [
    (lambda d: d["paths"].pop(LIST), "GET /api/orders: does not exist any more"),
    (lambda d: d["paths"][ORDER].pop("patch"), "PATCH /api/orders/{id}: does not exist any more"),
    (lambda d: d["paths"][ORDER]["get"].update(operationId="x"), "GET /api/orders/{id}: its operationId was getOrder"),
    (
        lambda d: d["paths"][LIST]["get"].pop("parameters"),
        "GET /api/orders: the parameter status does not exist any more",
    ),
    (
        lambda d: d["paths"][POST]["post"]["parameters"][0].update(required=True),
        "POST /api/orders/execute: the parameter Idempotency-Key is required now",
    ),
    (
        lambda d: d["paths"]["/api/quote"]["get"]["parameters"][2].update(explode=True),
        "GET /api/quote: the parameter amount is written in another way",
    ),
    (lambda d: d["paths"][POST]["post"].pop("requestBody"), "POST /api/orders/execute: takes no body any more"),
    (
        lambda d: d["paths"][LIST]["get"].update(requestBody={"required": True, "content": {}}),
        "GET /api/orders: needs a body now",
    ),
    (
        lambda d: d["paths"][POST]["post"]["requestBody"]["content"].pop("application/json"),
        "POST /api/orders/execute: takes no application/json any more",
    ),
    (
        lambda d: d["paths"][POST]["post"]["responses"].pop("202"),
        "POST /api/orders/execute: 202 does not exist any more",
    ),
    (
        lambda d: d["paths"][POST]["post"]["responses"].update({"200": {"description": ""}}),
        "POST /api/orders/execute: 200 is new",
    ),
    (
        lambda d: d["paths"][POST]["post"]["responses"]["202"]["headers"].pop("Location"),
        "POST /api/orders/execute 202: the header Location does not exist any more",
    ),
    (
        lambda d: d["paths"]["/"]["get"]["responses"]["200"]["content"].pop("text/html"),
        "GET / 200: text/html does not exist any more",
    ),
    (
        lambda d: d["paths"][ORDER]["get"]["responses"]["404"]["content"]["application/problem+json"][
            "examples"
        ].clear(),
        "GET /api/orders/{id} 404: the problem order-not-found does not exist any more",
    ),
    (lambda d: d["security"].remove({}), "a key is required everywhere now"),
    (lambda d: d["components"]["examples"].pop("too-late"), "the problem too-late does not exist any more"),
    (
        lambda d: d["components"]["schemas"]["Problem"]["required"].remove("detail"),
        "GET /healthz 400.detail: may be missing now",
    ),
    (
        lambda d: d["components"]["schemas"]["Order"]["properties"].pop("cost"),
        "GET /api/orders/{id} 200(Order).cost: does not exist any more",
    ),
    (
        lambda d: d["components"]["schemas"]["Order"]["properties"]["seq"].update(type="string"),
        "GET /api/orders/{id} 200(Order).seq: its type is string, and was integer",
    ),
    (
        lambda d: d["components"]["schemas"]["Status"]["enum"].append("paused"),
        "GET /api/orders/{id} 200(Order).status: 'paused' is a new value",
    ),
    (
        lambda d: d["components"]["schemas"]["OrderChange"]["properties"]["trailBps"].update(maximum=100),
        "PATCH /api/orders/{id} body.trailBps: maximum is 100, and was 9999",
    ),
]


@pytest.mark.parametrize(("change", "problem"), OPENAPI_CHANGES)
def test_a_breaking_change_of_the_routes_is_named(change: Change, problem: str) -> None:
    old = current()["openapi.json"]
    new = copy.deepcopy(old)
    change(new)
    assert problem in openapi_breaks(old, new)


def test_a_kind_of_order_must_accept_what_it_accepted() -> None:
    old = current()["openapi.json"]
    new = copy.deepcopy(old)
    new["components"]["schemas"]["LimitOrder"]["required"].append("tag")
    assert openapi_breaks(old, new) == [
        "POST /api/orders/execute body(LimitOrder).tag: is required now",
        "POST /api/orders/check body(LimitOrder).tag: is required now",
    ]
    new["components"]["schemas"]["NewOrder"]["oneOf"].pop()
    assert "POST /api/orders/execute body: {'$ref': '#/components/schemas/SniperOrder'} is not accepted any more" in (
        openapi_breaks(old, new)
    )


ASYNCAPI_CHANGES: list[tuple[Change, str]] = [
    (lambda d: d["components"]["messages"].pop("cancel"), "the message cancel does not exist any more"),
    (
        lambda d: d["channels"]["orders"].update(address="/ws"),
        "the address is {'/ws'}, and was {'/api/orders/execute'}",
    ),
    (
        lambda d: d["components"]["messages"]["subscribe"]["payload"]["required"].append("afterSeq"),
        "subscribe.afterSeq: is required now",
    ),
    (
        lambda d: d["components"]["schemas"]["Event"]["required"].remove("final"),
        "event.final: may be missing now",
    ),
]


@pytest.mark.parametrize(("change", "problem"), ASYNCAPI_CHANGES)
def test_a_breaking_change_of_the_messages_is_named(change: Change, problem: str) -> None:
    old = current()["asyncapi.json"]
    new = copy.deepcopy(old)
    change(new)
    assert problem in asyncapi_breaks(old, new)


def test_additions_break_nothing() -> None:
    old = current()
    new = copy.deepcopy(dict(old))
    paths, schemas = new["openapi.json"]["paths"], new["openapi.json"]["components"]["schemas"]
    paths["/api/news"] = paths[LIST]
    paths[LIST]["get"]["parameters"].append({"name": "kind", "in": "query", "required": False, "schema": TEXT})
    schemas["MarketOrder"]["properties"]["note"] = TEXT
    schemas["Order"]["properties"]["note"] = TEXT
    schemas["Order"]["required"].append("note")
    new["asyncapi.json"]["components"]["schemas"]["StreamErrorCode"]["enum"].append("tired")
    assert breaks(old, new) == []
    assert breaks(old, old) == []


def test_values_may_be_added_to_an_enumeration_that_is_marked_so_and_their_type_stays() -> None:
    old = {"enum": ["a"], "type": "string", "x-extensible": True}
    assert changed(old, {**old, "enum": ["a", "b"]}, Direction.ANSWER) == []
    assert changed(old, {**old, "type": "integer"}, Direction.ANSWER)
    assert changed(old, {**old, "enum": ["b"]}, Direction.REQUEST) == ["x: 'a' is not accepted any more"]


def test_a_rule_for_a_field_that_clients_of_the_release_cannot_send_breaks_none_of_them() -> None:
    rule = {"if": {"required": ["c"]}, "then": {"required": ["a"]}}
    newer = {**CLOSED, "properties": {**CLOSED["properties"], "c": TEXT}, "allOf": [rule]}
    assert changed(CLOSED, newer, Direction.REQUEST) == []
    of_known = {**rule, "if": {"required": ["b"]}}
    assert changed(CLOSED, {**newer, "allOf": [of_known]}, Direction.REQUEST) != []
