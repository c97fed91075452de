"""Finds changes of the OpenAPI and the AsyncAPI document that break a client of the last release."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.released.schema_changes import Comparison, Direction

Document = Mapping[str, Any]
PROBLEM = "application/problem+json"


def openapi_breaks(old: Document, new: Document) -> list[str]:
    """Removed routes, parameters, answers and problems, and every schema that changed the wrong way."""
    found: list[str] = []
    for path, item in old["paths"].items():
        for method, before in item.items():
            label = f"{method.upper()} {path}"
            after = new["paths"].get(path, {}).get(method)
            found += (
                [f"{label}: does not exist any more"]
                if after is None
                else _Operation(old, new, label).breaks(before, after)
            )
    if {} in old.get("security", [{}]) and {} not in new.get("security", [{}]):
        found.append("a key is required everywhere now")
    gone = old["components"]["examples"].keys() - new["components"]["examples"].keys()
    return found + [f"the problem {code} does not exist any more" for code in sorted(gone)]


def asyncapi_breaks(old: Document, new: Document) -> list[str]:
    """Removed messages and codes, and every message that changed the wrong way."""
    found: list[str] = []
    if _addresses(old) - _addresses(new):
        found.append(f"the address is {_addresses(new)}, and was {_addresses(old)}")
    for operation, direction in (("receiveMessages", Direction.REQUEST), ("sendMessages", Direction.ANSWER)):
        comparison = Comparison(old, new, direction)
        names = [message["$ref"].rpartition("/")[2] for message in old["operations"][operation]["messages"]]
        for name in names:
            before, after = old["components"]["messages"][name], new["components"]["messages"].get(name)
            if after is None:
                found.append(f"the message {name} does not exist any more")
                continue
            found += comparison.breaks(before["payload"], after["payload"], name)
    return found


def _addresses(document: Document) -> set[str]:
    return {channel["address"] for channel in document["channels"].values()}


class _Operation:
    """Compares one operation of both documents."""

    def __init__(self, old: Document, new: Document, label: str) -> None:
        self._old, self._new, self._label = old, new, label
        self._requests = Comparison(old, new, Direction.REQUEST)
        self._answers = Comparison(old, new, Direction.ANSWER)

    def breaks(self, old: Document, new: Document) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{self._label}: its operationId was {old['operationId']}"
        yield from self._parameters(old.get("parameters", ()), new.get("parameters", ()))
        yield from self._body(old.get("requestBody"), new.get("requestBody"))
        yield from self._responses(old["responses"], new["responses"])

    def _parameters(self, old: Any, new: Any) -> Iterator[str]:
        before = {(one["in"], one["name"]): one for one in old}
        after = {(one["in"], one["name"]): one for one in new}
        for (place, name), parameter in after.items():
            known = before.get((place, name))
            if parameter["required"] and not (known and known["required"]):
                yield f"{self._label}: the parameter {name} is required now"
        for (place, name), parameter in before.items():
            label = f"{self._label}: the parameter {name}"
            now = after.get((place, name))
            if now is None:
                yield f"{label} does not exist any more"
                continue
            yield from self._requests.breaks(parameter["schema"], now["schema"], label)
            if _form(parameter) != _form(now):
                yield f"{label} is written in another way"

    def _body(self, old: Any, new: Any) -> Iterator[str]:
        if new is None or old is None:
            if old is not None or (new is not None and new["required"]):
                yield f"{self._label}: {'needs a body now' if old is None else 'takes no body any more'}"
            return
        if new["required"] and not old["required"]:
            yield f"{self._label}: needs a body now"
        for media_type, content in old["content"].items():
            if media_type not in new["content"]:
                yield f"{self._label}: takes no {media_type} any more"
                continue
            yield from self._requests.breaks(
                content["schema"], new["content"][media_type]["schema"], f"{self._label} body"
            )

    def _responses(self, old: Document, new: Document) -> Iterator[str]:
        for status, before in old.items():
            after = new.get(status)
            if after is None:
                yield f"{self._label}: {status} does not exist any more"
                continue
            yield from self._response(f"{self._label} {status}", before, after)
        # A refusal that is new is a problem document, which clients must expect of any request.
        for status in new.keys() - old.keys():
            if int(status) < 400:
                yield f"{self._label}: {status} is new"

    def _response(self, label: str, old: Document, new: Document) -> Iterator[str]:
        for name in old.get("headers", {}).keys() - new.get("headers", {}).keys():
            yield f"{label}: the header {name} does not exist any more"
        for media_type, content in old.get("content", {}).items():
            if media_type not in new.get("content", {}):
                yield f"{label}: {media_type} does not exist any more"
                continue
            now = new["content"][media_type]
            if media_type == PROBLEM:
                for code in content["examples"].keys() - now["examples"].keys():
                    yield f"{label}: the problem {code} does not exist any more"
                yield from self._answers.breaks(PROBLEM_SCHEMA, PROBLEM_SCHEMA, label)
            else:
                yield from self._answers.breaks(content["schema"], now["schema"], label)


PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}
"""What all problem documents have in common. Which of them a route gives is compared by their codes."""


def _form(parameter: Document) -> tuple[object, object]:
    return parameter.get("style"), parameter.get("explode")
