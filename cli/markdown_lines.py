"""What kind of line this is: what splits a stream of Markdown into blocks before a block is complete."""

import re
from dataclasses import dataclass, replace

_QUOTE = re.compile(r" {0,3}> ?")
_ITEM = re.compile(r"([-*+]|[0-9]{1,9}[.)])([ \t]+|$)")
_TASK = re.compile(r"\[([ xX])\][ \t]+(?=\S)")
_HEADING = re.compile(r"(#{1,6})(?:[ \t]+|$)")
_RULE = re.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}")
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
class Line:
    """What a line is."""

    kind: str
    """blank, text, heading, rule, code (a fence), maths, table, or indented."""
    quotes: int = 0
    items: tuple[Item, ...] = ()
    """The list items that it is in."""
    bullets: tuple[str, ...] = ()
    """The marks of the items that begin with it."""
    start: int = 0
    """Where its text begins."""
    indent: int = 0
    """How far the text is indented, beyond what the items ask for."""
    mark: str = ""
    """The mark of the heading, or what ends the code or the formula."""


def read_line(line: str, *, complete: bool, last: Line) -> Line | None:
    """Return what ``line`` is, which comes after ``last``; ``None`` while what may follow in it decides."""
    quotes, start = 0, 0
    while found := _QUOTE.match(line, start):
        if not complete and found.end() == len(line):
            return None
        quotes, start = quotes + 1, found.end()
    items = last.items if quotes == last.quotes else ()
    column, start = _skip(line, start)
    if start == len(line):
        return Line("blank", quotes, items) if complete else None
    goes_on = last.kind == "text" and quotes == last.quotes
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
        items = items if goes_on and column < (items[-1].content if items else 0) else _containing(items, column)
    return _block(Line("text", quotes, items, tuple(bullets), start), line, column, complete, goes_on and not bullets)


def _block(found: Line, line: str, column: int, complete: bool, goes_on: bool) -> Line | None:
    """Return ``found`` with what begins at its start."""
    rest = line[found.start :]
    content = found.items[-1].content if found.items else 0
    indent = 0 if found.bullets else max(0, column - content)
    if indent >= TAB and not goes_on:
        return replace(found, kind="indented", indent=indent - TAB)
    if not complete and _OPEN.fullmatch(rest):
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


def ends_code(line: str, opened: Line) -> bool:
    """Whether ``line`` ends the code that ``opened`` begins."""
    text = line.strip(" \t")
    return len(text) >= len(opened.mark) and not text.strip(opened.mark[0])


def unquoted(line: str, quotes: int) -> str | None:
    """Return ``line`` without the marks of ``quotes`` quotes, ``None`` if it has fewer."""
    start = 0
    for _ in range(quotes):
        found = _QUOTE.match(line, start)
        if not found:
            return None
        start = found.end()
    return line[start:]


def unindented(line: str, columns: int) -> str:
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
