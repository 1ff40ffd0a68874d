"""Lay out text in lines: words are placed one after the other, and a written line is never touched again."""

import re
from collections import deque
from collections.abc import Callable, Iterable
from copy import copy

from prompt_toolkit.utils import get_cwidth
from swarmchat.cli.terminal.themes import Style

SOFT_BREAK = "\x0c"
"""A line end inside a paragraph. The character cannot occur in text: sanitizing removes it."""

Span = tuple[str, Style]

_CJK = (
    "\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\U00020000-\U0003fffd"
)
_CLOSING = "、。，．！？；：）」』】》〉〕］｝"
"""Punctuation that must not begin a line."""
LONGEST_WORD = 2000
"""Characters; longer words are cut."""
CJK = re.compile(f"[{_CJK}]")
PIECES = re.compile(
    f"{SOFT_BREAK}|[ \t]+|[{_CJK}][{_CLOSING}]*|[^{_CJK} \t{SOFT_BREAK}]{{1,{LONGEST_WORD}}}[{_CLOSING}]*"
)
"""The pieces between which a line can be broken: words, and characters of scripts without spaces."""


def cells(text: str) -> int:
    """Return how many columns ``text`` takes at most: terminals disagree about combined emoji."""
    return len(text) if text.isascii() else get_cwidth(text) + text.count("\ufe0f")


def painted(spans: Iterable[Span]) -> str:
    """Return ``spans`` with the control sequences of their styles, reset at the end."""
    parts: list[str] = []
    last: Style = ()
    for text, style in spans:
        if text and style != last:
            parts.append("\x1b[0m" if last else "")
            parts.append(f"\x1b[{';'.join(style)}m" if style else "")
            last = style
        parts.append(text)
    return "".join(parts) + ("\x1b[0m" if last else "")


def bare(text: str) -> str:
    """Return ``text`` without control sequences of styles."""
    return re.sub("\x1b\\[[0-9;]*m", "", text) if "\x1b" in text else text


class Flow:
    """Places words in lines of ``width()`` columns and writes them. A word longer than a line is not broken.

    ``column`` is the position of the next word. At each line end inside a paragraph, the next of ``indents`` is used:
    the prefix of the following line, and that of the lines into which it is wrapped.
    """

    def __init__(self, write: Callable[[str], object], width: Callable[[], int]) -> None:
        self.column = 0
        self.indents: deque[tuple[str, str]] = deque()
        self._write = write
        self._width = width
        self._hang = ""
        self._start = 0
        """The column where the words of the line begin."""
        self._gap = ""
        self._gap_style: Style = ()
        self._word: list[Span] = []

    @property
    def used(self) -> int:
        """How many columns the words of the line take."""
        return self.column - self._start

    def copy(self, write: Callable[[str], object]) -> "Flow":
        """Return a flow that continues from here and writes elsewhere."""
        flow = copy(self)
        flow._write, flow._word, flow.indents = write, [], self.indents.copy()
        return flow

    def start(self, first: str, hang: str, column: int = 0) -> None:
        """Begin a line at ``column`` with ``first``; the lines into which it is wrapped begin with ``hang``."""
        self._write(first)
        self.column = column + cells(bare(first))
        self._hang, self._start, self._gap = hang, self.column, ""

    def add(self, spans: Iterable[Span]) -> None:
        """Place ``spans``. The line may be broken after them."""
        for text, style in spans:
            for piece in PIECES.findall(text):
                if piece == SOFT_BREAK:
                    self._place()
                    self._break()
                elif piece[0] in " \t":
                    self._place()
                    self._gap += piece.replace("\t", "    ")
                    self._gap_style = style
                else:
                    if self._word and (CJK.match(piece) or CJK.match(self._word[-1][0][-1])):
                        self._place()
                    self._word.append((piece, style))
        self._place()

    def advance(self, columns: int) -> None:
        """Move ``column`` by the width of a text that was written; the terminal wraps what is wider than the line."""
        self.column += columns
        if self.column > (width := self._width()):
            self.column = (self.column - 1) % width + 1

    def _place(self) -> None:
        if not self._word:
            return
        width, columns = sum(cells(text) for text, _ in self._word), self._width()
        gap = cells(self._gap)
        # The last column stays empty: after writing to it, terminals disagree about where the cursor is.
        if self.column > self._start and self.column + gap + width >= columns:
            self._write("\n" + self._hang)
            self.column = self._start = cells(bare(self._hang))
            gap, self._gap = 0, ""
        # A gap at the beginning of a paragraph's first line is kept: it may align something.
        gap_style = self._gap_style if self._gap_style == self._word[0][1] else ()
        self._write(painted([(self._gap, gap_style), *self._word]))
        self.advance(gap + width)
        self._gap = ""
        self._word.clear()

    def _break(self) -> None:
        first, hang = self.indents.popleft() if self.indents else (self._hang, self._hang)
        self._write("\n")
        self.start(first, hang)


def lines_of(spans: Iterable[Span], width: int) -> list[str]:
    """Return ``spans`` as lines of at most ``width`` columns; longer words are broken, and gaps are one space wide."""
    written: list[str] = []
    # One column more, as a flow leaves the last one empty.
    flow = Flow(written.append, lambda: width + 1)
    for text, style in spans:
        parts = (_broken(piece, width) for piece in PIECES.findall(text))
        one_space = re.sub(f"[ \t]*({SOFT_BREAK})[ \t]*|[ \t]+", lambda gap: gap[1] or " ", "".join(parts))
        flow.add([(one_space, style)])
    return "".join(written).split("\n")


def _broken(word: str, width: int) -> str:
    """Return ``word`` with breaks wherever it has filled ``width`` columns."""
    if cells(word) <= width:
        return word
    letters: list[str] = []
    column = 0
    for letter in word:
        column += cells(letter)
        if column > width and letters:
            letters.append(SOFT_BREAK)
            column = cells(letter)
        letters.append(letter)
    return "".join(letters)
