"""The collection: a valid one of its format, complete over the routes, with something to check in every item."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from dexexec.api import problems
from dexexec.api.app import EXECUTE, ROUTES
from dexexec.api.contract.openapi import openapi
from dexexec.domain.token import to_base_units
from tests.support.answer_checks import check_answer, check_message

COLLECTION = Path(__file__).parents[3] / "postman_collection.json"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
SOCKET = "Follow an order (WebSocket)"

collection = json.loads(COLLECTION.read_text())


def requests(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        if "item" in item:
            yield from requests(item["item"])
        else:
            yield item


ITEMS = {item["name"]: item for item in requests(collection["item"])}
SENT = [name for name in ITEMS if name != SOCKET]


def script(item: dict[str, Any], listen: str) -> str:
    found = [event["script"]["exec"] for event in item.get("event", ()) if event["listen"] == listen]
    return "\n".join(line for lines in found for line in lines)


def path(item: dict[str, Any]) -> str:
    return "/" + "/".join(item["request"]["url"]["path"])


def test_it_is_a_collection_of_version_2_1_with_its_two_variables() -> None:
    assert collection["info"]["schema"] == SCHEMA
    assert collection["info"]["name"] == "dexexec"
    assert {variable["key"]: variable["value"] for variable in collection["variable"]} == {
        "baseUrl": "http://127.0.0.1:3000",
        "orderId": "",
    }


def test_names_are_unique_as_items_refer_to_each_other() -> None:
    assert len(ITEMS) == sum(1 for _ in requests(collection["item"]))


@pytest.mark.parametrize("name", ITEMS)
def test_an_item_is_a_whole_request_on_the_base_url(name: str) -> None:
    request = ITEMS[name]["request"]
    url = request["url"]
    query = "&".join(f"{q['key']}={q['value']}" for q in url.get("query", ()))
    assert url["host"] == ["{{baseUrl}}"]
    assert url["raw"] == "{{baseUrl}}" + path(ITEMS[name]) + (f"?{query}" if query else "")
    types = [header["value"] for header in request["header"] if header["key"] == "Content-Type"]
    assert len(types) == (1 if "body" in request else 0)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_route_is_requested_with_every_method(route: Any) -> None:
    covered = {item["request"]["method"] for name in SENT if re.fullmatch(route.pattern, path(item := ITEMS[name]))}
    assert set(route.methods) - {"HEAD", "OPTIONS"} <= covered


@pytest.mark.parametrize("name", SENT)
def test_every_item_that_is_sent_has_tests(name: str) -> None:
    assert "pm.test(" in script(ITEMS[name], "test")
    assert "skipRequest" not in script(ITEMS[name], "prerequest")


def test_the_websocket_is_documented_and_not_sent() -> None:
    item = ITEMS[SOCKET]
    assert "pm.execution.skipRequest();" in script(item, "prerequest")
    assert path(item) == EXECUTE
    for words in ("ws://", '{"orderId": "{{orderId}}"}', "afterSeq", "unsubscribe", "final"):
        assert words in item["request"]["description"]


def test_problem_types_that_it_expects_exist() -> None:
    expected = {code for name in SENT for code in re.findall(r'"/problems/([a-z-]+)"', script(ITEMS[name], "test"))}
    assert len(expected) >= 9
    assert expected <= set(problems.PROBLEMS)


def test_variables_are_set_before_they_are_used() -> None:
    known = {variable["key"] for variable in collection["variable"]}
    for item in ITEMS.values():
        known |= set(re.findall(r'pm\.(?:collectionV|v)ariables\.set\("(\w+)"', script(item, "prerequest")))
        assert set(re.findall(r"\{\{(\w+)\}\}", json.dumps(item["request"]))) <= known, item["name"]
        known |= set(re.findall(r'pm\.collectionVariables\.set\("(\w+)"', script(item, "test")))


# The tour, and the schema

FOLDERS = {folder["name"]: [item["name"] for item in folder["item"]] for folder in collection["item"]}
REFUSED = "8. What is refused"
TOUR = [name for folder, names in FOLDERS.items() if folder != REFUSED for name in names if name != SOCKET]
DOCUMENT: dict[str, Any] = json.loads(json.dumps(openapi()))


def test_it_is_a_tour_first_and_a_test_second() -> None:
    assert list(FOLDERS) == sorted(FOLDERS), "numbered in the order of a first day"
    assert all(folder["description"] for folder in collection["item"])
    assert FOLDERS["2. Your first order"][:3] == ["Create an order (buy)", "Get the order", "Explain the order"]
    assert list(FOLDERS)[-1] == REFUSED


@pytest.mark.parametrize("name", SENT)
def test_every_item_has_a_saved_answer_that_the_contract_has(name: str) -> None:
    item = ITEMS[name]
    [saved] = item["response"]
    assert saved["originalRequest"]["url"] == item["request"]["url"]
    headers = {header["key"]: header["value"] for header in saved["header"]} | {"Server": "dexexec"}
    check_answer(item["request"]["method"], path(item), saved["code"], headers, saved["body"].encode())
    expected = re.findall(r"to\.have\.status\((\d+)\)", script(item, "test"))
    assert not expected or str(saved["code"]) in expected


def test_the_saved_answer_of_the_websocket_resumes_behind_a_message_with_after_seq() -> None:
    [saved] = ITEMS[SOCKET]["response"]
    sent, *events = (json.loads(line) for line in saved["body"].splitlines())
    assert sent.keys() == {"orderId", "afterSeq"}
    for event in events:
        check_message(event)
    assert [event["seq"] for event in events] == list(range(sent["afterSeq"] + 1, events[-1]["seq"] + 1))
    assert events[-1]["final"]


@pytest.mark.parametrize("name", TOUR)
def test_a_request_of_the_tour_is_what_the_contract_takes(name: str) -> None:
    item = ITEMS[name]
    request, method = item["request"], item["request"]["method"].lower()
    [route] = [route for route in ROUTES if re.fullmatch(route.pattern, path(item))][:1]
    operation = DOCUMENT["paths"][route.path][method]
    known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
    assert {query["key"] for query in request["url"].get("query", ())} <= known
    if "body" in request:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        validator = jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]})
        assert validator.is_valid(json.loads(request["body"]["raw"]))


def test_amounts_of_tokens_are_explained_where_they_are_used() -> None:
    [about] = [folder["description"] for folder in collection["item"] if folder["name"] == "3. Amounts and prices"]
    for words in ('"0.01"', "9 decimals", "10000000 base units", "6 decimals", "exactOut", '"all"'):
        assert words in about
    assert to_base_units(Decimal("0.01"), 9) == 10_000_000
    assert to_base_units(Decimal("1.5"), 6) == 1_500_000
