"""Find tool calls that a model wrote into its answer as text: in frames of chat templates, as JSON, as code."""

import json
import re
from dataclasses import dataclass

from swarmchat.swarm.leak_formats import CLOSER_START, CLOSERS, INSIDE_OPENER, OPENERS, SELF_STARTING
from swarmchat.swarm.leak_scanner import Scanner
from swarmchat.swarm.leak_values import CALL_KEYS, NAME_KEYS, TYPES, Written
from swarmchat.swarm.loose_json import MORE, UNREAD, NeedMore, NotACall, parse_loose, read_string
from swarmchat.swarm.offer import Offer

_BROKEN = "the call breaks off"
_SEPARATORS = re.compile(r"[\W_]+")
_NAMESPACES = ("", "functions", "function", "tools", "tool", "defaultapi", "namespace", "action", "observation")
_LINE_END = re.compile(r"[ \t]*(?:\r?\n|\Z)|[ \t]*(?=</?[\w|｜]|\[/?[A-Z_]+\])")
_LINE_END_START = re.compile(r"[ \t]*(?:\r?|\[/?[A-Z_]*|</?)\Z")
_FENCE = re.compile(r"(`{3,20}|~{3,20})[ \t]*([\w+-]{0,20})[ \t]*\r?\n")
_FENCE_START = re.compile(r"(?:`{1,20}|~{1,20})[ \t]*[\w+-]{0,20}[ \t]*\r?\Z")
_LANGUAGES = frozenset(
    " json jsonc json5 tool_call tool_calls tool_code tool tools tool_use function function_call function_calls"
    " functions python py xml text txt plaintext javascript js bash".split(" ")
)
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.:-]{0,99}")
_DAMAGED = re.compile(
    r"""[\[{\s]*\{\s*["'“]?(name|tool|tool_name|function|arguments|parameters|type|id|action)["'”]?\s*:"""
)
_NAME_IN_DAMAGED = re.compile(r"""["'](?:name|tool|tool_name|function|action)["']\s*:\s*["']([^"'\n]{1,100})["']""")
_REACT = re.compile(r"\*{0,2}Action:\*{0,2}[ \t]*")
_REACT_START = re.compile(r"\*{0,2}A?c?t?i?o?n?:?\*{0,2}[ \t]*\Z")
_REACT_NAME = re.compile(r"[`*\"]{0,3}([\w.-]{1,100})[`*\"]{0,3}(?:\(\))?[ \t]*\r?\n\s{0,3}")
_REACT_NAME_START = re.compile(r"[`*\"]{0,3}[\w.-]{0,100}[`*\"]{0,3}\(?\)?[ \t]*\r?(?:\n\s{0,3})?\Z")
_REACT_INPUT = re.compile(r"\*{0,2}Action[ _]Input:\*{0,2}[ \t]*")
_REACT_INPUT_START = re.compile(r"\*{0,2}[Action_ Iput]{0,12}:?\*{0,2}[ \t]*\Z")
_OBSERVATION = re.compile(r"\s*\*{0,2}Observation:?\*{0,2}\s*\Z")
_OBSERVATION_START = re.compile(r"\s*\*{0,2}O?b?s?e?r?v?a?t?i?o?n?:?\*{0,2}\s*\Z")
_HARMONY = re.compile(
    r"(?:assistant)?(?:<\|channel\|>)?(?:commentary|analysis)?\s{0,2}to=(?P<name>[\w.-]{1,100})"
    r"(?:<\|channel\|>)?[ \t]*(?:commentary)?[ \t]*(?:<\|constrain\|>)?(?:json|code)?(?:<\|message\|>)?\s*(?=\{)"
)
_HARMONY_START = re.compile(
    r"(?:assistant)?(?:commentary|analysis)?\s{0,2}(?:to?|to=[\w.-]{0,100}[\w<|> \t]{0,50}\s*)?\Z"
)
_HARMONY_WORDS = ("assistantcommentary", "assistantanalysis", "assistant to=", "commentary", "analysis")
_WINDOW = 2000
_NO_MARK = "\0no mark"


