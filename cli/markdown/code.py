"""Highlight the syntax of code, line by line as it streams in."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from pygments.lexers import get_all_lexers, get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Literal, Name, Number, Operator, String, Token
from swarmchat.cli.markdown.layout import Span, painted
from swarmchat.cli.terminal.themes import style_of

_LONGEST = 2000
"""Characters of a line; longer ones are data and are not highlighted."""
_OPEN = 60
"""Lines of an open string or comment that are parsed again: its first one and the last ones."""

_CLOSES = {"/*": "*/", "<!--": "-->", "`": "`", "[[": "]]", "=begin": "\n=end"}
"""Openings and ends of tokens that can span lines: most lexers recognise a comment only with its end."""
_QUOTES = {"'": "'", '"': '"'}
_QUOTES_SPAN_LINES = {"Bash", "SQL", "PostgreSQL SQL dialect", "MySQL", "PHP"}
"""Lexers of languages whose plain strings may span lines. Elsewhere, a single quotation mark opens nothing."""

_KINDS: dict[str, tuple[Any, ...]] = {
    "code.comment": (Comment,),
    "code.keyword": (Keyword, Comment.Preproc, Operator.Word),
    "code.builtin": (Keyword.Type, Name.Builtin, Name.Exception, Generic.Subheading),
    "code.class": (Name.Class,),
    "code.attribute": (Name.Attribute, Name.Decorator),
    "code.function": (Name.Function, Name.Tag),
    "code.number": (Number, Keyword.Constant),
    "code.string": (String, Literal),
    "code.heading": (Generic.Heading,),
    "deleted": (Generic.Deleted,),
    "inserted": (Generic.Inserted,),
}
_ROLES = {kind: role for role, kinds in _KINDS.items() for kind in kinds}
_SPAN_LINES = (String, Comment.Multiline, Comment.Special)


class Highlighter:
    """Highlights the lines of code in ``language``; leaves them as they are if the language is unknown."""

    def __init__(self, language: str) -> None:
        self._lexer = _lexer(language.lower())
        quotes = self._lexer is not None and self._lexer.name in _QUOTES_SPAN_LINES
        self._closes = {**_CLOSES, **_QUOTES} if quotes else _CLOSES
        self._above: list[str] = []
        """The lines above, from the beginning of the open string or comment on."""
        self._closing: str | None = None
        """The end of the open string or comment, if the lexer recognises it only with its end."""

    def line(self, text: str) -> str:
        """Return the next line with styles."""
        if self._lexer is None or len(text) > _LONGEST:
            return text
        source = "\n".join([*self._above, text, ""])
        start = len(source) - len(text) - 1
        tokens, self._closing = self._tokens(source, text)
        is_open = self._closing is not None or (bool(tokens) and _may_be_open(tokens[-1][1]))
        self._above = [*self._above, text] if is_open else []
        if len(self._above) > _OPEN:
            del self._above[1]
        return painted(_spans(tokens, start, start + len(text)))

    def _tokens(self, source: str, text: str) -> tuple[list[tuple[int, Any, str]], str | None]:
        """Return the tokens of ``source``, and the end mark of a token that is open after ``text``, its last line."""
        closings = [end for begin, end in self._closes.items() if begin in text]
        for closing in [self._closing, *closings] if self._closing else closings:
            tokens = list(self._lexer.get_tokens_unprocessed(f"{source}{closing}\n"))
            end = len(source) - 1
            if any(at <= end < at + len(token) and _may_be_open(kind) for at, kind, token in tokens):
                return tokens, closing
        return list(self._lexer.get_tokens_unprocessed(source)), None


def _may_be_open(kind: Any) -> bool:
    return kind is Comment or any(kind in each for each in _SPAN_LINES)


def _spans(tokens: Iterable[tuple[int, Any, str]], start: int, end: int) -> Iterable[Span]:
    for position, kind, text in tokens:
        if part := text[max(0, start - position) : max(0, end - position)]:
            role = _role(kind)
            yield part, style_of(role) if role else ()


@cache
def _role(kind: Any) -> str:
    while kind is not Token and kind not in _ROLES:
        kind = kind.parent
    return _ROLES.get(kind, "")


@cache
def _aliases() -> frozenset[str]:
    # Searching other packages for lexers would take long.
    return frozenset(alias for _, aliases, _, _ in get_all_lexers(plugins=False) for alias in aliases)


def _lexer(language: str) -> Any:
    if language not in _aliases() or language == "text":
        return None
    # PHP: the fragment may not contain the opening tag.
    return get_lexer_by_name(language, startinline=True)
