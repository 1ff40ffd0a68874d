"""Repair the names and arguments of calls whose meaning is beyond doubt and only whose form is wrong."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.parsing.call_values import PARALLEL
from swarmchat.swarm.parsing.lenient_json import NotACall, parse_loose
from swarmchat.swarm.tools.toolset import Toolset

_WRAPPERS = frozenset({"arguments", "parameters", "properties", "args", "kwargs", "input", "params"})
"""Keys that models put around the arguments: parts of the definition that they were shown."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One correction."""

    cause: str
    """leaked_call, unknown_tool, bad_arguments, control_tokens, or repetition."""
    detail: str


def repair_calls(
    calls: Sequence[ToolCall], toolset: Toolset, *, whole: bool = True
) -> tuple[tuple[ToolCall, ...], list[Repair]]:
    """Return ``calls`` with names and arguments corrected to fit ``toolset`` where possible, and the corrections.

    Unless the calls are ``whole``, the last one may have been cut off and is not repaired.
    """
    repairs: list[Repair] = []
    repaired: list[ToolCall] = []
    for call in _unpacked(calls, toolset, repairs):
        name = toolset.resolve(call.name)
        if name is not None and name != call.name:
            repairs.append(Repair("unknown_tool", f"{call.name!r} is {name}"))
            call = replace(call, name=name)
        cut_off = not whole and call.id == calls[-1].id
        if name is not None and not cut_off and toolset.problem(name, call.arguments) is not None:
            fitting = _fitting_arguments(name, call.arguments, toolset)
            if fitting is not None:
                repairs.append(Repair("bad_arguments", f"the arguments of {name}"))
                call = replace(call, arguments=fitting)
        repaired.append(call)
    return tuple(repaired), repairs


def same_call(one: ToolCall, other: ToolCall) -> bool:
    """Tell whether two calls are the same: some servers send a call and leave it in the text as well."""
    if one.name != other.name:
        return False
    try:
        return bool(json.loads(one.arguments) == json.loads(other.arguments))
    except (ValueError, RecursionError):
        return one.arguments == other.arguments


def _unpacked(calls: Iterable[ToolCall], toolset: Toolset, repairs: list[Repair]) -> Iterable[ToolCall]:
    for call in calls:
        parts = _parallel_calls(call) if call.name.endswith(PARALLEL) and not toolset.resolve(call.name) else None
        if parts:
            repairs.append(Repair("unknown_tool", f"{PARALLEL} is {', '.join(part.name for part in parts)}"))
            yield from parts
        else:
            yield call


def _parallel_calls(call: ToolCall) -> list[ToolCall] | None:
    try:
        uses = json.loads(call.arguments)["tool_uses"]
        return [
            ToolCall(f"{call.id}_{index}", use["recipient_name"], json.dumps(use["parameters"], ensure_ascii=False))
            for index, use in enumerate(uses)
            if isinstance(use["recipient_name"], str)
        ]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _read(text: str) -> Any:
    """Return the value that ``text`` holds and nothing else. Raises NotACall."""
    read = parse_loose(text, 0)
    if read.broken or text[read.end :].strip() or text.rstrip().endswith("{"):
        raise NotACall(read.end)
    return read.value


def _fitting_arguments(name: str, arguments: str, toolset: Toolset) -> str | None:
    """Return the arguments in a form that the tool takes: whole JSON, decoded once more, or out of a wrapper."""
    try:
        value = _read(arguments)
        if isinstance(value, str):
            value = _read(value)
    except NotACall:
        return None
    candidates = [value]
    if isinstance(value, dict):
        candidates += [inner for key, inner in value.items() if key in _WRAPPERS and len(value.keys() - {"type"}) == 1]
    for candidate in candidates:
        if isinstance(candidate, dict):
            text = json.dumps(candidate, ensure_ascii=False)
            if toolset.problem(name, text) is None:
                return text
    return None
