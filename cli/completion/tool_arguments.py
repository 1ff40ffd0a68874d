"""The arguments of a tool as they are typed: a JSON object to be filled in, and the names that can follow in it."""

import json
import re
from collections.abc import Mapping
from typing import Any

_VALUES: Mapping[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
_OPEN = re.compile(r'(.*[{,]\s*)("[^"]*)?', re.DOTALL)
"""What ends where a name can stand, and what is typed of the name."""


def skeleton(parameters: Mapping[str, Any]) -> str:
    """Return an object with what a tool must be given, to be filled in. ``parameters`` is a JSON schema."""
    properties = parameters.get("properties", {})
    return json.dumps(
        {name: _empty(properties.get(name, {})) for name in parameters.get("required", ())}, ensure_ascii=False
    )


def names_line(parameters: Mapping[str, Any]) -> str:
    """Return the names of all arguments in a line; those that need not be given in brackets."""
    required = parameters.get("required", ())
    return ", ".join(name if name in required else f"[{name}]" for name in parameters.get("properties", {}))


def continued(parameters: Mapping[str, Any], typed: str) -> list[tuple[str, str]]:
    """Return what ``typed``, the beginning of an object, can become by the name of one more argument."""
    found = _OPEN.fullmatch(typed)
    if found is None or not typed.lstrip().startswith("{") or _in_text(found[1]):
        return []
    known = parameters.get("properties", {})
    left = [name for name in known if not re.search(rf'"{re.escape(name)}"\s*:', found[1])]
    return [(f"{found[1]}{json.dumps(name, ensure_ascii=False)}: ", _about(known[name])) for name in left]


def _in_text(typed: str) -> bool:
    """Whether ``typed`` ends within a text."""
    return len(re.findall(r'(?<!\\)"', typed)) % 2 == 1


def _empty(schema: Mapping[str, Any]) -> Any:
    for value in (schema.get("default"), *schema.get("enum", ())):
        if value is not None:
            return value
    kinds = [schema, *schema.get("anyOf", ())]
    return next((_VALUES[kind["type"]] for kind in kinds if kind.get("type") in _VALUES), "")


def _about(schema: Mapping[str, Any]) -> str:
    choices = " or ".join(json.dumps(value, ensure_ascii=False) for value in schema.get("enum", ()))
    return str(schema.get("description") or choices or schema.get("type") or "")
