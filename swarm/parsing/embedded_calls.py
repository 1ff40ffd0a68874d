"""Parser for calls embedded in words and signs that only announce a call.

``(calling get_weather(city="Paris"))``, ``result = await get_weather("Paris")``, ``call_tool("get_weather", {…})``,
``***** Suggested tool call: get_weather *****`` and the like: no list has them all, so one rule reads them.
"""

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.api_calls import EMBEDDED, MEMBERS, MEMBERS_START, ApiCallParser
from swarmchat.swarm.parsing.call_parser import ARGUMENTS_LABEL, ARGUMENTS_LABEL_START, CallParser
from swarmchat.swarm.parsing.call_values import ARGUMENT_KEYS, ParsedCall, read_whole
from swarmchat.swarm.parsing.formats import CALL_VERB, OPENER, PREAMBLE_WORDS, beginnings
from swarmchat.swarm.parsing.lenient_json import NeedMore, NotACall, read_string
from swarmchat.swarm.parsing.line_calls import NARRATED, PYTHONIC
from swarmchat.swarm.tools.toolset import Toolset

_LONGEST = 160
"""Characters of the preamble before a call."""
_WORDS = "|".join(sorted(PREAMBLE_WORDS, key=len, reverse=True))
_WORD_BEGINNINGS = beginnings(PREAMBLE_WORDS) | PREAMBLE_WORDS
# What a variable or a function may be called; not what also begins a sentence.
_IDENTIFIER = r"(?:[a-z_]|[A-Z][A-Z_]|(?:Tool|Function|Call|Action))\w{0,40}"
_IDENTIFIER_START = rf"(?:{_IDENTIFIER}|[A-Z]|Too?|Func?t?i?o?|Cal?|Act?i?o?)"
_TYPE = r"(?:[ ]?:[ ]?(?:str|dict|list|any|int|float|object|string)\b)?[ ]?"
_SIGNS = r"\[\](){}<>*_~`\"'|=$\#@/!%.:+•–—→\u2190-\u2bff\U0001f300-\U0001faff\ufe0f\u200b\ufeff-"
_TOKEN = lazy_pattern(
    rf"""\s{{1,3}}|<[/|｜]?(?P<tag>[A-Za-z][\w:▁-]{{0,40}})[|｜]?>|(?P<variable>{_IDENTIFIER}){_TYPE}=(?![=>])
    |(?P<opener>{_IDENTIFIER}(?:\.\w{{1,40}}){{0,3}})\(|(?i:{_WORDS})(?![\w'-])
    |(?P<id>\([\w-]{{3,60}}\)(?=[ ]?:))|\d{{1,2}}[.):](?=\s)|[{_SIGNS}]""",
    re.VERBOSE,
)
_TOKEN_START = lazy_pattern(
    rf"""(?:{_IDENTIFIER_START}(?:(?:\.\w{{0,40}}){{0,3}}|[ ]?(?::[ ]?[a-z]{{0,6}})?[ ]?=?)
    |\([\w-]{{0,60}}\)?[ ]?|\d{{1,2}}[.):]?|<[/|｜]?[\w:▁-]{{0,41}}[|｜]?)\Z""",
    re.VERBOSE,
)
# No sentence, and no block of code.
_BEFORE_BREAK = lazy_pattern(r"(?!i\b)[^\w.`]*(?:[\w▁]+[^\w.`]+){0,2}[\w▁]*[^\w.`]*", re.IGNORECASE)
_THOUGHT = lazy_pattern(r"(?:\*{0,2}Question:[^\n]{0,400}\n\s*)?\*{0,2}Thoughts?\*{0,2}:")
_THOUGHT_START = lazy_pattern(
    r"(?:\*{0,2}Q[a-z]{0,7}(?::[^\n]{0,400}(?:\n\s*)?)?)?\*{0,2}(?:T(?:h(?:o(?:u(?:g(?:h(?:ts?\*{0,2})?)?)?)?)?)?)?\Z"
)
_LINE, _LONGEST_THOUGHT = lazy_pattern(r"\n\s*(?=\S)"), 1500
_LETTERS = lazy_pattern(r"[A-Za-z][\w'-]{0,20}\Z")
_QUOTES = lazy_pattern(r"[`\"']|<(?:b|i|em|strong|li|p|td|pre|kbd|a|span|div|h\d)>")
"""What a line begins with that shows a text, and need not mean it."""
_LIST = lazy_pattern(r"(?:[-*+•–—]|\d{1,2}[.):])\s|>|\|")
"""What the lines of lists, quotations and tables begin with: Python in them is talked about."""
_CALL_WORDS = rf"{CALL_VERB}|action:|(?:tool|function|api)[ _-]?(?:calls?|use|invocation|request)"
_SAYS_CALL = lazy_pattern(rf"(?i:(?<![a-z])(?:{_CALL_WORDS})(?![a-z]))")
_OPENINGS = tuple("([{*_~<")
_PROGRAM = lazy_pattern(r"(?i:\b(?:await|async|return|const|let|var|yield|assistant|ai)\b)")
_CALLS = lazy_pattern(r"(?i:call|tool|func|invoke|exec|run|dispatch)")
_DISPATCHER = lazy_pattern(
    r"(?i)(?:call|use|run|invoke|execute)_?(?:tool|function)|(?:tool|function)s?[._]?(?:call|use|invoke|execute)"
)
_NAME = lazy_pattern(r"[A-Za-z_][\w.:-]{0,99}")
# What may stand between the name and its arguments: closing signs, an id, words for a call, a colon or an arrow.
_AFTER_NAME = lazy_pattern(
    r"""[*_`"'\])~]{0,6}(?:[ ]?\([\w-]{3,60}\))?(?:[ ](?:tool|function)[ _]?calls?)?(?:[ ]?json)?[ \t*]{0,9}
    (?:[:,;=|]|[=-]{1,2}>|→)?[ \t]{0,3}(?:\r?\n[ \t]{0,9}){0,2}""",
    re.VERBOSE,
)
_AFTER_NAME_START = lazy_pattern(
    r"""[*_`"'\])~]{0,6}(?:[ ]?\([\w-]{0,60}\)?)?
    (?:[ ](?:j?s?o?n?|t?o?o?l?[ _]?c?a?l?l?s?|f[unctio]{0,7}[ _]?c?a?l?l?s?))?[ \t*]{0,9}
    [:,;=|→>-]{0,3}[ \t]{0,3}(?:\r?\n?[ \t]{0,9}){0,2}\Z""",
    re.VERBOSE,
)
_FENCE = lazy_pattern(r"`{1,3}(?:[\w-]{0,20}[ \t]*\n\s{0,9})?(?=\{)")
_FENCE_START = lazy_pattern(r"`{1,3}(?:[\w-]{0,20}[ \t]*\n?\s{0,9})\Z")
_TYPES = ("str", "int", "float", "bool", "list", "dict", "string", "integer", "number", "boolean", "None", "Optional")
_PAIR = lazy_pattern(r"(?:with[ ]|--?|-[ ])?(?P<key>[A-Za-z_]\w{0,99})(?:[ ]?[=:][ ]?|(?<=\w)[ ](?=\S))")
_PAIR_START = lazy_pattern(r"(?:w?i?t?h?|with[ ]|-{1,2}[ ]?)?(?:[A-Za-z_]\w{0,99})?[ ]?[=:]?[ ]?\Z")
_STRING = lazy_pattern(r"([\"'])[^\"'\n]{1,200}\1[ \t]*(?=\r?\n|\Z)")
_STRING_START = lazy_pattern(r"([\"'])[^\"'\n]{0,200}(?:\1[ \t]*\r?)?\Z")
_IN_BRACKETS, _IN_BRACKETS_START = lazy_pattern(r"\[([^\[\]\n]{1,300})\]"), lazy_pattern(r"\[[^\[\]\n]{0,300}\Z")
_ELEMENT = lazy_pattern(r">[ \t]*([^<>\n]{1,200}?)[ \t]*</([\w.:-]{1,100})")
_ELEMENT_START = lazy_pattern(r">[^<>\n]{0,200}(?:</?[\w.:-]{0,100})?\Z")
_WITHIN = lazy_pattern(r"[^\[\](){}<>\n]{0,300}(?=[\])}>])")
_WITHIN_START = lazy_pattern(r"[^\[\](){}<>\n]{0,300}\Z")
_UNQUOTED, _UNQUOTED_START = lazy_pattern(r"\(([^()\"'\n]{1,300})\)"), lazy_pattern(r"\([^()\"'\n]{0,300}\Z")
_TAG_END = r"(?:<[/|｜]{0,2}[A-Za-z][\w:▁-]{0,40}[|｜]?>|tool▁[a-z▁]{1,20})"
_SUFFIX = lazy_pattern(
    rf"(?:[)\]}}>*_~`\"'|,.!:]|;(?=\s|\Z)|{_TAG_END}|[ \t]|(?:->|=>|→)[^\]\n]{{0,200}}(?=\])|\n\*{{5,80}}|\n\*{{1,4}}\Z"
    rf"|\s{{1,9}}{_TAG_END})*"
)
_SUFFIX_START = lazy_pattern(
    # As a possessive group, which Python before 3.11.5 matches wrongly (python/cpython#106052).
    r"(?=(?P<signs>(?:[)\]}>*_~`\"'|;,.!: \t]|<[/|｜]{0,2}[A-Za-z][\w:▁-]{0,40}[|｜]?>)*))(?P=signs)"
    r"(?:\s*+(?:<[/|｜\w:▁-]{0,43}|\*{0,80}|t?o?o?l?▁?[a-z▁]{0,20})|(?:-|=|->|=>|→)[^\]\n]{0,200})?\Z"
)
_CLOSING, _CLOSING_START = lazy_pattern(r"[)\]}>*_~`]{1,4}"), lazy_pattern(r"[)\]}>*_~`]{0,4}\Z")

