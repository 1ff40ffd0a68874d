"""Parser for the bodies of leaked calls: JSON, a name with JSON, XML parameters, Python's call syntax.

Each method takes a position and returns where the call ends. It raises NeedMore if the text is too short to decide,
and NotACall if it cannot be a call. A decision never changes when more text arrives.
"""

import re
from typing import Any

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.call_values import ParsedCall, calls_of, loose_calls, read_text
from swarmchat.swarm.parsing.formats import CLOSER_START, CLOSERS, OPENER, SEPARATOR
from swarmchat.swarm.parsing.lenient_json import NotACall, Watch, parse_loose, skip_space
from swarmchat.swarm.parsing.xml_calls import NAME_END, TAG_START, WRAPPER
from swarmchat.swarm.parsing.yaml_calls import YamlCallParser

_ON_LINE = lazy_pattern(r"[ \t]*[,;]?[ \t]*")
_BETWEEN = lazy_pattern(r"[\s,;]*+")
_NAME = lazy_pattern(r"[A-Za-z_][\w.:/-]{0,99}(?![\w.:/-])")
_PAIR = lazy_pattern(r"(?<![^\s,;>])([A-Za-z_]\w{0,99})\s{0,3}[=:]\s{0,3}(?=[^\s=:])")
_PAIR_START = lazy_pattern(r"[A-Za-z_]\w{0,99}\s{0,3}[=:]?\s{0,3}\Z")
# A tag around the call that says something else than its name.
_NAMELESS = lazy_pattern(
    r"""<(?:tool_?call|function_?call)(?:[ \t]{1,5}(?!name\b)[\w:-]{1,40}="""
    r"""(?:"[^"<>\n]{0,100}"|'[^'<>\n]{0,100}')){1,4}>"""
)
_BLANK_LINE = lazy_pattern(r"\n[ \t]*\r?\n")
_LINE_END = lazy_pattern(r"\r?\n")
_LONGEST_PAIRS = 2000
_IDENTIFIER = lazy_pattern(r"[A-Za-z_]\w{0,99}(?!\w)")
_BEFORE_JSON = lazy_pattern(
    rf"(?:\[CALL_ID\][^\[\s]{{0,100}})?\[ARGS\]|\s*<\|tool_call_argument_begin\|>|{SEPARATOR}|\s*✿ARGS✿:?|<\|content\|>|<\|(?:tool_call:)?arg(?:ument)?s?\|>"
    r"|\s{0,3}(?:[:,>]|[=-]>)(?=\s{0,9}\{)"
)
_BEFORE_JSON_START = lazy_pattern(
    r"(?:\[CALL_ID\][^\[\s]{0,100})?\[\w{0,8}\Z|\[CALL_ID\][^\[\s]{0,100}\Z|<[^<>\n]{0,40}\Z|✿\w{0,4}\Z"
    r"|\s{0,3}(?:[:,>]|[=-]>?)\s{0,9}\Z"
)
# What says that the arguments follow.
ARGUMENTS_LABEL = lazy_pattern(
    r"[,;]?\s{0,9}\*{0,2}(?:(?:(?:with|and)[ \t](?:(?:the|these|following)[ \t]){0,2})?"
    r"(?:(?:tool|action|function|call)[ _-]?)?(?:inputs?|args|arguments?|parameters?|params|kwargs)|with)"
    r"(?:\*{0,2}[ \t]?[:=]\*{0,2}|[ \t]?(?=[{`\n]))\s{0,3}",
    re.IGNORECASE,
)
ARGUMENTS_LABEL_START = lazy_pattern(r"[,;]?\s{0,9}[*A-Za-z_ \t-]{0,40}[:=]?\*{0,2}\s{0,3}\Z")
_FENCE = lazy_pattern(r"(?:```[\w-]{0,20}|json)[ \t]*\n")
_FENCE_START = lazy_pattern(r"`{1,3}\Z|(?:```[\w-]{0,20}|json)[ \t]*\Z|js?o?\Z")
_GEMMA_CALL = lazy_pattern(r"call:([\w.-]{1,100})\{")


