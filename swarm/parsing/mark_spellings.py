"""Read marks of calls in another spelling as the plain marks: HTML entities, other brackets, other words for a call.

A mark is a pair of brackets around a word for a call, whichever the model takes: ``[TOOL CALL]``, ``{{tool_call}}``,
``<Action>``. The call may stand within the brackets too: ``[Calling tool: f(a=1)]``.
"""

import re
from collections.abc import Callable
from html import unescape
from typing import NamedTuple

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.formats import CALL_VERB, CLOSERS, INSIDE_OPENER, OPENERS, beginnings

_OPENING, _CLOSING = "＜〈《⟨‹«【", "＞〉》⟩›»】"
ESCAPED = f"&\\{_OPENING}"
"""What a mark begins with that may be the subject of a text about markup."""
_SIGN = lazy_pattern(rf"[&\\<\[{{{_OPENING}]")
_MARK_IN_ENTITIES = lazy_pattern(
    r"(?:&lt;|&\#0?60;|&\#[xX]3[cC];|\\<|\\\[)(?=/?(?:[|｜]|minimax:|tool|function|invoke|param|think|TOOL))|<tool\\_"
)
_ENTITY = lazy_pattern(r"&(?:[a-zA-Z]{2,8}|\#\d{2,4}|\#[xX][0-9a-fA-F]{2,4});|\\([\[\]<>_])")
_CUT_ENTITY = lazy_pattern(r"(?:&[#\w]{0,8}|\\)\Z")
_BRACKETS = lazy_pattern(
    rf"([{_OPENING}])([/／]?(?:[|｜][\w▁ ]{{1,40}}[|｜]|tool|function|invoke|param|arg)"
    rf"[^<>{_OPENING}{_CLOSING}\n]{{0,100}})[{_CLOSING}]",
    re.IGNORECASE,
)
# Kimi K3's elements.
_ELEMENT = lazy_pattern(r"<\|(open|close)\|>([^<>\n]{1,200})<\|sep\|>")
_OPEN, _CLOSE = r"<{1,3}\|?|\[{1,2}|\{\{", r"\|?>{1,3}|\]{1,2}|\}\}"
_NOUN = "(?:tool|function|api|action|command|plugin)"
_CALL = (
    r"(?:tool|function|api)[ _-]?(?:calls?|invocation|request)(?:[ _-](?:block|start|begin))?"
    r"|calling[ _-](?:tool|function)"
)
"""Words that only a call has. The others say something only before a call."""
_WORDS = (
    rf"(?:(?P<call>{_CALL})|{CALL_VERB}[ _-](?:the[ _-]|mcp[ _-])?{_NOUN}s?|{_NOUN}(?:[ _-]?use|s)?"
    rf"|(?P<verb>{CALL_VERB}))"
)
_SPELLING = lazy_pattern(
    rf"(?P<open>{_OPEN})(?P<end>[ \t]?(?:/|end[ _-]?))?[ \t]?{_WORDS}[ \t]?"
    rf"(?:(?P<close>{_CLOSE})|(?(end)(?!)|(?P<inside>:[ \t]{{0,3}}|(?<=[ \t])(?=[\w{{\[`\"']))"
    rf"(?:(?P<content>[^\[\]{{}}<>\n]{{1,300}})(?P<last>{_CLOSE}))?))",
    re.IGNORECASE,
)
# What the text may end in while a mark is still being written.
_STARTS = "|".join(
    word[:length] for word in ("tool", "function", "invoke", "param", "think") for length in range(1, len(word))
)
_CUT = lazy_pattern(
    rf"(?:&(?:l(?:t;?)?|\#0?6?0?;?|\#[xX]3?[cC]?;?)?|\\[<\[]?|<tool\\|[{_OPENING}]|&lt;|&\#0?60;)"
    rf"[/／]?(?:{_STARTS}|(?:[|｜]|tool|function|invoke|param|think)[^<>{_OPENING}{_CLOSING}\[\]\n&\\]{{0,100}})?\Z"
    rf"|(?:{_OPEN}|\{{)[ \t]?(?:/|end)?[ \t_-]?[a-z_ -]{{0,40}}(?:[:|]?[ \t]{{0,3}}|\|?>{{0,3}}|\]{{0,2}}|\}}{{0,2}})\Z"
    r"|<\|(?:op?e?n?|cl?o?s?e?)\|?\Z|<\|(?:open|close)\|>[^<>\n]{0,200}(?:<\|?[sep]{0,3}\|?>?)?\Z",
    re.IGNORECASE,
)
_BEGUN = lazy_pattern(rf"(?:{_OPEN})[ \t]?([a-z][a-z_ -]{{4,40}}):?[ \t]{{0,3}}\Z", re.IGNORECASE)
_CALL_BEGINNINGS = beginnings(
    f"{first}{second}" for first in ("tool", "function", "api") for second in ("calls ", "invocation ", "request ")
) | beginnings(("callingtool ", "callingfunction "))