# What only a call begins with: anywhere, or at the beginning of an answer.
_BEGUN = lazy_pattern(
    rf"(?s:.*)(?:\{{\s*[\"'](?:name|tool|function|action)|(?:{_CALLS.pattern})\w*(?:\.\w+)*\()"
    r"|[\[({<*_~]{1,2}[ ]?\w{4}|\[\[ ##|.{0,20}tool(?:_calls?_|▁)|(?i:\W*suggested tool call)"
    r"|`{3}(?:tool_code|tool_calls?|tool_use|function_calls?)\b"
)
_BEGUN_ANSWER = lazy_pattern(r"[\[({<*_`~]{0,4}[\[({<]|`{3}[^\n]*\n\s*\S|[\"']\w+[\"']\s*:?\s*[\"']?\Z")
_LABELLED = lazy_pattern(r"[^:\n\"'({\[]{1,40}:[\s*`(\"']*([\w.-]*)")
_SIGN = lazy_pattern(r"[^\w\s.,!?-]")
_TALKS = lazy_pattern(
    r"\w[*_`]*[ ](?:is|was|are|has|does|can|will|should|needs|takes|returns|tells|failed|and|or|for|of|in|on|a)\b"
)
_ENDINGS = ")]}>`\"'*.!?"
_CODE = lazy_pattern(r"(`{3,}|~{3,}).*?(?:\1|\Z)|`[^`\n]*`", re.DOTALL)
_WORD = lazy_pattern(r"[\w-]{2,64}")


