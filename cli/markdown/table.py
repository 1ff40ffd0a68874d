"""Tables, drawn as soon as the widths of their columns are known; tables that cannot be drawn stay text."""

import re
from collections.abc import Sequence
from itertools import zip_longest

from markdown_it.token import Token
from swarmchat.cli.markdown.inline import parser, spans_of
from swarmchat.cli.markdown.layout import SOFT_BREAK, Span, bare, cells, lines_of, painted
from swarmchat.cli.terminal.themes import style_of

DRAWN_AT_ONCE = 40
"""Rows that decide the widths of the columns; later rows are wrapped to fit."""
_LARGEST = 3000
"""Characters that are held at most before the table is drawn."""
_SPARE = 3
"""Columns added to each column when more rows may follow."""
_NARROWEST = 6
_DELIMITERS = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)

Cell = list[Span]


class Table:
    """Takes lines that look like a table, one by one, and returns what to print."""

    def __init__(self, width: int, styled: bool) -> None:
        self._width = width
        self._styled = styled
        self._is_plain = False
        self._widths: list[int] = []
        """The widths of the columns, once the table is drawn."""
        self._aligns: list[str] = []
        self._head: list[str] = []
        """The lines of the head and the delimiters."""
        self.held: list[str] = []
        """Lines that were not returned yet."""

    def add(self, line: str) -> list[str]:
        """Take a line; return the lines that can be printed now."""
        if self._is_plain:
            return [line]
        if self._widths:
            try:
                return self._draw_another(line)
            except ValueError:
                return [line]
        self.held.append(line)
        full = len(self.held) > DRAWN_AT_ONCE or sum(map(len, self.held)) > _LARGEST
        if full or (len(self.held) == 2 and not _DELIMITERS.fullmatch(line.strip())):
            return self.end(spare=_SPARE)
        return []

    def end(self, *, spare: int = 0) -> list[str]:
        """Return the held lines, drawn if they are a table; each column gets ``spare`` columns more than it needs."""
        lines, self.held = self.held, []
        try:
            rows, self._aligns = self._read(lines)
            self._widths = _fitted(
                [max(map(_width, column)) + spare for column in zip(*rows, strict=True)], self._width
            )
        except ValueError:
            self._is_plain = True
            return lines
        self._head = lines[:2]
        bold, dim = (style_of("table.head"), style_of("mark")) if self._styled else ((), ())
        head = [[(text, bold + style) for text, style in cell] for cell in rows[0]]
        bar = painted([("─┼─".join("─" * width for width in self._widths), dim)])
        return [*self._row(head), bar, *(line for row in rows[1:] for line in self._row(row))]

    def _draw_another(self, line: str) -> list[str]:
        """Return the drawn lines of one more row. Raises ValueError if the row has too many cells."""
        try:
            # Parsing it as a head costs half as much, and works if no cell is missing.
            rows, _ = self._read([line, self._head[1]])
        except ValueError:
            rows, _ = self._read([*self._head, line])
        return self._row(rows[-1])

    def _read(self, lines: Sequence[str]) -> tuple[list[list[Cell]], list[str]]:
        """Return the rows of a table and the alignments of its columns. Raises ValueError if ``lines`` are not one."""
        lines = [_with_bars_escaped(line, lines[min(1, len(lines) - 1)]) for line in lines]
        tokens = parser().parse("\n".join(line.strip() for line in lines))
        if not tokens or tokens[0].type != "table_open" or tokens[-1].type != "table_close":
            raise ValueError("not a table")
        rows: list[list[Cell]] = []
        aligns: list[str] = []
        for position, token in enumerate(tokens):
            if token.type == "tr_open":
                rows.append([])
            elif token.type in ("th_open", "td_open"):
                rows[-1].append(self._cell(tokens[position + 1]))
                if len(rows) == 1:
                    aligns.append(str(token.attrs.get("style", "")).removeprefix("text-align:"))
        if len(rows) != len(lines) - 1 or any(_count(line) > len(aligns) for line in lines):
            # Cells beyond the last column would be lost.
            raise ValueError("cells without a column")
        return rows, aligns

    def _cell(self, token: Token) -> Cell:
        return [(_BREAK.sub(SOFT_BREAK, text), style) for text, style in spans_of(token.children or [], self._styled)]

    def _row(self, row: Sequence[Cell]) -> list[str]:
        columns = [lines_of(cell, width) for cell, width in zip(row, self._widths, strict=True)]
        bar = painted([(" │ ", style_of("mark") if self._styled else ())])
        lines = []
        for texts in zip_longest(*columns, fillvalue=""):
            parts = []
            for text, width, align in zip(texts, self._widths, self._aligns, strict=True):
                gap = max(0, width - cells(bare(text)))
                before = gap if align == "right" else gap // 2 if align == "center" else 0
                parts.append(" " * before + text + " " * (gap - before))
            lines.append(bar.join(parts).rstrip())
        return lines


def _width(cell: Cell) -> int:
    return max([1, *(cells(line) for line in "".join(text for text, _ in cell).split(SOFT_BREAK))])


def _count(line: str) -> int:
    row = re.sub(r"\\.", "", line.strip())
    return row.removeprefix("|").removesuffix("|").count("|") + 1


def _with_bars_escaped(line: str, delimiters: str) -> str:
    """Return ``line``; if it has too many cells, with the bars inside code escaped: models forget to."""
    if "`" not in line or _count(line) <= _count(delimiters):
        return line
    return _CODE.sub(lambda code: re.sub(r"(?<!\\)\|", r"\\|", code[0]), line)


def _fitted(widths: list[int], room: int) -> list[int]:
    """Return ``widths`` reduced, the widest first, until a row takes at most ``room`` columns. Raises ValueError."""
    room -= 3 * (len(widths) - 1)
    if sum(min(width, _NARROWEST) for width in widths) > room:
        raise ValueError("no room")
    fitted = list(widths)
    while sum(fitted) > room:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted
