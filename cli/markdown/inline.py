"""The text of a paragraph: markup becomes style as soon as nothing that follows can change it.

Some text that CommonMark takes for markup is left alone: paths, formulas, ``__init__``, 2*3*4.
"""

import re
from collections.abc import Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from swarmchat.cli.markdown.layout import CJK, LONGEST_WORD, PIECES, SOFT_BREAK, Flow, Span
from swarmchat.cli.terminal.sanitize import sanitize
from swarmchat.cli.terminal.themes import Style, style_of

_SPECIAL = re.compile(r"[\\`*_~\[\]<&$!]")
_LONGEST = 500
"""Characters held until markup is closed; longer text is printed as it is."""
_ATTEMPTS = 8
"""How often held text is parsed again; after that, only whenever it has grown by a quarter."""
_GAPS = f" \t{SOFT_BREAK}"

# Marks in plain text that open markup if later text closes it.
_OPENS = re.compile(
    r"`|\*+(?=[^\s*])|(?<!\w)_+(?=[^\s_])|~~(?=[^\s~])|\[|<[A-Za-z][^\s<>]*$|\$(?=[^\s\d$])[^$\x0c]{0,119}$"
)
_BRACKETS = re.compile(r"\[[^\[\]]*\](?!\()")
# The styles of markup are the same in every theme.
_UNDERLINE = "4"
_STYLES = {"strong": "1", "em": "3", "s": "9"}


# A drive or a share at the beginning of a word: its backslashes escape nothing.
_WINDOWS_PATH = re.compile(r"(?:^|.*[\s(\"'`])(?:[A-Za-z]:\\|\\\\)\S*", re.DOTALL)
_ESCAPES = "*_`~#+-.!|<>$"
"""Characters that a backslash escapes. Before other punctuation, it belongs to LaTeX."""
# A longer formula is plain text: each mark that opens one would search the rest of the line for its end.
_FORMULA = re.compile(
    r"\\\(.{0,1000}?\\\)|\\\[.{0,1000}?\\\]|\$\$[^\x0c]{1,1000}?\$\$|\$(?=[^\s$])[^$\x0c]{0,119}(?<=[^\s\\])\$(?![0-9$])"
)
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
    markdown.validateLink = lambda url: True  # type: ignore[method-assign]  # see above
    markdown.normalizeLink = lambda url: url  # type: ignore[method-assign]  # see above
    markdown.normalizeLinkText = lambda link: link  # type: ignore[method-assign]  # see above
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
    if following and following in _ESCAPES and not in_path(state.src[max(0, state.pos - 300) : state.pos + 1]):
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


def spans_of(tokens: Sequence[Token], styled: bool, base: Style = ()) -> list[Span]:
    """Return the text of inline ``tokens`` with its styles. Unless ``styled``, marks stay in the text."""
    spans: list[Span] = []
    styles: list[str] = list(base)
    hrefs: list[tuple[str, str, int]] = []
    for token in tokens:
        kind, _, side = token.type.rpartition("_")
        if token.type in ("text", "text_special"):
            is_entity = token.info == "entity"
            text = sanitize(token.content).replace("\n", " ") if is_entity else token.content
            spans.append((text, tuple(styles)))
        elif token.type == "code_inline":
            # The marks stay, so that code can be recognised where it is pasted.
            gap = " " if "`" in (token.content[:1], token.content[-1:]) else ""
            mark = (*styles, *style_of("mark")) if styled else ()
            code = (*styles, *style_of("code")) if styled else ()
            spans += [(token.markup, mark), (gap + token.content + gap, code), (token.markup, mark)]
        elif kind in _STYLES and not styled:
            spans.append((token.markup, ()))
        elif kind in _STYLES:
            styles = [*styles, _STYLES[kind]] if side == "open" else styles[:-1]
        elif token.type == "link_open":
            hrefs.append((str(token.attrs["href"]), str(token.attrs.get("title", "")), len(spans)))
            styles = [*styles, _UNDERLINE] if styled else styles
        elif token.type == "link_close":
            styles = styles[:-1] if styled else styles
            href, title, start = hrefs.pop()
            link_text = "".join(part for part, _ in spans[start:])
            spans += _address(link_text, href, title, tuple(styles), styled)
        elif token.type == "image":
            description = "".join(part for part, _ in spans_of(token.children or [], False))
            spans.append((f"image: {description}".rstrip(), tuple(styles)))
            spans += _address("", str(token.attrs["src"]), str(token.attrs.get("title", "")), tuple(styles), styled)
        else:
            spans.append((sanitize(token.content), tuple(styles)))
    return spans


