"""`GET /docs`: both contracts as one page for people, made of the documents themselves. It needs nothing of others."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, cast

from dexexec import __version__
from dexexec.api.contract.asyncapi import CLOSE_CODES, asyncapi
from dexexec.api.contract.openapi import DESCRIPTION, openapi
from dexexec.api.contract.page_style import STYLE
from dexexec.api.contract.schema_html import fields_html, json_html, row_html, text_html, type_html

Json = Mapping[str, Any]


def page() -> bytes:
    """The page, which is the same for every client."""
    document, stream = cast("Json", openapi()), cast("Json", asyncapi())
    operations = [
        (method, path, operation) for path, item in document["paths"].items() for method, operation in item.items()
    ]
    parts = [
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>dexexec: the API</title><style>{STYLE}</style>",
        _navigation(document, operations),
        f"<main><h1>dexexec <small>{__version__}</small></h1>",
        *(f"<p>{text_html(paragraph)}</p>" for paragraph in DESCRIPTION.split("\n\n")),
        '<p>The same for tools: <a href="/openapi.json">openapi.json</a>,',
        '<a href="/asyncapi.json">asyncapi.json</a>.</p>',
    ]
    for tag in document["tags"]:
        parts.append(
            f'<h2 id="tag-{tag["name"]}">{tag["name"].capitalize()}</h2><p>{text_html(tag["description"])}</p>'
        )
        parts += [_operation(document, *one) for one in operations if tag["name"] in one[2]["tags"]]
    parts += [
        *_stream(stream),
        *_problems(document),
        *_schemas({**stream["components"]["schemas"], **document["components"]["schemas"]}),
        "</main></html>",
    ]
    return "\n".join(parts).encode()


def _navigation(document: Json, operations: list[tuple[str, str, Json]]) -> str:
    lines = ['<nav><div class="title">dexexec</div>']
    for tag in document["tags"]:
        lines.append(f"<b>{tag['name']}</b>")
        lines += [
            f'<a href="#{operation["operationId"]}">{_verb(method)}<span>{operation["summary"]}</span></a>'
            for method, _, operation in operations
            if tag["name"] in operation["tags"]
        ]
    lines.append(
        '<b>More</b><a href="#stream">Event stream</a><a href="#problems">Problems</a><a href="#schemas">Schemas</a>'
    )
    return "".join([*lines, "</nav>"])


def _verb(method: str) -> str:
    return f'<span class="verb {method}">{method.upper()}</span>'


def _operation(document: Json, method: str, path: str, operation: Json) -> str:
    lines = [f'<h3 id="{operation["operationId"]}">{_verb(method)}<code>{escape(path)}</code></h3>']
    lines.append(f"<p><strong>{operation['summary']}.</strong> {text_html(operation.get('description', ''))}</p>")
    if parameters := operation.get("parameters"):
        rows = [
            row_html(one["name"], {**one["schema"], "description": one["description"]}, must=one["required"])
            for one in parameters
        ]
        lines.append(f"<h4>Parameters</h4><table>{''.join(rows)}</table>")
    if body := operation.get("requestBody"):
        content = body["content"]["application/json"]
        lines.append("<h4>Body</h4>")
        lines += _bodies(document, content["schema"]["$ref"])
        lines += [
            f"<details><summary>Example: {escape(name)}</summary>{_curl(method, path, one['value'])}</details>"
            for name, one in content["examples"].items()
        ]
    lines.append("<h4>Answers</h4>")
    refusals = {}
    for status, response in operation["responses"].items():
        if any(media_type != "application/problem+json" for media_type in response.get("content", {"none": {}})):
            lines.append(_response(status, response))
        if problem := response.get("content", {}).get("application/problem+json"):
            refusals[status] = problem["examples"]
    rows = [_refusal(status, codes) for status, codes in refusals.items()]
    lines.append(f"<details><summary>Refusals</summary><table>{''.join(rows)}</table></details>")
    return "".join(lines)


def _bodies(document: Json, reference: str) -> Iterator[str]:
    """The body's schema, or each of those that it may be."""
    schemas = document["components"]["schemas"]
    name = reference.rpartition("/")[2]
    for one in schemas[name].get("oneOf", [{"$ref": reference}]):
        kind = one["$ref"].rpartition("/")[2] if "$ref" in one else name
        schema = schemas[kind] if "$ref" in one else one
        about = text_html(schemas[kind]["description"])
        yield f"<details><summary>{kind} <small>{about}</small></summary>{fields_html(schema)}</details>"


