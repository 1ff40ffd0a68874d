"""What kind of line this is: what splits a stream of Markdown into blocks before a block is complete."""

import re
from dataclasses import dataclass, replace

_QUOTE = re.compile(r" {0,3}> ?")
_ITEM = re.compile(r"([-*+]|[0-9]{1,9}[.)])([ \t]+|$)")
_TASK = re.compile(r"\[([ xX])\][ \t]+(?=\S)")
_HEADING = re.compile(r"(#{1,6})(?:[ \t]+|$)")
_RULE = re.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}")
_UNDERLINE = re.compile(r"={3,}[ \t]*|-{3,}[ \t]*")
"""Two are not enough, other than in CommonMark: they stand in sums, and above signatures."""
_FENCE = re.compile(r"(`{3,})([^`]*)|(~{3,})(.*)")
_MATHS = {"$$": "$$", "\\[": "\\]"}

# Of a line that has not ended: what may still become something else.
_OPEN = re.compile(
    r"([-*_])[ \t]*(?:\1[ \t]*)*|[0-9]{1,9}[.)]?|#{1,6}|\+|`{1,2}|~{1,2}|`{3,}[^`]*|~{3,}.*"
    r"|\$\$?[ \t]*|\\(?:\[[ \t]*)?|\|.*"
)
_OPEN_TASK = re.compile(r"\[(?:[ xX]\]?[ \t]*)?")

TAB = 4


@dataclass(frozen=True)
class Item:
    """A list item that lines may belong to."""

    marker: int
    """The column of its mark in the source."""
    content: int
    """The column where its text begins."""
    shown: int
    """The column where its text is shown."""


@dataclass(frozen=True)
class Level:
    """Quotes, and the list items in them that a line is in. What is quoted in an item is a level further in."""

    quotes: int = 0
    items: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Line:
    """What a line is."""

    kind: str
    """blank, text, heading, underline (of the text above), rule, code (a fence), maths, table, or indented."""
    levels: tuple[Level, ...] = (Level(),)
    first: str = ""
    """What is shown before its text: bars of quotes, marks of items."""
    hang: str = ""
    """The same for what goes on below."""
    start: int = 0
    """Where its text begins."""
    indent: int = 0
    """How far the text is indented, beyond what the items ask for."""
    mark: str = ""
    """The mark of the heading or of the underline, or what ends the code or the formula."""

    @property
    def quotes(self) -> tuple[int, ...]:
        """The quotes of each level."""
        return tuple(level.quotes for level in self.levels)

    @property
    def items(self) -> tuple[Item, ...]:
        """The list items of the innermost level."""
        return self.levels[-1].items

    @property
    def begins_item(self) -> bool:
        """Whether a list item begins with it."""
        return self.first != self.hang


def read_line(line: str, *, complete: bool, last: Line) -> Line | None:
    """Return what ``line`` is, which comes after ``last``; ``None`` while what may follow in it decides."""
    found = Line("text", ())
    while True:
        depth = len(found.levels)
        known = last.levels[depth] if last.quotes[:depth] == found.quotes and depth < len(last.levels) else Level()
        quotes, start = _read_quotes(line, found.start, known)
        if not complete and start == len(line) and quotes:
            return None
        column, start = _skip(line, start)
        items = known.items if quotes == known.quotes else ()
        if start == len(line):
            return replace(_inside(found, Level(quotes, items), (), start), kind="blank") if complete else None
        goes_on = last.kind == "text" and last.quotes == (*found.quotes, quotes)
        read = _read_items(line, start, column, items, complete, goes_on)
        if read is None:
            return None
        items, bullets, column, start = read
        if not bullets and goes_on and items != (within := _containing(items, column)):
            # A paragraph goes on wherever its lines begin. What is none is in the items that it is indented for.
            outside = _inside(found, Level(quotes, within), (), start)
            block = _block(outside, line, column, complete, goes_on, last)
            if block is None or block.kind != "text":
                return block
        found = _inside(found, Level(quotes, items), bullets, start)
        if not (items and line[start : start + 1] == ">" and column - items[-1].content < TAB):
            return _block(found, line, column, complete, goes_on and not bullets, last)


def _read_quotes(line: str, start: int, known: Level) -> tuple[int, int]:
    """Return how many quotes begin at ``start``, and where they end; ``known`` is the level of the line above."""
    quotes = 0
    while found := _QUOTE.match(line, start):
        if quotes == known.quotes and _containing(known.items, _skip(line, start)[0]):
            # It is in the item.
            break
        quotes, start = quotes + 1, found.end()
    return quotes, start


