"""How all that has a style looks: what it is, by name, and its style in each theme. One theme is in use at a time."""

from collections.abc import Mapping
from functools import cache

from swarmchat.swarm.common.names import nearest

DEFAULT = "auto"

Style = tuple[str, ...]
"""Parameters of one SGR sequence."""

# A style is words: attributes, one of the terminal's eight colours or the number of one of the 256, and after "on" one
# for the background. Those above 15 look the same everywhere, so that whether they can be read can be computed.
_EVERYWHERE = {
    "name": "bold",
    "found": "bold",
    "heading.1": "bold underline",
    "heading.2": "bold",
    "heading.3": "bold italic",
    "table.head": "bold",
    "code.heading": "bold",
    "queued": "bold",
}
_AUTO = {
    "remark": "dim",
    "error": "red",
    "ok": "green",
    "warning": "yellow",
    "mark": "dim",
    "code": "cyan",
    "code.comment": "dim italic",
    "code.keyword": "magenta",
    "code.builtin": "cyan",
    "code.class": "yellow bold",
    "code.attribute": "yellow",
    "code.function": "blue",
    "code.number": "cyan",
    "code.string": "green",
    "deleted": "red",
    "inserted": "green",
    "fill.low": "green",
    "fill.middle": "yellow",
    "fill.high": "red",
    "suggestion": "242",
    "menu": "16 on 250",
    "menu.chosen": "231 on 240",
    "menu.about": "16 on 247",
}
_DARK = {
    "remark": "246",
    "error": "210",
    "ok": "114",
    "warning": "221",
    "mark": "245",
    "code": "116",
    "code.comment": "246 italic",
    "code.keyword": "176",
    "code.builtin": "80",
    "code.class": "222 bold",
    "code.attribute": "222",
    "code.function": "111",
    "code.number": "215",
    "code.string": "150",
    "deleted": "210",
    "inserted": "114",
    "fill.low": "114",
    "fill.middle": "221",
    "fill.high": "210",
    "suggestion": "245",
    "menu": "252 on 237",
    "menu.chosen": "16 on 116",
    "menu.about": "250 on 236",
}
_LIGHT = {
    "remark": "240",
    "error": "124",
    "ok": "22",
    "warning": "94",
    "mark": "241",
    "code": "23",
    "code.comment": "240 italic",
    "code.keyword": "90",
    "code.builtin": "23",
    "code.class": "58 bold",
    "code.attribute": "58",
    "code.function": "25",
    "code.number": "94",
    "code.string": "22",
    "deleted": "124",
    "inserted": "22",
    "fill.low": "22",
    "fill.middle": "94",
    "fill.high": "124",
    "suggestion": "241",
    "menu": "16 on 253",
    "menu.chosen": "231 on 24",
    "menu.about": "238 on 254",
}
_MONO = {
    "remark": "dim",
    "error": "bold",
    "ok": "",
    "warning": "bold",
    "mark": "dim",
    "code": "",
    "code.comment": "dim italic",
    "code.keyword": "bold",
    "code.builtin": "",
    "code.class": "underline",
    "code.attribute": "",
    "code.function": "underline",
    "code.number": "",
    "code.string": "italic",
    "deleted": "dim",
    "inserted": "bold",
    "fill.low": "",
    "fill.middle": "bold",
    "fill.high": "bold underline",
    "suggestion": "dim",
    "menu": "underline",
    "menu.chosen": "reverse",
    "menu.about": "dim underline",
}

THEMES: Mapping[str, Mapping[str, str]] = {
    name: {**_EVERYWHERE, **styles}
    for name, styles in {"auto": _AUTO, "dark": _DARK, "light": _LIGHT, "mono": _MONO}.items()
}
"""The style of each role, by the name of the theme."""
ABOUT: Mapping[str, str] = {
    "auto": "the terminal's own colours",
    "dark": "for a dark background",
    "light": "for a light background",
    "mono": "no colours",
}

ATTRIBUTES: Mapping[str, str] = {"bold": "1", "dim": "2", "italic": "3", "underline": "4", "reverse": "7"}
"""Words for the parameters of SGR sequences."""
COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan")
_LEVELS = (0, 95, 135, 175, 215, 255)

_in_use = [DEFAULT]


def check_theme(name: str) -> str:
    """Return ``name``. Raises ValueError for a theme that there is not."""
    if name not in THEMES:
        raise ValueError(f"there is no such theme; {nearest(name, THEMES)}")
    return name


def use_theme(name: str) -> None:
    """Have the theme ``name`` count in this process, which has one terminal, for what is shown from now on."""
    _in_use[0] = check_theme(name)


def theme_in_use() -> str:
    """Return the name of the theme that counts."""
    return _in_use[0]


def style_of(role: str, theme: str | None = None) -> Style:
    """Return the style of ``role``, in the theme that counts or in ``theme``."""
    return _parameters(THEMES[theme or _in_use[0]][role])


def paint(role: str, text: str, theme: str | None = None) -> str:
    """Return ``text`` in the style of ``role``, as a terminal takes it."""
    style = style_of(role, theme)
    return f"\x1b[{';'.join(style)}m{text}\x1b[0m" if style else text


@cache
def _parameters(words: str) -> Style:
    front, _, back = words.partition(" on ")
    found = [_parameter(word, 30) for word in front.split()]
    return tuple(found + [_parameter(word, 40) for word in back.split()])


def _parameter(word: str, first: int) -> str:
    if word in ATTRIBUTES:
        return ATTRIBUTES[word]
    return str(first + COLOURS.index(word)) if word in COLOURS else f"{first + 8};5;{word}"


def rgb(number: int) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of one of the 256 colours, 16 or above."""
    if number >= 232:
        grey = 8 + 10 * (number - 232)
        return grey, grey, grey
    return _LEVELS[(number - 16) // 36], _LEVELS[(number - 16) // 6 % 6], _LEVELS[(number - 16) % 6]
