"""The live rows at the end of the screen: overwritten until their final text is known."""

from collections.abc import Callable, Sequence

from swarmchat.cli.markdown.layout import cells
from swarmchat.cli.terminal.capabilities import reflows_here
from swarmchat.cli.terminal.themes import paint

ROWS = 4
"""The maximum of live rows, without the one for the status."""


class LiveTail:
    """Rows behind the cursor. ``size`` returns the columns and rows of the terminal.

    Any other output must be preceded by what ``erase`` returns.
    """

    def __init__(self, size: Callable[[], tuple[int, int]], *, styled: bool, reflows: bool | None = None) -> None:
        self._size = size
        self._styled = styled
        self._reflows = reflows_here() if reflows is None else reflows
        self._rows: list[str] = []
        self._column = 0
        self._columns = 0

    def draw(self, rows: Sequence[str], column: int, status: str = "") -> str:
        """Return the output that shows ``rows``, the first of them from ``column`` on, and the dim ``status`` below.

        If there is no room for all rows, the last ones are shown. Returns nothing if the screen shows this already.
        """
        columns, height = self._size()
        room = max(1, min(ROWS, height - 2))
        if column >= columns:
            # The cursor cannot be moved back to behind the last column.
            return self.erase()
        rows = list(rows)
        if len(rows) > room:
            rows = [" …", *rows[len(rows) - room + 1 :]] if room > 1 else [""]
        if status and rows == [""] and not column:
            rows = []
        rows = [_cut(row, columns - 1 - (0 if number else column), keep_end=True) for number, row in enumerate(rows)]
        # What is further up matters less: a screen of a few rows shows the end.
        lines = (
            [_cut(line, columns - 1) for line in status.split("\n")][-max(1, height - 1 - len(rows)) :]
            if status
            else []
        )
        rows += lines
        if (rows, column, columns) == (self._rows, self._column, self._columns):
            return ""
        erase = self.erase()
        if not any(rows):
            return erase
        self._rows, self._column, self._columns = rows, column, columns
        if self._styled:
            rows = [*rows[: len(rows) - len(lines)], *(paint("remark", line) for line in lines)]
        return erase + "\n".join(rows)

    def erase(self) -> str:
        """Return the output that removes the rows and puts the cursor back where it was."""
        if not self._rows:
            return ""
        rows, self._rows = self._rows, []
        columns, _ = self._size()
        column = self._column
        up = len(rows) - 1
        if columns < self._columns and self._reflows:
            widths = [column + cells(rows[0]), *map(cells, rows[1:])]
            up = sum(max(0, width - 1) // columns + 1 for width in widths) - 1 - column // columns
            column %= columns
        # Row by row: some terminals copy a screen that is cleared at once into the scrollback.
        return "\r\x1b[K\x1b[A" * up + "\r" + (f"\x1b[{column}C" if column else "") + "\x1b[K"


def _cut(text: str, width: int, *, keep_end: bool = False) -> str:
    """Return as much of ``text`` as fits into ``width`` columns: its beginning, or its end."""
    if cells(text) <= width:
        return text
    text = text[-max(1, width) :] if keep_end else text[: max(1, width)]
    while text and cells(text) > width - 1:
        text = text[1:] if keep_end else text[:-1]
    if width <= 0:
        return ""
    return "…" + text if keep_end else text + "…"
