"""The end of the screen while something is going on: rows that are written over until they are what they stay."""

from collections.abc import Callable, Sequence

from swarmchat.cli.markdown.layout import cells
from swarmchat.cli.terminal.capabilities import reflows_here
from swarmchat.cli.terminal.themes import paint

ROWS = 4
"""How many rows are live at most."""


class LiveTail:
    """Rows behind the cursor. ``size`` returns columns and rows of the terminal.

    Whoever writes anything else writes what ``taken_back`` returns before it.
    """

    def __init__(self, size: Callable[[], tuple[int, int]], *, styled: bool, reflows: bool | None = None) -> None:
        self._size = size
        self._styled = styled
        self._reflows = reflows_here() if reflows is None else reflows
        self._shown: list[str] = []
        self._column = 0
        self._columns = 0

    def drawn(self, rows: Sequence[str], column: int, note: str = "") -> str:
        """Return what shows ``rows`` and below them a dim ``note``; the first goes on in ``column``.

        Of more rows than there is room for, the last ones are shown. Nothing is returned if it is on the screen.
        """
        columns, height = self._size()
        room = max(1, min(ROWS, height - 2))
        if column >= columns:
            # There is no way back to behind the last column.
            return self.taken_back()
        rows = list(rows)
        if len(rows) > room:
            rows = [" …", *rows[len(rows) - room + 1 :]] if room > 1 else [""]
        if note and rows == [""] and not column:
            rows = []
        shown = [_end(row, columns - 1 - (0 if number else column)) for number, row in enumerate(rows)]
        if note:
            shown.append(_start(note, columns - 1))
        if (shown, column, columns) == (self._shown, self._column, self._columns):
            return ""
        back = self.taken_back()
        if not any(shown):
            return back
        self._shown, self._column, self._columns = shown, column, columns
        if note:
            shown = [*shown[:-1], paint("remark", shown[-1]) if self._styled else shown[-1]]
        return back + "\n".join(shown)

    def taken_back(self) -> str:
        """Return what removes the rows, and puts the cursor where it was before them."""
        if not self._shown:
            return ""
        shown, self._shown = self._shown, []
        columns, _ = self._size()
        column = self._column
        widths = [column + cells(shown[0]), *map(cells, shown[1:])]
        up = len(shown) - 1
        if columns < self._columns and self._reflows:
            up = sum(max(0, width - 1) // columns + 1 for width in widths) - 1 - column // columns
            column %= columns
        # Row by row: of a screen that is cleared at once, some terminals put a copy into the scrollback.
        return "\r\x1b[K\x1b[A" * up + "\r" + (f"\x1b[{column}C" if column else "") + "\x1b[K"


def _start(text: str, width: int) -> str:
    """Return as much of the beginning of ``text`` as has room in ``width`` columns."""
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return text + "…" if width > 0 else ""


def _end(text: str, width: int) -> str:
    """Return as much of the end of ``text`` as has room in ``width`` columns."""
    if cells(text) <= width:
        return text
    text = text[-max(1, width) :]
    while text and cells(text) > width - 1:
        text = text[1:]
    return "…" + text if width > 0 else ""
