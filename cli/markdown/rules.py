"""The Markdown parser, told to leave alone what only looks like Markdown: paths, formulas, `__init__`, 2*3*4."""

import re
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

# A drive or a share at the beginning of the word: its backslashes are no escapes.
_WINDOWS_PATH = re.compile(r"(?:^|.*[\s(\"'`])(?:[A-Za-z]:\\|\\\\)\S*", re.DOTALL)
_ESCAPES = "*_`~#+-.!|<>$"
"""What a backslash may take its meaning from. Of the rest of ASCII's punctuation it is LaTeX's."""
_FORMULA = re.compile(r"\\\(.*?\\\)|\\\[.*?\\\]|\$\$[^\x0c]+?\$\$|\$(?=[^\s$])[^$\x0c]{0,119}(?<=[^\s\\])\$(?![0-9$])")
_DUNDER = re.compile(r"__[a-z][a-z0-9_]*?__(?![a-z0-9_])")
_BETWEEN = re.compile(r"(?<=[A-Za-z0-9)\]])\*+(?=[A-Za-z0-9(])")


@cache
def parser() -> MarkdownIt:
    """Return the parser. It knows no HTML, no references and no line ends inside a paragraph."""
    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # References would need the end of the answer, and their definitions would not be shown.
    made.disable(["reference", "newline", "html_inline", "html_block", "escape", "text_join"])
    for name, rule in (("backslash", _backslash), ("formula", _formula), ("word", _word), ("index", _index)):
        made.inline.ruler.before("backticks", name, rule)
    # An address is shown, not followed: as it was written.
    # The library's own way to replace these, which its types do not know.
    made.validateLink = lambda url: True  # type: ignore[method-assign]
    made.normalizeLink = lambda url: url  # type: ignore[method-assign]
    made.normalizeLinkText = lambda link: link  # type: ignore[method-assign]
    return made


def _literal(state: StateInline, length: int, silent: bool, shown: str | None = None) -> bool:
    if not silent:
        token = state.push("text_special", "", 0)
        token.content = state.src[state.pos : state.pos + length] if shown is None else shown
    state.pos += length
    return True


def _backslash(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "\\":
        return False
    if found := _FORMULA.match(state.src, state.pos, state.posMax):
        return _literal(state, len(found[0]), silent)
    following = state.src[state.pos + 1 : min(state.pos + 2, state.posMax)]
    if following and following in _ESCAPES and not in_path(state.src[: state.pos + 1]):
        return _literal(state, 2, silent, following)
    return _literal(state, 1 + (following in "[]()*_`~"), silent)


def in_path(text: str) -> bool:
    """Return whether ``text`` ends in the middle of a path of Windows."""
    return bool(_WINDOWS_PATH.fullmatch(text[-300:]))


def _formula(state: StateInline, silent: bool) -> bool:
    found = _FORMULA.match(state.src, state.pos, state.posMax) if state.src[state.pos] == "$" else None
    return bool(found) and _literal(state, len(found[0]) if found else 0, silent)


def _word(state: StateInline, silent: bool) -> bool:
    letter = state.src[state.pos]
    before = state.src[state.pos - 1] if state.pos else " "
    found = None
    if letter == "_" and not (before.isalnum() or before == "_"):
        found = _DUNDER.match(state.src, state.pos, state.posMax)
    elif letter == "*":
        found = _BETWEEN.match(state.src, state.pos, state.posMax)
    return bool(found) and _literal(state, len(found[0]) if found else 0, silent)


def _index(state: StateInline, silent: bool) -> bool:
    """``array[i](x)`` is no link."""
    before = state.src[state.pos - 1] if state.pos else " "
    return state.src[state.pos] == "[" and before.isascii() and before.isalnum() and _literal(state, 1, silent)
