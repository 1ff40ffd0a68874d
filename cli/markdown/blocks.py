"""Classify lines of Markdown one by one: a block is recognised before it is complete."""

import re
from dataclasses import dataclass, replace

_QUOTE = re.compile(r" {0,3}> ?")
_ITEM = re.compile(r"([-*+]|[0-9]{1,9}[.)])([ \t]+|$)")
_TASK = re.compile(r"\[([ xX])\][ \t]+(?=\S)")
_HEADING = re.compile(r"(#{1,6})(?:[ \t]+|$)")
_RULE = re.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}")
_UNDERLINE = re.compile(r"={3,}[ \t]*|-{3,}[ \t]*")
"""Unlike in CommonMark, two are not enough: they occur in sums, and above signatures."""
_FENCE = re.compile(r"(`{3,})([^`]*)|(~{3,})(.*)")
_FORMULAS = {"$$": "$$", "\\[": "\\]"}

# Incomplete lines whose rest decides their kind.
_OPEN = re.compile(
    r"([-*_])[ \t]*(?:\1[ \t]*)*|[0-9]{1,9}[.)]?|#{1,6}|\+|`{1,2}|~{1,2}|`{3,}[^`]*|~{3,}.*"
    r"|\$\$?[ \t]*|\\(?:\[[ \t]*)?|\|.*"
)
_OPEN_TASK = re.compile(r"\[(?:[ xX]\]?[ \t]*)?")

TAB = 4


@dataclass(frozen=True)
class ListItem:
    """A list item."""

    marker: int
    """The column of its mark, in the source."""
    content: int
    """The column where its text begins, in the source."""
    shown: int
    """The column where its text begins on the screen."""


@dataclass(frozen=True)
class Level:
    """A number of quotes, and the list items inside them. A quote inside an item begins another level."""

    quotes: int = 0
    items: tuple[ListItem, ...] = ()


@dataclass(frozen=True)
class BlockLine:
    """A classified line."""

    kind: str
    """blank, text, heading, underline (of the text above), rule, code (a fence), maths, table, or indented (code)."""
    levels: tuple[Level, ...] = (Level(),)
    first: str = ""
    """What is printed before its text: bars of quotes, marks of items."""
    hang: str = ""
    """What is printed before the lines below it in the same item."""
    start: int = 0
    """Where its text begins."""
    indent: int = 0
    """How far the text is indented beyond the text of its item."""
    mark: str = ""
    """The mark of a heading or an underline, or the end mark of the code or the formula."""

    @property
    def quotes(self) -> tuple[int, ...]:
        """The number of quotes of each level."""
        return tuple(level.quotes for level in self.levels)

    @property
    def items(self) -> tuple[ListItem, ...]:
        """The list items of the innermost level."""
        return self.levels[-1].items

    @property
    def begins_item(self) -> bool:
        """Whether a list item begins on this line."""
        return self.first != self.hang


def read_line(line: str, *, complete: bool, last: BlockLine) -> BlockLine | None:
    """Classify ``line``, which follows ``last``. Returns ``None`` while more of the line may still decide."""
    head = BlockLine("text", ())
    while True:
        depth = len(head.levels)
        above = last.levels[depth] if last.quotes[:depth] == head.quotes and depth < len(last.levels) else Level()
        quotes, start = _read_quotes(line, head.start, above)
        if not complete and start == len(line) and quotes:
            return None
        column, start = _skip(line, start)
        items = above.items if quotes == above.quotes else ()
        if start == len(line):
            return replace(_with_level(head, Level(quotes, items), (), start), kind="blank") if complete else None
        continues = last.kind == "text" and last.quotes == (*head.quotes, quotes)
        read = _read_items(line, start, column, items, complete, continues)
        if read is None:
            return None
        items, bullets, column, start = read
        if not bullets and continues and items != (around := _items_around(items, column)):
            # A paragraph continues wherever its lines begin; any other block belongs to the items it is indented for.
            outside = _with_level(head, Level(quotes, around), (), start)
            block = _block(outside, line, column, complete, continues, last)
            if block is None or block.kind != "text":
                return block
        head = _with_level(head, Level(quotes, items), bullets, start)
        if not (items and line[start : start + 1] == ">" and column - items[-1].content < TAB):
            return _block(head, line, column, complete, continues and not bullets, last)


def _read_quotes(line: str, start: int, above: Level) -> tuple[int, int]:
    """Return how many quotes there are at ``start`` and where they end; ``above`` is the level of the line above."""
    quotes = 0
    while quote := _QUOTE.match(line, start):
        if quotes == above.quotes and _items_around(above.items, _skip(line, start)[0]):
            # It is inside the item.
            break
        quotes, start = quotes + 1, quote.end()
    return quotes, start


