"""Write Markdown as it streams in: text is held only while it may still change, and is never drawn twice."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from swarmchat.cli.markdown.blocks import TAB, BlockLine, ends_block, inner_text, read_line
from swarmchat.cli.markdown.code import Highlighter
from swarmchat.cli.markdown.inline import InlineText
from swarmchat.cli.markdown.layout import Flow, bare, cells, painted
from swarmchat.cli.markdown.table import Table
from swarmchat.cli.terminal.sanitize import sanitize
from swarmchat.cli.terminal.themes import Style, style_of

_LONGEST_LINE = 4000
"""Characters of a line that are held back while its end may decide the kind of line."""
_RULE = 40
_UNDERLINES = {"=": "═", "-": "─"}
_CLOSING = re.compile(r"[ \t]+#*[ \t]*$")
_CLOSING_AT_START = re.compile(r"(?:^|[ \t]+)#*[ \t]*$")
"""The end of a heading, or all of it. While the line has not ended, more may follow."""
_HEADINGS = {"#": "heading.1", "##": "heading.2"}


class MarkdownStream:
    """Writes an answer in lines of ``width()`` columns as it streams in.

    The output does not depend on how the answer was cut into pieces. ``lead`` columns of the first line are occupied
    already: a paragraph at the beginning continues there after a space, any other block starts below. Unless
    ``styled``, no control sequence is written, and marks that carry meaning stay in the text.
    """

    def __init__(
        self, write: Callable[[str], object], width: Callable[[], int], *, styled: bool = True, lead: int = 0
    ) -> None:
        self._write = write
        self._width = max(1, width())
        self._measure = width
        self._styled = styled
        self._lead = lead
        self._started = False
        self._out: list[str] = []
        self._flow = Flow(self._out.append, lambda: self._width)
        self._flow.column = lead
        self._rest = ""
        """The text that was not read yet: at most the beginning of a line."""
        self._last = BlockLine("blank")
        self._blanks: list[str] = []
        """Empty lines, written only if something follows."""
        self._text: InlineText | None = None
        self._in_text = False
        """Whether the line that is being read belongs to ``_text``."""
        self._at_start = False
        """Whether only spaces of that line were read so far."""
        self._block: BlockLine | None = None
        """The line that opened the code or the formula that is being read."""
        self._highlighter = Highlighter("")
        self._line_begun = False
        """Whether the line of the block that is being read was written in part."""
        self._table: Table | None = None
        self._table_line = BlockLine("table")
        self._table_first = ""

    @property
    def column(self) -> int:
        """The column of the cursor."""
        return self._flow.column

    def feed(self, text: str) -> None:
        """Take the next piece of the answer."""
        self._width = max(1, self._measure())
        clean = sanitize(text)
        # In parts, as each line that is read copies the rest.
        for start in range(0, len(clean), _LONGEST_LINE):
            self._rest += clean[start : start + _LONGEST_LINE]
            while self._rest and self._step():
                pass
        self._flush()

    def finish(self) -> None:
        """Write the rest, and end the line."""
        self._width = max(1, self._measure())
        while self._rest:
            if not self._step():
                self._rest += "\n"
        self._end_table()
        self._end_text()
        self._out.append("\n")
        self._flush()

    def tail(self) -> list[str]:
        """Return the lines of the held text; the first continues at the cursor."""
        parts: list[str] = []
        if self._text is not None:
            self._flow.copy(parts.append).add([(self._text.pending, ())])
        if self._table is not None and self._table.held:
            parts.append("\n" + self._table.held[-1])
        if self._rest and not (self._in_text or self._line_begun):
            parts.append("\n" + "".join(self._blanks) if self._started else " " if self._lead else "")
            parts.append(self._rest)
        return bare("".join(parts)).expandtabs(TAB).split("\n")

    def _flush(self) -> None:
        if self._out:
            text = "".join(self._out)
            self._out.clear()
            self._write(text)

    def _step(self) -> bool:
        """Read a line or a part of one; return whether anything was read."""
        text, end, rest = self._rest.partition("\n")
        ended, long = bool(end), len(text) > _LONGEST_LINE
        if self._in_text and self._text is not None:
            return self._step_in_text(self._text, text, ended, rest)
        if self._block is not None:
            return self._step_in_block(self._block, text, ended, rest, long)
        line = BlockLine("text") if long else read_line(text, complete=ended, last=self._last)
        if line is None:
            return False
        if line.kind in ("text", "heading"):
            # The rest of the line is read as it comes.
            self._end_table()
            self._rest = self._rest[line.start :]
            self._begin_text(line)
            return True
        if not ended:
            return False
        self._rest = rest
        self._whole_line(line, text[line.start :])
        return True

    def _step_in_text(self, paragraph: InlineText, text: str, ended: bool, rest: str) -> bool:
        before = self._rest
        if self._at_start:
            text = text.lstrip(" \t")
        self._rest = rest
        closing = (_CLOSING_AT_START if self._at_start else _CLOSING).search(text)
        if closing and self._last.kind == "heading":
            # The marks that close it are not shown.
            self._rest = rest if ended else closing[0]
            text = text[: closing.start()]
        self._at_start = self._at_start and not text
        paragraph.feed(text)
        if ended:
            self._in_text = False
            paragraph.end_line()
        return ended or self._rest != before

    def _step_in_block(self, opened: BlockLine, text: str, ended: bool, rest: str, long: bool) -> bool:
        hang = self._prefixes(opened)[1]
        if self._line_begun or long:
            # A line that is too long to be held is written as it comes.
            self._verbatim("" if self._line_begun else hang, text, continues=self._line_begun)
            self._line_begun, self._rest = not ended, rest
            return True
        if not ended:
            return False
        line = inner_text(text, opened)
        if line is None or (opened.kind == "maths" and not line.strip()):
            # The quote has ended, or the formula was never closed: the line is read again as a new one.
            self._block = None
            self._last = self._last if line is not None else BlockLine("blank")
            return True
        self._rest = rest
        if ends_block(line, opened):
            self._block = None
            line = self._mark(line.strip(" \t")) if opened.kind == "code" else line
        else:
            line = self._highlighter.line(line)
        self._verbatim(hang if line else hang.rstrip(" "), line)
        return True

    def _whole_line(self, line: BlockLine, content: str) -> None:
        """Write a complete line that is not text; ``content`` is the line without its prefixes."""
        if line.kind == "table":
            self._add_row(line, content)
            return
        self._end_table()
        self._last = line
        first, _ = self._prefixes(line)
        if line.kind == "blank" and line.begins_item:
            # An item whose quote is empty.
            self._verbatim(first, "")
        elif line.kind == "blank":
            self._end_text()
            self._blanks.append(self._bars(line.hang.rstrip()) + "\n")
        elif line.kind == "rule":
            self._verbatim(first, self._mark("─" * max(3, min(_RULE, self._width - cells(bare(first))))))
        elif line.kind == "underline":
            self._end_text()
            self._verbatim(first, self._mark(_UNDERLINES[line.mark] * max(3, self._flow.used)))
        elif line.kind == "indented":
            self._verbatim(first, " " * TAB + content)
        else:
            is_code = line.kind == "code"
            self._verbatim(first, self._mark(content) if is_code else content)
            self._block = line
            self._highlighter = Highlighter(content.strip("`~ \t").split(" ")[0] if is_code and self._styled else "")

    def _begin_text(self, line: BlockLine) -> None:
        first, hang = self._prefixes(line)
        continues = self._last.kind == line.kind == "text" and self._last.quotes == line.quotes
        if self._text is not None and continues and not line.begins_item:
            self._flow.indents.append((first, hang))
            self._text.begin_line()
        else:
            base: Style = ()
            if line.kind == "heading":
                base = style_of(_HEADINGS.get(line.mark, "heading.3")) if self._styled else ()
                first += "" if self._styled else f"{line.mark} "
            self._begin(first, hang, plain=line == BlockLine("text", start=line.start))
            self._text = InlineText(self._flow, self._styled, base)
        self._last, self._in_text, self._at_start = line, True, True

    def _begin(self, first: str, hang: str, *, plain: bool = False) -> None:
        """Begin a line; a ``plain`` one may continue the line that the answer begins on."""
        self._end_text()
        if self._started:
            self._out += ["\n", *self._blanks]
            self._flow.start(first, hang)
        elif self._lead and plain:
            self._flow.start(" ", hang, self._lead)
        else:
            self._out.append("\n" if self._lead else "")
            self._flow.start(first, hang)
        self._started = True
        self._blanks.clear()

    def _verbatim(self, first: str, text: str, *, continues: bool = False) -> None:
        """Write a line without wrapping it: the terminal wraps it, and copying gives one line."""
        if not continues:
            self._begin(first, "")
        self._out.append(text)
        self._flow.advance(cells(bare(text)))

    def _add_row(self, line: BlockLine, content: str) -> None:
        if self._table is None or line.begins_item or line.levels != self._table_line.levels:
            self._end_table()
            self._end_text()
            first, hang = self._prefixes(line)
            self._table = Table(self._width - 1 - cells(bare(hang)), self._styled)
            self._table_first = first
        self._table_line, self._last = replace(line, first=line.hang), line
        self._print_rows(self._table.add(content))

    def _print_rows(self, rows: Sequence[str]) -> None:
        for row in rows:
            first = self._table_first or self._prefixes(self._table_line)[1]
            self._table_first = ""
            self._verbatim(first, row)

    def _end_table(self) -> None:
        table, self._table = self._table, None
        if table is not None and table.held:
            self._print_rows(table.end())

    def _end_text(self) -> None:
        if self._text is not None:
            self._text.finish()
            self._text = None
            self._flow.indents.clear()

    def _mark(self, text: str) -> str:
        """Return ``text`` in the style of marks."""
        return painted([(text, style_of("mark"))]) if self._styled else text

    def _prefixes(self, line: BlockLine) -> tuple[str, str]:
        """Return the prefix of ``line``, and that of the lines into which it is wrapped."""
        hang = self._bars(line.hang + " " * line.indent)
        return (self._bars(line.first) if line.begins_item else hang), hang

    def _bars(self, prefix: str) -> str:
        """Return ``prefix`` with the bars of quotes in the style of marks."""
        return re.sub("(?:│ ?)+", lambda bars: self._mark(bars[0]), prefix)
