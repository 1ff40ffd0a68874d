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
        lines += [*_function(tool.get("function") or tool), ""]
    return "\n".join([*lines, "} // namespace functions"])


def _function(function: Mapping[str, Any]) -> Iterator[str]:
    name = function.get("name", "")
    parameters = function.get("parameters") or {}
    if description := function.get("description"):
        yield f"// {description}"
    if parameters.get("properties"):
        yield f"type {name} = (_: {{"
        yield from _properties(parameters, "")
        yield "}) => any;"
    else:
        yield f"type {name} = () => any;"


def _properties(schema: Mapping[str, Any], indent: str) -> Iterator[str]:
    required = schema.get("required") or ()
    for name, property_ in schema["properties"].items():
        if not isinstance(property_, Mapping):
            property_ = {}
        if description := property_.get("description"):
            yield f"{indent}// {description}"
        mark = "" if name in required else "?"
        yield f"{indent}{name}{mark}: {_type(property_, indent)},"


def _type(schema: Mapping[str, Any], indent: str) -> str:
    if values := schema.get("enum"):
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in values)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " | ".join(_type(option, indent) for option in options if isinstance(option, Mapping))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}, indent) for one in kind)
    if kind == "array":
        items = schema.get("items")
        return f"{_type(items, indent)}[]" if isinstance(items, Mapping) and items else "any[]"
    if kind == "object" or schema.get("properties"):
        if not schema.get("properties"):
            return "object"
        return "\n".join(["{", *_properties(schema, indent + "  "), indent + "}"])
    return _SCALARS.get(kind, "any") if isinstance(kind, str) else "any"