@dataclass(frozen=True, slots=True)
class LeakedCall:
    """One call. ``problem`` is ``None`` when the tool is offered and the arguments fit it."""

    name: str
    """The offered name that was meant; as it was written if none was."""
    arguments: str
    """The JSON text of an object, repaired; as it was written if nothing could be made of it."""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Leak:
    """A piece of the answer that is no text for the user but calls of tools."""

    format: str
    """What models and servers call the format."""
    text: str
    """What stood in the answer, for the log."""
    calls: tuple[LeakedCall, ...]


class LeakFinder:
    """Reads the candidates of one answer. Its methods raise NeedMore and NotACall, as those of ``Scanner`` do."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self._plain = {_plain(space + name) for name in offer.names for space in _NAMESPACES[:7]}

    def frame(self, text: str, start: int, mark: str, final: bool, line_start: bool) -> tuple[Leak, int]:
        """Read the calls behind ``mark``, which stands at ``start``, and return where the frame ends."""
        scanner = Scanner(text, final, self.offer)
        position = body = start if mark in SELF_STARTING else start + len(mark)
        try:
            for _ in range(3):
                position = scanner.space(position)
                inside = scanner.match(INSIDE_OPENER, CLOSER_START, position)
                if inside is None and not (text.startswith(mark, position) and mark not in SELF_STARTING):
                    break
                position = inside.end() if inside else position + len(mark)
            body = position
            scanner.need(position)
            if position >= len(text) and line_start:
                return self._leak(OPENERS[mark], text[start:], [LeakedCall("", "", _BROKEN)]), position
            written, position = scanner.body(position)
        except NotACall as refuted:
            leak = self._damaged(scanner, mark, start, body, max(refuted.position, start + 1))
            if leak is None:
                raise NotACall(max(refuted.position, start + 1)) from None
            return leak
        position = scanner.closers(position, mark)
        return self._leak(OPENERS[mark], text[start:position], [self.call(one) for one in written]), position

    def header(self, text: str, start: int, position: int, name: str, final: bool) -> tuple[Leak, int]:
        """Read the arguments of a call that gpt-oss names in a message's header, which ends at ``position``."""
        scanner = Scanner(text, final, self.offer)
        try:
            value = scanner.arguments(scanner.space(position))
            written, end = Written(name, value.value, value.broken, True), value.end
        except NotACall as refuted:
            match = CLOSERS.search(text, refuted.position)
            if match is None and not final:
                raise NeedMore from None
            end = match.start() if match else len(text)
            written = Written(name, text[position:end])
        end = scanner.closers(end, "<|call|>")
        return self._leak("Harmony", text[start:end], [self.call(written)]), end

    def bare(self, text: str, start: int, final: bool, opening: bool) -> tuple[Leak, int]:
        """Read the call that may begin with the line at ``start``. It ends its line, and its tool is offered."""
        scanner = Scanner(text, final, self.offer)
        first = text[start : start + 1]
        try:
            if first in "`~":
                format_name, written, end = self._fenced(scanner, start)
            else:
                format_name, written, end = self._unframed(scanner, start, opening)
        except NotACall as refuted:
            raise NotACall(max(refuted.position, start + 1)) from None
        calls = [self.call(one) for one in written]
        for one, call in zip(written, calls, strict=True):
            if call.problem is not None and not (one.explicit and call.name in self.offer.names):
                raise NotACall(end)
        if first not in "`~":
            end = scanner.closers(end, _NO_MARK)
        line_end = scanner.match(_LINE_END, _LINE_END_START, end)
        if not calls or (line_end is None and end < len(text)):
            raise NotACall(max(end, start + 1))
        return self._leak(format_name, text[start:end], calls), end

    def call(self, written: Written) -> LeakedCall:
        """Return a written call with its name and arguments as they will be called, and what is wrong with it."""
        name = self.offer.resolve(written.name) or written.name
        arguments = written.arguments
        if isinstance(arguments, str) and arguments.strip():
            try:
                value, end, broken = parse_loose(arguments)
                arguments = (
                    value if isinstance(value, dict) and not arguments[end:].strip() and not broken else arguments
                )
            except NotACall:
                pass
        if not isinstance(arguments, str):
            arguments = json.dumps({} if arguments in (None, []) else arguments, ensure_ascii=False)
        arguments = arguments if arguments.strip() else "{}"
        if written.broken:
            problem: str | None = _BROKEN
        elif name not in self.offer.names:
            problem = self.offer.unknown(name[:100])
        else:
            problem = self.offer.problem(name, arguments)
        return LeakedCall(name, arguments, problem)

    def watch(self, objects: int, key: str, value: object) -> bool:
        """Tell whether an object with this key and value may be a call of an offered tool."""
        if objects > 1:
            return True
        if value is MORE:
            return any(name.startswith(key) for name in CALL_KEYS) or self._may_begin(key)
        if key not in CALL_KEYS:
            return self.offer.resolve(key) is not None and (value is UNREAD or isinstance(value, dict))
        if key in NAME_KEYS and isinstance(value, str):
            return self.offer.resolve(value) is not None
        return key != "type" or value is UNREAD or value in TYPES

    def _may_begin(self, text: str) -> bool:
        """Tell whether an offered name may begin with ``text``, whatever ``Offer.resolve`` forgives."""
        plain = _plain(text)
        return any(name.startswith(plain) or plain.startswith(name) for name in self._plain)

    def _leak(self, format_name: str, text: str, calls: list[LeakedCall]) -> Leak:
        return Leak(format_name, text, tuple(calls))

    def _damaged(self, scanner: Scanner, mark: str, start: int, body: int, refuted: int) -> tuple[Leak, int] | None:
        """Return a leak for what begins as a call in a frame and goes on as none, up to its closing mark."""
        text = scanner.text
        scanner.need(refuted + 20)
        if not _DAMAGED.match(text, body, refuted + 20):
            return None
        window = text[refuted : refuted + _WINDOW]
        closer = CLOSERS.search(window)
        again = window.find(mark)
        if closer is None and again < 0 and not scanner.final and len(window) < _WINDOW:
            raise NeedMore
        if closer is None or 0 <= again < closer.start():
            return None
        name = _NAME_IN_DAMAGED.search(text, body, refuted)
        written = name[1] if name else ""
        found = self.offer.resolve(written) or written
        end = scanner.closers(refuted + closer.start(), mark)
        call = LeakedCall(found, text[body : refuted + closer.start()].strip(), "the call is no valid JSON")
        return self._leak(OPENERS[mark], text[start:end], [call]), end

    def _unframed(self, scanner: Scanner, start: int, opening: bool) -> tuple[str, list[Written], int]:
        """Read JSON, Python, ReAct, or a name with JSON."""
        text = scanner.text
        first = text[start : start + 1]
        if first == "{":
            return "bare JSON", *scanner.json(start, self.watch)
        if first == "[":
            after = scanner.space(start + 1)
            if text.startswith("{", after):
                return "bare JSON", *scanner.json(start, self.watch)
            self._may_be_name(scanner, after)
            return "pythonic", *scanner.python_list(start)
        if text.startswith(">>>", start):
            written, end = scanner.named(start + 3)
            return "Functionary", written, end
        if first == ">":
            scanner.partial(">>>", start)
            raise NotACall(start + 1)
        if scanner.match(_REACT, _REACT_START, start):
            return "ReAct", *self._react(scanner, start)
        for word in _HARMONY_WORDS:
            scanner.partial(word, start)
        harmony = scanner.match(_HARMONY, _HARMONY_START, start)
        if harmony:
            value = scanner.arguments(harmony.end())
            return "Harmony", [Written(harmony["name"], value.value, value.broken, True)], value.end
        end = self._may_be_name(scanner, start)
        if text.startswith("(", end):
            return "pythonic", *scanner.python(start)
        after = scanner.space(end)
        if not text.startswith("{", after) or ("\n" in text[end:after] and not opening):
            raise NotACall(end)
        value = scanner.arguments(after)
        return "name and JSON", [Written(text[start:end], value.value, value.broken)], value.end

    def _may_be_name(self, scanner: Scanner, position: int) -> int:
        """Return where the offered name at ``position`` ends."""
        match = _IDENTIFIER.match(scanner.text, position)
        if match is None:
            scanner.need(position)
            raise NotACall(position)
        if match.end() == len(scanner.text) and not scanner.final and self._may_begin(match[0]):
            raise NeedMore
        if self.offer.resolve(match[0].removesuffix(".call")) is None:
            # Not behind the name: how much of it there is yet must make no difference.
            raise NotACall(position + 1)
        return match.end()

    def _fenced(self, scanner: Scanner, start: int) -> tuple[str, list[Written], int]:
        """Read a Markdown code block that holds calls and nothing else."""
        text = scanner.text
        fence = scanner.match(_FENCE, _FENCE_START, start)
        if fence is None or fence[2].lower() not in _LANGUAGES:
            raise NotACall(fence.end() if fence else start + 1)
        written: list[Written] = []
        position = scanner.space(fence.end())
        format_name = "fenced JSON" if text.startswith(("{", "["), position) else "fenced call"
        while True:
            if text.startswith(fence[1], position) or position >= len(text):
                break
            scanner.partial(fence[1], position)
            read, position = self._in_fence(scanner, position)
            written += read
            after = scanner.space(position)
            scanner.partial(fence[1], after)
            if (
                not text.startswith((fence[1], "{", "<"), after)
                and "\n" not in text[position:after]
                and after < len(text)
            ):
                raise NotACall(after)
            position = after
        if not written:
            raise NotACall(position + 1)
        end = min(position + len(fence[1]), len(text))
        if text.startswith(fence[1][0], end):
            raise NotACall(end)
        scanner.need(end)
        return format_name, written, end

    def _in_fence(self, scanner: Scanner, position: int) -> tuple[list[Written], int]:
        text = scanner.text
        for mark in OPENERS:
            if text.startswith(mark, position):
                inner = position if mark in SELF_STARTING else position + len(mark)
                written, position = scanner.body(inner)
                return written, scanner.closers(position, mark)
            scanner.partial(mark, position)
        if text.startswith("print(", position):
            self._may_be_name(scanner, position + 6)
            written, position = scanner.python(position + 6)
            position = scanner.space(position)
            if not text.startswith(")", position):
                raise NotACall(position)
            return written, position + 1
        scanner.partial("print(", position)
        return self._unframed(scanner, position, True)[1:]

    def _react(self, scanner: Scanner, start: int) -> tuple[list[Written], int]:
        """Read ``Action:`` with a name and an ``Action Input:``, or with calls in JSON (Command R)."""
        text = scanner.text
        match = scanner.match(_REACT, _REACT_START, start)
        assert match is not None
        position = match.end()
        scanner.partial("```", position)
        fenced = text.startswith("```", position)
        name = None if fenced else scanner.match(_REACT_NAME, _REACT_NAME_START, position)
        if name is None:
            position = scanner.space(position)
            if text.startswith(("`", "~"), position):
                return self._fenced(scanner, position)[1:]
            if text.startswith(("{", "["), position):
                return scanner.json(position, self.watch)
            self._may_be_name(scanner, position)
            return scanner.python(position)
        if self.offer.resolve(name[1]) is None:
            raise NotACall(name.end())
        given = scanner.match(_REACT_INPUT, _REACT_INPUT_START, name.end())
        if given is None:
            raise NotACall(name.end())
        position = scanner.space(given.end())
        if text.startswith("`", position):
            fence = scanner.match(_FENCE, _FENCE_START, position)
            position = fence.end() if fence else position
        else:
            fence = None
        if text.startswith("{", position):
            value = scanner.arguments(position)
            written, end = Written(name[1], value.value, value.broken, True), value.end
            if fence:
                after = scanner.space(end)
                end = after + len(fence[1]) if text.startswith(fence[1], after) else end
        else:
            written, end = self._plain_input(scanner, name[1], position)
        if not scanner.final and _OBSERVATION_START.match(text, end):
            raise NeedMore
        observation = _OBSERVATION.match(text, end)
        return [written], observation.end() if observation and observation[0].strip() else end

    def _plain_input(self, scanner: Scanner, name: str, position: int) -> tuple[Written, int]:
        """Read a line as the argument of a tool with a single parameter that is a text."""
        schemas = scanner.properties(name)
        if len(schemas) != 1:
            raise NotACall(position)
        end = scanner.text.find("\n", position)
        if end < 0:
            scanner.need(len(scanner.text))
            end = len(scanner.text)
        value = scanner.text[position:end].strip()
        if value[:1] in ('"', "'"):
            quoted = read_string(value, 0, True)
            value = str(quoted.value) if quoted.end == len(value) and not quoted.broken else value
        return Written(name, {next(iter(schemas)): value}), end


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name).casefold()
