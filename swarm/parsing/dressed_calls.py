"""Parser for calls in dress: a call among words and signs that say nothing but that it is one.

``(calling get_weather(city="Paris"))``, ``result = await get_weather("Paris")``, ``call_tool("get_weather", {…})``,
``***** Suggested tool call: get_weather *****`` and the like: no list has them all, so one rule reads them.
"""

import re

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.call_parser import ARGUMENTS_LABEL, ARGUMENTS_LABEL_START, CallParser
from swarmchat.swarm.parsing.call_values import ARGUMENT_KEYS, ParsedCall, read_whole
from swarmchat.swarm.parsing.formats import CALL_VERB, DRESS_WORDS, beginnings
from swarmchat.swarm.parsing.lenient_json import NeedMore, NotACall, read_string
from swarmchat.swarm.parsing.line_calls import NARRATED, PYTHONIC, LineCallParser
from swarmchat.swarm.tools.toolset import Toolset

DRESSED = "dressed call"
_LONGEST = 160
"""Characters of the dress before a call."""
_WORDS = "|".join(sorted(DRESS_WORDS, key=len, reverse=True))
_WORD_BEGINNINGS = beginnings(DRESS_WORDS) | DRESS_WORDS
# What a variable or a function may be called; not what also begins a sentence.
_IDENTIFIER = r"(?:[a-z_]|[A-Z][A-Z_]|(?:Tool|Function|Call|Action))\w{0,40}"
_IDENTIFIER_START = rf"(?:{_IDENTIFIER}|[A-Z]|Too?|Func?t?i?o?|Cal?|Act?i?o?)"
_TYPE = r"(?:[ ]?:[ ]?(?:str|dict|list|any|int|float|object|string)\b)?[ ]?"
_SIGNS = r"\[\](){}<>*_~`\"'|=$\#@/!%.:+•–—→\u2190-\u2bff\U0001f300-\U0001faff\ufe0f\u200b\ufeff-"
_TOKEN = lazy_pattern(
    rf"""\s{{1,3}}|<[/|]?[A-Za-z][\w:-]{{0,40}}[|]?>|(?P<variable>{_IDENTIFIER}){_TYPE}=(?![=>])
    |(?P<opener>{_IDENTIFIER}(?:\.\w{{1,40}}){{0,3}})\(|(?i:{_WORDS})(?![\w'-])
    |\([\w-]{{3,60}}\)(?=[ ]?:)|\d{{1,2}}:(?=\s)|[{_SIGNS}]""",
    re.VERBOSE,
)
_TOKEN_START = lazy_pattern(
    rf"""(?:{_IDENTIFIER_START}(?:(?:\.\w{{0,40}}){{0,3}}|[ ]?(?::[ ]?[a-z]{{0,6}})?[ ]?=?)
    |\([\w-]{{0,60}}\)?[ ]?|\d{{1,2}}:?|<[/|]?[\w:|-]{{0,43}})\Z""",
    re.VERBOSE,
)
_LETTERS = lazy_pattern(r"[A-Za-z][\w'-]{0,20}\Z")
_QUOTES = lazy_pattern(r"[`\"']|<(?:b|i|em|strong|li|p|td|pre|kbd|a|span|div|h\d)>")
"""What a line begins with that shows a text, and need not mean it."""
_LIST = lazy_pattern(r"(?:[-*+•–—]|\d{1,2}[.):])\s|>|\|")
"""What the lines of lists, quotations and tables begin with."""
_SAYS_CALL = lazy_pattern(rf"(?i:\b(?:{CALL_VERB}|(?:tool|function|api)[ _-]?(?:calls?|use|invocation|request))\b)")
_CALLS = lazy_pattern(r"(?i:call|tool|func|invoke|exec|run|dispatch)")
_NAME = lazy_pattern(r"[A-Za-z_][\w.:-]{0,99}")
# What may stand between the name and its arguments: closing signs, an id, words for a call, a colon or an arrow.
_AFTER_NAME = lazy_pattern(
    r"""[*_`"'\])~]{0,6}(?:[ ]?\([\w-]{3,60}\))?(?:[ ](?:tool|function)[ _]?calls?)?[ \t*]{0,9}
    (?:[:,;=|]|[=-]{1,2}>|→)?[ \t]{0,3}(?:\r?\n[ \t]{0,9}){0,2}""",
    re.VERBOSE,
)
_AFTER_NAME_START = lazy_pattern(
    r"""[*_`"'\])~]{0,6}(?:[ ]?\([\w-]{0,60}\)?)?(?:[ ][a-z_ ]{0,13})?[ \t*]{0,9}
    [:,;=|→>-]{0,3}[ \t]{0,3}(?:\r?\n?[ \t]{0,9}){0,2}\Z""",
    re.VERBOSE,
)
_FENCE = lazy_pattern(r"`{1,3}(?:[\w-]{0,20}[ \t]*\n\s{0,9})?(?=\{)")
_FENCE_START = lazy_pattern(r"`{1,3}(?:[\w-]{0,20}[ \t]*\n?\s{0,9})\Z")
_PAIR = lazy_pattern(r"(?:with[ ]|--)?(?P<key>[A-Za-z_]\w{0,99})(?:[ ]?[=:][ ]?|(?<=\w)[ ](?=\S))")
_PAIR_START = lazy_pattern(r"(?:w?i?t?h?|with[ ]|-{1,2})?(?:[A-Za-z_]\w{0,99})?[ ]?[=:]?[ ]?\Z")
_STRING = lazy_pattern(r"([\"'])[^\"'\n]{1,200}\1[ \t]*(?=\r?\n|\Z)")
_IN_BRACKETS, _IN_BRACKETS_START = lazy_pattern(r"\[([^\[\]\n]{1,300})\]"), lazy_pattern(r"\[[^\[\]\n]{0,300}\Z")
_UNQUOTED, _UNQUOTED_START = lazy_pattern(r"\(([^()\"'\n]{1,300})\)"), lazy_pattern(r"\([^()\"'\n]{0,300}\Z")
_TAG_END = r"</?[|]?[A-Za-z][\w:|-]{0,40}>"
_SUFFIX = lazy_pattern(
    rf"(?:[)\]}}>*_~`\"'|;,.!:]|{_TAG_END}|[ \t]|(?:->|=>|→)[^\]\n]{{0,200}}(?=\])|\n\*{{5,80}}|\s{{1,9}}{_TAG_END})*+"
)
_SUFFIX_START = lazy_pattern(r"[)\]}>*_~`\"'|;,.!: \t]*+\s*+(?:<[/|\w:-]{0,43}|(?:-|=|->|=>|→)[^\]\n]{0,200})?\Z")
_CLOSING, _CLOSING_START = lazy_pattern(r"[)\]}>*_~`]{1,4}"), lazy_pattern(r"[)\]}>*_~`]{0,4}\Z")

