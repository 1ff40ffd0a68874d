"""Parser for calls in YAML: a name and its arguments, by their indentation, with values that have no quotes."""

from typing import Any

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.call_values import ARGUMENT_KEYS, NAME_KEYS, ParsedCall, calls_of, loose_calls, read_text
from swarmchat.swarm.parsing.formats import CLOSERS, beginnings
from swarmchat.swarm.parsing.lenient_json import NotACall, parse_loose
from swarmchat.swarm.parsing.xml_calls import XmlCallParser

_LISTS = ("tool_calls", "tool_call", "function_calls", "function_call", "calls")
_NAMES, _ARGUMENTS = "|".join(sorted(NAME_KEYS)), "|".join(sorted(ARGUMENT_KEYS))
_CALL = lazy_pattern(
    rf"(?:(?:{'|'.join(_LISTS)}):[ \t]*\r?\n[ \t]{{0,9}})?(?:- )?(?P<key>{_NAMES}):"
    r"[ \t]*[\"']?(?P<name>[A-Za-z_][\w.-]{0,99})[\"']?[ \t]*\r?\n[ \t]*"
    rf"(?:(?P<arguments>{_ARGUMENTS}):[ \t]*(?=\r?\n|\{{(?!\s*\")|\Z)|(?=[a-z_]{{1,99}}:))"
)
_WORD_START = "|".join(sorted({*_LISTS, *NAME_KEYS} | beginnings((*_LISTS, *NAME_KEYS))))
_NAME_START = r"[\"']?[\w.-]{0,100}[\"']?[ \t]*"
_LINE_START = r"\r?\n?[ \t]*(?:- ?)?[a-z_]{0,20}"
_CALL_START = lazy_pattern(
    rf"(?:- ?)?(?:{_WORD_START})?(?::[ \t]*(?:{_NAME_START}(?:{_LINE_START}(?::[ \t]*(?:{_NAME_START}"
    rf"(?:{_LINE_START}(?::[ \t]*)?)?)?)?)?)?)?\Z"
)
_END = lazy_pattern(rf"\r?\n(?=[ \t]*\r?\n|(?![ \t]|- |(?:{_ARGUMENTS}|{_NAMES}|id|type):)\S)|(?:{CLOSERS.pattern})")
# A plain value in braces.
_FLOW = lazy_pattern(r"(:\s+)([A-Za-z][^\"',{}\[\]:]*?)(?=\s*[,}])")
_KEY = lazy_pattern(r"([A-Za-z_][\w.-]{0,99})[ \t]*:(?:[ \t]+|\Z)")
_ROWS = 200


class YamlCallParser(XmlCallParser):
    """Parses a call in YAML; the method takes a position and returns the calls and where they end."""

    def yaml(self, position: int, in_frame: bool) -> tuple[list[ParsedCall], int] | None:
        """Read a call in YAML at ``position``: outside of a frame, with a key for its arguments. ``None``: it is none.

        Without a blank line, a line of something else or a closing mark behind it, it may have been cut off.
        """
        match = self.match(_CALL, _CALL_START, position)
        if match is None or not (match["arguments"] or in_frame):
            return None
        end = _END.search(self.text, match.end())
        if end is None:
            self.need(len(self.text))
            # Other YAML has names, and parameters.
            key = (match["arguments"] or "") if match["key"] != "name" else ""
            return [ParsedCall(match["name"], None, True, bool(key), key, not in_frame)], len(self.text)
        # White space before a closing mark is not searched for: each of its characters could begin it.
        length = len(self.text[position : end.start()].rstrip()) if end[0].strip() else end.start() - position
        value = read_yaml(self.text[position : position + length])
        if isinstance(value, dict):
            value = next((inner for key, inner in value.items() if key in _LISTS and len(value) == 1), value)
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        calls = calls_of(value, False, self.toolset.resolve)
        if calls is None and isinstance(value, dict):
            calls = loose_calls(value, False, self.toolset.resolve, self.properties)
        if not calls:
            raise NotACall(match.end())
        return [self._typed(call) for call in calls], position + length

    def _typed(self, call: ParsedCall) -> ParsedCall:
        """Return ``call`` with values of the types that its parameters have."""
        schemas, arguments = self.properties(call.name), call.arguments
        if isinstance(arguments, dict):
            arguments = {
                key: read_text(value, schemas.get(key)) if isinstance(value, str) else value
                for key, value in arguments.items()
            }
        return ParsedCall(call.name, arguments, call.broken, call.explicit, call.key)


def read_yaml(text: str) -> Any:
    """Return the mappings and lists in ``text``; values without quotes are strings. Raises NotACall."""
    lines = text.expandtabs(2).splitlines()
    rows = [(len(line) - len(line.lstrip()), line.strip()) for line in lines if line.strip()]
    if len(rows) > _ROWS:
        raise NotACall(0)
    value, end = _block(rows, 0)
    if end < len(rows):
        raise NotACall(0)
    return value


def _block(rows: list[tuple[int, str]], start: int) -> tuple[Any, int]:
    """Return the value whose first line is ``rows[start]``, and the number of the first line behind it."""
    indent, first = rows[start]
    items, members, row = list[Any](), dict[str, Any](), start
    while row < len(rows) and rows[row][0] == indent and rows[row][1].startswith("- ") == first.startswith("- "):
        content = rows[row][1]
        if content.startswith("- "):
            rows[row] = (indent + 2, content[2:].strip())
            value, row = _block(rows, row) if _KEY.match(rows[row][1]) else (_scalar(rows[row][1]), row + 1)
            items.append(value)
            continue
        key = _KEY.match(content)
        if key is None:
            raise NotACall(0)
        rest, row = content[key.end() :].strip(), row + 1
        deeper = row
        while deeper < len(rows) and rows[deeper][0] > indent:
            deeper += 1
        if rest[:1] in ("|", ">") and len(rest) < 3:
            members[key[1]] = ("\n" if rest[0] == "|" else " ").join(line for _, line in rows[row:deeper])
            row = deeper
        elif rest:
            members[key[1]] = _scalar(rest)
        elif deeper > row or (row < len(rows) and rows[row][0] == indent and rows[row][1].startswith("- ")):
            members[key[1]], row = _block(rows, row)
        else:
            members[key[1]] = None
    return (items or members), row


def _scalar(text: str) -> Any:
    """Return a value on one line: in quotes or brackets, or the text itself."""
    if text[0] in "\"'[{":
        text = _FLOW.sub(r'\1"\2"', text) if text[0] == "{" else text
        parsed = parse_loose(text)
        if parsed.broken or parsed.end != len(text):
            raise NotACall(0)
        return parsed.value
    return text