def _curl(method: str, path: str, body: object) -> str:
    command = f"{method.upper()} {path}\nContent-Type: application/json"
    return f"<pre><code>{escape(command)}</code></pre>{json_html(body)}"


def _response(status: str, response: Json) -> str:
    kind = "good" if int(status) < 400 else "bad"
    line = f'<summary><span class="status {kind}">{status}</span>{text_html(response["description"])}</summary>'
    rows = [
        f"<p>{escape(media_type)}: {type_html(content['schema'])}</p>"
        for media_type, content in response.get("content", {}).items()
        if media_type != "application/problem+json"
    ]
    headers = ", ".join(f"<code>{name}</code>" for name in response["headers"])
    return f"<details>{line}{''.join(rows)}<p>Headers: {headers}</p></details>"


def _refusal(status: str, codes: Json) -> str:
    links = " ".join(f'<a href="#problem-{code}">{code}</a>' for code in codes)
    return f'<tr><td><span class="status bad">{status}</span><td colspan=2>{links}'


def _stream(stream: Json) -> Iterator[str]:
    channel = stream["channels"]["orders"]
    about = stream["info"]["description"].partition(" Close codes:")[0]
    yield f'<h2 id="stream">Event stream</h2><p>{text_html(about)}</p>'
    yield f"<p>A WebSocket on <code>{channel['address']}</code>. {text_html(channel['description'])}</p>"
    for operation, verb in (("receiveMessages", "to the service"), ("sendMessages", "from the service")):
        for one in stream["operations"][operation]["messages"]:
            name = one["$ref"].rpartition("/")[2]
            message = stream["components"]["messages"][name]
            direction = "post" if operation == "receiveMessages" else "send"
            yield f'<h3><span class="verb {direction}">{verb.upper()}</span><code>{name}</code></h3>'
            yield f"<p>{text_html(message['summary'])}</p>{_payload(message['payload'])}"
            shown = [example["payload"] for example in message["examples"][:2]]
            yield "".join(json_html(example) for example in shown)
    yield "<h4>Error codes</h4>"
    errors = [example["payload"]["error"] for example in stream["components"]["messages"]["error"]["examples"]]
    yield f"<table>{''.join(_pair(error['code'], error['message']) for error in errors)}</table>"
    yield "<h4>Close codes</h4>"
    yield f"<table>{''.join(_pair(str(int(code)), about) for code, about in CLOSE_CODES.items())}</table>"


def _payload(payload: Json) -> str:
    return fields_html(payload) or f"<p>{type_html(payload)}</p>"


def _pair(name: str, about: str) -> str:
    return f"<tr><td><code>{escape(name)}</code><td colspan=2>{text_html(about)}"


def _problems(document: Json) -> Iterator[str]:
    yield '<h2 id="problems">Problems</h2>'
    yield "<p>Every refusal is one of these, as <code>application/problem+json</code>.</p>"
    for code, example in document["components"]["examples"].items():
        status = example["value"]["status"]
        summary = (
            f'<span class="status bad">{status}</span><code>/problems/{code}</code> {text_html(example["summary"])}'
        )
        yield f'<details id="problem-{code}"><summary>{summary}</summary>{json_html(example["value"])}</details>'


def _schemas(schemas: Json) -> Iterator[str]:
    yield '<h2 id="schemas">Schemas</h2>'
    for name, schema in sorted(schemas.items()):
        about = text_html(schema.get("description", ""))
        body = fields_html(schema) or f"<p>{type_html(schema)}</p>"
        summary = f"<summary><code>{name}</code> <small>{about}</small></summary>"
        yield f'<details id="schema-{name}">{summary}{body}</details>'
