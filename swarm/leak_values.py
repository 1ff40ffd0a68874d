"""What the JSON and the texts of leaked calls mean: which values are calls, and what an argument without quotes is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmchat.swarm.loose_json import NotACall, parse_loose

NAME_KEYS = frozenset("name tool tool_name function function_name recipient_name action".split())
ARGUMENT_KEYS = frozenset("arguments parameters args params input action_input tool_input kwargs".split())
WRAPPERS = frozenset("tool_calls tool_uses function_call tool_call".split())
CALL_KEYS = NAME_KEYS | ARGUMENT_KEYS | WRAPPERS | {"id", "call_id", "tool_call_id", "type", "index"}
TYPES = frozenset("function tool_call tool_use function_call tool".split())


@dataclass(frozen=True, slots=True)
class Written:
    """A call as it was written. ``arguments``: a dict, or a text that should hold one, or ``None``."""

    name: str
    arguments: object = None
    broken: bool = False
    explicit: bool = False
    """Whether it is JSON that names both the function and its arguments as such."""


def calls_of(value: object, broken: bool = False) -> list[Written] | None:
    """Return the calls that a JSON value is; ``None`` if it is anything else."""
    if isinstance(value, list):
        calls: list[Written] = []
        for item in value:
            read = calls_of(item, broken and item is value[-1]) if isinstance(item, dict) else None
            if read is None:
                return None
            calls += read
        return calls or None
    if not isinstance(value, dict) or not value.keys() <= CALL_KEYS or str(value.get("type", "function")) not in TYPES:
        return None
    if len(value) == 1 and isinstance(wrapped := next(iter(value.values())), (list, dict)) and value.keys() <= WRAPPERS:
        return calls_of(wrapped, broken)
    names, arguments = value.keys() & NAME_KEYS, value.keys() & ARGUMENT_KEYS
    if len(names) != 1 or len(arguments) > 1 or value.keys() & WRAPPERS:
        return None
    name = value[next(iter(names))]
    if isinstance(name, dict):
        return calls_of(name, broken) if names == {"function"} and not arguments else None
    if not isinstance(name, str):
        return None
    key = next(iter(arguments), None)
    return [Written(name, value[key] if key else None, broken, key is not None)]


def read_text(text: str, schema: Mapping[str, Any] | None) -> Any:
    """Return what a value that was written without quotes means, by its parameter's schema."""
    kinds = _kinds(schema or {})
    if "string" in kinds:
        return text
    try:
        value, end, broken = parse_loose(text.strip())
    except NotACall:
        return text
    if broken or end != len(text.strip()):
        return text
    return value


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """Return the JSON types that ``schema`` allows, as far as they are written in it."""
    kinds = {schema["type"]} if isinstance(schema.get("type"), str) else set(schema.get("type") or ())
    for option in schema.get("anyOf") or ():
        kinds |= _kinds(option)
    if any(isinstance(value, str) for value in schema.get("enum") or ()):
        kinds.add("string")
    return kinds