def _read_items(
    line: str, start: int, column: int, items: tuple[ListItem, ...], complete: bool, continues: bool
) -> tuple[tuple[ListItem, ...], tuple[str, ...], int, int] | None:
    """Return the items around the line's text, the marks of those that begin here, and the text's column and start."""
    bullets: list[str] = []
    while match := _ITEM.match(line, start):
        mark, begin = match[1], match.end()
        if not complete and (_OPEN.fullmatch(line, start) or begin == len(line)):
            return None
        inner = _items_around(items, column) if not bullets else items
        is_code = column - (inner[-1].content if inner else 0) >= TAB
        if _RULE.fullmatch(line, start) or is_code:
            break
        if continues and not items and (begin == len(line) or (mark[0].isdigit() and mark[:-1] != "1")):
            # As in CommonMark, an empty item or a number other than 1 does not interrupt a paragraph.
            break
        content = _column_after(line[start:begin], column)
        if content - column - len(mark) > TAB or begin == len(line):
            # Indented code follows, or nothing.
            content, begin = column + len(mark) + 1, min(start + len(mark) + 1, len(line))
        task = _TASK.match(line, begin)
        if not task and not complete and _OPEN_TASK.fullmatch(line, begin):
            return None
        bullets.append(_bullet(mark, task))
        shown = (inner[-1].shown if inner else 0) + len(bullets[-1]) + 1
        items = (*inner, ListItem(column, content, shown))
        start = task.end() if task else begin
        column = content
    if not bullets:
        lazy = continues and column < (items[-1].content if items else 0) and line[start] != ">"
        items = items if lazy else _items_around(items, column)
    return items, tuple(bullets), column, start


def _with_level(head: BlockLine, level: Level, bullets: tuple[str, ...], start: int) -> BlockLine:
    """Return ``head`` with another level, after which the text begins at ``start``."""
    bars = "│ " * level.quotes
    shown = level.items[-1].shown if level.items else 0
    marks = "".join(f"{bullet} " for bullet in bullets)
    first = head.first + bars + " " * (shown - len(marks)) + marks
    return replace(head, levels=(*head.levels, level), first=first, hang=head.hang + bars + " " * shown, start=start)


def _block(
    head: BlockLine, line: str, column: int, complete: bool, continues: bool, last: BlockLine
) -> BlockLine | None:
    """Return ``head`` with the kind of the text after its levels."""
    rest = line[head.start :]
    content = head.items[-1].content if head.items else 0
    indent = 0 if head.begins_item else max(0, column - content)
    if indent >= TAB and not continues:
        return replace(head, kind="indented", indent=indent - TAB)
    if continues and head.levels == last.levels and column >= content and _UNDERLINE.fullmatch(rest):
        return replace(head, kind="underline", indent=indent, mark=rest[0]) if complete else None
    if not complete and (_OPEN.fullmatch(rest) or (continues and not rest.strip("= \t"))):
        return None
    if fence := _FENCE.fullmatch(rest):
        return replace(head, kind="code", mark=fence[1] or fence[3], indent=indent)
    if heading := _HEADING.match(rest):
        return replace(head, kind="heading", mark=heading[1], start=head.start + heading.end())
    if _RULE.fullmatch(rest):
        return replace(head, kind="rule")
    if rest.rstrip() in _FORMULAS:
        return replace(head, kind="maths", mark=_FORMULAS[rest.rstrip()], indent=indent)
    if rest.startswith("|"):
        return replace(head, kind="table", indent=indent)
    return replace(head, indent=indent)


def ends_block(line: str, opened: BlockLine) -> bool:
    """Whether ``line`` ends the code or the formula that ``opened`` begins."""
    text = line.strip(" \t")
    if opened.kind == "maths":
        return text.endswith(opened.mark)
    return len(text) >= len(opened.mark) and not text.strip(opened.mark[0])


def inner_text(line: str, opened: BlockLine) -> str | None:
    """Return ``line`` without the quotes and indentation of ``opened``; ``None`` if it has fewer quotes."""
    for level in opened.levels:
        quotes = re.match(f"(?:{_QUOTE.pattern}){{{level.quotes}}}", line)
        if quotes is None:
            return None
        line = _unindented(line[quotes.end() :], level.items[-1].content if level.items else 0)
    return _unindented(line, opened.indent)


def _unindented(line: str, columns: int) -> str:
    """Remove at most ``columns`` columns of space at the beginning."""
    column, start = 0, 0
    while start < len(line) and column < columns and line[start] in " \t":
        column += TAB - column % TAB if line[start] == "\t" else 1
        start += 1
    return " " * (column - columns) + line[start:]


def _skip(line: str, start: int) -> tuple[int, int]:
    """Skip the spaces at ``start``; return how many columns they take, and where they end."""
    end = len(line) - len(line[start:].lstrip(" \t"))
    return _column_after(line[start:end], 0), end


def _column_after(text: str, column: int) -> int:
    return len((" " * column + text).expandtabs(TAB))


def _items_around(items: tuple[ListItem, ...], column: int) -> tuple[ListItem, ...]:
    """Return the items around a text in ``column``: models indent by two, however wide the mark is."""
    return tuple(item for item in items if column >= min(item.content, item.marker + 2))


def _bullet(mark: str, task: re.Match[str] | None) -> str:
    bullet = mark if mark[0].isdigit() else "" if task else "•"
    return f"{bullet} {'☐' if task[1] == ' ' else '☑'}".strip() if task else bullet
