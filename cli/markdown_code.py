"""Code with colours, line by line as it comes."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from pygments.lexers import get_all_lexers, get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Literal, Name, Number, Operator, String, Token
from pygments.util import ClassNotFound
from swarmchat.cli.markdown_flow import BOLD, DIM, ITALIC, Span, Style, painted

_LONGEST = 2000
"""Letters of a line that is still worth colours: what has more is data."""
_OPEN = 60
"""Lines for which a text or a comment that goes on is read again from its beginning."""

_STYLES: dict[Any, Style] = {
    Comment: (DIM, ITALIC),
    Comment.Preproc: ("35",),
    Keyword: ("35",),
    Keyword.Constant: ("36",),
    Keyword.Type: ("36",),
    Name.Builtin: ("36",),
    Name.Class: ("33", BOLD),
    Name.Decorator: ("33",),
    Name.Exception: ("36",),
    Name.Function: ("34",),
    Name.Tag: ("34",),
    Name.Attribute: ("33",),
    Number: ("36",),
    Operator.Word: ("35",),
    String: ("32",),
    Literal: ("32",),
    Generic.Deleted: ("31",),
    Generic.Inserted: ("32",),
    Generic.Heading: (BOLD,),
    Generic.Subheading: ("36",),
}
_GOES_ON = (String, Comment.Multiline, Comment.Special)


class Colours:
    """Colours the lines of code in ``language``; one that is not known has none."""

    def __init__(self, language: str) -> None:
        self._lexer = _lexer(language.lower())
        self._before: list[str] = []
        """The lines above, back to where a text or a comment began that goes on."""

    def line(self, text: str) -> str:
        """Return the next line in colours."""
        if self._lexer is None or len(text) > _LONGEST:
            return text
        tokens = list(self._lexer.get_tokens_unprocessed("\n".join([*self._before, text, ""])))
        start = sum(len(line) + 1 for line in self._before)
        spans = list(_spans(tokens, start, start + len(text)))
        goes_on = bool(tokens) and any(tokens[-1][1] in kind for kind in _GOES_ON)
        self._before = [*self._before, text] if goes_on and len(self._before) < _OPEN else []
        return painted(spans)


def _spans(tokens: Iterable[tuple[int, Any, str]], start: int, end: int) -> Iterable[Span]:
    for position, kind, text in tokens:
        shown = text[max(0, start - position) : max(0, end - position)]
        if shown:
            yield shown, _style(kind)


@cache
def _style(kind: Any) -> Style:
    while kind is not Token and kind not in _STYLES:
        kind = kind.parent
    return _STYLES.get(kind, ())


@cache
def _aliases() -> frozenset[str]:
    # Without those of other packages: to look for them takes long.
    return frozenset(alias for _, aliases, _, _ in get_all_lexers(plugins=False) for alias in aliases)


def _lexer(language: str) -> Any:
    if language not in _aliases() or language == "text":
        return None
    try:
        return get_lexer_by_name(language)
    except ClassNotFound:
        return None
