"""Parser for calls on separate lines, without a template's marks: JSON, Python, ReAct, in code blocks."""

import re
from dataclasses import replace

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.call_parser import ARGUMENTS_LABEL, ARGUMENTS_LABEL_START, CallParser
from swarmchat.swarm.parsing.call_values import (
    KNOWN_KEYS,
    NAME_KEYS,
    NEIGHBOURS,
    PARALLEL,
    TYPES,
    ParsedCall,
    read_text,
)
from swarmchat.swarm.parsing.formats import DECORATION, OPENER, OPENERS, beginnings, self_starting
from swarmchat.swarm.parsing.lenient_json import MORE, UNREAD, NeedMore, NotACall, read_string
from swarmchat.swarm.tools.toolset import Toolset

_FENCE = lazy_pattern(r"(`{3,20}|~{3,20})[ \t]*([\w+-]{0,20})[ \t]*\r?\n")
_FENCE_START = lazy_pattern(r"(?:`{1,20}|~{1,20})[ \t]*[\w+-]{0,20}[ \t]*\r?\Z")
_LANGUAGES = frozenset(
    " json jsonc json5 tool_call tool_calls tool_code tool tools tool_use function function_call function_calls"
    " functions python py yaml yml xml text txt plaintext javascript js bash".split(" ")
)
_IDENTIFIER = lazy_pattern(r"[A-Za-z_][\w.:-]{0,99}")
# The keys by which models name tools; data has the others as well.
_UNKNOWN_KEYS = frozenset({"name", "tool_name", "function", "function_name"})
_VERBS = "calling call using use executing execute invoking invoke running run".split()
# What models write before the name of a tool, or a call; the longest first.
_LABELS = (
    *(
        f"{verb}{what}{tail}"
        for tail in (" call", "_call", " calls", "_calls", " name", "_name", " use", "")
        for verb in (*(f"{verb} {article}" for verb in _VERBS for article in ("the ", "")), "")
        for what in ("tool", "function")
    ),
    *("api call", "action", "command", *_VERBS),
)
_DECORATION, _DECORATION_START = lazy_pattern(DECORATION), lazy_pattern(rf"\#{{1,6}}\Z|{DECORATION}\Z")
_CALL_LABEL = lazy_pattern(
    rf"\*{{0,2}}({'|'.join(_LABELS)})(?:\*{{0,2}} ?[:=]\*{{0,2}}[ \t]*|\*{{0,2}}[ \t]+|\*{{0,2}}(?=[\[{{\n]))",
    re.IGNORECASE,
)
_LABEL_BEGINNINGS = beginnings((*(f"{label} :" for label in _LABELS), *(f"{label}**:** " for label in _LABELS)))
_LABELLED_NAME = lazy_pattern(r"[`*\"']{0,3}([A-Za-z_][\w.-]{0,99})[`*\"']{0,3}(?:\(\))?(?=\s|\Z|[\[{,:])")
_CUT_TAG = lazy_pattern(r"[ \t]+\w{1,100}[ \t]*=[^<>]*\Z")
_IDENTIFIER_START = lazy_pattern(r"[A-Za-z_][\w.:-]{0,99}\Z")
_LABELLED_NAME_START = lazy_pattern(r"[`*\"']{0,3}(?:[A-Za-z_][\w.-]{0,99})?[`*\"']{0,3}\(?\)?\Z")
_CUT_ARGUMENTS_LABEL = lazy_pattern(
    r"\s+\*{0,2}(?:Act?i?o?n?|Tool|Inp?u?t?|Args?|Param)?(?: ?[Iia][a-z]{0,8})?:?\*{0,2}\s*\Z"
)
_COLON, _COLON_START = lazy_pattern(r":[ \t]{1,3}(?=\S)"), lazy_pattern(r":[ \t]{0,3}\Z")
_IN_BRACKETS_START = lazy_pattern(r"\[[^\[\]\n]{0,300}\Z")
_IN_BRACKETS = lazy_pattern(r"\[([^\[\]\n]{1,300})\]")
_LINE_PAIR = lazy_pattern(r"[A-Za-z_]\w{0,99}[ \t]?[=:][ \t]?\S")
# The model continues with a result that it invents.
_OBSERVATION = lazy_pattern(r"\s*\*{0,2}(?:Observation|Result|Tool (?:Output|Result|Response)|PAUSE)\b:?\*{0,2}")
_OBSERVATION_START = lazy_pattern(r"\s*\*{0,2}(?:[OR][a-z]{0,10}|P[AUSE]{0,4}|Tool?[A-Za-z ]{0,10}|T?)\Z")
_HARMONY = lazy_pattern(
    r"(?:assistant)?(?:commentary|analysis)?\s{0,2}to=(?P<name>[\w.-]{1,100})"
    r"(?:<\|channel\|>)?[ \t]*(?:commentary)?[ \t]*(?:<\|constrain\|>)?(?:json|code)?(?:<\|message\|>)?\s*(?=\{)"
)
_HARMONY_START = lazy_pattern(
    r"(?:assistant)?(?:commentary|analysis)?\s{0,2}(?:to?|to=[\w.-]{0,100}[\w<|> \t]{0,50}\s*)?\Z"
)
# A line that only says what follows: the language of a block of code that lost its fences, or GigaChat's words.
_LABEL = lazy_pattern(
    r"(json|tool_code|tool_calls?|function_call)[ \t]{0,9}\r?\n\s{0,9}(?=\S)|(function call)[ \t]{0,3}\n?(?=\{)"
)
_LABEL_START = lazy_pattern(
    r"(?:json|tool_code|tool_calls?|function_call)[ \t]{0,9}(?:\r?\n?|\r?\n\s{0,9})\Z|function call[ \t]{0,3}\n?\Z"
)
# What marks the arguments behind a name: a block of code, or a mark of Kimi, DeepSeek, Mistral or GLM.
_BEFORE_ARGUMENTS = ("```", "<|tool_call_argument_begin|>", "<｜tool▁sep｜>", "[ARGS]", "<arg_key>")
_QUALIFIED = "print(default_api."
_SEPARATOR = lazy_pattern(r"[ \t]{0,9}[;,][ \t]{0,9}")
_SEPARATOR_START = lazy_pattern(r"[ \t]{0,9}(?:[;,][ \t]{0,9})?\Z")
_OPENER_BEGINNINGS = beginnings(OPENERS)
_WORD_BEGINNINGS = beginnings(
    (
        *("assistantcommentary", "assistantanalysis", "assistant to=", "commentary", "analysis"),
        *("json", "tool_code", "tool_calls", "function_call", "function call", _QUALIFIED),
    )
)
PYTHONIC, NARRATED = "pythonic", "narrated call"


