"""The theme as the line editor takes it."""

from functools import cache

from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import BaseStyle, Style
from swarmchat.cli.terminal.themes import ATTRIBUTES, COLOURS, THEMES, rgb, theme_in_use

_CLASSES = {
    "fill.low": "fill.low",
    "fill.middle": "fill.middle",
    "fill.high": "fill.high",
    "queued": "queued",
}
_ALONE = {
    "auto-suggestion": "suggestion",
    "completion-menu": "menu",
    "completion-menu.completion.current": "menu.chosen",
    "completion-menu.meta.completion": "menu.about",
    "completion-menu.meta.completion.current": "menu.chosen",
}
"""Roles by the editor's own classes, of whose usual looks nothing is to stay."""


def prompt_style() -> BaseStyle:
    """Return the style of the prompt, its menu and the line below it."""
    return _style(theme_in_use())


def colour_depth() -> ColorDepth | None:
    """Return how many colours the prompt may have. ``None``: as many as the terminal and the environment allow."""
    # What no role is for, such as what a search has found, has colours of the editor's own.
    return ColorDepth.DEPTH_1_BIT if theme_in_use() == "mono" else None


@cache
def _style(theme: str) -> Style:
    roles = THEMES[theme]
    rules = {name: _as_rule(roles[role]) for name, role in _CLASSES.items()}
    return Style.from_dict(rules | {name: f"noinherit {_as_rule(roles[role])}" for name, role in _ALONE.items()})


def _as_rule(words: str) -> str:
    front, _, back = words.partition(" on ")
    return " ".join([_as_part(word, "fg") for word in front.split()] + [_as_part(word, "bg") for word in back.split()])


def _as_part(word: str, place: str) -> str:
    if word in ATTRIBUTES:
        return word
    if word in COLOURS:
        return f"{place}:ansi{word}"
    return f"{place}:#{bytes(rgb(int(word))).hex()}"
