"""A tool's arguments, typed as a JSON object: one to fill in, and the names that can follow."""

import json
import re
from collections.abc import Mapping
from typing import Any

_VALUES: Mapping[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
_BEFORE_NAME = re.compile(r'(.*[{,]\s*)("[^"]*)?', re.DOTALL)
"""The text up to where a name can follow, and the part of the name that is typed already."""


def skeleton(parameters: Mapping[str, Any]) -> str:
    """Return an object to fill in, with a tool's required arguments. ``parameters`` is a JSON schema."""
    properties = parameters.get("properties", {})
    empty = {name: _empty(properties.get(name, {})) for name in parameters.get("required", ())}
    return json.dumps(empty, ensure_ascii=False)


def names_line(parameters: Mapping[str, Any]) -> str:
    """Return the names of all arguments in one line, optional ones in brackets."""
    required = parameters.get("required", ())
    return ", ".join(name if name in required else f"[{name}]" for name in parameters.get("properties", {}))


def continued(parameters: Mapping[str, Any], typed: str) -> list[tuple[str, str]]:
    """Return ``typed``, the beginning of an object, continued by each argument name that is missing."""
    match = _BEFORE_NAME.fullmatch(typed)
    # An odd number of quotation marks: the text ends inside a string.
    if match is None or not typed.lstrip().startswith("{") or len(re.findall(r'(?<!\\)"', match[1])) % 2:
        return []
    return [
        (f"{match[1]}{json.dumps(name, ensure_ascii=False)}: ", _description(schema))
        for name, schema in parameters.get("properties", {}).items()
        if not re.search(rf'"{re.escape(name)}"\s*:', match[1])
    ]


def _empty(schema: Mapping[str, Any]) -> Any:
    """Return a value of the schema's type: its default or first choice, if it has one."""
    for value in (schema.get("default"), *schema.get("enum", ())):
        if value is not None:
            return value
    kinds = [schema, *schema.get("anyOf", ())]
    return next((_VALUES[kind["type"]] for kind in kinds if kind.get("type") in _VALUES), "")


def _description(schema: Mapping[str, Any]) -> str:
    choices = " or ".join(json.dumps(value, ensure_ascii=False) for value in schema.get("enum", ()))
    return str(schema.get("description") or choices or schema.get("type") or "")