def _read_items(
    line: str, start: int, column: int, items: tuple[Item, ...], complete: bool, goes_on: bool
) -> tuple[tuple[Item, ...], tuple[str, ...], int, int] | None:
    """Return the items that the line is in, the marks of those that begin with it, and where its text begins."""
    bullets: list[str] = []
    while found := _ITEM.match(line, start):
        if not complete and (_OPEN.fullmatch(line, start) or found.end() == len(line)):
            return None
        inner = _containing(items, column) if not bullets else items
        is_code = column - (inner[-1].content if inner else 0) >= TAB
        if _RULE.fullmatch(line, start) or is_code:
            break
        if goes_on and not items and not _interrupts(found[1], empty=found.end() == len(line)):
            break
        begin = found.end()
        content = _width(line[start:begin], column)
        if content - column - len(found[1]) > TAB or begin == len(line):
            # Code, or nothing.
            content, begin = column + len(found[1]) + 1, min(start + len(found[1]) + 1, len(line))
        task = _TASK.match(line, begin)
        if not task and not complete and _OPEN_TASK.fullmatch(line, begin):
            return None
        bullets.append(_bullet(found[1], task))
        left = (inner[-1].shown if inner else 0) + len(bullets[-1]) + 1
        items = (*inner, Item(column, content, left))
        start = task.end() if task else begin
        column = content
    if not bullets:
        lazy = goes_on and column < (items[-1].content if items else 0) and line[start] != ">"
        items = items if lazy else _containing(items, column)
    return items, tuple(bullets), column, start


def _inside(found: Line, level: Level, bullets: tuple[str, ...], start: int) -> Line:
    """Return ``found`` with one more level, whose text begins at ``start``."""
    bars = "│ " * level.quotes
    shown = level.items[-1].shown if level.items else 0
    marks = "".join(f"{bullet} " for bullet in bullets)
    first = found.first + bars + " " * (shown - len(marks)) + marks
    return replace(found, levels=(*found.levels, level), first=first, hang=found.hang + bars + " " * shown, start=start)


def _block(found: Line, line: str, column: int, complete: bool, goes_on: bool, last: Line) -> Line | None:
    """Return ``found`` with what begins at its start."""
    rest = line[found.start :]
    content = found.items[-1].content if found.items else 0
    indent = 0 if found.begins_item else max(0, column - content)
    if indent >= TAB and not goes_on:
        return replace(found, kind="indented", indent=indent - TAB)
    if goes_on and found.levels == last.levels and column >= content and _UNDERLINE.fullmatch(rest):
        return replace(found, kind="underline", indent=indent, mark=rest[0]) if complete else None
    if not complete and (_OPEN.fullmatch(rest) or (goes_on and not rest.strip("= \t"))):
        return None
    if fence := _FENCE.fullmatch(rest):
        return replace(found, kind="code", mark=fence[1] or fence[3], indent=indent)
    if heading := _HEADING.match(rest):
        return replace(found, kind="heading", mark=heading[1], start=found.start + heading.end())
    if _RULE.fullmatch(rest):
        return replace(found, kind="rule")
    if rest.rstrip() in _MATHS:
        return replace(found, kind="maths", mark=_MATHS[rest.rstrip()], indent=indent)
    if rest.startswith("|"):
        return replace(found, kind="table", indent=indent)
    return replace(found, indent=indent)


def ends_block(line: str, opened: Line) -> bool:
    """Whether ``line`` ends the code or the formula that ``opened`` begins."""
    text = line.strip(" \t")
    if opened.kind == "maths":
        return text.endswith(opened.mark)
    return len(text) >= len(opened.mark) and not text.strip(opened.mark[0])


def inner_text(line: str, opened: Line) -> str | None:
    """Return ``line`` without the quotes and the indentation of ``opened``, ``None`` if it has fewer quotes."""
    for level in opened.levels:
        start = 0
        for _ in range(level.quotes):
            found = _QUOTE.match(line, start)
            if not found:
                return None
            start = found.end()
        line = _unindented(line[start:], level.items[-1].content if level.items else 0)
    return _unindented(line, opened.indent)


def _unindented(line: str, columns: int) -> str:
    """Return ``line`` without at most ``columns`` columns of space at its beginning."""
    column, start = 0, 0
    while start < len(line) and column < columns and line[start] in " \t":
        column += TAB - column % TAB if line[start] == "\t" else 1
        start += 1
    return " " * (column - columns) + line[start:]


def _skip(line: str, start: int) -> tuple[int, int]:
    """Return the column and the place behind the spaces at ``start``; columns count from there."""
    end = start
    while end < len(line) and line[end] in " \t":
        end += 1
    return _width(line[start:end], 0), end


def _width(text: str, column: int) -> int:
    for letter in text:
        column += TAB - column % TAB if letter == "\t" else 1
    return column


def _containing(items: tuple[Item, ...], column: int) -> tuple[Item, ...]:
    """Return those of ``items`` that what begins in ``column`` is in: models indent by two, whatever the mark takes."""
    return tuple(item for item in items if column >= min(item.content, item.marker + 2))


def _interrupts(mark: str, *, empty: bool) -> bool:
    """Whether a list may begin below a paragraph without an empty line: not with any number, as in CommonMark."""
    return not empty and (not mark[0].isdigit() or mark[:-1] == "1")


def _bullet(mark: str, task: re.Match[str] | None) -> str:
    shown = mark if mark[0].isdigit() else "" if task else "•"
    return f"{shown} {'☐' if task[1] == ' ' else '☑'}".strip() if task else shown
