"""Calls as they are read, and what values mean: which JSON is a call, types of arguments, values of an example."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.lenient_json import NotACall, parse_loose

NAME_KEYS = frozenset("name tool tool_name function function_name recipient_name action command".split())
ARGUMENT_KEYS = frozenset("arguments parameters args params input action_input tool_input kwargs".split())
# OpenAI's, Gemini's and Bedrock's messages, and AutoGPT's.
WRAPPERS = frozenset(
    "tool_calls tool_uses function_call tool_call functionCall toolCalls toolCall toolUse command".split()
)
IDS = frozenset("id call_id tool_call_id toolUseId index".split())
CALL_KEYS = NAME_KEYS | ARGUMENT_KEYS | WRAPPERS | IDS | {"type"}
# What stands beside a wrapper: the rest of a message, or what xLAM thinks.
NEIGHBOURS = frozenset("role content refusal thought thoughts reasoning reasoning_content finish_reason".split())
DEFINITION_KEYS = frozenset("name type description parameters strict".split())
KNOWN_KEYS = CALL_KEYS | NEIGHBOURS | DEFINITION_KEYS
TYPES = frozenset("function tool_call tool_use function_call tool".split())
_PLACEHOLDER = lazy_pattern(
    r"<[a-z][\w .-]{0,40}>|\{\w{1,40}\}|\[?your[_ -][\w -]{1,40}\]?|\.\.\.|…"
    r"|string|str|integer|number|boolean|array|object",
    re.IGNORECASE,
)
_WORDS = lazy_pattern(r"[^\W_]+")
_FILLERS = frozenset("a an the your some example sample name value here goes".split())
"""Words that a placeholder has beside the name of its parameter."""
PARALLEL = "multi_tool_use.parallel"
"""A tool that OpenAI's models call though nobody offers it (community.openai.com/t/490653)."""

CUT_OFF = "the call of {} is cut off: write it again, whole"
EXAMPLE = (
    "the call of {} looks like an example, so it was not carried out: "
    "make it with the values that you mean, or answer the user in words"
)
UNREADABLE = "the call of {} cannot be read: write it again, as valid JSON"

Resolve = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """A call as the model wrote it. ``arguments``: a dict, a text that should hold one, or ``None``."""

    name: str
    arguments: object = None
    broken: bool = False
    explicit: bool = False
    """Whether it is JSON with keys for both the name and the arguments."""
    key: str = ""
    """The key of the arguments, in such JSON."""
    unended: bool = False
    """Whether it is ``broken`` because its form has no end by which one could see that it is whole."""


@dataclass(frozen=True, slots=True)
class LeakedCall:
    """A call found in the text. ``problem`` is ``None`` if the tool is offered and the arguments fit."""

    name: str
    """The offered name that is meant; otherwise the name as written."""
    arguments: str
    """The JSON text of an object, repaired; as written if only they cannot be parsed."""
    problem: str | None = None
    doubtful: bool = False
    """Whether it must not be carried out, even if it fits: it is cut off, cannot be read, or is an example."""

    @property
    def is_example(self) -> bool:
        """Whether it is refused as an example."""
        return self.problem == EXAMPLE.format(self.name or "a tool")

    def refused(self, why: str) -> "LeakedCall":
        """Return the call with the reason why it must not be carried out, in which ``{}`` is its name."""
        return replace(self, problem=why.format(self.name or "a tool"), doubtful=True)


@dataclass(frozen=True, slots=True)
class Leak:
    """A piece of the answer that contains tool calls instead of text for the user."""

    format: str
    """The format's name, as models and servers use it."""
    text: str
    """The piece as written, for the log."""
    calls: tuple[LeakedCall, ...]
    """Empty if it is the definition of a tool."""
    waits: bool = False
    """Whether it counts only if no text follows."""

    def as_example(self) -> "Leak":
        """Return the leak of a text that explains: none of its calls may be carried out."""
        return replace(self, calls=tuple(call.refused(EXAMPLE) for call in self.calls))


