"""Shows JSON Schemas as HTML: the type of a value in a few words, and the fields of an object as a table."""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import cast

Json = Mapping[str, object]

_SHOWN_VALUES = 12
"""Values of an enumeration that are listed."""


def text_html(text: str) -> str:
    """A text with its `code` marked, as HTML."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def json_html(value: object) -> str:
    """A JSON value as a block."""
    return f"<pre><code>{escape(json.dumps(value, indent=2, ensure_ascii=False), quote=False)}</code></pre>"


def type_html(schema: object) -> str:
    """What a value is, in a few words."""
    if not isinstance(schema, Mapping):
        return "" if schema is not False else "never"
    if isinstance(target := schema.get("$ref"), str):
        return reference_html(target)
    for combined, joint in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")):
        if combined in schema and "properties" not in schema:
            # Two forms of a text look alike here; their difference is in the description.
            return joint.join(dict.fromkeys(filter(None, map(type_html, _list(schema[combined])))))
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']), quote=False)}</code>"
    if "enum" in schema:
        values = [f"<code>{escape(str(value), quote=False)}</code>" for value in _list(schema["enum"])]
        return " ".join(values[:_SHOWN_VALUES]) + (" …" if len(values) > _SHOWN_VALUES else "")
    return _simple(schema)


def _simple(schema: Json) -> str:
    kind = str(schema.get("type", "any JSON"))
    if kind == "array":
        return f"list of {type_html(schema.get('items', {}))}"
    named = {"date-time": "time", "uuid": "id", "mint": "mint", "duration": "duration", "decimal": "decimal text"}
    if kind == "string":
        return named.get(str(schema.get("format", "")), "text")
    least, most = schema.get("minimum"), schema.get("maximum")
    bounds = f" from {least} to {most}" if least is not None and most is not None else ""
    return kind + (bounds if kind == "integer" else "")


def reference_html(target: str) -> str:
    """A link to a schema of the page."""
    name = target.rpartition("/")[2]
    return f'<a href="#schema-{name}">{name}</a>'


def fields_html(schema: Json) -> str:
    """The fields of an object as a table; empty for what is no object."""
    properties = cast("Mapping[str, object]", schema.get("properties", {}))
    required = _list(schema.get("required", ()))
    rows = [
        row_html(name, field, must=name in required) for name, field in properties.items() if isinstance(field, Mapping)
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def row_html(name: str, field: Json, *, must: bool) -> str:
    """A field or a parameter as a row."""
    mark = '<span class="must">required</span>' if must else ""
    about = text_html(str(field.get("description", "")))
    return f"<tr><td><code>{escape(name)}</code>{mark}<td>{type_html(field)}<td>{about}"


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
