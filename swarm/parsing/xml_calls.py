"""Parser for calls in XML: ``<function=…>``, ``<invoke>``, ``<arg_key>`` pairs, elements with the tool's name."""

import re
from collections.abc import Mapping
from html import unescape
from textwrap import dedent
from typing import Any

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.call_values import ARGUMENT_KEYS, NAME_KEYS, ParsedCall, read_text
from swarmchat.swarm.parsing.cursor import Cursor
from swarmchat.swarm.parsing.formats import CLOSER_START, CLOSERS
from swarmchat.swarm.parsing.lenient_json import NeedMore, NotACall

_NAMESPACE = r"(?:antml:|minimax:|steptml:|[｜|]DSML[｜|])?"
_QUOTED_NAME = r"""["']?([\w .:/-]{1,100}?)["']?"""
_VALUE = r"""(?:"[^"<>\n]{0,200}"|'[^'<>\n]{0,200}'|[^\s"'<>=/{]{1,100})"""
_ATTRIBUTES = rf"((?:[ \t]{{1,5}}[\w:-]{{1,40}}[ \t]{{0,3}}=[ \t]{{0,3}}{_VALUE}){{1,6}})"
_ATTRIBUTE = lazy_pattern(r"""([\w:-]+)[ \t]*=[ \t]*(?:"([^"]*)"|'([^']*)'|([^\s"'<>=/{]+))""")
# None of these tags is longer than what TAG_START holds back.
_FUNCTION = lazy_pattern(
    rf"(?=<[^<>\n]{{0,240}}[>{{\[])<(?:function[=(/]{_QUOTED_NAME}[)\],:= ]{{0,3}}"
    rf"|(?:{_NAMESPACE}(?P<invoke>invoke|tool_?call|function_?call)|function|tool){_ATTRIBUTES})[ \t]{{0,5}}"
    r"(?:(?P<empty>/)?>|(?=\[?\{))"
)
_OWN_TAG = lazy_pattern(rf"<([A-Za-z_][\w.-]{{0,99}}){_ATTRIBUTES}[ \t]{{0,5}}(?P<empty>/)?>")
_INVOKE = lazy_pattern(rf"<(?:{_NAMESPACE}invoke|function)>")
_NAME_TAG = "(?:tool_name|function_name|name|tool|function)"
_SERVER = r"<server_name>[^<>]{0,100}"
_TOOL_NAME = lazy_pattern(
    rf"(?:{_SERVER}</server_name>\s{{0,9}})?<{_NAME_TAG}>\s{{0,9}}([\w.:/-]{{1,100}})\s{{0,9}}</{_NAME_TAG}>"
)
_TOOL_NAME_START = lazy_pattern(
    rf"(?:{_SERVER}</server_name>\s{{0,9}})?(?:{_SERVER}\Z|<{_NAME_TAG}>\s{{0,9}}[\w.:/-]{{0,100}}\s{{0,9}}(?:<[/\w]{{0,15}})?\Z|(?:<[/\w]{{0,15}})?\Z)"
)
NAME_END = lazy_pattern(rf"</(?:{_NAME_TAG}|tool_?call|function_?call|(?:use|execute)_tool|tool_use|call)>")
_PARAMETER = lazy_pattern(
    rf"(?=<[^<>\n]{{0,240}}>)<{_NAMESPACE}(?:param(?:eter)?|arg(?:ument)?)"
    rf"(?:={_QUOTED_NAME}{_ATTRIBUTES}?|{_ATTRIBUTES})[ \t]{{0,5}}>"
)
_PARAMETER_UNENDED = lazy_pattern(rf"<{_NAMESPACE}param(?:eter)?=([\w.-]{{1,100}})=(?![\"'>])")
_PARAMETER_END = lazy_pattern(
    rf"</{_NAMESPACE}(?:param(?:eter)?|arg(?:ument)?)>|(?=<{_NAMESPACE}param(?:eter)?(?:=|[ \t]{{1,5}}name=))"
    rf"|(?=</(?:function|{_NAMESPACE}invoke|(?:\w{{1,10}}:)?tool_call)>)"
)
_WRAPPER = rf"{_NAMESPACE}(?:tool_|function_|action_|call_)?(?:parameters|params|arguments|args|inputs?)>"
WRAPPER, _WRAPPER_END = lazy_pattern(f"<{_WRAPPER}"), lazy_pattern(f"</{_WRAPPER}")
_ELEMENT = lazy_pattern(r"<([A-Za-z_][\w.-]{0,99})>")
TAG_START = lazy_pattern(r"<[^<>\n]{0,241}\Z")
_ARGUMENT = lazy_pattern(r"<(?:longcat_)?arg_key>([^<]{1,200})</(?:longcat_)?arg_key>\s*<(?:longcat_)?arg_value>")
_ARGUMENT_START = lazy_pattern(
    r"<(?:longcat_)?(?:arg_key>[^<]{0,200}(?:<[^<>\n]{0,20}(?:>\s*(?:<\w{0,20})?)?)?|\w{0,7})\Z"
)
_ARGUMENT_END = lazy_pattern(r"</(?:longcat_)?arg_value>")
_KEYS = ("<arg_key>", "<longcat_arg_key>")
_LONE_FENCE = lazy_pattern(r"\A\s*```[\w-]*[ \t]*\n|\n[ \t]*```\s*\Z")
_LAST_LINE = lazy_pattern(r"\r?\n([ \t]*)\Z")


