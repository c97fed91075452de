"""Finds changes of a JSON Schema that break a client.

What a client sends must stay accepted: a request's schema may only become wider. What a client reads must stay as it
was promised: an answer's schema may only become narrower, but for fields that it did not have.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

Schema = Mapping[str, Any] | bool

ANNOTATIONS = {"description", "title", "examples", "example", "default", "deprecated", "summary", "$comment"}
LEAST = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
MOST = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
CHOICES = ("anyOf", "oneOf")
EQUAL = {"pattern", "format", "not", "if", "then", "else", "dependentRequired", "uniqueItems", "multipleOf"}
"""Rules that are the same or not: whether one contains the other is not decided here, but for `REPEATED`."""
REPEATED = re.compile(r"(?<=\{0,)[0-9]+(?=\})")
"""How often a part of a pattern may be repeated at most."""
COMPARED = {
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "propertyNames",
    "items",
    "allOf",
    "$ref",
}
EXTENSIBLE = "x-extensible"
"""Marks an enumeration of an answer to which values may be added, such as codes of errors."""
KNOWN = {EXTENSIBLE} | ANNOTATIONS | LEAST | MOST | EQUAL | COMPARED | {*CHOICES}


class Direction(Enum):
    """Who writes what the schema describes."""

    REQUEST = "request"
    ANSWER = "answer"


class UnknownKeywordError(Exception):
    """A schema has a keyword that is not compared here: its changes would be missed."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares schemas of two documents, whose references are resolved in `old` and `new`."""

    old: Mapping[str, Any]
    new: Mapping[str, Any]
    direction: Direction

    def breaks(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        """Each change that breaks a client, with its place."""
        before, after = self._resolved(self.old, old), self._resolved(self.new, new)
        if isinstance(before, bool) or isinstance(after, bool):
            narrow, wide = self._sides(before, after)
            if not (wide is True or narrow is False or narrow == wide):
                yield f"{place}: is {_shown(after)}, and was {_shown(before)}"
            return
        for schema in (before, after):
            if unknown := schema.keys() - KNOWN:
                raise UnknownKeywordError(f"{place}: {', '.join(sorted(unknown))}")
        if self._request or not (isinstance(old, Mapping) and old.get(EXTENSIBLE)):
            yield from self._values(before, after, place)
        for rule in (self._types, self._bounds, self._equal, self._objects, self._items, self._combined):
            yield from rule(before, after, place)

    @property
    def _request(self) -> bool:
        return self.direction is Direction.REQUEST

    def _sides(self, old: Any, new: Any) -> tuple[Any, Any]:
        """The narrow side and the wide one, which must accept all that the narrow one accepts."""
        return (old, new) if self._request else (new, old)

    def _resolved(self, document: Mapping[str, Any], schema: Schema) -> Schema:
        while isinstance(schema, Mapping) and "$ref" in schema:
            found: Any = document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema

    def _types(self, old: Mapping[str, Any], new: Mapping[str, Any], place: str) -> Iterator[str]:
        narrow, wide = self._sides(_types_of(old), _types_of(new))
        if wide is not None and (narrow is None or not narrow <= _with_integer(wide)):
            yield f"{place}: its type is {_shown(_types_of(new))}, and was {_shown(_types_of(old))}"

    def _values(self, old: Mapping[str, Any], new: Mapping[str, Any], place: str) -> Iterator[str]:
        narrow, wide = self._sides(_values_of(old), _values_of(new))
        if wide is None:
            return
        if narrow is None:
            yield f"{place}: its values are {_shown(_values_of(new))}, and were {_shown(_values_of(old))}"
            return
        for value in narrow:
            if value not in wide:
                yield f"{place}: {value!r} is {'not accepted any more' if self._request else 'a new value'}"

    def _bounds(self, old: Mapping[str, Any], new: Mapping[str, Any], place: str) -> Iterator[str]:
        narrow, wide = self._sides(old, new)
        for name in sorted((LEAST | MOST) & (old.keys() | new.keys())):
            inner, outer = narrow.get(name), wide.get(name)
            if outer is None or (inner is not None and (inner >= outer if name in LEAST else inner <= outer)):
                continue
            yield f"{place}: {name} is {_shown(new.get(name))}, and was {_shown(old.get(name))}"

    def _equal(self, old: Mapping[str, Any], new: Mapping[str, Any], place: str) -> Iterator[str]:
        for name in sorted(EQUAL & (old.keys() | new.keys())):
            narrow, wide = self._sides(old, new)
            if name == "pattern" and _only_repeats_more(narrow.get(name), wide.get(name)):
                continue
            if old.get(name) != new.get(name) and wide.get(name) is not None:
                yield f"{place}: {name} is {_shown(new.get(name))}, and was {_shown(old.get(name))}"

    def _objects(self, old: Mapping[str, Any], new: Mapping[str, Any], place: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        must_before, must_after = set(old.get("required", ())), set(new.get("required", ()))
        if self._request:
            for name in sorted(must_after - must_before):
                yield f"{place}.{name}: is required now"
        else:
            for name in sorted((must_before - must_after) & (before.keys() | must_before)):
                yield f"{place}.{name}: may be missing now"
        for name in before:
            if name in after:
                yield from self.breaks(before[name], after[name], f"{place}.{name}")
            # An open object still accepts it; but what reads it finds nothing.
            elif not self._request or new.get("additionalProperties", True) is False:
                yield f"{place}.{name}: does not exist any more"
        others = (old.get("additionalProperties", True), new.get("additionalProperties", True))
        if self._request or others[1] not in (True, False):
            yield from self.breaks(*others, f"{place}.*")
        names = (old.get("propertyNames", True), new.get("propertyNames", True))
        yield from self.breaks(*names, f"{place}: a name")

    def _items(self, old: Mapping[str, Any], new: Mapping[str, Any], place: str) -> Iterator[str]:
        if "items" in old or "items" in new:
            yield from self.breaks(old.get("items", True), new.get("items", True), f"{place}[]")

    def _combined(self, old: Mapping[str, Any], new: Mapping[str, Any], place: str) -> Iterator[str]:
        before, after = _alternatives(old), _alternatives(new)
        if before is not None or after is not None:
            yield from self._alternatives(before or [_without_rules(old)], after or [_without_rules(new)], place)
        # A rule for a field that the release does not have concerns no client of it.
        closed = old.get("additionalProperties") is False
        known = old.get("properties", {}) if closed else None
        rules = [rule for rule in new.get("allOf", ()) if known is None or _requires(rule) <= known.keys()]
        yield from self._conditions(old.get("allOf", ()), rules if self._request else new.get("allOf", ()), place)

    def _alternatives(self, old: Sequence[Schema], new: Sequence[Schema], place: str) -> Iterator[str]:
        """Each alternative of the narrow side must fit one of the wide side."""
        narrow, wide = self._sides(old, new)
        for alternative in narrow:
            if any(self._fits(alternative, other) for other in wide):
                continue
            if alternative in wide and isinstance(alternative, Mapping) and "$ref" in alternative:
                # The same name: what has changed in it says more than that it does not fit.
                yield from self.breaks(alternative, alternative, f"{place}({alternative['$ref'].rpartition('/')[2]})")
            else:
                what = "is not accepted any more" if self._request else "is a new form"
                yield f"{place}: {_shown(alternative)} {what}"

    def _conditions(self, old: Sequence[Schema], new: Sequence[Schema], place: str) -> Iterator[str]:
        """Each condition of the wide side must follow from one of the narrow side."""
        narrow, wide = self._sides(old, new)
        for condition in wide:
            if not any(self._fits(other, condition) for other in narrow):
                what = "is a new condition" if self._request else "does not hold any more"
                yield f"{place}: {_shown(condition)} {what}"

    def _fits(self, narrow: Schema, wide: Schema) -> bool:
        """Whether a schema of the narrow side has a place in one of the wide side."""
        old, new = self._sides(narrow, wide)
        # Not by name alone: alternatives are references often.
        return next(self.breaks(old, new, ""), None) is None


def _types_of(schema: Mapping[str, Any]) -> frozenset[str] | None:
    kind = schema.get("type")
    return None if kind is None else frozenset([kind] if isinstance(kind, str) else kind)


def _only_repeats_more(narrow: str | None, wide: str | None) -> bool:
    """Whether two patterns are the same but for repetitions `{0,N}`, none of which is shorter in the wide one."""
    if narrow is None or wide is None or REPEATED.sub("", narrow) != REPEATED.sub("", wide):
        return False
    counts = zip(REPEATED.findall(narrow), REPEATED.findall(wide), strict=True)
    return all(int(fewer) <= int(more) for fewer, more in counts)


def _with_integer(types: frozenset[str]) -> frozenset[str]:
    return types | {"integer"} if "number" in types else types


def _values_of(schema: Mapping[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values


def _alternatives(schema: Mapping[str, Any]) -> list[Schema] | None:
    return next((list(schema[name]) for name in CHOICES if name in schema), None)


def _without_rules(schema: Mapping[str, Any]) -> Schema:
    """A schema without alternatives as the only one: what it has beside them."""
    return {name: value for name, value in schema.items() if name not in {*CHOICES, "allOf"}}


def _shown(value: object) -> str:
    # Not `in`: 1 is equal to True.
    text = "anything" if value is None or value is True else "nothing" if value is False else str(value)
    if isinstance(value, frozenset):
        text = " or ".join(sorted(value))
    return text if len(text) <= 120 else f"{text[:117]}..."


def _requires(rule: Schema) -> set[str]:
    """The fields without which a condition does not apply."""
    when = rule.get("if") if isinstance(rule, Mapping) else None
    return set(when.get("required", ())) if isinstance(when, Mapping) else set()