class PlainText(NamedTuple):
    """A text with its marks in their plain spelling, and where its characters come from."""

    text: str
    offsets: tuple[int, ...] | None = None
    """The position in the original of each character, and of the end; ``None`` if nothing was moved."""

    def origin(self, position: int) -> int:
        """Return the position in the original text."""
        return position if self.offsets is None else self.offsets[position]


def plain_text(text: str, final: bool) -> PlainText:
    """Return ``text`` with its marks in their plain spelling; unless ``final``, without one that it may end in."""
    if not _SIGN.search(text):
        return PlainText(text)
    if not final and (cut := _CUT.search(text)):
        text = text[: cut.start()]
    plain = PlainText(text)
    mark = _MARK_IN_ENTITIES.search(text)
    if mark:
        if not final and (cut := _CUT_ENTITY.search(text)):
            plain = PlainText(text[: cut.start()])
        plain = _replaced(plain, _ENTITY, _decoded, mark.start())
    plain = _replaced(plain, _BRACKETS, lambda match: f"<{match[2].replace('／', '/')}>")
    plain = _replaced(plain, _ELEMENT, lambda match: f"<{'/' * (match[1] == 'close')}{match[2]}>")
    plain = _replaced(plain, _SPELLING, _plain_mark)
    return _replaced(plain, _BEGUN, _plain_beginning) if final else plain


def _replaced(
    plain: PlainText, pattern: "re.Pattern[str]", new: "Callable[[re.Match[str]], str]", start: int = 0
) -> PlainText:
    """Return ``plain`` with what matches ``pattern`` replaced; each replacement comes from where its match began."""
    pieces, offsets, position = list[str](), list[int](), 0
    for match in pattern.finditer(plain.text, start):
        text = new(match)
        if text != match[0]:
            pieces += [plain.text[position : match.start()], text]
            offsets += [*range(position, match.start()), *[match.start()] * len(text)]
            position = match.end()
    if not pieces:
        return plain
    offsets += range(position, len(plain.text) + 1)
    return PlainText("".join([*pieces, plain.text[position:]]), tuple(map(plain.origin, offsets)))


def _decoded(match: "re.Match[str]") -> str:
    value = match[1] or unescape(match[0])
    return value if len(value) == 1 else match[0]


def _plain_mark(match: "re.Match[str]") -> str:
    """Return the plain spelling of a mark, with the call that stands within its brackets."""
    mark, inside, is_tag = match[0], match["inside"], match["open"] in ("<", "<|")
    head = mark if inside is None else mark[: match.end("inside") - match.start()]
    if head in OPENERS or CLOSERS.fullmatch(mark) or INSIDE_OPENER.fullmatch(mark) or (is_tag and inside == ":"):
        # The last is a namespace before the name of a tool.
        return mark
    name = "tool_call" if match["call"] else "call" if match["verb"] else "tool"
    if match["close"]:
        return f"<{'/' * bool(match['end'])}{name}>"
    if is_tag and inside is not None and ":" not in inside:
        # Attributes, or a call.
        return f"<{name if match['call'] else 'tool'} {mark[len(head) :]}"
    return f"<{name}>{match['content'] or ''}{f'</{name}>' if match['last'] else ''}"


def _plain_beginning(match: "re.Match[str]") -> str:
    """Return the beginning of the plain mark for that of a mark that the text ends in."""
    letters = re.sub(r"[ _-]", "", match[1].casefold())
    return "<tool_call" if letters in _CALL_BEGINNINGS else match[0]
