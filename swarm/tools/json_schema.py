"""Check a JSON value against a JSON schema from elsewhere."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from swarmchat.swarm.common.patterns import bounded_pattern
from swarmchat.swarm.errors import DefinitionError

Schema = Mapping[str, Any] | bool

MAX_STEPS = 50_000
"""The most pairs of a value and a schema that a check compares."""

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) or (isinstance(value, float) and value.is_integer())) and not isinstance(value, bool)
    ),
}
_LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool], str]] = {
    "minimum": ("number", lambda value, limit: value >= limit, "at least {}"),
    "maximum": ("number", lambda value, limit: value <= limit, "at most {}"),
    "exclusiveMinimum": ("number", lambda value, limit: value > limit, "more than {}"),
    "exclusiveMaximum": ("number", lambda value, limit: value < limit, "less than {}"),
    "multipleOf": ("number", lambda value, limit: abs(value / limit - round(value / limit)) < 1e-9, "a multiple of {}"),
    "minLength": ("string", lambda value, limit: len(value) >= limit, "at least {} characters"),
    "maxLength": ("string", lambda value, limit: len(value) <= limit, "at most {} characters"),
    "pattern": (
        "string",
        lambda value, limit: bounded_pattern(limit).search(value) is not None,
        "a text that matches {}",
    ),
    "minItems": ("array", lambda value, limit: len(value) >= limit, "at least {} items"),
    "maxItems": ("array", lambda value, limit: len(value) <= limit, "at most {} items"),
    "minProperties": ("object", lambda value, limit: len(value) >= limit, "at least {} properties"),
    "maxProperties": ("object", lambda value, limit: len(value) <= limit, "at most {} properties"),
}
_SUBSCHEMAS = ("items", "additionalProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_CHECKED = {"$ref", "$defs", "definitions", "type", "enum", "const", "properties", "required", *_SUBSCHEMAS, *_LISTS}
_CHECKED |= set(_LIMITS)
_NOTES = set("$schema $id $comment title description default examples format deprecated readOnly writeOnly".split())
"""Keywords that say something and forbid nothing."""


def check_schema(schema: object, place: str = "#") -> None:
    """Raise DefinitionError unless ``schema`` is a JSON schema with keywords that ``problems`` checks."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        raise DefinitionError(f"the schema has {schema!r} at {place}: expected an object with keywords such as type")
    if unknown := sorted(set(schema) - _CHECKED - _NOTES):
        raise DefinitionError(
            f"the schema has the keyword {unknown[0]!r} at {place}, which is not checked: leave it out, or use "
            f"{', '.join(sorted(_CHECKED))}"
        )
    for kind in _listed(schema.get("type", [])):
        if kind not in _TYPES:
            raise DefinitionError(f"the schema has the type {kind!r} at {place}: expected one of {', '.join(_TYPES)}")
    pattern = schema.get("pattern")
    if pattern is not None:
        try:
            bounded_pattern(pattern)
        except (re.error, TypeError) as error:
            raise DefinitionError(f"the schema has the pattern {pattern!r} at {place}: {error}") from error
    for keyword in ("properties", "$defs", "definitions"):
        for name, inner in schema.get(keyword, {}).items():
            check_schema(inner, f"{place}/{keyword}/{name}")
    for keyword in _SUBSCHEMAS:
        check_schema(schema.get(keyword, True), f"{place}/{keyword}")
    for keyword in _LISTS:
        for number, inner in enumerate(schema.get(keyword, ())):
            check_schema(inner, f"{place}/{keyword}/{number}")


def problems(value: Any, schema: Schema, root: Schema, *, patterns: bool = True) -> Iterator[str]:
    """Yield what in ``value`` does not fit ``schema``; ``root`` is the whole schema, which references point into.

    Without ``patterns``, regular expressions are left out: one of a stranger may take for ever. Raises DefinitionError
    for a schema that is wrong, or takes more than ``MAX_STEPS`` steps: references may double with each level.
    """
    return _Check(root, patterns).problems(value, schema, "")