class EmbeddedCallParser(ApiCallParser):
    """Parses embedded calls. Only those of offered tools count."""

    is_quoted = False
    """Whether the call that was read last is quoted, so that outside of an action it is shown or talked about."""
    _acts = False
    """Whether what is read now is the model's action, so that a program in it is one too."""

    def embedded(self, start: int, inside: bool = False) -> tuple[str, list[ParsedCall], int, bool]:
        """Read the embedded call at ``start``; last, whether it may be a line of a program, or is quoted.

        ``inside``: of a block of code.
        """
        if not inside and self.match(_THOUGHT, _THOUGHT_START, start):
            return *self._behind_thought(start), False
        if self.at("[[ ## ", start):
            return *self.fields(start), False
        position, variable, opener = start, "", ""
        while (core := self._core(position, opener, self.text[start:position])) is None:
            if not self.final:
                word = _LETTERS.match(self.text, position)
                if (word and word[0].lower() in _WORD_BEGINNINGS) or _TOKEN_START.match(self.text, position):
                    raise NeedMore
            token = None if position - start > _LONGEST else _TOKEN.match(self.text, position)
            if token is None:
                raise NotACall(start + 1)
            variable = variable if opener else token["variable"] or variable
            opener = token["opener"] or opener
            if "\n" in token[0] and not _BEFORE_BREAK.fullmatch(self.text, start, position):
                raise NotACall(start + 1)
            is_name = self.toolset.resolve((token["id"] or "")[1:-1] or token["tag"] or "") is not None
            position = position + 1 if is_name else token.end()
        format_name, calls, end, inner = core
        preamble = self.text[start:position]
        self.is_quoted = _QUOTES.match(preamble) is not None
        if _LIST.match(preamble) and (format_name == PYTHONIC or _WORD.search(preamble)):
            raise NotACall(start + 1)
        if _SAYS_CALL.search(preamble) or _CALLS.search(opener):
            calls = [replace(call, explicit=True, key=call.key or "arguments") for call in calls]
        is_program = variable or (opener and not _CALLS.search(opener)) or _PROGRAM.search(preamble)
        is_name_only = bool(calls) and calls[0].arguments is None and not calls[0].unended
        may_be_program = is_name_only or (format_name == PYTHONIC and bool(is_program))
        if preamble[:1] in _OPENINGS and _SAYS_CALL.search(preamble) and (closing := self._closing(end)):
            return NARRATED, calls, closing, False
        if not self.final and _SUFFIX_START.match(self.text, end):
            raise NeedMore
        suffix = _SUFFIX.match(self.text, end)
        closing = suffix.end() if suffix else end
        around = re.sub(r"\A\d+\)", "", preamble) + inner + self.text[end:closing]
        if sum(map(around.count, "([{")) > sum(map(around.count, ")]}")):
            calls = [replace(call, broken=True) for call in calls]
        return format_name, calls, self._statements(closing, variable.strip()), self.is_quoted or may_be_program

    def _behind_thought(self, start: int) -> tuple[str, list[ParsedCall], int]:
        """Read a call that follows a line of ReAct's that begins with ``Thought:``."""
        for line in _LINE.finditer(self.text, start, start + _LONGEST_THOUGHT):
            position = line.end()
            if self.text.startswith("Final", position):
                break
            with suppress(NotACall):
                self._acts = True
                if self.at("```", position):
                    return "ReAct", *self.fenced(position)[1:]
                with suppress(NotACall):
                    return "ReAct", *self.unframed(position)[1:]
                return "ReAct", *self.embedded(position)[1:3]
        else:
            self.need(len(self.text) if len(self.text) < start + _LONGEST_THOUGHT else 0)
        raise NotACall(start + 1)

    def _in_fence(self, position: int) -> tuple[list[ParsedCall], int]:
        try:
            return super()._in_fence(position)
        except NotACall:
            format_name, calls, end, waits = self.embedded(position, True)
            is_program = waits and format_name == PYTHONIC and not self._acts
            if is_program or (calls[0].broken and self.text[position] in "{["):
                raise
            return calls, end

    def _closing(self, position: int) -> int:
        """Return the end of the signs that close the preamble at ``position``; 0 if there are none."""
        closing = self.match(_CLOSING, _CLOSING_START, position)
        return closing.end() if closing else 0

    def _statements(self, position: int, variable: str) -> int:
        """Return the end of the statements behind ``position`` that only show or return ``variable``."""
        if not variable:
            return position
        name = re.escape(variable.partition(":")[0].strip())
        line = re.compile(
            rf"\s{{0,3}}(?:;|\n)[ \t]*(?:return[ ]+{name}|[\w.]{{1,40}}\([^\n]{{0,80}}\b{name}\b[^\n]{{0,80}}\)|{name})"
            rf"[ \t]*;?(?:\s{{0,3}}</?\w{{1,20}}>)?(?=\s*(?:\n|[`~]{{3}}|\Z))"
        )
        beginning = re.compile(r"\s{0,3}(?:[;\n][ \t]*(?:[\w.]{0,40}(?:[ (][^\n]{0,160})?)?\s*)?[`~]{0,2}\Z")
        while statement := self.match(line, beginning, position):
            position = statement.end()
        # Of a program that breaks off, the call is whole.
        return len(self.text) if beginning.match(self.text, position) else position

    def _core(self, position: int, opener: str, preamble: str) -> tuple[str, list[ParsedCall], int, str] | None:
        """Read a call: its format, the calls, where they end, and the part of the preamble within; or ``None``."""
        self.need(position)
        first, following = self.text[position : position + 1], self.text[position + 1 : position + 2]
        if not preamble and (members := self.match(MEMBERS, MEMBERS_START, position)):
            return EMBEDDED, *self.members(members.start()), ""
        if first and first in "\"'" and following == "{":
            string = read_string(self.text, position, self.final)
            calls, end = CallParser(str(string.value), True, self.toolset).json(0, self.watch)
            if string.broken or end < len(str(string.value)):
                raise NotACall(string.end)
            return EMBEDDED, calls, string.end, ""
        if first and first in "[{":
            after = self.space(position + 1)
            inside = self.text[after : after + 1]
            if first == "[" and inside == '"':
                name = str(read_string(self.text, after, self.final).value)
                inside = "{" if self.toolset.resolve(name) else ""
            if inside in (("{",) if first == "[" else ('"', "'", "“", "‘")):
                return EMBEDDED, *self.api_json(position), ""
        match = _NAME.match(self.text, position)
        if match is None:
            return None
        if match.end() == len(self.text) and not self.final and self.toolset.may_begin(match[0]):
            raise NeedMore
        if opener and self.whole and self.text[position - 1 : position] in ("'", '"') and _DISPATCHER.search(opener):
            return self._with_arguments(match[0], match.end(), opener, preamble)
        name = match[0].rstrip(":.-")
        end, is_called = position + len(name), self.text.startswith("(", position + len(name))
        if is_called and self.toolset.resolve(name) is None:
            name = re.split(r"\.|__", name)[-1]
        is_narrated = preamble[:1] in _OPENINGS and _SAYS_CALL.search(preamble) is not None
        if self.toolset.resolve(name) is None and not (is_called and is_narrated and "_" in name):
            return None
        if is_called:
            return PYTHONIC, *self._called(name, end), ""
        return self._with_arguments(name, end, opener, preamble)

    def _called(self, name: str, position: int) -> tuple[list[ParsedCall], int]:
        """Read arguments in round brackets, with values that may have no quotes."""
        try:
            call, end = self.in_brackets(name, position + 1)
        except NotACall:
            unquoted = self.match(_UNQUOTED, _UNQUOTED_START, position)
            if unquoted is None:
                raise
            is_signature = set(re.split(r"\W+", unquoted[1])) <= {*self.properties(name), *_TYPES, ""}
            if is_signature:
                raise
            return [ParsedCall(name, None, True, unended=True)], unquoted.end()
        return [call], end

    def _with_arguments(
        self, name: str, position: int, opener: str, preamble: str
    ) -> tuple[str, list[ParsedCall], int, str]:
        """Read the arguments of ``name``, which ends at ``position``: JSON, in brackets, or as pairs."""
        after = self.match(_AFTER_NAME, _AFTER_NAME_START, position)
        end = after.end() if after else position
        label = self.match(ARGUMENTS_LABEL, ARGUMENTS_LABEL_START, position)
        label = label or self.match(ARGUMENTS_LABEL, ARGUMENTS_LABEL_START, end)
        if opener and "," in self.text[position:end] and not self.text.startswith("{", label.end() if label else -1):
            call, stop = self.in_brackets(name, end)
            return PYTHONIC, [self._unwrapped(call)], stop, self.text[position:end] + ")"
        end = label.end() if label else end
        fence = self.match(_FENCE, _FENCE_START, end)
        end = fence.end() if fence else end
        inner = self.text[position:end]
        if self.text.startswith("{", end):
            call, stop = self.json_arguments(name, end)
            return EMBEDDED, [call], self.fence_end(stop) if fence and "\n" in fence[0] else stop, inner
        if opener and ")" in inner and _CALLS.search(opener):
            return PYTHONIC, [ParsedCall(name, None)], end, inner
        if preamble.endswith("<") and self.text.startswith(">", position):
            element = self.match(_ELEMENT, _ELEMENT_START, position)
            if element and element[2] == name:
                return EMBEDDED, [self._of_text(name, element[1])], element.end(), ">"
        bracketed = self.match(_IN_BRACKETS, _IN_BRACKETS_START, position)
        if bracketed:
            return EMBEDDED, [self._of_text(name, bracketed[1])], bracketed.end(), ""
        pair = self.match(_PAIR, _PAIR_START, end)
        if _WORD.search(preamble) and not (pair and ("=" in pair[0] or "\n" in inner)):
            raise NotACall(position)
        is_pair = pair is not None and pair["key"] in self.properties(name) and pair[0].strip(" -") != pair["key"]
        within = self.match(_WITHIN, _WITHIN_START, position) if preamble[-1:] in tuple("([{<") else None
        if within and self.whole and not within[0].strip():
            return EMBEDDED, [ParsedCall(name, None, bool(self.properties(name)))], within.end(), ""
        if within and is_pair:
            return EMBEDDED, [self._of_text(name, within[0].strip(" :,/"))], within.end(), ""
        is_flag = pair is not None and pair[0].startswith("--") and pair["key"] in self.properties(name)
        if not is_pair and not is_flag and not self.match(_STRING, _STRING_START, end):
            raise NotACall(position)
        # It has no end by which one could see that it is whole.
        stop = self.text.find("\n\n" if "\n" in inner else "\n", end)
        self.need(len(self.text) if stop < 0 else 0)
        call = ParsedCall(name, None, True, unended=True)
        return EMBEDDED, [call], len(self.text) if stop < 0 else stop, ""

    def _unwrapped(self, call: ParsedCall) -> ParsedCall:
        """Return ``call`` with the arguments that stand in a single one, such as ``arguments={…}``."""
        arguments = call.arguments
        if not isinstance(arguments, dict) or len(arguments) != 1:
            return call
        ((key, value),) = arguments.items()
        if key not in ARGUMENT_KEYS or key in self.properties(call.name):
            return call
        value = read_whole(value) if isinstance(value, str) else value
        return ParsedCall(call.name, value, call.broken)