class CallParser(YamlCallParser):
    """Parses the calls inside of a frame."""

    def body(self, position: int) -> tuple[list[ParsedCall], int]:
        """Read the calls at ``position``, behind a frame's opening mark, in whichever notation."""
        position = self.space(position)
        fenced = self.match(_FENCE, _FENCE_START, position)
        if fenced:
            position = self.space(fenced.end())
        nameless = self.match(_NAMELESS, TAG_START, position)
        if nameless:
            return self.body(nameless.end())
        first = self.text[position : position + 1]
        inner = self.space(position + 1) if first == "[" else position
        if first == "{" or (first == "[" and self.text[inner : inner + 1] in ("{", "]", "")):
            calls, position = self.json(position)
        elif first == "[":
            calls, position = self.python_list(position)
        elif first == "<":
            calls, position = self.tags(position)
        elif in_yaml := self.yaml(position, True):
            calls, position = in_yaml
        else:
            calls, position = self.named(position)
        return calls, self.fence_end(position) if fenced else position

    # JSON

    def json(self, position: int, watch: Watch | None = None) -> tuple[list[ParsedCall], int]:
        """Read JSON objects that are calls, one after the other or in an array.

        With ``watch``, stop at the end of the line and at objects that it refutes; without, accept any object.
        """
        calls: list[ParsedCall] = []
        while True:
            value, position, broken, unclosed = parse_loose(self.text, position, self.final, watch, CLOSERS)
            # Where a closing mark follows, the brackets around whole arguments may be missing.
            broken = broken or unclosed > (2 if isinstance(value, list) else 1)
            read = calls_of(value, broken, self.toolset.resolve)
            if read is None:
                loose = None
                if isinstance(value, dict):
                    loose = loose_calls(value, broken, self.toolset.resolve, self.properties)
                if loose is None and (watch or not isinstance(value, dict) or calls):
                    raise NotACall(position)
                read = loose or [ParsedCall("", value, broken)]
            calls += read
            match = (_ON_LINE if watch else _BETWEEN).match(self.text, position)
            assert match is not None
            self.need(match.end())
            if not self.text.startswith("{", match.end()):
                return calls, position
            position = match.end()

    # A name first

    def named(self, position: int) -> tuple[list[ParsedCall], int]:
        """Read a name and what follows it: JSON, ``<arg_key>`` pairs, arguments in brackets, or nothing."""
        self.need(position)
        gemma = _GEMMA_CALL.match(self.text, position)
        if gemma:
            call, end = self.json_arguments(gemma[1], gemma.end() - 1)
            return [call], end
        match = _NAME.match(self.text, position)
        if match is None:
            raise NotACall(position + 1)
        name, end = match[0], match.end()
        self.need(end)
        if end == len(self.text):
            return self._nothing(name, end)
        if self.text[end] == "{" and name.startswith("call:"):
            raise NotACall(end)
        if self.text[end] == "(":
            return self.python_lines(position)
        before = self.match(_BEFORE_JSON, _BEFORE_JSON_START, end)
        after = self.space(before.end() if before else end)
        before = before or self.match(_BEFORE_JSON, _BEFORE_JSON_START, after)
        after = self.space(before.end()) if before else after
        label = self.match(ARGUMENTS_LABEL, ARGUMENTS_LABEL_START, end)
        after = self.space(label.end()) if label else after
        fence = self.match(_FENCE, _FENCE_START, after)
        after = self.space(fence.end()) if fence else after
        if fence and self.at("tool_call(", after):
            (call,), end = self.python(after)
            return [ParsedCall(name, call.arguments, call.broken)], self.fence_end(end)
        if self.text.startswith("{", after):
            call, end = self.json_arguments(name, after)
            return [call], self.fence_end(end) if fence else end
        if after > end and self.match(_PAIR, _PAIR_START, after):
            return self._plain_pairs(name, after)
        closing = self.match(NAME_END, CLOSER_START, after)
        wrapper = self.match(WRAPPER, TAG_START, self.space(closing.end())) if closing else None
        if wrapper and self.match(_PAIR, _PAIR_START, self.space(wrapper.end())):
            return self._plain_pairs(name, wrapper.end())
        if closing and self.is_content(name, closing.end()):
            call, end = self.function(name, closing.end())
            return [call], end
        if self.text.startswith("<", after):
            return self.pairs(name, after)
        if after == len(self.text):
            return self._nothing(name, after)
        raise NotACall(after)

    def _plain_pairs(self, name: str, position: int) -> tuple[list[ParsedCall], int]:
        """Read ``city=New York unit=celsius``, up to the closing mark; without one, it may have been cut off."""
        closer = CLOSERS.search(self.text, position)
        if closer is None and len(self.text) - position < _LONGEST_PAIRS:
            self.need(len(self.text))
        again = OPENER.search(self.text, position, closer.start() if closer else len(self.text))
        # Without a closing mark, prose may follow the line.
        is_one_line = self.text[self.text.rfind("\n", 0, position) + 1 : position].strip()
        closer = None if again else closer
        last = closer or (_LINE_END if is_one_line else _BLANK_LINE).search(self.text, position) or again
        end = last.start() if last else len(self.text)
        if end - position > _LONGEST_PAIRS:
            raise NotACall(position)
        schemas, arguments = self.properties(name), dict[str, Any]()
        pairs = [pair for pair in _PAIR.finditer(self.text, position, end) if not schemas or pair[1] in schemas]
        for pair, following in zip(pairs, [*(pair.start() for pair in pairs[1:]), end], strict=False):
            value = self.text[pair.end() : following].strip(" \t\r\n,;")
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            arguments[pair[1]] = read_text(value[1:-1] if quoted else value, schemas.get(pair[1]))
        return [ParsedCall(name, arguments, closer is None)], end

    def _nothing(self, name: str, position: int) -> tuple[list[ParsedCall], int]:
        if self.toolset.resolve(name) is None:
            raise NotACall(position)
        return [ParsedCall(name, None, True)], position

    # Python

    def python_list(self, position: int) -> tuple[list[ParsedCall], int]:
        """Read ``[f(a=1), g(b=2)]`` (Llama 3.2 and 4, Gemma 3)."""
        calls: list[ParsedCall] = []
        position += 1
        while True:
            read, position = self.python(self.space(position))
            calls += read
            position = self.space(position)
            if self.text.startswith("]", position):
                return calls, position + 1
            if position >= len(self.text) or read[0].broken:
                return [ParsedCall(call.name, call.arguments, True) for call in calls], position
            if self.text[position] != ",":
                raise NotACall(position)
            position += 1

    def python_lines(self, position: int) -> tuple[list[ParsedCall], int]:
        """Read ``f(a=1)``, any number of times (Olmo 3)."""
        calls: list[ParsedCall] = []
        while True:
            read, position = self.python(position)
            calls += read
            after = self.space(position)
            match = _NAME.match(self.text, after)
            if match:
                self.need(match.end())
            if not match or not self.text.startswith("(", match.end()) or "\n" not in self.text[position:after]:
                return calls, position
            position = after

    def python(self, position: int) -> tuple[list[ParsedCall], int]:
        """Read ``f(a=1)``, or ``print(f(a=1))`` as Gemini writes it."""
        self.need(position)
        if self.text.startswith("print(", position) and self.toolset.resolve("print") is None:
            calls, position = self.python(position + len("print("))
            if calls[0].broken:
                return calls, position
            position = self.space(position)
            if not self.text.startswith(")", position):
                raise NotACall(position)
            return calls, position + 1
        match = _NAME.match(self.text, position)
        if match is None:
            raise NotACall(position)
        self.need(match.end())
        if not self.text.startswith("(", match.end()):
            raise NotACall(match.end())
        call, end = self.in_brackets(match[0].removesuffix(".call"), match.end() + 1)
        return [call], end

    def in_brackets(self, name: str, position: int) -> tuple[ParsedCall, int]:
        """Read the arguments of ``name`` as Python has them, from behind the opening bracket or a comma."""
        schemas, arguments = self.properties(name), dict[str, Any]()
        while True:
            position = skip_space(self.text, position, self.final)
            if position >= len(self.text):
                return ParsedCall(name, arguments, True), position
            if self.text[position] == ")":
                return ParsedCall(name, arguments), position + 1
            key, position = self._keyword(position, list(schemas), arguments)
            value, position, broken, _ = parse_loose(self.text, position, self.final)
            if key is None:
                arguments |= value
            else:
                arguments[key] = value
            position = skip_space(self.text, position, self.final)
            if broken or position >= len(self.text):
                return ParsedCall(name, arguments, True), position
            if self.text[position] not in ",)":
                raise NotACall(position)
            position += self.text[position] == ","

    def _keyword(self, position: int, names: list[str], arguments: dict[str, Any]) -> tuple[str | None, int]:
        """Return the next parameter, named or positional, and where its value begins.

        ``None`` in place of its name: a dict follows that holds all parameters.
        """
        match = _IDENTIFIER.match(self.text, position)
        if match:
            after = self.space(match.end())
            if self.text[after : after + 1] in ("=", ":") and match.end() < len(self.text):
                return match[0], self.space(after + 1)
        elif self.text[position] == "{" and not arguments:
            return None, position
        if len(arguments) >= len(names) or names[len(arguments)] in arguments:
            raise NotACall(position)
        return names[len(arguments)], position
