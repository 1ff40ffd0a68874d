"""Code with colours, line by line as it comes."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from pygments.lexers import get_all_lexers, get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Literal, Name, Number, Operator, String, Token
from pygments.util import ClassNotFound
from swarmchat.cli.markdown.layout import Span, painted
from swarmchat.cli.terminal.themes import Style, style_of

_LONGEST = 2000
"""Letters of a line that is still worth colours: what has more is data."""
_OPEN = 60
"""Lines that are read again while a text or a comment goes on: where it begins, and the last ones."""

_CLOSES = {"/*": "*/", "<!--": "-->", "`": "`", "[[": "]]", "=begin": "\n=end"}
"""What goes on over lines, and how it ends: most lexers see a comment only once they see its end."""
_QUOTES = {"'": "'", '"': '"'}
_QUOTES_GO_ON = {"Bash", "SQL", "PostgreSQL SQL dialect", "MySQL", "PHP"}
"""Lexers of languages whose plain texts go on over lines. Elsewhere a lone quotation mark is none."""

_ROLES: dict[Any, str] = {
    Comment: "code.comment",
    Comment.Preproc: "code.keyword",
    Keyword: "code.keyword",
    Keyword.Constant: "code.number",
    Keyword.Type: "code.builtin",
    Name.Builtin: "code.builtin",
    Name.Class: "code.class",
    Name.Decorator: "code.attribute",
    Name.Exception: "code.builtin",
    Name.Function: "code.function",
    Name.Tag: "code.function",
    Name.Attribute: "code.attribute",
    Number: "code.number",
    Operator.Word: "code.keyword",
    String: "code.string",
    Literal: "code.string",
    Generic.Deleted: "deleted",
    Generic.Inserted: "inserted",
    Generic.Heading: "code.heading",
    Generic.Subheading: "code.builtin",
}
_GOES_ON = (String, Comment.Multiline, Comment.Special)


class Colours:
    """Colours the lines of code in ``language``; one that is not known has none."""

    def __init__(self, language: str) -> None:
        self._lexer = _lexer(language.lower())
        quotes = self._lexer is not None and self._lexer.name in _QUOTES_GO_ON
        self._closes = {**_CLOSES, **_QUOTES} if quotes else _CLOSES
        self._before: list[str] = []
        """The lines above, back to where a text or a comment began that goes on."""
        self._closing: str | None = None
        """How that ends, where the lexer had to be told."""

    def line(self, text: str) -> str:
        """Return the next line in colours."""
        if self._lexer is None or len(text) > _LONGEST:
            return text
        source = "\n".join([*self._before, text, ""])
        start = len(source) - len(text) - 1
        tokens, closing = self._read(source, text)
        goes_on = closing is not None or (bool(tokens) and _is_open(tokens[-1][1]))
        self._closing = closing
        self._before = [*self._before, text] if goes_on else []
        if len(self._before) > _OPEN:
            del self._before[1]
        return painted(_spans(tokens, start, start + len(text)))

    def _read(self, source: str, text: str) -> tuple[list[tuple[int, Any, str]], str | None]:
        """Return the tokens of ``source``, and what closes the one that its last line ``text`` ends in."""
        begun = [end for begin, end in self._closes.items() if begin in text]
        for closing in [self._closing, *begun] if self._closing else begun:
            tokens = list(self._lexer.get_tokens_unprocessed(f"{source}{closing}\n"))
            end = len(source) - 1
            if any(at <= end < at + len(token) and _is_open(kind) for at, kind, token in tokens):
                return tokens, closing
        return list(self._lexer.get_tokens_unprocessed(source)), None


def _is_open(kind: Any) -> bool:
    return kind is Comment or any(kind in each for each in _GOES_ON)


def _spans(tokens: Iterable[tuple[int, Any, str]], start: int, end: int) -> Iterable[Span]:
    for position, kind, text in tokens:
        shown = text[max(0, start - position) : max(0, end - position)]
        if shown:
            yield shown, _style(kind)


def _style(kind: Any) -> Style:
    role = _role(kind)
    return style_of(role) if role else ()


@cache
def _role(kind: Any) -> str:
    while kind is not Token and kind not in _ROLES:
        kind = kind.parent
    return _ROLES.get(kind, "")


@cache
def _aliases() -> frozenset[str]:
    # Without those of other packages: to look for them takes long.
    return frozenset(alias for _, aliases, _, _ in get_all_lexers(plugins=False) for alias in aliases)


def _lexer(language: str) -> Any:
    if language not in _aliases() or language == "text":
        return None
    try:
        # PHP: whether it has begun is not known in the middle of it.
        return get_lexer_by_name(language, startinline=True)
    except ClassNotFound:
        return None
