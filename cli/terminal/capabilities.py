"""What the terminal can do."""

import os
import sys
from typing import Any


def wants_colour(stream: Any) -> bool:
    """Whether ``stream`` wants colour: https://no-color.org, and a terminal that can."""
    return not os.environ.get("NO_COLOR") and can_move(stream)


def can_move(stream: Any) -> bool:
    """Whether ``stream`` is a terminal on which a line can be written over."""
    return os.environ.get("TERM") not in (None, "", "dumb", "unknown") and bool(stream.isatty())


_REFLOWING = (
    "TMUX",
    "VTE_VERSION",
    "KITTY_WINDOW_ID",
    "WT_SESSION",
    "KONSOLE_VERSION",
    "ALACRITTY_WINDOW_ID",
    "WEZTERM_PANE",
    "ITERM_SESSION_ID",
    "GHOSTTY_RESOURCES_DIR",
)
"""Variables of terminals that break their lines anew when they become narrower; xterm, for one, cuts them."""


def reflows_here() -> bool:
    """Whether the terminal breaks its lines anew when it becomes narrower."""
    return any(map(os.environ.get, _REFLOWING))


def is_terminal() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()
