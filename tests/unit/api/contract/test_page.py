"""The page of the contract: all of it, and nothing that a browser would load from elsewhere."""

import re
from html.parser import HTMLParser
from typing import Any, cast

import pytest

from dexexec.api.contract.asyncapi import asyncapi
from dexexec.api.contract.openapi import openapi
from dexexec.api.contract.page import page
from dexexec.api.contract.schema_html import json_html, text_html, type_html

PAGE = page().decode()
OPENAPI, ASYNCAPI = cast("dict[str, Any]", openapi()), cast("dict[str, Any]", asyncapi())


class Tags(HTMLParser):
    """Collects ids, links and the names of tags."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(PAGE)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]


TAGS = Tags()


def test_it_needs_nothing_of_others_and_runs_nothing() -> None:
    assert not TAGS.names & {"script", "img", "link", "iframe", "object", "form"}
    assert all(link.startswith("#") or link in {"/openapi.json", "/asyncapi.json"} for link in TAGS.links)
    assert not re.search(r"url\(|@import|https?://", PAGE.partition("</style>")[0])


def test_every_link_leads_to_one_place_of_the_page() -> None:
    assert len(TAGS.ids) == len(set(TAGS.ids))
    assert {link.removeprefix("#") for link in TAGS.links if link.startswith("#")} <= set(TAGS.ids)


def test_it_has_every_operation_problem_schema_and_message() -> None:
    operations = [operation for path in OPENAPI["paths"].values() for operation in path.values()]
    assert {operation["operationId"] for operation in operations} <= set(TAGS.ids)
    assert {f"problem-{code}" for code in OPENAPI["components"]["examples"]} <= set(TAGS.ids)
    assert {f"schema-{name}" for name in OPENAPI["components"]["schemas"]} <= set(TAGS.ids)
    for name in ASYNCAPI["components"]["messages"]:
        assert f"<code>{name}</code>" in PAGE


def test_texts_are_escaped() -> None:
    assert text_html("<b> & `a<b`") == "&lt;b&gt; &amp; <code>a&lt;b</code>"
    assert json_html({"a": "<script>"}).count("<") == 4
    assert "<script" not in type_html({"const": "<script>"})


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 5}, "integer from 1 to 5"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}, "time or null"),
        ({"$ref": "#/components/schemas/Order"}, '<a href="#schema-Order">Order</a>'),
        ({"enum": [str(n) for n in range(20)]}, " ".join(f"<code>{n}</code>" for n in range(12)) + " …"),
        ({}, "any JSON"),
    ],
)
def test_a_type_is_a_few_words(schema: dict[str, object], text: str) -> None:
    assert type_html(schema) == text