def shows_call(text: str, names: Collection[str]) -> bool:
    """Tell whether ``text`` has a call of one of ``names`` in it, or a mark with a call behind it, outside of code."""
    known = "|".join(map(re.escape, names)) or "(?!)"
    called = rf"(?<![\w.])(?:{known})(?:\((?=[^)\s])|[`*\"]{{0,3}}[ ]?[:,=]?\s?\{{)"
    in_json = rf"[\"'](?:{known})[\"']\s*,\s*(?:[\"']\w+[\"']\s*:\s*)?\{{"
    framed = rf"(?:{OPENER.pattern})\s*(?:[\[{{]|(?:{known})\b)"
    return re.search(f"{called}|{in_json}|{framed}", _CODE.sub("", text)) is not None


def looks_begun(text: str, first: bool, toolset: Toolset) -> bool:
    """Tell whether ``text``, the end of an answer or all of it (``first``), begins like a call and breaks off."""
    text = (text[text.rfind("\n") + 1 :] if _THOUGHT.match(text) else text).strip()
    label, words, has_sign = _LABELLED.match(text), _WORD.findall(text), _SIGN.search(text) is not None
    is_prose = "{" not in text and (_LIST.match(text) or _TALKS.search(text))
    if len(text) < 2 or is_prose or (label and label[1] and not toolset.may_begin(label[1])):
        return False
    last = words[-1] if words else ""
    is_last_named = len(last) > 2 and text.endswith(last) and toolset.may_begin(last) and last not in PREAMBLE_WORDS
    is_named = has_sign and (is_last_named or any(map(toolset.resolve, words)))
    if (text[0] in "[({" or (text[0] in "*_~" and text.count(text[0]) % 2 == 0)) and not _is_open(text):
        return False
    is_begun = is_named or _BEGUN.match(text) or (first and _BEGUN_ANSWER.match(text))
    is_ending = is_last_named or not (text[-1].isalnum() or text[-1] in _ENDINGS)
    return bool(is_begun) and (is_ending or _is_open(text) or MEMBERS.match(text) is not None)


def _is_open(text: str) -> bool:
    """Tell whether brackets, quotes or signs that ``text`` opens are not closed."""
    is_odd = any(text.count(sign) % 2 for sign in '"`*')
    return is_odd or any(text.count(opening) > text.count(closing) for opening, closing in ("()", "[]", "{}", "<>"))
