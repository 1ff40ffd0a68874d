"""Tool definitions in the subset of JSON Schema that all servers accept.

Arguments are checked against the full schema anyway (``tools.schema``), so keywords that a server does not know are
dropped, and mentioned in the description if that helps the model. The subset is that of Gemini (a selection of OpenAPI
3.0, ai.google.dev/api/caching#Schema), which is the smallest: see ``rules``.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from swarmchat.swarm.common.encoding import encode_json

_KEPT = (
    "type title description enum items properties required anyOf default minimum maximum minItems maxItems "
    "minLength maxLength minProperties maxProperties"
).split()

_LARGEST_BOUND = 1_000
"""llama.cpp refuses grammars with 2,000 repetitions (ggml-org/llama.cpp#17473, #27087)."""

_LONGEST_DESCRIPTION = 1_024

_MAX_PARTS = 10_000
"""How many parts a schema may have when its references are inlined: they may double with each level."""

_STRING_FORMATS = ("date-time", "enum")

_ANYTHING = ("string", "number", "boolean", "object")
"""The types of a value of any type: Gemini demands one (danny-avila/LibreChat#6971, directus/mcp#8)."""

Schema = Mapping[str, Any]


def portable_tools(
    tools: Sequence[Schema],
    *,
    empty_parameters: bool,
    short_descriptions: bool = False,
    alternatives: bool = True,
    open_objects: bool = True,
) -> list[dict[str, Any]]:
    """Return tool definitions of the chat API with simplified parameters; do not change them.

    A function without parameters has none, or with ``empty_parameters`` an empty object: Gemini and Hugging Face refuse
    the one, llama.cpp and Azure the other. Without ``alternatives``, a value of several types has the first of them,
    and without ``open_objects`` an object of any properties is the JSON text of one; the description says so.
    """
    rules = _Rules(alternatives, open_objects)
    return [_portable(encode_json(tool), empty_parameters, short_descriptions, rules) for tool in tools]


# Most requests have the tools of the one before.
@lru_cache(maxsize=256)
def _portable(encoded: bytes, empty_parameters: bool, short_description: bool, rules: "_Rules") -> dict[str, Any]:
    tool = json.loads(encoded)
    function = _function(tool["function"], empty_parameters, rules)
    description = str(function.get("description", ""))
    if short_description and len(description) > _LONGEST_DESCRIPTION:
        function["description"] = description[: _LONGEST_DESCRIPTION - 1] + "…"
    return {**tool, "function": function}


def _function(function: Schema, empty_parameters: bool, rules: "_Rules") -> dict[str, Any]:
    if function.get("strict"):
        # The server demands the full schema then.
        return dict(function)
    parameters = portable_schema(function.get("parameters") or {}, rules)
    if "anyOf" in parameters:
        # At the top, OpenAI and Anthropic refuse it (langchain-ai/langchainjs#9804, anthropics/claude-code#5319).
        notes: list[str] = []
        joined: dict[str, Any] = {}
        _join_objects(joined, parameters["anyOf"], notes)
        parameters = _described(joined, notes)
    rest = {name: value for name, value in function.items() if name != "parameters"}
    if parameters.get("properties"):
        return {**rest, "parameters": parameters}
    if _mapping(function.get("parameters")).get("additionalProperties"):
        return {**rest, "parameters": {"type": "object", **_own_words(parameters, {})}}
    return {**rest, "parameters": {"type": "object", "properties": {}}} if empty_parameters else rest


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a server knows beyond the common subset."""

    alternatives: bool = True
    open_objects: bool = True


_ALL_KNOWN = _Rules()


def portable_schema(schema: Schema, rules: _Rules = _ALL_KNOWN) -> dict[str, Any]:
    """Return the parameters ``schema``, with references inlined, without keywords that servers reject; never raises."""
    definitions = {
        f"#/{place}/{name}": _mapping(definition)
        for place in ("$defs", "definitions")
        for name, definition in _mapping(schema.get(place)).items()
    }
    return _Simplifier(definitions, rules).simplified(schema, ())


class _Simplifier:
    """Simplifies the parts of one schema, whose references ``definitions`` resolve."""

    def __init__(self, definitions: Mapping[str, Schema], rules: _Rules) -> None:
        self._definitions = definitions
        self._rules = rules
        self._left = _MAX_PARTS

    def simplified(self, schema: object, open_references: tuple[str, ...]) -> dict[str, Any]:
        self._left -= 1
        if self._left < 0:
            return self._typed({"type": "object"}, [])
        schema = _mapping(schema)
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in open_references or reference not in self._definitions:
                # A recursive structure cannot be written without references: its inner levels are any object.
                return self._typed({"type": "object"}, [])
            siblings = {name: value for name, value in schema.items() if name != "$ref"}
            return self.simplified({**self._definitions[reference], **siblings}, (*open_references, reference))

        schema, open_references = self._joined(schema, open_references)
        schema = _merged_alternatives(schema)
        if isinstance(schema.get("$ref"), str):
            # The one alternative that is left is a reference.
            return self.simplified(schema, open_references)

        def inner(part: object) -> dict[str, Any]:
            return self.simplified(part, open_references)

        notes: list[str] = []
        simple = {name: schema[name] for name in _KEPT if name in schema}
        _simplify_type(simple, schema)
        _simplify_values(simple, schema, notes)
        _simplify_bounds(simple, schema, notes)
        simple["properties"] = {name: inner(part) for name, part in _mapping(simple.get("properties")).items()}
        values = schema.get("additionalProperties")
        if isinstance(values, Mapping) and (kind := inner(values).get("type")):
            notes.append(f"Each value is of type {kind}.")
        if isinstance(prefix := schema.get("prefixItems"), list) and prefix:
            kinds = [inner(part) for part in prefix]
            distinct = [kind for index, kind in enumerate(kinds) if kind not in kinds[:index]]
            simple["items"] = distinct[0] if len(distinct) == 1 else self._typed({"anyOf": distinct}, [])
            notes.append("The items are, in order: " + ", ".join(str(kind.get("type", "any")) for kind in kinds) + ".")
        elif simple.get("type") == "array" or "items" in simple:
            simple["items"] = inner(simple.get("items"))
        if "anyOf" in simple:
            # An alternative of an object may be no more than a list of required names.
            required = [
                {"required": part["required"]} if "required" in _mapping(part) else {} for part in simple["anyOf"]
            ]
            is_object = simple.get("type") == "object" or simple["properties"]
            options = [inner(part) for part in simple["anyOf"]]
            simple["anyOf"] = [{**a, **b} for a, b in zip(options, required, strict=True)] if is_object else options
        return self._typed(simple, notes)

    def _joined(self, schema: Schema, open_references: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Return ``schema`` with the parts of ``allOf``, and the references that are open within it."""
        joined = dict(schema)
        parts = _listed(joined.pop("allOf", None))
        while parts:
            part, *parts = parts
            part = dict(_mapping(part))
            reference = part.pop("$ref", None)
            if isinstance(reference, str) and reference in self._definitions and reference not in open_references:
                open_references = (*open_references, reference)
                parts = [{**self._definitions[reference], **part}, *parts]
                continue
            parts = [*_listed(part.pop("allOf", None)), *parts]
            properties = {**_mapping(joined.get("properties")), **_mapping(part.get("properties"))}
            required = [*_listed(joined.get("required")), *_listed(part.get("required"))]
            joined = {**part, **joined, "properties": properties, "required": required}
            joined = {name: value for name, value in joined.items() if value or name not in ("properties", "required")}
        return joined, open_references

    def _typed(self, simple: dict[str, Any], notes: list[str]) -> dict[str, Any]:
        """Return ``simple`` with one type, or as alternatives that each have one, and with ``notes`` described."""
        options = simple.pop("anyOf", [])
        if options and (simple.get("properties") or simple.get("type") == "object"):
            _join_objects(simple, options, notes)
            options = []
        _keep_what_fits_the_type(simple)
        if simple.get("type") == "object" and "properties" not in simple and not self._rules.open_objects:
            simple["type"] = "string"
            notes.append("The JSON text of an object.")
        if "type" in simple or "enum" in simple:
            return _described(simple, notes)
        options = options or [{"type": kind} for kind in _ANYTHING if kind != "object" or self._rules.open_objects]
        if not self._rules.alternatives:
            notes += [f"Or: {option.get('type')}." for option in options[1:]]
            return _described({**options[0], **_own_words(simple, options[0])}, notes)
        # Vertex: "When using any_of, it must be the only field set" (anomalyco/opencode#15795).
        first = _described({**options[0], **_own_words(simple, options[0])}, notes)
        return {"anyOf": [first, *options[1:]]}


def _own_words(simple: Schema, option: Schema) -> dict[str, Any]:
    """Return title, description and default of ``simple``, for the first of its alternatives."""
    words = [str(part["description"]) for part in (simple, option) if part.get("description")]
    annotations = {name: simple[name] for name in ("title", "default") if name in simple}
    return {**annotations, **({"description": " ".join(words)} if words else {})}


def _described(simple: dict[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    if notes:
        simple["description"] = " ".join([*filter(None, [str(simple.get("description", ""))]), *notes])
    return simple


def _join_objects(simple: dict[str, Any], options: Sequence[Schema], notes: list[str]) -> None:
    """Make one object of ``simple`` and its alternatives."""
    simple["type"] = "object"
    always = _listed(simple.get("required"))
    properties = dict(_mapping(simple.get("properties")))
    for option in options:
        properties = {**_mapping(option.get("properties")), **properties}
    simple["properties"] = properties
    needed = [[name for name in _listed(option.get("required")) if name not in always] for option in options]
    shared = [name for name in needed[0] if all(name in names for names in needed)] if needed else []
    simple["required"] = [*always, *shared]
    sets = [", ".join(str(name) for name in names if name not in shared) for names in needed]
    if all(sets) and len(set(sets)) > 1:
        notes.append("Give one of these: " + "; ".join(sets) + ".")


def _keep_what_fits_the_type(simple: dict[str, Any]) -> None:
    """Remove keywords that Gemini rejects.

    Fields of other types (anomalyco/opencode#11889), required names without a property (iBUHub/AIStudioToAPI#154), and
    empty lists of properties (browser-use/browser-use#3786).
    """
    kind = simple.get("type")
    properties = _mapping(simple.get("properties"))
    if kind != "object" or not properties:
        simple.pop("properties", None)
    required = [name for name in _listed(simple.pop("required", None)) if isinstance(name, str) and name in properties]
    if kind == "object" and required:
        simple["required"] = required
    if kind != "array":
        simple.pop("items", None)


def _merged_alternatives(schema: Schema) -> Schema:
    """Return ``schema`` with ``oneOf`` as ``anyOf``, and null left out of an optional value."""
    merged = dict(schema)
    options = _listed(merged.pop("oneOf", None)) or _listed(merged.get("anyOf"))
    if isinstance(merged.get("type"), list):
        options = [{"type": kind} for kind in merged.pop("type")]
    if not options:
        merged.pop("anyOf", None)
        return merged
    if "default" in merged and merged["default"] is None:
        # Who wants null leaves the argument out.
        del merged["default"]
        options = [option for option in options if _mapping(option).get("type") != "null"]
    if len(options) == 1:
        merged.pop("anyOf", None)
        return {**_mapping(options[0]), **merged}
    merged["anyOf"] = options
    return merged


def _simplify_type(simple: dict[str, Any], schema: Schema) -> None:
    if "type" not in simple and "anyOf" not in simple:
        if "properties" in schema or "additionalProperties" in schema:
            simple["type"] = "object"
        elif "items" in schema or "prefixItems" in schema:
            simple["type"] = "array"


def _simplify_values(simple: dict[str, Any], schema: Schema, notes: list[str]) -> None:
    """Write ``const`` as ``enum``, which may hold texts only, and keep the formats that are known everywhere."""
    values = [schema["const"]] if "const" in schema else _listed(simple.get("enum"))
    simple.pop("enum", None)
    if values and all(isinstance(value, str) for value in values):
        simple |= {"type": "string", "enum": values}
    elif values:
        notes.append("One of: " + ", ".join(map(json.dumps, values)) + ".")
    kind = schema.get("format")
    if kind in _STRING_FORMATS and simple.get("type") == "string":
        simple["format"] = kind
    elif isinstance(kind, str):
        notes.append(f"Format: {kind}.")


def _simplify_bounds(simple: dict[str, Any], schema: Schema, notes: list[str]) -> None:
    """Write exclusive bounds as inclusive ones for whole numbers, and in words for others."""
    whole = simple.get("type") == "integer"
    bound = schema.get("exclusiveMinimum")
    if isinstance(bound, int) or (isinstance(bound, float) and math.isfinite(bound)):
        simple["minimum"] = math.floor(bound) + 1 if whole else bound
        notes += [] if whole else [f"More than {bound}."]
    bound = schema.get("exclusiveMaximum")
    if isinstance(bound, int) or (isinstance(bound, float) and math.isfinite(bound)):
        simple["maximum"] = math.ceil(bound) - 1 if whole else bound
        notes += [] if whole else [f"Less than {bound}."]
    for kind, word in (("min", "At least"), ("max", "At most")):
        for of, unit in (("Length", "characters"), ("Items", "items"), ("Properties", "properties")):
            bound = simple.get(kind + of)
            if isinstance(bound, int | float) and bound > _LARGEST_BOUND:
                del simple[kind + of]
                notes.append(f"{word} {bound:,} {unit}.")
    if "multipleOf" in schema:
        notes.append(f"A multiple of {schema['multipleOf']}.")
    if "pattern" in schema:
        # llama.cpp refuses patterns that are not anchored, and those with assertions.
        notes.append(f"Matches the pattern {schema['pattern']}")


def _mapping(value: object) -> Schema:
    return value if isinstance(value, Mapping) else {}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
