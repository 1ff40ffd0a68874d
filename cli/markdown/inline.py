"""The text of a paragraph: markup inside it becomes style, as soon as nothing that follows can change it."""

import re
from collections.abc import Sequence

from markdown_it.token import Token
from swarmchat.cli.markdown.layout import BOLD, CJK, ITALIC, PIECES, SOFT_BREAK, STRIKE, UNDERLINE, Flow, Span
from swarmchat.cli.markdown.rules import in_path, parser
from swarmchat.cli.terminal.sanitize import sanitize
from swarmchat.cli.terminal.themes import Style, style_of

_SPECIAL = re.compile(r"[\\`*_~\[\]<&$!]")
_LONGEST = 500
"""Letters for which the end of a markup is waited: what is longer is shown as it is written."""
_LOOKS = 8
"""How often a text is looked at that is not settled, before it must have grown by a quarter each time."""
_LONGEST_WORD = 2000
_GAPS = f" \t{SOFT_BREAK}"

# What in plain text may still become markup: what opens something that was not closed.
_OPENS = re.compile(
    r"`|\*+(?=[^\s*])|(?<!\w)_+(?=[^\s_])|~~(?=[^\s~])|\[|<[A-Za-z][^\s<>]*$|\$(?=[^\s\d$])[^$\x0c]{0,119}$"
)
_BRACKETS = re.compile(r"\[[^\[\]]*\](?!\()")
_STYLES = {"strong": BOLD, "em": ITALIC, "s": STRIKE}


def spans_of(tokens: Sequence[Token], styled: bool, base: Style = ()) -> list[Span]:
    """Return what inline ``tokens`` say. Where there are no styles, the marks stay in the text."""
    spans: list[Span] = []
    styles: list[str] = list(base)
    hrefs: list[tuple[str, str, int]] = []
    for token in tokens:
        kind, _, side = token.type.rpartition("_")
        if token.type in ("text", "text_special"):
            spans.append((_shown(token), tuple(styles)))
        elif token.type == "code_inline":
            # The marks stay: in what is copied, code is code.
            gap = " " if "`" in (token.content[:1], token.content[-1:]) else ""
            mark = (*styles, *style_of("mark")) if styled else ()
            code = (*styles, *style_of("code")) if styled else ()
            spans += [(token.markup, mark), (gap + token.content + gap, code), (token.markup, mark)]
        elif kind in _STYLES and styled:
            styles = [*styles, _STYLES[kind]] if side == "open" else _without(styles, _STYLES[kind])
        elif kind in _STYLES:
            spans.append((token.markup, ()))
        elif token.type == "link_open":
            hrefs.append((str(token.attrs["href"]), str(token.attrs.get("title", "")), len(spans)))
            styles = [*styles, UNDERLINE] if styled else styles
        elif token.type == "link_close":
            styles = _without(styles, UNDERLINE)
            href, title, start = hrefs.pop()
            shown = "".join(text for text, _ in spans[start:])
            spans += _address(shown, href, title, tuple(styles), styled)
        elif token.type == "image":
            shown = "".join(text for text, _ in spans_of(token.children or [], False))
            spans.append((f"image: {shown}" if shown else "image:", tuple(styles)))
            spans += _address("", str(token.attrs["src"]), str(token.attrs.get("title", "")), tuple(styles), styled)
        else:
            spans.append((sanitize(token.content), tuple(styles)))
    return spans


def inline(source: str) -> list[Token]:
    """Return the inline tokens of ``source``."""
    return parser().parseInline(source)[0].children or []


def settled(tokens: Sequence[Token], spaced: bool) -> bool:
    """Whether nothing that follows can change what ``tokens`` say; ``spaced``: they end in a space."""
    plain = "".join(token.content if token.type == "text" else "\0" for token in tokens) + ("" if spaced else "\0")
    while (less := _BRACKETS.sub("\0", plain)) != plain:
        plain = less
    return not _OPENS.search(plain)


