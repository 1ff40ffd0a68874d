"""Read marks of calls that are written in HTML entities, in other brackets or in another case as the plain marks."""

import re
from html import unescape
from typing import NamedTuple

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.formats import CLOSERS, OPENERS

_OPENING, _CLOSING = "＜〈《⟨‹«【", "＞〉》⟩›»】"
_SIGN = lazy_pattern(rf"[&\\<\[{_OPENING}]")
_WORD = r"(?:tool|function)[ _-]?calls?"
_MARK_IN_ENTITIES = lazy_pattern(
    r"(?:&lt;|&\#0?60;|&\#[xX]3[cC];|\\<)(?=/?(?:[|｜]|minimax:|tool|function|invoke|param|think))|<tool\\_"
)
_ENTITY = lazy_pattern(r"&(?:[a-zA-Z]{2,8}|\#\d{2,4}|\#[xX][0-9a-fA-F]{2,4});|\\([<>_])")
_CUT_ENTITY = lazy_pattern(r"(?:&[#\w]{0,8}|\\)\Z")
_BRACKETS = lazy_pattern(
    rf"([{_OPENING}])([/／]?(?:[|｜][\w▁ ]{{1,40}}[|｜]|tool|function|invoke|param|arg)"
    rf"[^<>{_OPENING}{_CLOSING}\n]{{0,100}})[{_CLOSING}]",
    re.IGNORECASE,
)
_OTHER_CASE = lazy_pattern(rf"<(/?{_WORD}|/?tools?)>|\[(/?{_WORD})\]", re.IGNORECASE)
_SPELLING = lazy_pattern(rf"(/?)({_WORD}|tools?)", re.IGNORECASE)
# What the text may end in while a mark is still being written.
_STARTS = "|".join(
    word[:length] for word in ("tool", "function", "invoke", "param", "think") for length in range(1, len(word))
)
_CUT = lazy_pattern(
    rf"(?:&(?:l(?:t;?)?|\#0?6?0?;?|\#[xX]3?[cC]?;?)?|\\<?|<tool\\|[{_OPENING}<\[]|&lt;|&\#0?60;)"
    rf"[/／]?(?:{_STARTS}|(?:[|｜]|tool|function|invoke|param|think)[^<>{_OPENING}{_CLOSING}\[\]\n&\\]{{0,100}})?\Z",
    re.IGNORECASE,
)


class PlainText(NamedTuple):
    """A text in which escaped marks are replaced, and where its characters come from."""

    text: str
    offsets: tuple[int, ...] | None = None
    """The position in the original of each character, and of the end; ``None`` if nothing was moved."""

    def origin(self, position: int) -> int:
        """Return the position in the original text."""
        return position if self.offsets is None else self.offsets[position]


def plain_text(text: str, final: bool) -> PlainText:
    """Return ``text`` with its escaped marks as plain ones; unless ``final``, without one that it may end in."""
    if not _SIGN.search(text):
        return PlainText(text)
    if not final and (cut := _CUT.search(text)):
        text = text[: cut.start()]
    mark = _MARK_IN_ENTITIES.search(text)
    offsets = None
    if mark:
        if not final and (cut := _CUT_ENTITY.search(text)):
            text = text[: cut.start()]
        text, offsets = _decoded(text, mark.start())
    text = _BRACKETS.sub(lambda match: f"<{_spelling(match[2])}>", text)
    return PlainText(_OTHER_CASE.sub(_of_other_case, text), offsets)


def _decoded(text: str, start: int) -> tuple[str, tuple[int, ...]]:
    """Return ``text`` with the entities from ``start`` on decoded, and the origin of its characters."""
    pieces, offsets, position = [text[:start]], list(range(start)), start
    for match in _ENTITY.finditer(text, start):
        value = match[1] or unescape(match[0])
        if len(value) == 1:
            pieces += [text[position : match.start()], value]
            offsets += [*range(position, match.start()), match.start()]
            position = match.end()
    offsets += range(position, len(text) + 1)
    return "".join([*pieces, text[position:]]), tuple(offsets)


def _of_other_case(match: "re.Match[str]") -> str:
    """Return the mark that a tag stands for, in the same number of characters."""
    mark, content = match[0], match[1] or match[2]
    is_known = mark in OPENERS or CLOSERS.fullmatch(mark)
    return mark if is_known else f"<{_spelling(content)}>"


def _spelling(content: str) -> str:
    """Return the content of a tag with the signs and the case of the plain mark."""
    content = content.replace("／", "/")
    match = _SPELLING.fullmatch(content)
    return f"{match[1]}{match[2].lower().replace('-', '_').replace(' ', '_')}" if match else content
