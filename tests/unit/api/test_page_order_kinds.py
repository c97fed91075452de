"""The order form of the page has every kind and every field of an order that the API has."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import pytest

from dexexec.api.contract.openapi import openapi
from dexexec.intake.amending import AMENDABLE

MODULE = (files("dexexec") / "api" / "page" / "order_kinds.js").read_text(encoding="utf-8")
TEXT_CONTROLS = {"text", "decimal", "choice", "radio", "time", "token", "wallet"}
SCHEMAS: Mapping[str, Any] = json.loads(json.dumps(openapi(), default=list))["components"]["schemas"]


def table(name: str) -> Any:
    """A table of the module, which is written as JSON."""
    found = re.search(rf"^export const {name} = (.*?^[}}\]]);$", MODULE, re.DOTALL | re.MULTILINE)
    assert found, f"order_kinds.js has no table {name}"
    return json.loads(found[1])


KINDS: list[dict[str, Any]] = table("KINDS")
FIELDS: dict[str, dict[str, Any]] = table("FIELDS")


def fields_of(schema: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every field of a schema that leaves a choice, those of an object inside it as `bracket.stop.price`."""
    for name, field in schema["properties"].items():
        if field.get("type") == "object":
            yield from fields_of(field, f"{place}{name}.")
        elif "const" not in field and len(field.get("enum", "many")) > 1:
            yield f"{place}{name}", field


def fields_by_schema() -> dict[str, set[str]]:
    """The fields of the form by the schema that they are sent as: two kinds may share one."""
    shown: dict[str, set[str]] = defaultdict(set)
    for kind in KINDS:
        shown[kind["schema"]] |= {*kind["main"], *kind["more"]}
    return shown


def test_every_kind_of_order_is_in_the_form() -> None:
    kinds = {entry["$ref"].rpartition("/")[2] for entry in SCHEMAS["NewOrder"]["oneOf"]}
    assert kinds == {kind["schema"] for kind in KINDS}


@pytest.mark.parametrize("schema", sorted(fields_by_schema()))
def test_every_field_of_a_kind_is_in_its_form_and_no_other(schema: str) -> None:
    assert fields_by_schema()[schema] == {name for name, _ in fields_of(SCHEMAS[schema])}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind["id"]))
def test_a_kind_is_sent_as_its_schema_and_requires_what_that_requires(kind: Mapping[str, Any]) -> None:
    schema = SCHEMAS[kind["schema"]]
    assert schema["properties"]["type"]["const"] == kind["type"]
    assert set(schema["required"]) - {"type"} <= set(kind["required"]) <= {*kind["main"], *kind["more"]}
    assert len(kind["main"] + kind["more"]) == len({*kind["main"], *kind["more"]})


def test_every_field_has_a_control_that_fits_its_type() -> None:
    described = {name: field for kind in KINDS for name, field in fields_of(SCHEMAS[kind["schema"]])}
    assert set(FIELDS) == set(described)
    for name, field in described.items():
        control = FIELDS[name]
        if "enum" in field:
            assert set(control["choices"]) - {""} == set(field["enum"]), name
        fitting = {"integer": {"integer"}, "boolean": {"flag"}, "array": {"names"}}.get(field.get("type", ""))
        assert control["control"] in (fitting or TEXT_CONTROLS), name
        assert (control["control"] == "time") == (field.get("format") == "date-time"), name


def test_all_that_can_be_changed_of_an_order_that_rests_is_in_the_form_for_it() -> None:
    changeable: dict[str, list[str]] = table("CHANGEABLE")
    whole = {kind: {name.partition(".")[0] for name in names} for kind, names in changeable.items()}
    assert whole == {kind.value: set(names) for kind, names in AMENDABLE.items()}
    conditions = {name for name, _ in fields_of(SCHEMAS["SniperOrder"]) if name.startswith("conditions.")}
    assert conditions == {name for name in changeable["sniper"] if "." in name}
