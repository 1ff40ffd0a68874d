"""The Markdown parser, with rules that leave alone what is no markup: paths, formulas, ``__init__``, 2*3*4."""

import re
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

# A drive or a share at the beginning of a word: its backslashes escape nothing.
_WINDOWS_PATH = re.compile(r"(?:^|.*[\s(\"'`])(?:[A-Za-z]:\\|\\\\)\S*", re.DOTALL)
_ESCAPES = "*_`~#+-.!|<>$"
"""What a backslash can escape. Before other punctuation, it belongs to LaTeX."""
_FORMULA = re.compile(r"\\\(.*?\\\)|\\\[.*?\\\]|\$\$[^\x0c]+?\$\$|\$(?=[^\s$])[^$\x0c]{0,119}(?<=[^\s\\])\$(?![0-9$])")
_DUNDER = re.compile(r"__[a-z][a-z0-9_]*?__(?![a-z0-9_])")
_STARS_IN_WORD = re.compile(r"(?<=[A-Za-z0-9)\]])\*+(?=[A-Za-z0-9(])")


@cache
def parser() -> MarkdownIt:
    """Return the parser. It knows no HTML, no references and no line ends inside a paragraph."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # A reference may be defined after it was printed, and its definition would not be shown.
    markdown.disable(["reference", "newline", "html_inline", "html_block", "escape", "text_join"])
    for name, rule in (("backslash", _backslash), ("formula", _formula), ("word", _word), ("index", _index)):
        markdown.inline.ruler.before("backticks", name, rule)
    # Addresses are shown as they were written, not followed. The library's documentation replaces these methods in
    # the same way, but its types do not allow it.
    markdown.validateLink = lambda url: True  # type: ignore[method-assign]
    markdown.normalizeLink = lambda url: url  # type: ignore[method-assign]
    markdown.normalizeLinkText = lambda link: link  # type: ignore[method-assign]
    return markdown


def in_path(text: str) -> bool:
    """Whether ``text`` ends inside a Windows path."""
    return bool(_WINDOWS_PATH.fullmatch(text[-300:]))


def _literal(state: StateInline, length: int, silent: bool, text: str | None = None) -> bool:
    """Take the next ``length`` characters as plain text, or as ``text``."""
    if not silent:
        token = state.push("text_special", "", 0)
        token.content = state.src[state.pos : state.pos + length] if text is None else text
    state.pos += length
    return True


def _literal_match(state: StateInline, pattern: re.Pattern[str], silent: bool) -> bool:
    match = pattern.match(state.src, state.pos, state.posMax)
    return match is not None and _literal(state, len(match[0]), silent)


def _before(state: StateInline) -> str:
    return state.src[state.pos - 1] if state.pos else " "


def _backslash(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "\\":
        return False
    if _literal_match(state, _FORMULA, silent):
        return True
    following = state.src[state.pos + 1 : min(state.pos + 2, state.posMax)]
    if following and following in _ESCAPES and not in_path(state.src[: state.pos + 1]):
        return _literal(state, 2, silent, following)
    return _literal(state, 1 + (following in "[]()*_`~"), silent)


def _formula(state: StateInline, silent: bool) -> bool:
    return state.src[state.pos] == "$" and _literal_match(state, _FORMULA, silent)


def _word(state: StateInline, silent: bool) -> bool:
    """``__init__`` and 2*3 are not emphasis."""
    letter, before = state.src[state.pos], _before(state)
    if letter == "_" and not (before.isalnum() or before == "_"):
        return _literal_match(state, _DUNDER, silent)
    return letter == "*" and _literal_match(state, _STARS_IN_WORD, silent)


def _index(state: StateInline, silent: bool) -> bool:
    """``array[i](x)`` is not a link."""
    before = _before(state)
    return state.src[state.pos] == "[" and before.isascii() and before.isalnum() and _literal(state, 1, silent)
