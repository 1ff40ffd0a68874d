"""Tool definitions in the subset of JSON Schema that all servers accept.

Arguments are checked against the full schema anyway (``tools.schema``), so what a server does not know is left out, and
said in the description where it helps the model. The subset is that of Gemini (a selection of OpenAPI 3.0,
ai.google.dev/api/caching#Schema), which is the smallest: see ``rules``.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

_KEPT = (
    "type title description enum items properties required anyOf default minimum maximum minItems maxItems "
    "minLength maxLength minProperties maxProperties"
).split()

_LARGEST_BOUND = 1_000
"""llama.cpp refuses grammars with 2,000 repetitions (ggml-org/llama.cpp#17473, #27087)."""

_LONGEST_DESCRIPTION = 1_024

_STRING_FORMATS = ("date-time", "enum")

Schema = Mapping[str, Any]


def portable_tools(
    tools: Sequence[Schema], *, empty_parameters: bool, short_descriptions: bool = False
) -> list[dict[str, Any]]:
    """Return tool definitions of the chat API with simplified parameters.

    A function without parameters has none, or with ``empty_parameters`` an empty object: Gemini and Hugging Face refuse
    the one, llama.cpp and Azure the other.
    """
    functions = [_function(tool["function"], empty_parameters) for tool in tools]
    for function in functions if short_descriptions else ():
        if len(description := str(function.get("description", ""))) > _LONGEST_DESCRIPTION:
            function["description"] = description[: _LONGEST_DESCRIPTION - 1] + "…"
    return [{**tool, "function": function} for tool, function in zip(tools, functions, strict=True)]


def _function(function: Schema, empty_parameters: bool) -> dict[str, Any]:
    if function.get("strict"):
        # The server demands the full schema then.
        return dict(function)
    parameters = function.get("parameters") or {}
    rest = {name: value for name, value in function.items() if name != "parameters"}
    if parameters.get("properties"):
        return {**rest, "parameters": portable_schema(parameters)}
    return {**rest, "parameters": {"type": "object", "properties": {}}} if empty_parameters else rest


def portable_schema(schema: Schema) -> dict[str, Any]:
    """Return ``schema`` with references inlined and without what some servers refuse; never raises."""
    definitions = {
        f"#/{place}/{name}": definition
        for place in ("$defs", "definitions")
        for name, definition in _mapping(schema.get(place)).items()
    }
    return _simplified(schema, definitions, ())


def _simplified(schema: object, definitions: Mapping[str, Schema], open_references: tuple[str, ...]) -> dict[str, Any]:
    schema = _mapping(schema)
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if reference in open_references or reference not in definitions:
            # A recursive structure cannot be written without references: its inner levels are any object.
            return {"type": "object"}
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        return _simplified({**definitions[reference], **beside}, definitions, (*open_references, reference))

    def inner(part: object) -> dict[str, Any]:
        return _simplified(part, definitions, open_references)

    schema = _merged_alternatives(schema)
    notes: list[str] = []
    simple = {name: schema[name] for name in _KEPT if name in schema}
    _simplify_type(simple, schema)
    _simplify_values(simple, schema, notes)
    _simplify_bounds(simple, schema, notes)
    if "properties" in simple:
        simple["properties"] = {name: inner(part) for name, part in _mapping(simple["properties"]).items()}
        if not simple["properties"]:
            del simple["properties"]
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping) and (kind := inner(values).get("type")):
        notes.append(f"Each value is of type {kind}.")
    if isinstance(prefix := schema.get("prefixItems"), list) and prefix:
        kinds = [inner(part) for part in prefix]
        distinct = [kind for index, kind in enumerate(kinds) if kind not in kinds[:index]]
        simple["items"] = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
        notes.append("The items are, in order: " + ", ".join(str(kind.get("type", "any")) for kind in kinds) + ".")
    elif simple.get("type") == "array" or "items" in simple:
        simple["items"] = inner(simple.get("items"))
    if "anyOf" in simple:
        simple["anyOf"] = [inner(part) for part in simple["anyOf"]]
    if notes:
        simple["description"] = " ".join([*filter(None, [str(simple.get("description", ""))]), *notes])
    return simple


def _merged_alternatives(schema: Schema) -> Schema:
    """Return ``schema`` with ``oneOf`` as ``anyOf``, ``allOf`` merged, and null left out of an optional value."""
    merged = dict(schema)
    for part in _listed(merged.pop("allOf", None)):
        merged = {**_mapping(part), **merged}
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
    if isinstance(bound, int | float):
        simple["minimum"] = math.floor(bound) + 1 if whole else bound
        notes += [] if whole else [f"More than {bound}."]
    bound = schema.get("exclusiveMaximum")
    if isinstance(bound, int | float):
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
