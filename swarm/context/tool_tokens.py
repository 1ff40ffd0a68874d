"""Tool definitions as the text they become in a prompt.

OpenAI's models see tools as TypeScript declarations, not as JSON schemas. The form was found by comparing token
counts with the server's: https://github.com/hmarr/openai-chat-tokens (objects, enums, arrays) and
https://github.com/pamelafox/openai-messages-token-helper (nested descriptions, anyOf).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_SCALARS = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}


def tools_as_typescript(tools: Iterable[Mapping[str, Any]]) -> str:
    """Return the declarations of ``tools``, which are in the chat API's form. Never raises for an odd schema."""
    lines = ["namespace functions {", ""]
    for tool in tools:
        lines += [*_function(_mapping(tool.get("function")) or tool), ""]
    return "\n".join([*lines, "} // namespace functions"])


def _function(function: Mapping[str, Any]) -> Iterator[str]:
    name = function.get("name", "")
    parameters = _mapping(function.get("parameters"))
    if description := function.get("description"):
        yield f"// {description}"
    if _mapping(parameters.get("properties")):
        yield f"type {name} = (_: {{"
        yield from _properties(parameters, "")
        yield "}) => any;"
    else:
        yield f"type {name} = () => any;"


def _properties(schema: Mapping[str, Any], indent: str) -> Iterator[str]:
    required = _listed(schema.get("required"))
    for name, property_ in _mapping(schema.get("properties")).items():
        property_ = _mapping(property_)
        if description := property_.get("description"):
            yield f"{indent}// {description}"
        mark = "" if name in required else "?"
        yield f"{indent}{name}{mark}: {_type(property_, indent)},"


def _type(schema: Mapping[str, Any], indent: str) -> str:
    if values := _listed(schema.get("enum")):
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in values)
    if options := _listed(schema.get("anyOf")) or _listed(schema.get("oneOf")):
        return " | ".join(_type(_mapping(option), indent) for option in options)
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}, indent) for one in kind)
    if kind == "array":
        items = _mapping(schema.get("items"))
        return f"{_type(items, indent)}[]" if items else "any[]"
    properties = _mapping(schema.get("properties"))
    if kind == "object" or properties:
        if not properties:
            return "object"
        return "\n".join(["{", *_properties(schema, indent + "  "), indent + "}"])
    return _SCALARS.get(kind, "any") if isinstance(kind, str) else "any"


def _mapping(value: object) -> Mapping[str, Any]:
    """Return ``value`` if it is what a schema has there: schemas come from other people's programs."""
    return value if isinstance(value, Mapping) else {}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
