"""Text that flows: words are placed one after the other, on lines that are never touched again."""

import re
from collections import deque
from collections.abc import Callable, Iterable

from prompt_toolkit.utils import get_cwidth
from swarmchat.cli.terminal.themes import Style

SOFT_BREAK = "\x0c"
"""Stands for the end of a line inside a paragraph. No text holds it: it is no character that may be printed."""

BOLD, ITALIC, UNDERLINE, STRIKE = "1", "3", "4", "9"
"""What markup itself means, in every theme."""

Span = tuple[str, Style]

_CJK = (
    "\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\U00020000-\U0003fffd"
)
_CLOSING = "、。，．！？；：）」』】》〉〕］｝"
"""What does not stand at the beginning of a line."""
CJK = re.compile(f"[{_CJK}]")
PIECES = re.compile(f"{SOFT_BREAK}|[ \t]+|[{_CJK}][{_CLOSING}]*|[^{_CJK} \t{SOFT_BREAK}]+[{_CLOSING}]*")
"""What a line may be broken between: words, and the letters of scripts that have none."""


def cells(text: str) -> int:
    """Return how many columns ``text`` takes at most: terminals disagree about emoji that are put together."""
    return len(text) if text.isascii() else get_cwidth(text) + text.count("\ufe0f")


def painted(spans: Iterable[Span]) -> str:
    """Return ``spans`` with their styles, as a terminal takes them. Each ends with none."""
    parts: list[str] = []
    last: Style = ()
    for text, style in spans:
        if text and style != last:
            parts.append("\x1b[0m" if last else "")
            parts.append(f"\x1b[{';'.join(style)}m" if style else "")
            last = style
        parts.append(text)
    return "".join(parts) + ("\x1b[0m" if last else "")


class Flow:
    """Places words in lines of ``width()`` columns and writes them. A word that is longer than a line is not broken.

    ``column`` is where the next word goes. Lines inside a paragraph begin with what ``indents`` holds for them: for
    the line itself, and for what has no room on it.
    """

    def __init__(self, write: Callable[[str], object], width: Callable[[], int]) -> None:
        self.column = 0
        self.indents: deque[tuple[str, str]] = deque()
        self._write = write
        self._width = width
        self._hang = ""
        self._begin = 0
        """The column where the words of the line begin."""
        self._gap = ""
        self._gap_style: Style = ()
        self._word: list[Span] = []

    @property
    def taken(self) -> int:
        """How many columns the words of the line take."""
        return self.column - self._begin

    def copy(self, write: Callable[[str], object]) -> "Flow":
        """Return one that goes on where this one is, and writes elsewhere."""
        other = Flow(write, self._width)
        other.column, other._hang, other._begin, other._gap = self.column, self._hang, self._begin, self._gap
        other.indents = self.indents.copy()
        return other

    def start(self, first: str, hang: str, column: int = 0) -> None:
        """Begin a line with ``first``; what has no room on it begins with ``hang``. ``column`` columns are taken."""
        self._write(first)
        self.column = column + cells(bare(first))
        self._hang, self._begin, self._gap = hang, self.column, ""

    def add(self, spans: Iterable[Span]) -> None:
        """Place what ``spans`` say. The line may be broken after them."""
        for text, style in spans:
            for piece in PIECES.findall(text):
                if piece[0] in (" ", "\t", SOFT_BREAK):
                    self._place()
                    if piece == SOFT_BREAK:
                        self._break()
                    else:
                        self._gap += piece.replace("\t", "    ")
                        self._gap_style = style
                elif CJK.match(piece):
                    self._place()
                    self._word.append((piece, style))
                    self._place()
                else:
                    if self._word and CJK.match(self._word[-1][0][-1]):
                        self._place()
                    self._word.append((piece, style))
        self._place()

    def _place(self) -> None:
        if not self._word:
            return
        width, columns = sum(cells(text) for text, _ in self._word), self._width()
        gap = cells(self._gap)
        # The last column stays empty: behind it, terminals disagree about where the cursor is.
        if self.column > self._begin and self.column + gap + width >= columns:
            self._write("\n" + self._hang)
            self.column = self._begin = cells(bare(self._hang))
            gap, self._gap = 0, ""
        # A gap at the beginning of a paragraph's first line is kept: it may align something.
        same = self._gap_style if self._gap_style == self._word[0][1] else ()
        self._write(painted([(self._gap, same), *self._word]))
        self.column += gap + width
        if self.column > columns:
            # The terminal has broken it.
            self.column = (self.column - 1) % columns + 1
        self._gap = ""
        self._word.clear()

    def _break(self) -> None:
        first, hang = self.indents.popleft() if self.indents else (self._hang, self._hang)
        self._write("\n")
        self.start(first, hang)


def lines_of(spans: Iterable[Span], width: int) -> list[tuple[str, int]]:
    """Return ``spans`` as lines of ``width`` columns, each with the columns that it takes; longer words are broken."""
    lines: list[list[Span]] = [[]]
    column = gap = 0
    for text, style in spans:
        for piece in PIECES.findall(text):
            if piece == SOFT_BREAK:
                lines.append([])
                column = gap = 0
            elif piece[0] in " \t":
                gap = 1 if column else 0
            else:
                size = cells(piece)
                if column and column + gap + size > width:
                    lines.append([])
                    column = gap = 0
                if gap:
                    lines[-1].append((" ", style))
                for part in _broken(piece, width) if size > width else (piece,):
                    if column and column + cells(part) > width:
                        lines.append([])
                        column = gap = 0
                    lines[-1].append((part, style))
                    column += gap + cells(part)
                    gap = 0
    return [(painted(line), sum(cells(text) for text, _ in line)) for line in lines]


def _broken(word: str, width: int) -> list[str]:
    parts, size = [""], 0
    for letter in word:
        wide = cells(letter)
        if size + wide > width and parts[-1]:
            parts.append("")
            size = 0
        parts[-1] += letter
        size += wide
    return parts


def bare(text: str) -> str:
    """Return ``text`` without styles."""
    return re.sub("\x1b\\[[0-9;]*m", "", text) if "\x1b" in text else text
