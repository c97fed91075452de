"""The OpenAPI document (3.1): the operations, with the schemas of the fields that validate and of the answers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from dexexec import __version__
from dexexec.api import problems, webhook_body
from dexexec.api.contract.answer import Answer
from dexexec.api.contract.history_answers import Event
from dexexec.api.contract.operation import Answered, Operation
from dexexec.api.contract.operations import ANY_REQUEST, HEADERS, OPERATIONS, OUTSIDE
from dexexec.api.contract.problem_examples import examples
from dexexec.api.contract.service_answers import Problem
from dexexec.intake.field_types import Schema
from dexexec.intake.order_schema import change_schema, order_schemas, signed_schema

REF = "#/components/schemas/"
KEY = "apiKey"
KEY_DESCRIPTION = (
    "An API key, made with `dexexec keys create`. Where keys are required, a request without one gets 401."
)
TAGS = {
    "orders": "Post orders, read, change, cancel and explain them.",
    "reports": "Costs, quotes and venues.",
    "webhooks": "Send events to addresses of yours.",
    "service": "Health, and the documents of this service.",
}
DESCRIPTION = """Takes orders for DEX swaps on Solana, and executes each of them once.

Amounts in base units, and fees, are texts, since they can exceed what a JSON number holds exactly in many clients. New
fields may be added to answers: ignore those that you do not use. Every refusal is a problem document (RFC 9457) whose
`type` is stable. Orders are followed on a WebSocket, which `GET /asyncapi.json` describes. `HEAD` works wherever `GET`
does, and `OPTIONS` lists the methods of a path."""


class AnswerSchema(GenerateJsonSchema):
    """Schemas without what only repeats a name, and without the defaults of fields that are left out."""

    def field_title_should_be_set(self, schema: object) -> bool:
        """Never: the title would be the name of the field again."""
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """The schema of the value alone."""
        return self.generate_inner(schema["schema"])


def answer_schemas(models: Iterable[type[Answer]]) -> dict[str, Schema]:
    """The schemas of the models and of all that they contain, by name."""
    # What is sent, not what would be read: a field that is always there is required.
    mode: JsonSchemaMode = "serialization"
    _, whole = models_json_schema(
        [(model, mode) for model in models], ref_template=f"{REF}{{model}}", schema_generator=AnswerSchema
    )
    schemas = cast("dict[str, Schema]", whole["$defs"])
    for schema in schemas.values():
        if isinstance(text := schema.get("description"), str):
            schema["description"] = " ".join(text.split())
    return schemas


@cache
def openapi() -> Mapping[str, object]:
    """The document. It is the same in every process of a version."""
    paths: defaultdict[str, dict[str, object]] = defaultdict(dict)
    for (method, path), operation in OPERATIONS.items():
        paths[path][method.lower()] = _operation(operation, has_body=bool(operation.body))
    answers = [answer for operation in OPERATIONS.values() for answer in operation.answers.values()]
    used = [model for answer in answers for model in (answer.model, answer.part) if model]
    orders = order_schemas()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dexexec",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The service that answers this document."}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        # Optional: a service that only its own machine can reach needs no key.
        "security": [{}, {KEY: []}],
        "paths": dict(paths),
        "components": {
            "securitySchemes": {KEY: {"type": "http", "scheme": "bearer", "description": KEY_DESCRIPTION}},
            "schemas": {
                "NewOrder": {
                    "description": "One of the kinds of orders.",
                    "oneOf": [{"$ref": f"{REF}{name}"} for name in orders],
                },
                **orders,
                "OrderChange": change_schema(),
                "SignedTransaction": signed_schema(),
                "NewWebhook": webhook_body.new_schema(),
                "WebhookChange": webhook_body.change_schema(),
                "Resend": webhook_body.resend_schema(),
                "Replay": webhook_body.replay_schema(),
                "Rotation": webhook_body.rotate_schema(),
                **answer_schemas([*dict.fromkeys(used), Problem, Event]),
            },
            "headers": dict(HEADERS),
            "responses": {name: _refusal(codes) for name, codes in OUTSIDE.items()},
            "examples": examples(),
        },
    }


def _operation(operation: Operation, *, has_body: bool) -> dict[str, object]:
    parameters = [*operation.parameters, *(parameter.described() for parameter in operation.query)]
    described: dict[str, object] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        described["description"] = operation.description
    if parameters:
        described["parameters"] = parameters
    if has_body:
        content: dict[str, object] = {"schema": {"$ref": f"{REF}{operation.body}"}}
        content["examples"] = {name: {"value": value} for name, value in operation.body_examples.items()}
        described["requestBody"] = {"required": not operation.body_optional, "content": {"application/json": content}}
    described["responses"] = _responses(operation)
    return described


def _responses(operation: Operation) -> dict[str, object]:
    """The answers, and the problems by their status. A status may have both."""
    responses = {status: _answer(answer) for status, answer in operation.answers.items()}
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in (*ANY_REQUEST, *operation.problems):
        by_status[problems.PROBLEMS[code].http_status].append(code)
    for status, codes in by_status.items():
        refused = _refusal(codes)
        # As /readyz has its own 503.
        if status not in responses:
            responses[status] = refused
        else:
            responses[status]["content"] = {**_content(responses[status]), **_content(refused)}
    return {str(status): responses[status] for status in sorted(responses)}


def _answer(answer: Answered) -> dict[str, object]:
    names = ("X-Request-Id", *answer.headers)
    schema: Schema = {"$ref": f"{REF}{answer.model.__name__}"} if answer.model else {"type": "object"}
    if answer.part:
        schema = {"anyOf": [schema, {"$ref": f"{REF}{answer.part.__name__}"}]}
    content = {
        media_type: {"schema": schema if media_type == "application/json" else {"type": "string"}}
        for media_type in answer.media_types
    }
    return {
        "description": answer.description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        **({"content": content} if content else {}),
        **({"links": dict(answer.links)} if answer.links else {}),
    }


def _refusal(codes: Sequence[str]) -> dict[str, object]:
    errors = [problems.PROBLEMS[code] for code in codes]
    names = ["X-Request-Id"]
    if any(error.retryable for error in errors):
        names.append("Retry-After")
    if "method-not-allowed" in codes:
        names.append("Allow")
    # Only these: a client can tell what this route may answer, and a test notices an answer that is not documented.
    types = [problems.uri(code) for code in codes]
    content = {
        "schema": {
            "allOf": [{"$ref": f"{REF}Problem"}],
            "properties": {"type": {"type": "string", "enum": types}},
        },
        "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
    }
    return {
        "description": "; ".join(f"{error.title} (`{error.code}`)" for error in errors),
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {problems.MEDIA_TYPE: content},
    }


def _content(response: Mapping[str, object]) -> Mapping[str, object]:
    return cast("Mapping[str, object]", response.get("content", {}))
