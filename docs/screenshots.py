"""Take the screenshots of the documentation: ``make screenshots``. The real program, on a real terminal, as SVG.

Needs what the tests need. A home folder of its own is used, the demo model answers, and nothing is sent anywhere.
"""

import sys
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pyte

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests" / "helpers"))

from terminal import CTRL_D, ENTER, Terminal, at_prompt, terminal  # noqa: E402 - found by the line above

FOLDER = DOCS / "screenshots"
COLUMNS, ROWS = 80, 24
_CELL, _LINE, _MARGIN = 8.4, 18, 14
_PAPER, _INK = "#16181d", "#d8dee9"
_COLOURS = {
    "black": "#3b4252",
    "red": "#e06c75",
    "green": "#98c379",
    "brown": "#e5c07b",
    "blue": "#61afef",
    "magenta": "#c678dd",
    "cyan": "#56b6c2",
    "white": "#d8dee9",
    "default": _INK,
}

SCENES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "first-run": ((), ()),
    "markdown": ((), ("markdown",)),
    "swarm": (
        ("-S", "helpdesk"),
        ("are bananas berries?", "I want to buy a phone", "a red one", "my name is Ann"),
    ),
    "rescue": (("-S", "helpdesk"), ("leak are bananas berries?", "say nothing")),
    "context": (("-S", "helpdesk"), ("are bananas berries?", "play tic-tac-toe", "/context")),
    "undo": (
        ("-S", "helpdesk"),
        ("I want to buy a phone", "a red one", "/undo", "a blue one", "/stack", "/state order"),
    ),
}
"""The screenshots: the options of the program, and the lines typed."""


def main() -> None:
    """Take all screenshots."""
    FOLDER.mkdir(exist_ok=True)
    for name, (options, typed) in SCENES.items():
        with tempfile.TemporaryDirectory() as home:
            (FOLDER / f"{name}.svg").write_text(picture(home, options, typed), "utf-8")
            print(f"docs/screenshots/{name}.svg")


def picture(home: str, options: Sequence[str], typed: Sequence[str]) -> str:
    """Return the screen as SVG, after ``typed`` was entered."""
    env = {"HOME": home, "PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "LANG": "C.UTF-8", "COLORTERM": "truecolor"}
    env |= {"SWARMCHAT_CLIENT": "ann", "SWARMCHAT_DISCOVER": "false"}
    command = [sys.executable, "-m", "swarmchat.cli", *options, "-s", "monday"]
    with terminal(command, env=env, columns=COLUMNS, rows=ROWS, cwd=Path(home)) as screen:
        screen.wait_for(at_prompt)
        for number, text in enumerate(typed, 1):
            screen.send(text + ENTER)
            screen.wait_for(lambda seen, number=number: at_prompt(seen) and seen.text.count("you ❯") > number)
        svg = as_svg(screen)
        screen.send(CTRL_D)
        screen.wait_for_end()
    return svg


def as_svg(screen: Terminal) -> str:
    """Return the screen as SVG: selectable text, in the colours of the terminal."""
    rows = _cells(screen)
    width, height = COLUMNS * _CELL + 2 * _MARGIN, len(rows) * _LINE + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">',
        f'<rect width="100%" height="100%" rx="8" fill="{_PAPER}"/>',
    ]
    for number, row in enumerate(rows):
        y = _MARGIN + number * _LINE
        column = 0
        while column < len(row):
            cell = row[column]
            end = column + 1
            style = (cell.fg, cell.bg, cell.bold, cell.italics, cell.underscore, cell.reverse)
            while end < len(row) and row[end].data != "" and style == (
                row[end].fg, row[end].bg, row[end].bold, row[end].italics, row[end].underscore, row[end].reverse
            ):  # fmt: skip
                end += 1
            parts += _run("".join(each.data for each in row[column:end]), column, end - column, y, cell)
            column = end
    return "\n".join([*parts, "</svg>", ""])


def _cells(screen: Terminal) -> list[list[pyte.screens.Char]]:
    """Return the characters on the screen, row by row. Dim text is grey, because the emulator does not know dim."""
    emulator = pyte.Screen(COLUMNS, ROWS)
    pyte.ByteStream(emulator).feed(screen.raw.replace(b"\x1b[2m", b"\x1b[90m").replace(b"\x1b[0;2m", b"\x1b[0;90m"))
    return [[emulator.buffer[row][column] for column in range(COLUMNS)] for row in range(ROWS)]


def _run(text: str, column: int, cells: int, y: float, cell: object) -> list[str]:
    """Return cells of one style: their background, if it is not the page's, and their text."""
    ink, ground = _colour(getattr(cell, "fg", ""), _INK), _colour(getattr(cell, "bg", ""), _PAPER)
    if getattr(cell, "reverse", False):
        ink, ground = ground, ink
    x, parts = _MARGIN + column * _CELL, []
    if ground != _PAPER:
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="{cells * _CELL:.1f}" height="{_LINE}" fill="{ground}"/>')
    if text.strip():
        marks = ' font-weight="bold"' if getattr(cell, "bold", False) else ""
        marks += ' font-style="italic"' if getattr(cell, "italics", False) else ""
        marks += ' text-decoration="underline"' if getattr(cell, "underscore", False) else ""
        parts.append(
            f'<text x="{x:.1f}" y="{y + 13}" fill="{ink}" textLength="{cells * _CELL:.1f}" xml:space="preserve"{marks}>'
            f"{escape(text)}</text>"
        )
    return parts


def _colour(name: str, default: str) -> str:
    if name == "default":
        return default
    if name in _COLOURS:
        return _COLOURS[name]
    if name == "brightblack":
        return "#8a93a3"
    if name.startswith("bright"):
        return _COLOURS.get(name.removeprefix("bright"), default)
    return f"#{name}" if len(name) == 6 else default


if __name__ == "__main__":
    main()