class XmlCallParser(Cursor):
    """Parses XML elements; each method takes a position and returns the calls and where they end."""

    def tags(self, position: int) -> tuple[list[ParsedCall], int]:
        """Read ``<function=…>`` or ``<invoke name="…">`` elements."""
        calls: list[ParsedCall] = []
        while True:
            opening = self._opening(position)
            if opening is None:
                tool = None if calls else self.match(_ELEMENT, TAG_START, position)
                if tool and self.toolset.resolve(tool[1]) is not None:
                    return self.element(tool[1], tool.end() - 1)
                if not calls:
                    raise NotACall(position + 1)
                return calls, position
            name, position, arguments, is_empty = opening
            call, end = (ParsedCall(name, arguments), position)
            if not is_empty:
                call, end = self.function(name, position, arguments=arguments)
                own_end = self.space(end)
                end = own_end + len(name) + 3 if self.at(f"</{name}>", own_end) else end
            calls.append(call)
            closer = self.match(CLOSERS, CLOSER_START, self.space(end))
            after = self.space(closer.end() if closer else end)
            if call.broken or not self._opening(after):
                return calls, end
            position = after

    def element(self, name: str, position: int) -> tuple[list[ParsedCall], int]:
        """Read an element with a tool's name, which ends at ``position``; its parameters are elements."""
        if self.at("/>", position):
            return [ParsedCall(name, {})], position + 2
        if not self.text.startswith(">", position):
            raise NotACall(position)
        closing = f"</{name}>"
        call, position = self.function(name, position + 1, closing)
        if call.broken:
            return [call], position
        if not self.at(closing, position):
            raise NotACall(position)
        return [call], position + len(closing)

    def _opening(self, position: int) -> tuple[str, int, dict[str, Any], bool] | None:
        """Return the tool that the element at ``position`` calls, where its content begins, and its attributes.

        Last, whether the element is empty.
        """
        match = self.match(_FUNCTION, TAG_START, position)
        if match:
            attributes = _attributes(match[3] or "")
            name = (match[1] or _named(attributes, *NAME_KEYS)).strip()
            # Other XML has elements like <function name="…"> too.
            is_call = match[1] or match["invoke"] or self.toolset.resolve(name) is not None
            arguments = self._of_attributes(name, attributes)
            return (name, match.end(), arguments, match["empty"] is not None) if name and is_call else None
        own = self.match(_OWN_TAG, TAG_START, position)
        if own and self.toolset.resolve(own[1]) is not None:
            return own[1], own.end(), self._of_attributes(own[1], _attributes(own[2])), own["empty"] is not None
        named = self.match(_TOOL_NAME, _TOOL_NAME_START, position)
        match = None if named else self.match(_INVOKE, TAG_START, position)
        if match:
            named = self.match(_TOOL_NAME, _TOOL_NAME_START, self.space(match.end()))
        return (named[1], named.end(), {}, False) if named else None

    def _of_attributes(self, name: str, attributes: Mapping[str, str]) -> dict[str, Any]:
        """Return the arguments among ``attributes``: each its own, or all as JSON in one."""
        schemas = self.properties(name)
        for key in ARGUMENT_KEYS & attributes.keys() - schemas.keys():
            value = read_text(unescape(attributes[key]), None)
            if isinstance(value, dict):
                return value
        return {key: read_text(unescape(text), schemas[key]) for key, text in attributes.items() if key in schemas}

    def is_content(self, name: str, position: int) -> bool:
        """Tell whether the parameters of ``name`` stand at ``position``: JSON, or elements."""
        position = self.space(position)
        element = self.match(_ELEMENT, TAG_START, position)
        is_parameter = element is not None and element[1] in self.properties(name)
        return is_parameter or self.at("{", position) or self.match(WRAPPER, TAG_START, position) is not None

    def function(
        self, name: str, position: int, closing: str = "", arguments: dict[str, Any] | None = None
    ) -> tuple[ParsedCall, int]:
        """Read the parameters of ``name``; ``arguments`` are those that were attributes."""
        schemas, arguments = self.properties(name), dict(arguments or {})
        position = self.space(position)
        wrapper = self.match(WRAPPER, TAG_START, position)
        if wrapper and self.text[wrapper.start() + 1 : wrapper.end() - 1] not in schemas:
            position = self.space(wrapper.end())
        else:
            wrapper = None
        position += self.text.startswith("[{", position)
        if self.text.startswith("{", position):
            call, end = self.json_arguments(name, position)
            end += self.text.startswith(">", end)
            return call, self._wrapper_end(end) if wrapper else end
        while True:
            position = self.space(position)
            parameter = self._parameter(position, schemas)
            if parameter is None:
                end = self._wrapper_end(position) if wrapper else position
                is_closed, position = end > position, end
                if not is_closed and (self.breaks_off(position) or self.text.startswith(_KEYS, position)):
                    return ParsedCall(name, arguments, True), len(self.text)
                if wrapper and not is_closed and "<" not in self.text[position:]:
                    self.need(len(self.text))
                    return ParsedCall(name, arguments, True), len(self.text)
                if not arguments and not closing and not is_closed and not self.match(CLOSERS, CLOSER_START, position):
                    raise NotACall(position)
                return ParsedCall(name, arguments), position
            key, value, position = parameter
            if value is None:
                return ParsedCall(name, arguments, True), position
            arguments[key] = value

    def breaks_off(self, position: int) -> bool:
        """Tell whether the text ends at ``position``, or within a tag that may begin a further parameter."""
        return not self.text.startswith("</", position) and (
            position >= len(self.text) or TAG_START.match(self.text, position) is not None
        )

    def _wrapper_end(self, position: int) -> int:
        """Return the end of the closing tag of the parameters' wrapper."""
        after = self.space(position)
        end = self.match(_WRAPPER_END, CLOSER_START, after)
        return self.space(end.end()) if end else position

    def _parameter(self, position: int, schemas: Mapping[str, Any]) -> tuple[str, Any, int] | None:
        """Return the name and the value of the parameter at ``position``, and where it ends. No value: it does not."""
        match = self.match(_ARGUMENT, _ARGUMENT_START, position)
        if match:
            return self._value(match[1].strip(), schemas.get(match[1].strip()), match.end(), _ARGUMENT_END)
        match = self.match(_PARAMETER_UNENDED, TAG_START, position)
        if match:
            return self._value(match[1], schemas.get(match[1]), match.end(), _PARAMETER_END)
        match = self.match(_PARAMETER, TAG_START, position)
        if match:
            attributes = _attributes(match[2] or match[3] or "")
            name = (match[1] or _named(attributes, "name", "key")).strip()
            schema = {"type": "string"} if attributes.get("string") == "true" else schemas.get(name)
            return self._value(name, schema, match.end(), _PARAMETER_END) if name else None
        match = self.match(_ELEMENT, TAG_START, position)
        if match is None or (schemas and match[1] not in schemas):
            return None
        return self._value(match[1], schemas.get(match[1]), match.end(), re.compile(f"</{re.escape(match[1])}>"))

    def _value(
        self, name: str, schema: Mapping[str, Any] | None, start: int, ending: "re.Pattern[str]"
    ) -> tuple[str, Any, int]:
        end = ending.search(self.text, start)
        if end is None:
            if not self.final:
                raise NeedMore
            return name, None, len(self.text)
        return name, read_text(_own_lines(self.text[start : end.start()]), schema), end.end()

    def pairs(self, name: str, position: int) -> tuple[list[ParsedCall], int]:
        """Read ``<arg_key>k</arg_key><arg_value>v</arg_value>``, any number of times (GLM-4.5, LongCat), or nothing."""
        if self.match(CLOSERS, CLOSER_START, position) is None and not self.match(_ARGUMENT, _ARGUMENT_START, position):
            if not self.text.startswith(_KEYS, position) or not self.final:
                raise NotACall(position + 1)
            return [ParsedCall(name, None, True)], len(self.text)
        call, end = self.function(name, position)
        if not call.arguments and self.toolset.resolve(name) is None:
            raise NotACall(position + 1)
        # In <tool>NAME</tool>, the tag ends the name only: the arguments may still have come behind it.
        is_bare = self.properties(name) and not call.arguments
        name_end = self.match(NAME_END, CLOSER_START, end) if is_bare else None
        broken = call.broken or (name_end is not None and self.breaks_off(self.space(name_end.end())))
        return [ParsedCall(name, call.arguments, broken)], end


def _attributes(text: str) -> dict[str, str]:
    return {match[1]: match[2] or match[3] or match[4] or "" for match in _ATTRIBUTE.finditer(text)}


def _named(attributes: Mapping[str, str], *keys: str) -> str:
    return next((attributes[key] for key in keys if key in attributes), "")


def _own_lines(raw: str) -> str:
    """Return a value without the line breaks and the indentation of its tags, and without a fence that has no other."""
    raw = _LONE_FENCE.sub("", raw) if raw.count("```") == 1 else raw
    start = 2 if raw.startswith("\r\n") else int(raw.startswith("\n"))
    last = _LAST_LINE.search(raw, start)
    if last is None:
        return raw[start:]
    value = raw[start : last.start()]
    is_indented = all(line.startswith(last[1]) for line in value.split("\n") if line.strip())
    return dedent(value) if start and last[1] and is_indented else value
