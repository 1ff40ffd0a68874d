"""Convert the theme to a style of the line editor."""

from functools import cache

from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import BaseStyle, Style
from swarmchat.cli.terminal.themes import ATTRIBUTES, COLOURS, THEMES, rgb, theme_in_use

_OWN_CLASSES = ("fill.low", "fill.middle", "fill.high", "queued")
"""Classes that are named like their roles."""
_EDITOR_CLASSES = {
    "auto-suggestion": "suggestion",
    "completion-menu": "menu",
    "completion-menu.completion.current": "menu.chosen",
    "completion-menu.meta.completion": "menu.about",
    "completion-menu.meta.completion.current": "menu.chosen",
}
"""Roles by class of prompt_toolkit; its own style for the class does not apply."""


def prompt_style() -> BaseStyle:
    """Return the style of the prompt, its menu and the toolbar."""
    return _style(theme_in_use())


def colour_depth() -> ColorDepth | None:
    """Return how many colours the prompt may have. ``None``: as many as the terminal and the environment allow."""
    # Classes without a role, such as search matches, have colours of prompt_toolkit's own.
    return ColorDepth.DEPTH_1_BIT if theme_in_use() == "mono" else None


@cache
def _style(theme: str) -> Style:
    roles = THEMES[theme]
    own = {role: _as_rule(roles[role]) for role in _OWN_CLASSES}
    return Style.from_dict(own | {name: f"noinherit {_as_rule(roles[role])}" for name, role in _EDITOR_CLASSES.items()})


def _as_rule(style: str) -> str:
    front, _, back = style.partition(" on ")
    return " ".join([_as_part(word, "fg") for word in front.split()] + [_as_part(word, "bg") for word in back.split()])


def _as_part(word: str, ground: str) -> str:
    if word in ATTRIBUTES:
        return word
    colour = f"ansi{word}" if word in COLOURS else f"#{bytes(rgb(int(word))).hex()}"
    return f"{ground}:{colour}"