def inline(source: str) -> list[Token]:
    """Return the inline tokens of ``source``."""
    return parser().parseInline(source)[0].children or []


def settled(tokens: Sequence[Token], spaced: bool) -> bool:
    """Whether nothing that follows can change the meaning of ``tokens``; ``spaced``: a space comes after them."""
    plain = "".join(token.content if token.type == "text" else "\0" for token in tokens) + ("" if spaced else "\0")
    while (shorter := _BRACKETS.sub("\0", plain)) != plain:
        plain = shorter
    return not _OPENS.search(plain)


class InlineText:
    """Takes the text of a paragraph piece by piece; ``flow`` writes each part as soon as its markup is settled.

    What is written does not depend on where the pieces were cut: every word is examined by itself.
    """

    def __init__(self, flow: Flow, styled: bool, base: Style = ()) -> None:
        self._flow = flow
        self._styled = styled
        self._base = base
        self._raw = ""
        """The beginning of a word, or of a mark."""
        self._held = ""
        """Words after a mark that is not closed."""
        self._changed = False
        """Whether the held words contain marks that were not examined yet."""
        self._attempts = self._next_length = 0

    @property
    def pending(self) -> str:
        """The text that is not written yet."""
        return self._held + self._raw

    def feed(self, text: str) -> None:
        """Take ``text``; a line end in it is a SOFT_BREAK."""
        self._raw += text
        if not self._held and not _SPECIAL.search(self._raw):
            cut = max(self._raw.rfind(" "), self._raw.rfind("\t"), self._raw.rfind(SOFT_BREAK)) + 1
            self._write(self._raw[:cut])
            self._raw = self._raw[cut:]
        pieces = PIECES.findall(self._raw)
        # More of the last word may follow.
        self._raw = pieces.pop() if pieces and pieces[-1][0] not in _GAPS and len(pieces[-1]) <= LONGEST_WORD else ""
        for piece in pieces:
            self._take(piece)

    def finish(self) -> None:
        """Write the rest: nothing follows."""
        self._take_all()
        self._commit()

    def end_line(self) -> None:
        """The line ends."""
        # A backslash at the end is a line break, and every line end is one anyway.
        if self._raw.endswith("\\") and not self._raw.endswith("\\\\") and not in_path(self._raw):
            self._raw = self._raw[:-1]
        self._take_all()
        self._settle(spaced=True)

    def begin_line(self) -> None:
        """Another line of the same paragraph begins."""
        self.feed(SOFT_BREAK)

    def _take_all(self) -> None:
        for piece in PIECES.findall(self._raw):
            self._take(piece)
        self._raw = ""

    def _take(self, piece: str) -> None:
        is_gap = piece[0] in _GAPS
        if not is_gap and self._held and (CJK.match(piece) or CJK.match(self._held[-1])):
            self._settle(spaced=self._held[-1] in _GAPS)
        self._held += piece
        if is_gap:
            self._settle(spaced=True)
        else:
            self._changed = self._changed or bool(_SPECIAL.search(piece))
            if len(self._held) > LONGEST_WORD:
                # Without a space, it is never examined otherwise.
                self._commit()

    def _settle(self, spaced: bool) -> None:
        """Write the held words, if nothing that follows can change their meaning."""
        if not self._changed:
            if not _SPECIAL.search(self._held) or len(self._held) >= _LONGEST:
                self._commit()
            return
        if self._attempts > _ATTEMPTS and len(self._held) < self._next_length:
            return
        self._attempts, self._next_length = self._attempts + 1, min(_LONGEST, len(self._held) * 5 // 4)
        tokens = inline(self._held)
        # Unless settled, only another mark can change that.
        self._changed = False
        if settled(tokens, spaced) or len(self._held) >= _LONGEST:
            self._commit(tokens)

    def _commit(self, tokens: Sequence[Token] | None = None) -> None:
        if tokens or _SPECIAL.search(self._held):
            self._flow.add(spans_of(tokens or inline(self._held), self._styled, self._base))
        else:
            self._write(self._held)
        self._held, self._changed, self._attempts = "", False, 0

    def _write(self, text: str) -> None:
        if text:
            self._flow.add([(text, self._base)])


def _address(text: str, href: str, title: str, style: Style, styled: bool) -> list[Span]:
    """Return the text after a link's ``text``: its address, unless that is the text, and its title."""
    dim = (*style, *style_of("mark")) if styled else ()
    parts = [] if text and href in (text, f"mailto:{text}") else [sanitize(href).replace("\n", " ")]
    if title:
        parts.append('"' + sanitize(title.replace(SOFT_BREAK, " ")).replace("\n", " ") + '"')
    return [(" ", style), (f"({' '.join(parts)})", dim)] if parts else []
