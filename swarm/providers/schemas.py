"""Tool definitions in the subset of JSON Schema that all servers accept.

Arguments are checked against the full schema anyway (``tools.schema``), so what a server does not know is left out, and
said in the description where it helps the model. The subset is that of Gemini (a selection of OpenAPI 3.0,
ai.google.dev/api/caching#Schema), which is the smallest: see ``rules``.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_KEPT = (
    "type title description enum items properties required anyOf default minimum maximum minItems maxItems "
    "minLength maxLength minProperties maxProperties"
).split()

_PARTS = {"object": ("properties", "required", "additionalProperties"), "array": ("items", "prefixItems")}
"""What only values of a type have."""

_LARGEST_BOUND = 1_000
"""llama.cpp refuses grammars with 2,000 repetitions (ggml-org/llama.cpp#17473, #27087)."""

_LONGEST_DESCRIPTION = 1_024

_STRING_FORMATS = ("date-time", "enum")

Schema = Mapping[str, Any]


def portable_tools(
    tools: Sequence[Schema], *, empty_parameters: bool, short_descriptions: bool = False, plain: bool = False
) -> list[dict[str, Any]]:
    """Return tool definitions of the chat API with simplified parameters.

    A function without parameters has none, or with ``empty_parameters`` an empty object: Gemini and Hugging Face refuse
    the one, llama.cpp and Azure the other. With ``plain``, parameters have one type each, and objects of any content
    are asked for as JSON text: arguments in this form are decoded.
    """
    functions = [_function(tool["function"], empty_parameters, plain) for tool in tools]
    for function in functions if short_descriptions else ():
        if len(description := str(function.get("description", ""))) > _LONGEST_DESCRIPTION:
            function["description"] = description[: _LONGEST_DESCRIPTION - 1] + "…"
    return [{**tool, "function": function} for tool, function in zip(tools, functions, strict=True)]


def _function(function: Schema, empty_parameters: bool, plain: bool) -> dict[str, Any]:
    if function.get("strict"):
        # The server demands the full schema then.
        return dict(function)
    parameters = _without_alternatives(portable_schema(function.get("parameters") or {}))
    rest = {name: value for name, value in function.items() if name != "parameters"}
    if properties := parameters.get("properties"):
        if plain:
            parameters["properties"] = {name: _plain(part) for name, part in properties.items()}
        return {**rest, "parameters": parameters}
    return {**rest, "parameters": {"type": "object", "properties": {}}} if empty_parameters else rest


def _without_alternatives(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return ``parameters`` as one object: Claude, OpenAI and Kimi refuse alternatives beside its type.

    The parameters of all alternatives are offered, and those are required that each of them requires. Reported in
    anthropics/claude-code#5319, nspady/google-calendar-mcp#39 and openclaw/openclaw#113130.
    """
    options = parameters.pop("anyOf", [])
    properties = {name: part for option in options for name, part in _mapping(option.get("properties")).items()}
    required = [name for name in properties if all(name in option.get("required", ()) for option in options)]
    parameters.pop("enum", None)
    return _joined({**parameters, "type": "object"}, {"properties": properties, "required": required})


def _plain(schema: Schema) -> dict[str, Any]:
    """Return a simplified ``schema`` without alternatives and without objects of any content."""
    if options := schema.get("anyOf"):
        kinds = ", ".join(str(option.get("type", "any")) for option in options)
        first = _plain(options[0])
        return {**first, "description": f"{first.get('description', '')} One of these types: {kinds}.".strip()}
    simple = {"type": "string", **schema}
    if simple["type"] == "object" and not simple.get("properties"):
        note = "An object, written as JSON."
        return {"type": "string", "description": f"{simple.get('description', '')} {note}".strip()}
    if "properties" in simple:
        simple["properties"] = {name: _plain(part) for name, part in simple["properties"].items()}
    if "items" in simple:
        simple["items"] = _plain(simple["items"])
    return simple


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

    schema = _merged_alternatives(schema, inner)
    notes: list[str] = []
    simple = {name: schema[name] for name in _KEPT if name in schema}
    _simplify_type(simple, schema)
    _simplify_values(simple, schema, notes)
    _simplify_bounds(simple, schema, notes)
    if "properties" in simple:
        simple["properties"] = {name: inner(part) for name, part in _mapping(simple["properties"]).items()}
    _simplify_object(simple)
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
        simple["anyOf"] = [option for part in simple["anyOf"] if (option := inner(part))]
        if not simple["anyOf"]:
            del simple["anyOf"]
    if notes:
        simple["description"] = " ".join([*filter(None, [str(simple.get("description", ""))]), *notes])
    if "anyOf" in simple and simple.get("type") == "object":
        return _without_alternatives(simple)
    if "anyOf" in simple and "type" in simple:
        # Kimi wants the type inside of the alternatives (openclaw/openclaw#113130).
        kind = simple.pop("type")
        simple["anyOf"] = [option if "anyOf" in option else {"type": kind, **option} for option in simple["anyOf"]]
    return simple


def _simplify_object(simple: dict[str, Any]) -> None:
    """Leave out what Gemini refuses: no properties, those of other types, and required ones that are unknown.

    Reported in Kilo-Org/kilocode#11955 and anomalyco/opencode#11888.
    """
    if simple.get("type", "object") != "object":
        simple.pop("properties", None)
    properties = _mapping(simple.get("properties"))
    required = [name for name in _texts(simple.pop("required", None)) if name in properties]
    if not properties:
        simple.pop("properties", None)
    if required:
        simple["required"] = required


def _joined(first: Schema, second: Schema) -> dict[str, Any]:
    """Return a schema that demands both; where they differ, the first one counts."""
    joined = {**second, **first}
    properties = {**_mapping(second.get("properties")), **_mapping(first.get("properties"))}
    required = list(dict.fromkeys([*_texts(first.get("required")), *_texts(second.get("required"))]))
    for name, value in (("properties", properties), ("required", required)):
        if value:
            joined[name] = value
        else:
            joined.pop(name, None)
    return joined


def _merged_alternatives(schema: Schema, simplified: Callable[[object], dict[str, Any]]) -> Schema:
    """Return ``schema`` with ``oneOf`` as ``anyOf``, ``allOf`` merged, and null left out of an optional value."""
    merged = dict(schema)
    for part in _listed(merged.pop("allOf", None)):
        merged = _joined(merged, simplified(part))
    options = _listed(merged.pop("oneOf", None)) or _listed(merged.get("anyOf"))
    if isinstance(merged.get("type"), list):
        kinds = [kind for kind in merged.pop("type") if isinstance(kind, str)]
        parts = {kind: [name for name in names if name in merged] for kind, names in _PARTS.items() if kind in kinds}
        options = [{"type": kind, **{name: merged[name] for name in parts.get(kind, ())}} for kind in kinds]
        merged = {name: value for name, value in merged.items() if not any(name in names for names in parts.values())}
    if not options:
        merged.pop("anyOf", None)
        return merged
    if "default" in merged and merged["default"] is None:
        # Who wants null leaves the argument out.
        del merged["default"]
        options = [option for option in options if _mapping(option).get("type") != "null"]
    if len(options) == 1:
        merged.pop("anyOf", None)
        return _joined(merged, simplified(options[0]))
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


def _texts(value: object) -> list[str]:
    return [item for item in _listed(value) if isinstance(item, str)]