class InlineText:
    """Takes the text of a paragraph piece by piece, and has ``flow`` write what is settled of it.

    What is written does not depend on where the pieces were cut: every word is looked at by itself.
    """

    def __init__(self, flow: Flow, styled: bool, base: Style = ()) -> None:
        self._flow = flow
        self._styled = styled
        self._base = base
        self._raw = ""
        """The beginning of a word, or of a mark."""
        self._held = ""
        """Words behind a mark that is not closed."""
        self._changed = False
        self._looks = self._enough = 0

    @property
    def pending(self) -> str:
        """What was taken and is not written."""
        return self._held + self._raw

    def feed(self, text: str) -> None:
        """Take ``text``; the end of a line in it is a SOFT_BREAK."""
        self._raw += text
        if not self._held and not _SPECIAL.search(self._raw):
            cut = max(self._raw.rfind(" "), self._raw.rfind("\t"), self._raw.rfind(SOFT_BREAK)) + 1
            self._write(self._raw[:cut])
            self._raw = self._raw[cut:]
        pieces = PIECES.findall(self._raw)
        while len(pieces) > 1 or (pieces and (pieces[0][0] in _GAPS or len(pieces[0]) > _LONGEST_WORD)):
            piece = pieces.pop(0)[:_LONGEST_WORD]
            self._raw = self._raw[len(piece) :]
            if len(piece) == _LONGEST_WORD:
                pieces = PIECES.findall(self._raw)
            self._take(piece)

    def finish(self) -> None:
        """Write the rest: nothing follows."""
        for piece in PIECES.findall(self._raw):
            self._take(piece)
        self._raw = ""
        self._commit()

    def end_line(self) -> None:
        """The line ends."""
        # A backslash at the end is a line break, which there is anyway.
        if self._raw.endswith("\\") and not self._raw.endswith("\\\\") and not in_path(self._raw):
            self._raw = self._raw[:-1]
        for piece in PIECES.findall(self._raw):
            self._take(piece)
        self._raw = ""
        self._settle(spaced=True)

    def go_on(self) -> None:
        """Another line of the same paragraph begins."""
        self.feed(SOFT_BREAK)

    def _take(self, piece: str) -> None:
        if piece[0] in _GAPS:
            self._held += piece
            self._settle(spaced=True)
        else:
            if self._held and (CJK.match(piece) or CJK.match(self._held[-1])):
                self._settle(spaced=self._held[-1] in _GAPS)
            self._held += piece
            self._changed = self._changed or bool(_SPECIAL.search(piece))

    def _settle(self, spaced: bool) -> None:
        if self._changed:
            if self._looks > _LOOKS and len(self._held) < self._enough:
                return
            self._looks, self._enough = self._looks + 1, min(_LONGEST, len(self._held) * 5 // 4)
            tokens = inline(self._held)
            if not settled(tokens, spaced) and len(self._held) < _LONGEST:
                # Only another mark can close it.
                self._changed = False
                return
            self._flow.add(spans_of(tokens, self._styled, self._base))
        elif _SPECIAL.search(self._held):
            if len(self._held) >= _LONGEST:
                self._commit()
            return
        else:
            self._write(self._held)
        self._held, self._changed, self._looks = "", False, 0

    def _commit(self) -> None:
        if self._held:
            self._flow.add(spans_of(inline(self._held), self._styled, self._base))
        self._held, self._changed, self._looks = "", False, 0

    def _write(self, text: str) -> None:
        if text:
            self._flow.add([(text, self._base)])


def _shown(token: Token) -> str:
    if token.info == "entity":
        return sanitize(token.content).replace("\n", " ")
    return token.content


def _without(styles: Sequence[str], style: str) -> list[str]:
    kept = list(styles)
    for position in range(len(kept) - 1, -1, -1):
        if kept[position] == style:
            del kept[position]
            break
    return kept


def _address(shown: str, href: str, title: str, style: Style, styled: bool) -> list[Span]:
    """Return what follows a link's text: its address, unless the text says it, and its title."""
    dim = (*style, *style_of("mark")) if styled else ()
    parts = [] if shown and href in (shown, f"mailto:{shown}") else [sanitize(href).replace("\n", " ")]
    if title:
        parts.append('"' + sanitize(title.replace(SOFT_BREAK, " ")).replace("\n", " ") + '"')
    return [(" ", style), (f"({' '.join(parts)})", dim)] if parts else []
