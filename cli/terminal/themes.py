"""The themes: a style for each role, such as an error or a keyword in code. One theme is in use at a time."""

from collections.abc import Mapping
from functools import cache

from swarmchat.swarm.common.names import nearest

Style = tuple[str, ...]
"""Parameters of one SGR sequence."""

# A style is written in the column of its theme: attributes, then one of the terminal's own colours or a number of the
# 256-colour palette, then "on" and the background. Numbers above 15 look the same in every terminal, so contrast can be
# computed.
_TABLE = """
auto           | dark           | light          | mono           | roles
bold           | bold           | bold           | bold           | name found heading.2 table.head code.heading queued
bold underline | bold underline | bold underline | bold underline | heading.1
bold italic    | bold italic    | bold italic    | bold italic    | heading.3
dim            | 246            | 240            | dim            | remark
red            | 210            | 124            | bold           | error
green          | 114            | 22             |                | ok fill.low
yellow         | 221            | 94             | bold           | warning fill.middle
dim            | 245            | 241            | dim            | mark
cyan           | 116            | 23             |                | code
dim italic     | 246 italic     | 240 italic     | dim italic     | code.comment
magenta        | 176            | 90             | bold           | code.keyword
cyan           | 80             | 23             |                | code.builtin
yellow bold    | 222 bold       | 58 bold        | underline      | code.class
yellow         | 222            | 58             |                | code.attribute
blue           | 111            | 25             | underline      | code.function
cyan           | 215            | 94             |                | code.number
green          | 150            | 22             | italic         | code.string
red            | 210            | 124            | dim            | deleted
green          | 114            | 22             | bold           | inserted
red            | 210            | 124            | bold underline | fill.high
242            | 245            | 241            | dim            | suggestion
16 on 250      | 252 on 237     | 16 on 253      | underline      | menu
231 on 240     | 16 on 116      | 231 on 24      | reverse        | menu.chosen
16 on 247      | 250 on 236     | 238 on 254     | dim underline  | menu.about
"""


def _read_table() -> dict[str, dict[str, str]]:
    (*themes, _), *rows = ([cell.strip() for cell in line.split("|")] for line in _TABLE.strip().splitlines())
    return {theme: {role: row[i] for row in rows for role in row[-1].split()} for i, theme in enumerate(themes)}


THEMES: Mapping[str, Mapping[str, str]] = _read_table()
"""The style of each role, by the name of the theme."""
ABOUT: Mapping[str, str] = {
    "auto": "the terminal's own colours",
    "dark": "for a dark background",
    "light": "for a light background",
    "mono": "no colours",
}
DEFAULT = "auto"

ATTRIBUTES: Mapping[str, str] = {"bold": "1", "dim": "2", "italic": "3", "underline": "4", "reverse": "7"}
"""SGR parameters by word."""
COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan")
_LEVELS = (0, 95, 135, 175, 215, 255)

_theme = DEFAULT


def check_theme(name: str) -> str:
    """Return ``name``. Raises ValueError if there is no theme of that name."""
    if name not in THEMES:
        raise ValueError(f"no such theme; {nearest(name, THEMES)}")
    return name


def use_theme(name: str) -> None:
    """Use the theme ``name`` from now on, everywhere in this process: it has one terminal. Raises ValueError."""
    global _theme
    _theme = check_theme(name)


def theme_in_use() -> str:
    """Return the name of the theme in use."""
    return _theme


def style_of(role: str, theme: str | None = None) -> Style:
    """Return the style of ``role`` in ``theme``, or in the theme in use."""
    return _parameters(THEMES[theme or _theme][role])


def paint(role: str, text: str, theme: str | None = None) -> str:
    """Return ``text`` with the control sequences that give it the style of ``role``."""
    style = style_of(role, theme)
    return f"\x1b[{';'.join(style)}m{text}\x1b[0m" if style else text


@cache
def _parameters(words: str) -> Style:
    front, _, back = words.partition(" on ")
    return (*(_parameter(word, 30) for word in front.split()), *(_parameter(word, 40) for word in back.split()))


def _parameter(word: str, first: int) -> str:
    """Return the parameter of ``word``; the colours are numbered from ``first``: 30, or 40 for the background."""
    if word in ATTRIBUTES:
        return ATTRIBUTES[word]
    return str(first + COLOURS.index(word)) if word in COLOURS else f"{first + 8};5;{word}"


def rgb(number: int) -> tuple[int, int, int]:
    """Return red, green and blue (0 to 255) of a colour of the 256-colour palette, from 16 up."""
    if number >= 232:
        grey = 8 + 10 * (number - 232)
        return grey, grey, grey
    return _LEVELS[(number - 16) // 36], _LEVELS[(number - 16) // 6 % 6], _LEVELS[(number - 16) % 6]
