"""Find tool calls that a model wrote into its answer as text: in frames of chat templates, as JSON, as code."""

import json
import re
from contextlib import suppress
from dataclasses import replace

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.call_parser import CallParser
from swarmchat.swarm.parsing.call_values import (
    CUT_OFF,
    EXAMPLE,
    NAME_KEYS,
    UNREADABLE,
    Leak,
    LeakedCall,
    ParsedCall,
    has_placeholder,
    read_whole,
)
from swarmchat.swarm.parsing.formats import CLOSER_START, CLOSERS, INSIDE_OPENER, STATEMENT, marks_for, self_starting
from swarmchat.swarm.parsing.lenient_json import NeedMore, NotACall
from swarmchat.swarm.parsing.line_calls import NARRATED, PYTHONIC, LineCallParser
from swarmchat.swarm.tools.toolset import Toolset

_LINE_END = lazy_pattern(r"[ \t]*(?:\r?\n|\Z)|[ \t]*(?=</?[\w|｜]|\[/?[A-Z_]+\])")
_LINE_END_START = lazy_pattern(r"[ \t]*(?:\r?|\[/?[A-Z_]*|</?)\Z")
_DAMAGED = lazy_pattern(
    r"""[\[{\s]*\{\s*["'“]?(name|tool|tool_name|function|arguments|parameters|type|id|action)["'”]?\s*:"""
)
_NAME_IN_DAMAGED = lazy_pattern(r"""["'](?:name|tool|tool_name|function|action)["']\s*:\s*["']([^"'\n]{1,100})["']""")
_CALL_FENCE = lazy_pattern(r"`{3,20}(?:tool_code|tool_calls?|tool_use|function_calls?)[ \t]*\r?\n")
# A line, or a block of code, that begins like the JSON of a call.
_DAMAGED_LINE = lazy_pattern(
    r"""(?P<fence>`{3,20}[\w-]{0,20}[^\S\n]*+\n)?\s*+(?:\[\s*+)?\{{1,2}\s*+["'](?:name|tool|tool_name|function)["']\s*+:"""
    r"""\s*+["'](?P<name>[^"'\n]{1,100})["']\s*+(?:,\s*+)?["'](?:arguments|parameters|args|input)["']"""
)
_DAMAGED_LINE_START = lazy_pattern(
    r"""(?:`{3,20}[\w-]{0,20}[^\S\n]*+\n)?\s*+(?:\[\s*+)?\{{1,2}\s*+["'](?:name|tool|tool_name|function)["']\s*+:"""
    r"""\s*+["'](?P<name>[^"'\n]{1,100})["']\s*+(?:,\s*+)?(?:["'][a-z]{0,10}["']?)?\Z"""
)
_TAG = lazy_pattern(r"<([a-zA-Z_]{1,40})>")
# A tag that the text ends in, and that can only be the beginning of a call.
_CUT_TAG = lazy_pattern(
    r"""<[\w:|｜]+(?:[=(]["']?[\w.:/-]*[),=]?|[ \t]+\w+[ \t]*=[^<>\n]*)\Z"""
    r"""|<(?:tool_?call|function_?call|[\w:|｜]*invoke)[ \t]+\w*\Z"""
)
_CALL_IN_TAG = lazy_pattern(r"([A-Za-z_][\w.-]{0,99})(?:\(|[ \t]+(?:\w{1,100}[ \t]?[=:]|\{))")
_NAME_MARKS = frozenset({"<tool_name>", "<function_name>"})
"""Marks that prose about calls has in the middle of a line."""
_GENERAL_MARKS = frozenset(
    {"<tool>", "<tools>", "<tool_use>", "<tool_code>", "<function_calls>", "<function>", "<call>"}
)
"""Marks that other XML has too."""
_WORD, _FIRST_WORD = lazy_pattern(r"[\w-]{2,64}"), lazy_pattern(r"\s{0,9}([\w-]{2,64})")
_CALLED = lazy_pattern(r"(?!print\b)([A-Za-z_]\w{0,99})\(")
_WINDOW = 2000
_PARAGRAPH = lazy_pattern(r"\n[ \t]*\r?\n")
_FENCE_END = lazy_pattern(r"\n[ \t]*`{3,20}[ \t]*(?=\r?\n|\Z)")
_LINE = 120
# Llama 3 has programs run that it writes behind its mark (llama.com, "Code interpreter").
_PROGRAM, _PROGRAM_END = "<|python_tag|>", lazy_pattern(r"<\|(?:eom_id|eot_id|python_end)\|>")
_INTERPRETERS = ("python", "ipython", "code_interpreter")
_NO_MARK = "\0no mark"