# What only a call begins with: at the beginning of an answer, or anywhere.
_BEGUN = lazy_pattern(r"[\[({<*_`~]{0,4}[\[({<]|[*_~]{1,2}\w{4}|`{3}[^\n]*\n\s*\S|\"\w+\"[ ]?:")
_BEGUN_SIGN = lazy_pattern(r"\{\s*[\"'](?:name|tool|function|action)|[\[({<*_~]{1,2}\w{4}")
_NOT_ENDED = lazy_pattern(r"(?s:\A[^:\n]{0,40}:|.*[=,(\[{])\s*[\w.-]{0,60}\Z")
_WORD = lazy_pattern(r"[\w-]{2,64}")


class DressedCallParser(LineCallParser):
    """Parses calls in dress. Only those of offered tools count."""

    def dressed(self, start: int) -> tuple[str, list[ParsedCall], int, bool]:
        """Read the call in dress at ``start``; last, whether it may be a line of a program, or is quoted."""
        position, variable, opener = start, "", ""
        while (core := self._core(position, opener, position == start)) is None:
            word = None if self.final else _LETTERS.match(self.text, position)
            if word and word[0].lower() in _WORD_BEGINNINGS:
                raise NeedMore
            token = None if position - start > _LONGEST else self.match(_TOKEN, _TOKEN_START, position)
            if token is None:
                raise NotACall(start + 1)
            variable, opener = token["variable"] or variable, token["opener"] or opener
            position = token.end()
        format_name, calls, end, inner = core
        dress = self.text[start:position]
        is_quoted = _QUOTES.match(dress) is not None
        if _LIST.match(dress) or (is_quoted and not self.whole):
            raise NotACall(start + 1)
        may_be_program = format_name == PYTHONIC and bool(dress) and not _CALLS.search(opener)
        if dress[:1] in tuple("([{*_~<") and _SAYS_CALL.search(dress) and (closing := self._closing(end)):
            return NARRATED, calls, closing, False
        suffix = self.match(_SUFFIX, _SUFFIX_START, end)
        closing = suffix.end() if suffix else end
        around = re.sub(r"\A\d+\)", "", dress) + inner + self.text[end:closing]
        if sum(map(around.count, "([{")) > sum(map(around.count, ")]}")):
            calls = [ParsedCall(call.name, call.arguments, True, call.explicit) for call in calls]
        return format_name, calls, self._statements(closing, variable.strip()), is_quoted or may_be_program

    def _in_fence(self, position: int) -> tuple[list[ParsedCall], int]:
        try:
            return super()._in_fence(position)
        except NotACall:
            _, calls, end, may_be_program = self.dressed(position)
            if may_be_program:
                raise
            return calls, end

    def _closing(self, position: int) -> int:
        """Return the end of the signs that close the dress at ``position``; 0 if there are none."""
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
        return position

    def _core(self, position: int, opener: str, is_first: bool) -> tuple[str, list[ParsedCall], int, str] | None:
        """Read a call without its dress: its format, the calls, where they end, and the dress within; or ``None``."""
        self.need(position)
        first, following = self.text[position : position + 1], self.text[position + 1 : position + 2]
        if first and first in "\"'" and following == "{":
            string = read_string(self.text, position, self.final)
            calls, end = CallParser(str(string.value), True, self.toolset).json(0, self.watch)
            if string.broken or end < len(str(string.value)):
                raise NotACall(string.end)
            return DRESSED, calls, string.end, ""
        if first and first in "[{":
            after = self.space(position + 1)
            if self.text[after : after + 1] in (("{",) if first == "[" else ('"', "'", "“", "‘")):
                self._named = None
                return DRESSED, *self.json(position, self.watch), ""
        match = _NAME.match(self.text, position)
        if match is None:
            return None
        if match.end() == len(self.text) and not self.final and self.toolset.may_begin(match[0]):
            raise NeedMore
        name = match[0].rstrip(":.-")
        end, is_called = position + len(name), self.text.startswith("(", position + len(name))
        if is_called and self.toolset.resolve(name) is None:
            name = re.split(r"\.|__", name)[-1]
        if self.toolset.resolve(name) is None:
            return None
        if is_called:
            return PYTHONIC, *self._called(name, end), ""
        return self._with_arguments(name, end, opener, is_first)

    def _called(self, name: str, position: int) -> tuple[list[ParsedCall], int]:
        """Read arguments in round brackets, with values that may have no quotes."""
        try:
            call, end = self.in_brackets(name, position + 1)
        except NotACall:
            unquoted = self.match(_UNQUOTED, _UNQUOTED_START, position)
            if unquoted is None:
                raise
            keys = [re.split(r"\s*[=:]", part.strip(), maxsplit=1)[0] for part in unquoted[1].split(",")]
            if not self.whole or not set(keys) <= self.properties(name).keys() or "=" not in unquoted[1]:
                raise
            return [ParsedCall(name, None, True)], unquoted.end()
        return [call], end

    def _with_arguments(
        self, name: str, position: int, opener: str, is_first: bool
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
            return DRESSED, [call], self.fence_end(stop) if fence and "\n" in fence[0] else stop, inner
        if opener and ")" in inner and _CALLS.search(opener):
            return PYTHONIC, [ParsedCall(name, None)], end, inner
        bracketed = self.match(_IN_BRACKETS, _IN_BRACKETS_START, position)
        if bracketed:
            return DRESSED, [self._of_text(name, bracketed[1])], bracketed.end(), ""
        if not is_first:
            raise NotACall(position)
        pair = self.match(_PAIR, _PAIR_START, end)
        is_pair = pair is not None and pair["key"] in self.properties(name) and pair[0].strip(" -") != pair["key"]
        is_flag = pair is not None and pair[0].startswith("--") and pair["key"] in self.properties(name)
        if not is_pair and not is_flag and not _STRING.match(self.text, end):
            raise NotACall(position)
        # It has no end by which one could see that it is whole.
        stop = self.text.find("\n\n" if "\n" in inner else "\n", end)
        self.need(len(self.text) if stop < 0 else 0)
        return DRESSED, [ParsedCall(name, None, True)], len(self.text) if stop < 0 else stop, ""

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


def looks_begun(text: str, first: bool, toolset: Toolset) -> bool:
    """Tell whether ``text``, the end of an answer or all of it (``first``), begins like a call and breaks off."""
    words = _WORD.findall(text)
    last = words[-1] if words else ""
    is_named = any(map(toolset.resolve, words)) or (len(last) > 3 and "_" in last and toolset.may_begin(last))
    is_likely = is_named or (_BEGUN.match(text) if first else _BEGUN_SIGN.match(text))
    return len(text.strip()) > 1 and bool(is_likely) and _is_open(text)


def _is_open(text: str) -> bool:
    """Tell whether brackets, quotes or signs that ``text`` opens are not closed, or a value is missing at its end."""
    is_odd = any(text.count(sign) % 2 for sign in '"`*')
    unclosed = any(text.count(opening) > text.count(closing) for opening, closing in ("()", "[]", "{}", "<>"))
    return is_odd or unclosed or _NOT_ENDED.match(text) is not None
