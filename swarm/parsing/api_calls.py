"""Parser for the JSON of messages that have calls in them, of whichever API, and for what has lost its braces."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.call_values import (
    CALL_KEYS,
    KNOWN_KEYS,
    NAME_KEYS,
    ParsedCall,
    Resolve,
    calls_of,
    loose_calls,
    read_whole,
)
from swarmchat.swarm.parsing.formats import CLOSERS
from swarmchat.swarm.parsing.lenient_json import MORE, NotACall, parse_loose
from swarmchat.swarm.parsing.line_calls import LineCallParser

EMBEDDED = "embedded call"
Properties = Callable[[str], Mapping[str, Any]]
# Other keys of objects that have calls in them: of the messages of APIs, and of what models make up.
_API_KEYS = frozenset(
    "jsonrpc method output outputs parts candidates choices message messages content contents status stop_reason"
    " stopReason calls actions function_calls functions tools tool_to_use response result answer plan steps step text"
    " call operation api api_name func fn intent slots next_action next_tool selected_tool tool_choice tool_use data"
    " request invoke action_name tool_arguments tool_args tool_parameters explanation rationale summary".split()
)
_CALLED = lazy_pattern(r"\s*([A-Za-z_][\w.]{0,99})\((.*)\)\s*", re.DOTALL)
_NEAR = 600
"""Characters of JSON in which the name of a tool stands, if it has a call in it."""
_STRINGS = lazy_pattern(r"[\"']([\w.:/-]{2,100})(?:[\"'(])")
MEMBERS = lazy_pattern(rf"([\"'])(?:{'|'.join(sorted(CALL_KEYS))})\1[ ]?:")
MEMBERS_START = lazy_pattern(r"[\"'](?:\w{0,30}(?:[\"'][ ]?:?)?)?\Z")
_LINE_END = lazy_pattern(r"\r?\n")
_NAMED = lazy_pattern(rf"[\"'](?:{'|'.join(sorted(NAME_KEYS))})[\"'][ ]?:\s{{0,9}}[\"']([^\"'\n]{{1,100}})[\"']")
_LONGEST = 2000
"""Characters of fields, and of an object's members."""
_MEMBERS_END = lazy_pattern(r"\s*\n(?:[ \t]*\r?\n|[ \t]*`{3})")
_COMPLETED = lazy_pattern(r"\[\[ ## completed ## \]\]")
_FIELD = lazy_pattern(r"\[\[ ## \w*?(tool_name|tool_args) ## \]\]\s*(.*?)\s*(?=\[\[ ##|\Z)", re.DOTALL)


class ApiCallParser(LineCallParser):
    """Parses JSON in which a call is a part. Only the calls of offered tools count."""

    def fields(self, start: int) -> tuple[str, list[ParsedCall], int]:
        """Read the fields of DSPy's ReAct, which name a tool and its arguments."""
        completed = _COMPLETED.search(self.text, start, start + _LONGEST)
        if completed is None and len(self.text) < start + _LONGEST:
            self.need(len(self.text))
        end = completed.end() if completed else min(len(self.text), start + _LONGEST)
        texts = dict(_FIELD.findall(self.text, start, end))
        name, arguments = texts.get("tool_name", ""), texts.get("tool_args", "")
        if self.toolset.resolve(name) is None:
            raise NotACall(start + 1)
        parsed = parse_loose(arguments) if arguments else None
        return EMBEDDED, [ParsedCall(name, arguments, parsed is None or parsed.broken, True)], end

    def api_json(self, position: int) -> tuple[list[ParsedCall], int]:
        """Read JSON that has a call in it, of whichever API; the tool's name stands near its beginning."""
        self._named = None
        with suppress(NotACall):
            return self.json(position, self.watch)
        near = _STRINGS.finditer(self.text, position, position + _NEAR)
        if not any(self.toolset.resolve(text[1]) for text in near) and len(self.text) - position >= _NEAR:
            raise NotACall(position)
        value, end, broken, _ = parse_loose(self.text, position, self.final, self._watch_any, CLOSERS)
        calls = nested_calls(value, broken, self.toolset.resolve, self.properties)
        if not calls:
            raise NotACall(position)
        return calls, end

    def _watch_any(self, objects: int, key: str, value: object) -> bool:
        """Tell whether an object with this key and value may have a call in it; see ``Watch``."""
        if objects > 1:
            return True
        if value is MORE:
            return any(name.startswith(key) for name in KNOWN_KEYS | _API_KEYS)
        if key == "name" and isinstance(value, str):
            return self.toolset.resolve(value) is not None
        return key in KNOWN_KEYS or key in _API_KEYS

    def members(self, position: int) -> tuple[list[ParsedCall], int]:
        """Read the members of a JSON object that has lost its braces, up to a blank line or the end of its block."""
        named, limit = _NAMED.match(self.text, position), position + _LONGEST
        if named and self.toolset.resolve(named[1]) is None:
            raise NotACall(position)
        for ending in (_LINE_END, _MEMBERS_END):
            match = ending.search(self.text, position, limit)
            if match is None and len(self.text) >= limit:
                break
            if match is None:
                self.need(len(self.text))
            end = match.start() if match else len(self.text)
            content = self.text[position:end].rstrip(" \t\r\n,;")
            for spelling in (f"{{{content}}}", f"{{{content}", f"{{{content.rstrip('}')}}}"):
                with suppress(NotACall):
                    value, stop, broken, _ = parse_loose(spelling)
                    calls = nested_calls(value, broken, self.toolset.resolve, self.properties)
                    is_whole = stop == len(spelling) and all(call.arguments is not None for call in calls)
                    if calls and (is_whole or match is None) and not (broken and match):
                        return calls if is_whole else [replace(call, broken=True) for call in calls], end
        raise NotACall(position)


def nested_calls(value: object, broken: bool, resolve: Resolve, properties: Properties) -> list[ParsedCall]:
    """Return the calls of known tools anywhere in a JSON value, whatever their keys: a name beside its arguments.

    So every API's messages are read: lists of parts, outputs, remote procedure calls. Not what somebody else said.
    """
    if isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], str) and _are_arguments(value[0], value[1], resolve, properties):
            return [ParsedCall(value[0], value[1], broken, True)]
        parts = [nested_calls(item, broken and item is value[-1], resolve, properties) for item in value]
        return [call for calls in parts for call in calls]
    if not isinstance(value, dict) or value.get("role", "assistant") not in ("assistant", "model"):
        return []
    texts = [text for text in value.values() if isinstance(text, str)]
    written = _CALLED.fullmatch(texts[0]) if len(texts) == len(value) == 1 else None
    if written and resolve(written[1]):
        return [ParsedCall(written[1], written[2], broken, True)]
    if calls := calls_of(value, broken):
        return calls if all(resolve(call.name) for call in calls) else []
    if calls := loose_calls(value, broken, resolve, properties):
        return calls
    for text in texts:
        arguments = [item for item in value.values() if _are_arguments(text, item, resolve, properties)]
        if len(arguments) == 1:
            return [ParsedCall(text, arguments[0], broken, True)]
    return nested_calls(
        [item for item in value.values() if isinstance(item, (dict, list))], broken, resolve, properties
    )


def _are_arguments(name: str, value: object, resolve: Resolve, properties: Properties) -> bool:
    """Tell whether ``name`` is that of a tool, and ``value`` an object of arguments that it knows."""
    if resolve(name) is None:
        return False
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = read_whole(value)
        except NotACall:
            return False
    return isinstance(value, dict) and bool(value) and value.keys() <= properties(name).keys()