class CallFinder:
    """Parses the possible calls of one answer. Methods raise NeedMore and NotACall, like those of ``CallParser``."""

    def __init__(self, toolset: Toolset) -> None:
        self.toolset = toolset
        self._formats = marks_for(toolset.names).openers

    def frame(self, text: str, start: int, mark: str, final: bool, line_start: bool) -> tuple[Leak, int]:
        """Read the calls behind ``mark``, which stands at ``start``, and return where the frame ends."""
        if mark in _NAME_MARKS and not line_start:
            raise NotACall(start + len(mark))
        parser = CallParser(text, final, self.toolset)
        body = self._body_start(parser, start, mark)
        if body >= len(text) and line_start:
            return self._refused(self._formats[mark], text[start:], "", CUT_OFF), body
        try:
            calls, position = parser.body(body)
        except NotACall as refuted:
            if final and line_start and self._breaks_off(text, start, mark):
                return self.cut_off(text[start:], self._formats[mark]), len(text)
            seen = max(refuted.position, start + 1)
            leak = self._unreadable(parser, mark, start, body, seen, line_start)
            if leak is None and mark == _PROGRAM and line_start:
                leak = self._program(parser, start, body)
            if leak is None:
                raise NotACall(seen) from None
            return leak
        position = parser.closers(position, mark)
        frame = Leak(self._formats[mark], text[start:position], tuple(map(self.call, calls)))
        if mark in _GENERAL_MARKS:
            is_written = mark == "<call>" and "(" in frame.text
            is_cut = position >= len(text) and "{" in frame.text
            for call in frame.calls:
                is_likely = is_cut or call.name in self.toolset.names or call.arguments != "{}" or is_written
                if call.problem is not None and not (line_start and (call.name or is_cut) and is_likely):
                    raise NotACall(max(position, start + 1))
        return frame, position

    def _body_start(self, parser: CallParser, start: int, mark: str) -> int:
        """Return where the calls of the frame at ``start`` begin, behind its marks."""
        whole = self_starting(mark)
        position = start if whole else start + (3 if mark.startswith(">>>") else len(mark))
        for _ in range(3):
            position = parser.space(position)
            inside = parser.match(INSIDE_OPENER, CLOSER_START, position)
            if inside is None and (whole or not parser.text.startswith(mark, position)):
                break
            position = inside.end() if inside else position + len(mark)
        parser.need(position)
        return position

    def _breaks_off(self, text: str, start: int, mark: str) -> bool:
        """Tell whether ``text`` ends in the frame at ``start``: with more of it, there might be a call."""
        if self_starting(mark) and ">" not in text[start:] and not _CUT_TAG.match(text, start):
            return False
        word = _FIRST_WORD.match(text, start + len(mark))
        if mark in _GENERAL_MARKS and word and not self.toolset.may_begin(word[1]):
            return False
        parser = CallParser(text, False, self.toolset)
        try:
            parser.body(self._body_start(parser, start, mark))
        except (NeedMore, NotACall) as stop:
            return isinstance(stop, NeedMore)
        return False

    def header(self, text: str, start: int, position: int, name: str, final: bool) -> tuple[Leak, int]:
        """Read the arguments of a call that gpt-oss names in a message's header, which ends at ``position``."""
        parser = CallParser(text, final, self.toolset)
        try:
            parsed, end = parser.json_arguments(name, parser.space(position))
        except NotACall as refuted:
            match = CLOSERS.search(text, refuted.position)
            if match is None and not final:
                raise NeedMore from None
            end = match.start() if match else len(text)
            parsed = ParsedCall(name, text[position:end])
        end = parser.closers(end, "<|call|>")
        return Leak("Harmony", text[start:end], (self.call(parsed),)), end

    def bare(self, text: str, start: int, final: bool, code: bool, first: bool) -> tuple[Leak, int]:
        """Read the call that may begin with the line at ``start``. It ends its line, and its tool is offered.

        ``code`` says that the line before it is a statement of a program: a call in Python is another one then.
        ``first`` says that the answer has no text before it: then JSON may name an unknown tool.
        """
        parser = LineCallParser(text, final, self.toolset, first)
        fenced = text.startswith(("```", "~~~"), start)
        if not fenced and not final and text[start:] in ("`", "``", "~", "~~"):
            raise NeedMore
        try:
            format_name, parsed, end = parser.fenced(start) if fenced else parser.unframed(start)
            if code and not fenced and format_name == PYTHONIC:
                raise NotACall(end)
            leak, end = self._line_leak(parser, start, (format_name, parsed, end))
            # A heading of a text about tools has their names in it.
            return replace(leak, waits=text.startswith("#", start) and format_name == PYTHONIC), end
        except NotACall as refuted:
            with suppress(NotACall):
                return self._embedded(parser, start, "fenced" if fenced else "line", code)
            return self._damaged_line(parser, start, max(refuted.position, start + 1), first)

    def inline(self, text: str, start: int, final: bool) -> tuple[Leak, int]:
        """Read the call of an offered tool that may begin in the middle of a line, at ``start``."""
        return self._embedded(LineCallParser(text, final, self.toolset, False), start, "inline")

    def _embedded(self, parser: LineCallParser, start: int, where: str, code: bool = False) -> tuple[Leak, int]:
        """Read the embedded call at ``start``: ``fenced``, on a ``line`` of its own or ``inline``; see ``bare``."""
        from swarmchat.swarm.parsing.embedded_calls import EmbeddedCallParser

        parser, waits = EmbeddedCallParser(parser.text, parser.final, self.toolset, parser.whole), False
        if where == "fenced":
            format_name, parsed, end = parser.fenced(start)
        else:
            format_name, parsed, end, waits = parser.embedded(start)
        if code and format_name == PYTHONIC:
            raise NotACall(end)
        leak, end = self._line_leak(parser, start, (format_name, parsed, end))
        leak = leak.as_example() if parser.is_quoted and not parser.whole else leak
        return replace(leak, waits=waits or where == "inline"), end

    def is_begun(self, text: str, start: int, code: bool = False, first: bool | None = None) -> bool:
        """Tell whether ``text`` ends in what is the beginning of a call and looks like nothing else.

        ``code`` and ``first`` are as in ``bare``; without ``first``, it begins in the middle of a line.
        """
        from swarmchat.swarm.parsing.embedded_calls import looks_begun

        if code or not looks_begun(text[start:], bool(first), self.toolset):
            return False
        try:
            self.inline(text, start, False) if first is None else self.bare(text, start, False, code, first)
        except NeedMore:
            return True
        except NotACall:
            pass
        return False

    def _line_leak(
        self, parser: LineCallParser, start: int, read: tuple[str, list[ParsedCall], int]
    ) -> tuple[Leak, int]:
        """Return the leak of the calls that ``parser`` has read; raises NotACall if they count for none."""
        text, first, (format_name, parsed, end) = parser.text, parser.whole, read
        calls = tuple(map(self.call, parsed))
        for number, (parsed_call, call) in enumerate(zip(parsed, calls, strict=True)):
            # With these keys, JSON is a call even if its tool is unknown: no data looks like it.
            keys = ("arguments", "parameters") if len(parsed) == 1 else ("arguments",)
            is_known = call.name in self.toolset.names or (first and parsed_call.key in keys) or format_name == NARRATED
            cut_off = parsed_call.broken and (number > 0 or self.toolset.may_begin(call.name))
            if call.problem is not None and not cut_off and not (parsed_call.explicit and is_known):
                raise NotACall(end)
            if call.is_example and not first:
                raise NotACall(end)
        if text[start : start + 1] not in "`~":
            end = parser.closers(end, _NO_MARK)
        line_end = format_name == NARRATED or parser.match(_LINE_END, _LINE_END_START, end)
        defined = None if calls or not first else _NAME_IN_DAMAGED.search(text, start, end)
        is_call = calls or (defined and self.toolset.resolve(defined[1]))
        if not is_call or (not line_end and end < len(text)):
            raise NotACall(max(end, start + 1))
        return Leak(format_name, text[start:end], calls), end

    def call(self, parsed: ParsedCall) -> LeakedCall:
        """Return a parsed call with its name resolved and its arguments as JSON, and the problem if there is one."""
        name = self.toolset.resolve(parsed.name) or parsed.name
        arguments = parsed.arguments
        if isinstance(arguments, str) and arguments.strip():
            try:
                value = read_whole(arguments)
                arguments = value if isinstance(value, dict) else arguments
            except NotACall:
                pass
        is_example = has_placeholder(arguments)
        if not isinstance(arguments, str):
            arguments = json.dumps({} if arguments in (None, []) else arguments, ensure_ascii=False)
        call = LeakedCall(name, arguments if arguments.strip() else "{}")
        if parsed.broken:
            return call.refused(UNREADABLE if parsed.unended else CUT_OFF)
        if not name:
            return call.refused("it does not name a tool")
        if name not in self.toolset.names:
            return replace(call, problem=self.toolset.unknown(name[:100]))
        if is_example:
            return call.refused(EXAMPLE)
        return replace(call, problem=self.toolset.problem(name, call.arguments))

    def _program(self, parser: CallParser, start: int, body: int) -> tuple[Leak, int] | None:
        """Return a leak for a program that Llama 3 wants to be run: one that begins as such, to the end of the turn."""
        text = parser.text
        line = text[body : body + _LINE].partition("\n")
        if not line[1] and len(line[0]) < _LINE:
            parser.need(len(text))
        if not STATEMENT.match(line[0]):
            return None
        closer = _PROGRAM_END.search(text, body)
        if closer is None:
            parser.need(len(text))
        end = closer.start() if closer else len(text)
        name = next(filter(self.toolset.resolve, _INTERPRETERS), _INTERPRETERS[0])
        parameters = list(parser.properties(name))
        key = parameters[0] if len(parameters) == 1 else "code"
        call = self.call(ParsedCall(name, {key: text[body:end].strip()}, explicit=True))
        return Leak(self._formats[_PROGRAM], text[start:end], (call,)), end

    def _unreadable(
        self, parser: CallParser, mark: str, start: int, body: int, refuted: int, line_start: bool
    ) -> tuple[Leak, int] | None:
        """Return a leak for a frame that can only be one, up to its closing mark, or else to the next blank line.

        It is one if it begins like a call in JSON, or if it is a tag alone on its lines.
        """
        text, tag = parser.text, _TAG.fullmatch(mark) if line_start else None
        parser.need(refuted + 20)
        if line_start and mark.endswith("call "):
            return self._inside_tag(parser, mark, start)
        is_json = _DAMAGED.match(text, body, refuted + 20)
        if not is_json and not tag:
            return None
        limit = refuted + _WINDOW
        closer = CLOSERS.search(text, refuted if is_json else body, limit)
        again = text.find(mark, refuted, limit)
        if closer is None and again < 0 and len(text) < limit:
            parser.need(len(text))
        if 0 <= again < (closer.start() if closer else limit):
            return None
        ending = closer or _PARAGRAPH.search(text, refuted, limit)
        if ending is None and len(text) >= limit:
            return None
        stop = ending.start() if ending else len(text)
        end = parser.closers(stop, mark) if closer else stop
        content = text[body:stop].strip()
        if closer and (calls := self._repaired(content)):
            return Leak(self._formats[mark], text[start:end], calls), end
        why = UNREADABLE if closer or is_json else CUT_OFF
        if is_json:
            match = _NAME_IN_DAMAGED.search(text, body, refuted)
            name = match[1] if match else ""
        else:
            words = _WORD.findall(content)
            if not closer:
                words = words[: 2 if words and words[0] in NAME_KEYS else 1]
            name = next(filter(self.toolset.resolve, words), "")
            is_alone = closer and parser.match(_LINE_END, _LINE_END_START, end) and tag and mark not in _GENERAL_MARKS
            if not (name or is_alone):
                return None
        return self._refused(self._formats[mark], text[start:end], name, why), end

    def _inside_tag(self, parser: CallParser, mark: str, start: int) -> tuple[Leak, int] | None:
        """Return a leak for a call that stands within the brackets of its tag: ``<toolcall f city=Paris>``."""
        text, body = parser.text, start + len(mark)
        stop = text.find(">", body, body + _WINDOW)
        if stop < 0 and len(text) < body + _WINDOW:
            parser.need(len(text))
        content = text[body : max(stop, body)].strip(" /")
        match = _CALL_IN_TAG.match(content)
        if match is None:
            return None
        end = parser.closers(stop + 1, mark)
        if calls := self._repaired(content):
            return Leak(self._formats[mark], text[start:end], calls), end
        return self._refused(self._formats[mark], text[start:end], match[1], UNREADABLE), end

    def _repaired(self, content: str) -> tuple[LeakedCall, ...]:
        """Return the calls of a whole frame's damaged ``content`` whose meaning is certain; empty if it is not."""
        from swarmchat.swarm.parsing.call_rewriting import rewritten

        for spelling in (content, *rewritten(content)):
            with suppress(NotACall):
                parsed, end = CallParser(f"{spelling}</tool_call>", True, self.toolset).body(0)
                calls = tuple(map(self.call, parsed))
                is_whole = end >= len(spelling) and not any(call.broken for call in parsed)
                if is_whole and all(call.name in self.toolset.names for call in calls):
                    return calls
        return ()

    def cut_off(self, text: str, format_name: str = "cut off") -> Leak:
        """Return the leak of a ``text`` that is the beginning of an opening mark."""
        name = next(filter(self.toolset.resolve, _WORD.findall(text)), "")
        return self._refused(format_name, text, name, CUT_OFF)

    def _refused(self, format_name: str, text: str, name: str, why: str) -> Leak:
        call = LeakedCall(self.toolset.resolve(name) or name, "{}")
        return Leak(format_name, text, (call.refused(why),))

    def _damaged_line(self, parser: CallParser, start: int, refuted: int, first: bool) -> tuple[Leak, int]:
        """Return a leak for damaged JSON that begins like the call of an offered tool, up to the next blank line."""
        text = parser.text
        fence = _CALL_FENCE.match(text, start)
        if fence:
            return self._unreadable_fence(parser, fence, refuted, first)
        match = _DAMAGED_LINE.match(text, start)
        name = match and self.toolset.resolve(match["name"])
        prefix = None if match or parser.final else _DAMAGED_LINE_START.match(text, start)
        if prefix and self.toolset.resolve(prefix["name"]):
            raise NeedMore
        if not match or not name:
            raise NotACall(refuted)
        ending = re.compile(r"\n[ \t]*```" if match["fence"] else r"(?=\n[ \t]*\r?\n)")
        end = ending.search(text, match.end(), match.end() + _WINDOW)
        if end is None and len(text) - match.end() < _WINDOW:
            parser.need(len(text))
        elif end is None:
            raise NotACall(refuted)
        stop = end.end() if end else len(text)
        content = text[match.end("fence") if match["fence"] else start : end.start() if end else stop]
        with suppress(ValueError, RecursionError):
            json.loads(content)
            raise NotACall(refuted)
        if calls := self._repaired(content):
            return Leak("damaged JSON", text[start:stop], calls), stop
        return self._refused("damaged JSON", text[start:stop], name, UNREADABLE), stop

    def _unreadable_fence(
        self, parser: CallParser, fence: "re.Match[str]", refuted: int, first: bool
    ) -> tuple[Leak, int]:
        """Return a leak for a block of code that says that it holds a call, and names a tool."""
        end = _FENCE_END.search(parser.text, fence.end(), fence.end() + _WINDOW)
        if end is None and len(parser.text) - fence.end() < _WINDOW:
            parser.need(len(parser.text))
        stop = end.end() if end else len(parser.text)
        content = parser.text[fence.end() : stop]
        name = next(filter(self.toolset.resolve, _WORD.findall(content)), None)
        unknown = _CALLED.search(content) if first and not name else None
        if not (name or unknown):
            raise NotACall(refuted)
        text = parser.text[fence.start() : stop]
        if unknown:
            return Leak("fenced call", text, (self.call(ParsedCall(unknown[1])),)), stop
        return self._refused("fenced call", text, str(name), UNREADABLE), stop
