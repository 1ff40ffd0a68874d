"""Repair the names and arguments of calls whose meaning is clear and only whose form is wrong."""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.parsing.call_values import PARALLEL, calls_of, kinds_of, read_whole
from swarmchat.swarm.parsing.lenient_json import NotACall, parse_loose
from swarmchat.swarm.tools.toolset import Toolset

_WRAPPERS = frozenset({"arguments", "parameters", "properties", "args", "kwargs", "input", "params"})
"""Keys that models put around the arguments: parts of the definition that they were shown."""

_SYNTAX = lazy_pattern(r"[{}\[\]\"=]|:\s*\Z")
"""Signs of arguments that are damaged, not a plain text."""

_NULLS = ("null", "None")


@dataclass(frozen=True, slots=True)
class Repair:
    """One correction."""

    cause: str
    """leaked_call, unknown_tool, bad_arguments, control_tokens, or repetition."""
    detail: str


def repair_calls(
    calls: Sequence[ToolCall], toolset: Toolset, doubts: Container[str] = ()
) -> tuple[tuple[ToolCall, ...], list[Repair]]:
    """Return ``calls`` with names and arguments corrected to fit ``toolset`` where possible, and the corrections.

    The arguments of calls whose ids are in ``doubts`` stay as they are: these calls are not carried out.
    """
    repairs: list[Repair] = []
    repaired: list[ToolCall] = []
    for call in _unpacked(calls, toolset, repairs):
        name = toolset.resolve(call.name)
        if name is not None and name != call.name:
            repairs.append(Repair("unknown_tool", f"{call.name!r} is {name}"))
            call = replace(call, name=name)
        if name is not None and call.id not in doubts and toolset.problem(name, call.arguments) is not None:
            fitting = _fitting_arguments(name, call.arguments, toolset)
            if fitting is not None:
                arguments, surplus = fitting
                without = f", without {', '.join(surplus)}, which it does not know" if surplus else ""
                repairs.append(Repair("bad_arguments", f"the arguments of {name}{without}"))
                call = replace(call, arguments=arguments)
        repaired.append(call)
    return tuple(repaired), repairs


def identity(call: ToolCall) -> tuple[str, str]:
    """Return what two calls have in common if they are the same call: the name, and the arguments in one form."""
    try:
        return call.name, json.dumps(json.loads(call.arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return call.name, call.arguments


def is_cut_off(arguments: str) -> bool:
    """Tell whether the JSON text ``arguments`` ends before its value does."""
    try:
        return bool(arguments.strip()) and parse_loose(arguments).broken
    except NotACall:
        return False


def _unpacked(calls: Iterable[ToolCall], toolset: Toolset, repairs: list[Repair]) -> Iterable[ToolCall]:
    for call in calls:
        parts = None
        if call.name.endswith(PARALLEL) and not toolset.resolve(call.name):
            with suppress(NotACall):
                parts = calls_of(read_whole(call.arguments))
        if not parts:
            yield call
            continue
        repairs.append(Repair("unknown_tool", f"{PARALLEL} is {', '.join(part.name for part in parts)}"))
        for index, part in enumerate(parts):
            yield ToolCall(f"{call.id}_{index}", part.name, json.dumps(part.arguments or {}, ensure_ascii=False))


def _fitting_arguments(name: str, arguments: str, toolset: Toolset) -> tuple[str, list[str]] | None:
    """Return the arguments in a form that the tool takes, and the names of those that were left out for it."""
    try:
        value = read_whole(arguments)
        value = read_whole(value) if isinstance(value, str) else value
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
    except NotACall:
        value = arguments
    only = value if isinstance(value, str) else arguments
    candidates = [value if isinstance(value, dict) else _only_value(only, name, toolset)]
    if isinstance(value, dict):
        candidates += [inner for key, inner in value.items() if key in _WRAPPERS and len(value.keys() - {"type"}) == 1]
    schema = toolset.tools[name].signature.parameters if name in toolset.tools else {}
    for candidate in (candidate for candidate in candidates if isinstance(candidate, dict)):
        changed = {key: value for key, value in candidate.items() if not _is_default(key, value, schema)}
        changed = {key: _of_type(value, schema.get("properties", {}).get(key, {})) for key, value in changed.items()}
        surplus = _surplus(changed, schema)
        known = {key: value for key, value in changed.items() if key not in surplus}
        for fitting, left_out in ((candidate, []), (changed, []), (known, surplus)):
            text = json.dumps(fitting, ensure_ascii=False)
            if toolset.problem(name, text) is None:
                return text, left_out
    return None


def _only_value(text: str, name: str, toolset: Toolset) -> dict[str, Any] | None:
    """Return the arguments of a tool that needs a single value, of which ``text`` is one, without its name."""
    schema = toolset.tools[name].signature.parameters if name in toolset.tools else {}
    keys = schema.get("required") or list(schema.get("properties", {}))
    is_value = len(keys) == 1 and not _SYNTAX.search(text) and not text.casefold().startswith(keys[0].casefold())
    return {keys[0]: text} if is_value else None


def _is_default(key: str, value: object, schema: Mapping[str, Any]) -> bool:
    """Tell whether ``value`` is a null, or the word for it, that stands for the default of a parameter."""
    kinds = kinds_of(schema.get("properties", {}).get(key, {}))
    is_null = value is None or (value in _NULLS and "string" not in kinds)
    return is_null and key not in schema.get("required", ()) and bool(kinds) and "null" not in kinds


def _of_type(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return ``value`` without a schema around it, and decoded if it is the JSON of a list, an object or null."""
    kinds = kinds_of(schema)
    if value in _NULLS and "null" in kinds and "string" not in kinds:
        return None
    if isinstance(value, dict) and {"type", "value"} <= value.keys() and kinds and "object" not in kinds:
        return value["value"]
    if isinstance(value, str) and kinds & {"array", "object"} and "string" not in kinds:
        with suppress(NotACall):
            decoded = read_whole(value)
            return decoded if isinstance(decoded, (list, dict)) else value
        is_item = "array" in kinds and value and not _SYNTAX.search(value)
        return [value] if is_item and "string" in kinds_of(_items(schema)) else value
    return value


def _items(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of the items of a list, which may be one of several types."""
    options = [schema, *(schema.get("anyOf") or ())]
    return next((option["items"] for option in options if isinstance(option.get("items"), dict)), {})


def _surplus(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return the arguments that the tool does not know and that are not parameters with a spelling mistake."""
    missing = schema.get("properties", {}).keys() - arguments.keys()
    unknown = [key for key in arguments if key not in schema.get("properties", {})]
    return [key for key in unknown if not get_close_matches(key, missing, 1, 0.7)]