def calls_of(value: object, broken: bool = False, resolve: Resolve | None = None) -> list[ParsedCall] | None:
    """Return the calls in a JSON value; ``None`` if it is not made of calls, and definitions of tools, alone.

    With ``resolve``, ``{NAME: {…}}`` is a call as well, if the name can be resolved.
    """
    if isinstance(value, list):
        calls: list[ParsedCall] = []
        for item in value:
            read = calls_of(item, broken and item is value[-1], resolve) if isinstance(item, dict) else None
            if read is None:
                return None
            calls += read
        return calls if value else None
    if not isinstance(value, dict):
        return None
    only = next(iter(value), "") if len(value) == 1 else ""
    if only and resolve and isinstance(value[only], dict) and resolve(only) is not None:
        return [ParsedCall(only, value[only], broken)]
    if str(value.get("type", "function")) not in TYPES:
        return None
    if value.keys() <= DEFINITION_KEYS and _is_schema(value.get("parameters")):
        return []
    wrapper = next((key for key in value if key in WRAPPERS and isinstance(value[key], (list, dict))), None)
    if wrapper:
        return _wrapped(value, wrapper, broken)
    names, arguments = value.keys() & NAME_KEYS, value.keys() & ARGUMENT_KEYS
    key = next(iter(arguments), None)
    if not value.keys() <= CALL_KEYS or len(names) > 1 or len(arguments) > 1:
        return None
    if not names:
        # A call in place of the arguments.
        inner = calls_of(value[key], broken) if key and isinstance(value[key], dict) else None
        if inner and inner[0].explicit:
            return inner
        # Of a call whose "type" comes first, the name may be missing.
        return [ParsedCall("", None, True)] if broken and value.get("type") in TYPES else None
    name = value[next(iter(names))]
    if isinstance(name, dict):
        return _function(name, value[key] if key else None, broken) if names == {"function"} else None
    if not isinstance(name, str):
        return None
    if name.endswith(PARALLEL) and key and isinstance(value[key], dict):
        return calls_of(value[key], broken)
    return [ParsedCall(name, value[key] if key else None, broken, key is not None, key or "")]


def loose_calls(
    value: Mapping[str, Any], broken: bool, resolve: Resolve, properties: Callable[[str], Mapping[str, Any]]
) -> list[ParsedCall] | None:
    """Return the call in JSON that has other keys too, or the arguments beside the name, or one object around all."""
    if len(value) == 1:
        (inner,) = value.values()
        return calls_of(inner, broken, resolve) if isinstance(inner, dict) else None
    names = [key for key in value.keys() & NAME_KEYS if isinstance(value[key], str) and resolve(value[key])]
    if len(names) != 1:
        return None
    name = value[names[0]]
    schemas = properties(name)
    keys = [
        key
        for key in value
        if key in ARGUMENT_KEYS or key.removeprefix("function_") in ("args", "argument", "arguments")
    ]
    if len(keys) == 1 and keys[0] not in schemas:
        return [ParsedCall(name, value[keys[0]], broken, True)]
    arguments = {key: argument for key, argument in value.items() if key in schemas and key not in names}
    is_all = not value.keys() - schemas.keys() - {*names, "type", *IDS}
    return [ParsedCall(name, arguments, broken, True)] if arguments and is_all and not keys else None


def _is_schema(value: object) -> bool:
    """Tell whether ``value`` is the JSON schema of parameters, not their values."""
    properties = value.get("properties") if isinstance(value, dict) else None
    return isinstance(properties, dict) and all(
        isinstance(schema, dict) and "value" not in schema for schema in properties.values()
    )


def _wrapped(message: dict[str, Any], key: str, broken: bool) -> list[ParsedCall] | None:
    """Return the calls that a message has under ``key``; ``None`` if it has unknown keys too."""
    other_keys = message.keys() - {key, "type"} - IDS - NEIGHBOURS
    calls = message[key]
    if other_keys or message.get("role", "assistant") != "assistant":
        return None
    return calls_of(calls, broken)


def _function(function: dict[str, Any], arguments: object, broken: bool) -> list[ParsedCall] | None:
    """Return OpenAI's ``function`` as a call; its arguments may have slipped out of it."""
    calls = calls_of(function, broken)
    if arguments is None or calls is None:
        return calls
    if len(calls) != 1 or calls[0].explicit:
        return None
    return [ParsedCall(calls[0].name, arguments, broken, True)]


def read_text(text: str, schema: Mapping[str, Any] | None) -> Any:
    """Convert a value that was written without quotes to the type that its parameter's schema asks for."""
    kinds = kinds_of(schema or {})
    if "string" in kinds:
        return text
    try:
        return read_whole(text)
    except NotACall:
        return text


def read_whole(text: str) -> Any:
    """Return the value that ``text`` holds and nothing else. Raises NotACall."""
    parsed = parse_loose(text.strip())
    if parsed.broken or parsed.end != len(text.strip()):
        raise NotACall(parsed.end)
    return parsed.value


def kinds_of(schema: Mapping[str, Any]) -> set[str]:
    """Return the JSON types that ``schema`` names."""
    kinds = {schema["type"]} if isinstance(schema.get("type"), str) else set(schema.get("type") or ())
    for option in schema.get("anyOf") or ():
        kinds |= kinds_of(option)
    if any(isinstance(value, str) for value in schema.get("enum") or ()):
        kinds.add("string")
    return kinds


def has_placeholder(value: object, key: str = "") -> bool:
    """Tell whether a value, that of ``key``, is the name of its type or its parameter, as in an explanation."""
    if isinstance(value, dict):
        return any(has_placeholder(item, name) for name, item in value.items() if name != "type")
    if isinstance(value, list):
        return any(has_placeholder(item) for item in value)
    if not isinstance(value, str):
        return False
    own, words = (set(_WORDS.findall(text.casefold())) for text in (key, value))
    return _PLACEHOLDER.fullmatch(value.strip()) is not None or bool(own and own <= words <= own | _FILLERS)