class LineCallParser(CallParser):
    """Parses calls without a frame. Only those of offered tools count, and JSON that may be a ``whole`` answer."""

    def __init__(self, text: str, final: bool, toolset: Toolset, whole: bool) -> None:
        super().__init__(text, final, toolset)
        self.whole = whole
        self._named: str | None = None

    def watch(self, objects: int, key: str, value: object) -> bool:
        """Tell whether an object with this key and value may be the call of an offered tool; see ``Watch``."""
        if objects > 1:
            return True
        if value is MORE:
            known = (*KNOWN_KEYS, *self.properties(self._named or ""))
            return any(name.startswith(key) for name in known) or self.toolset.may_begin(key)
        if self._named and key in self.properties(self._named):
            return True
        if key not in KNOWN_KEYS:
            return self.toolset.resolve(key) is not None and (value is UNREAD or isinstance(value, dict))
        if value is UNREAD:
            return True
        if key in NEIGHBOURS:
            return (
                value == "assistant" if key == "role" else key == "thoughts" or value is None or isinstance(value, str)
            )
        if key in NAME_KEYS and isinstance(value, str):
            self._named = self.toolset.resolve(value)
            may_be_unknown = self.whole and key in _UNKNOWN_KEYS and _IDENTIFIER.fullmatch(value) is not None
            return may_be_unknown or self.toolset.resolve(value) is not None or value.endswith(PARALLEL)
        return key != "type" or value in TYPES

    def unframed(self, start: int, inside: bool = False) -> tuple[str, list[ParsedCall], int]:
        """Read JSON, Python, ReAct, the tool's own tags, or a name with JSON. ``inside``: of a block of code."""
        decoration = self.match(_DECORATION, _DECORATION_START, start)
        if decoration:
            start = decoration.end()
            if start >= len(self.text) or self.text[start] in "{[<-":
                raise NotACall(start)
        first = self.text[start : start + 1]
        if first == "{":
            return "bare JSON", *self.json(start, self.watch)
        if first == "[":
            after = self.space(start + 1)
            if self.text.startswith("{", after):
                return "bare JSON", *self.json(start, self.watch)
            self._may_be_name(after)
            return PYTHONIC, *self.python_list(start)
        if first == "<":
            end = self._may_be_name(start + 1)
            if self.text.startswith("(", end):
                return PYTHONIC, *self.python(start + 1)
            if self.text.startswith(" ", end):
                if self.final and _CUT_TAG.match(self.text, end):
                    return "the tool's tags", [ParsedCall(self.text[start + 1 : end], None, True)], len(self.text)
                return "the tool's tags", *self.tags(start)
            return "the tool's tags", *self.element(self.text[start + 1 : end], end)
        in_yaml = self.yaml(start, False) if first in "acfnrt" or (first == "-" and self.whole) else None
        if in_yaml:
            return "YAML", *in_yaml
        label = self._call_label(start) if first in "*ATFCUEIRatfcueir" else None
        if label:
            return "ReAct" if label[1].lower() == "action" else "labelled call", *self._labelled(label, inside)
        self.begins(_WORD_BEGINNINGS, start)
        harmony = self.match(_HARMONY, _HARMONY_START, start) if first in "act" else None
        if harmony:
            call, end = self.json_arguments(harmony["name"], harmony.end())
            return "Harmony", [call], end
        label = self.match(_LABEL, _LABEL_START, start) if first in "jtf" and not inside else None
        if label and self.toolset.resolve(label[1] or label[2]) is None:
            return "labelled call", *self._in_fence(label.end())
        if self.text.startswith(_QUALIFIED, start):
            return PYTHONIC, *self.python_lines(start)
        return self._named_line(start)

    def _named_line(self, start: int) -> tuple[str, list[ParsedCall], int]:
        """Read a name with what follows it: arguments as in Python or as JSON, or ChatGLM's block of code."""
        end = self._may_be_name(start)
        if self.text.startswith("(", end):
            calls, end = self.python(start)
            calls = [replace(call, explicit=self.whole and call.arguments != {}) for call in calls]
            while separator := self.match(_SEPARATOR, _SEPARATOR_START, end):
                if self.text.startswith(("\n", "\r"), separator.end()) or separator.end() == len(self.text):
                    return PYTHONIC, calls, separator.end()
                self._may_be_name(separator.end())
                further, end = self.python(separator.end())
                calls += further
            return PYTHONIC, calls, end
        after = self.space(end)
        if not self.text.startswith("{", after) and not any(self.at(mark, after) for mark in _BEFORE_ARGUMENTS):
            raise NotACall(end)
        calls, end = self.named(start)
        return "name and JSON", [ParsedCall(call.name, call.arguments, call.broken) for call in calls], end

    def _may_be_name(self, position: int) -> int:
        """Return where the offered name at ``position`` ends."""
        match = _IDENTIFIER.match(self.text, position)
        if match is None:
            self.need(position)
            raise NotACall(position)
        if match.end() == len(self.text) and not self.final and self.toolset.may_begin(match[0]):
            raise NeedMore
        if self.toolset.resolve(match[0].removesuffix(".call")) is None:
            # Not behind the name: how much of it there is yet must make no difference.
            raise NotACall(position + 1)
        return match.end()

    def fenced(self, start: int) -> tuple[str, list[ParsedCall], int]:
        """Read a Markdown code block that holds calls and nothing else."""
        fence = self.match(_FENCE, _FENCE_START, start)
        if fence is None or fence[2].lower() not in _LANGUAGES:
            raise NotACall(fence.end() if fence else start + 1)
        calls, is_empty = list[ParsedCall](), True
        position = self.space(fence.end())
        format_name = "fenced JSON" if self.text.startswith(("{", "["), position) else "fenced call"
        while position < len(self.text) and not self.at(fence[1], position):
            try:
                next_calls, position = self._in_fence(position)
            except NotACall:
                # Behind whole calls, a last line that the text ends in has been cut off.
                if not calls or not self.final or "\n" in self.text[position:]:
                    raise
                next_calls, position = [ParsedCall("", None, True)], len(self.text)
            calls += next_calls
            is_empty = False
            after = self.space(position)
            is_next = self.at(fence[1], after) or self.text.startswith(("{", "<"), after)
            if not is_next and "\n" not in self.text[position:after] and after < len(self.text):
                raise NotACall(after)
            position = after
        if is_empty:
            raise NotACall(position + 1)
        end = min(position + len(fence[1]), len(self.text))
        if self.text.startswith(fence[1][0], end):
            raise NotACall(end)
        self.need(end)
        return format_name, calls, end

    def _in_fence(self, position: int) -> tuple[list[ParsedCall], int]:
        opener = OPENER.match(self.text, position)
        if opener:
            calls, position = self.body(position if self_starting(opener[0]) else opener.end())
            return calls, self.closers(position, opener[0])
        self.begins(_OPENER_BEGINNINGS, position)
        if self.at("print(", position):
            return self.python_lines(position)
        return self.unframed(position, True)[1:]

    def _call_label(self, start: int) -> "re.Match[str] | None":
        """Return the label at ``start`` that says that a call follows, such as ``Action:`` or ``Calling tool``."""
        line = self.text[start : start + 60].lstrip("*").lower()
        if not self.final and (line in _LABEL_BEGINNINGS or not line):
            raise NeedMore
        label = _CALL_LABEL.match(self.text, start)
        if label and label.end() == len(self.text) and not self.final:
            raise NeedMore
        return label if label is None or self.toolset.resolve(label[1]) is None else None

    def _labelled(self, label: "re.Match[str]", inside: bool) -> tuple[list[ParsedCall], int]:
        """Read what stands behind a label: a name with arguments under a label of their own, or any call."""
        position = label.end() if self.at("```", label.end()) else self.space(label.end())
        if self.text.startswith(("`", "~"), position) and not inside and self.at("```", position):
            return self.fenced(position)[1:]
        if self.text.startswith(("{", "["), position):
            return self.json(position, self.watch)
        named = self.match(_IDENTIFIER, _IDENTIFIER_START, position)
        if named and self.text.startswith("(", named.end()) and not self.text.startswith("()", named.end()):
            self._may_be_name(position)
            return self.python(position)
        name = self.match(_LABELLED_NAME, _LABELLED_NAME_START, position)
        if name is None:
            raise NotACall(position)
        is_known, has_colon = self.toolset.resolve(name[1]) is not None, ":" in label[0]
        if not is_known and not (self.whole and has_colon):
            raise NotACall(position)
        bracketed = self.match(_IN_BRACKETS, _IN_BRACKETS_START, name.end())
        if bracketed and is_known:
            return [self._of_text(name[1], bracketed[1])], self._observed(bracketed.end())
        arguments = self.match(ARGUMENTS_LABEL, ARGUMENTS_LABEL_START, name.end())
        arguments = arguments or (self.match(_COLON, _COLON_START, name.end()) if is_known else None)
        after = arguments.end() if arguments else self.space(name.end())
        if is_known and has_colon and (after >= len(self.text) or _CUT_ARGUMENTS_LABEL.match(self.text, name.end())):
            is_cut = bool(self.properties(name[1])) or after < len(self.text) or arguments is not None
            return [ParsedCall(name[1], None, is_cut)], len(self.text)
        if arguments is None and not (is_known and self.text.startswith("{", after)):
            raise NotACall(name.end())
        fence = self.match(_FENCE, _FENCE_START, after) if self.text.startswith("`", after) else None
        after = fence.end() if fence else after
        is_json = self.text.startswith("{", after)
        if not (is_known or is_json or (arguments and "action" in arguments[0].lower())):
            raise NotACall(after)
        if is_json:
            call, end = self.json_arguments(name[1], after)
            end = self.fence_end(end) if fence else end
        else:
            call, end = self._plain_input(name[1], after)
            value = self.text[after:end].strip()
            is_closed = value[:1] + value[-1:] in ('""', "''", "``", "{}", "[]") and value[1:-1].strip("`")
            unended = is_known and end == len(self.text) and not is_closed
            call = replace(call, broken=call.broken or unended, unended=unended)
        return [replace(call, explicit=has_colon, key="arguments")], self._observed(end)

    def _observed(self, position: int) -> int:
        """Return the end of a call at ``position``: of the whole text, if the model went on to invent its result."""
        if not self.final and _OBSERVATION_START.match(self.text, position):
            raise NeedMore
        if not _OBSERVATION.match(self.text, position):
            return position
        self.need(len(self.text))
        return len(self.text)

    def _plain_input(self, name: str, position: int) -> tuple[ParsedCall, int]:
        """Read a line as the arguments of ``name``: ``key=value`` pairs, or the only value."""
        end = self.text.find("\n", position)
        if end < 0:
            self.need(len(self.text))
            end = len(self.text)
        return self._of_text(name, self.text[position:end].strip()), end

    def _of_text(self, name: str, value: str) -> ParsedCall:
        schemas = self.properties(name)
        value = value.strip("`").removeprefix("- ")
        if value.startswith("{"):
            return ParsedCall(name, value)
        pair = _LINE_PAIR.match(value)
        if pair and re.split(r"\W", value, maxsplit=1)[0] in schemas:
            calls, _ = CallParser(f"{name} {value}</tool_call>", True, self.toolset).named(0)
            return calls[0]
        tool = self.toolset.tools.get(self.toolset.resolve(name) or "")
        required = list(tool.signature.parameters.get("required", ())) if tool else []
        keys = list(schemas) if len(schemas) == 1 else required
        if not required and value.casefold() in ("none", "null", "n/a", ""):
            return ParsedCall(name, {})
        if len(keys) != 1:
            return ParsedCall(name, value)
        if value[:1] in ('"', "'"):
            quoted = read_string(value, 0, True)
            value = str(quoted.value) if quoted.end == len(value) and not quoted.broken else value
        return ParsedCall(name, {keys[0]: read_text(value, schemas[keys[0]])})