class _Check:
    def __init__(self, root: Schema, patterns: bool) -> None:
        self._root = root
        self._patterns = patterns
        self._steps = 0

    def problems(self, value: Any, schema: Schema, place: str) -> Iterator[str]:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise DefinitionError(f"the schema takes more than {MAX_STEPS:,} steps to check: make it simpler")
        if isinstance(schema, bool):
            if not schema:
                yield _problem(place, value, "nothing")
            return
        if (reference := schema.get("$ref")) is not None:
            yield from self.problems(value, _referenced(self._root, str(reference)), place)
        kinds = _listed(schema.get("type", []))
        if kinds and not any(_TYPES[kind](value) for kind in kinds):
            yield _problem(place, value, " or ".join(kinds))
            return
        if "const" in schema and not _equal(value, schema["const"]):
            yield _problem(place, value, json.dumps(schema["const"]))
        if "enum" in schema and not any(_equal(value, each) for each in schema["enum"]):
            yield _problem(place, value, "one of " + ", ".join(map(json.dumps, schema["enum"])))
        for keyword, (kind, fits, words) in _LIMITS.items():
            if keyword == "pattern" and not self._patterns:
                continue
            if keyword in schema and _TYPES[kind](value) and not fits(value, schema[keyword]):
                yield _problem(place, value, words.format(schema[keyword]))
        if isinstance(value, dict):
            yield from self._of_object(value, schema, place)
        elif isinstance(value, list):
            first = schema.get("prefixItems", ())
            for number, item in enumerate(value):
                inner = first[number] if number < len(first) else schema.get("items", True)
                yield from self.problems(item, inner, f"{place}[{number}]")
        yield from self._of_alternatives(value, schema, place)

    def _of_object(self, value: dict[str, Any], schema: Mapping[str, Any], place: str) -> Iterator[str]:
        properties = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{_joined(place, name)}: missing"
        for name, each in value.items():
            inner = properties.get(name, schema.get("additionalProperties", True))
            if inner is False:
                yield f"{_joined(place, name)}: not expected"
            else:
                yield from self.problems(each, inner, _joined(place, name))

    def _of_alternatives(self, value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
        for part in schema.get("allOf", ()):
            yield from self.problems(value, part, place)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                by_alternative = [list(self.problems(value, part, place)) for part in schema[keyword]]
                fitting = sum(not each for each in by_alternative)
                if not fitting:
                    yield min(by_alternative, key=len)[0]
                elif keyword == "oneOf" and fitting > 1:
                    yield _problem(place, value, f"a value that fits one of the alternatives, and this fits {fitting}")


def inlined_root(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``schema`` with what it refers to at its top put there: where most look for the properties of an object.

    A reference that leads nowhere, or in a circle, stays.
    """
    seen: set[str] = set()
    root = schema
    with suppress(DefinitionError):
        while isinstance(reference := schema.get("$ref"), str) and reference not in seen:
            seen.add(reference)
            target = _referenced(root, reference)
            if not isinstance(target, Mapping):
                break
            siblings = {name: value for name, value in schema.items() if name != "$ref"}
            properties = {**target.get("properties", {}), **schema.get("properties", {})}
            required = [*target.get("required", ()), *schema.get("required", ())]
            schema = {**target, **siblings, "properties": properties, "required": required}
    return schema


def _referenced(root: Schema, reference: str) -> Schema:
    target: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, Mapping) or name not in target:
            raise DefinitionError(f"the schema refers to {reference!r}, which it does not have: use #/$defs/NAME")
        target = target[name]
    return target if isinstance(target, bool | Mapping) else {}


def _equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: ``true`` is not 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _problem(place: str, value: Any, expected: str) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    shown = shown if len(shown) <= 60 else shown[:59] + "…"
    return f"{place or 'the value'}: is {shown}, expected {expected}"
