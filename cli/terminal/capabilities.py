"""Detect what the terminal can do: colours, cursor movement, Unicode, size."""

import os
import shutil
import sys
from typing import Any


def wants_colour(stream: Any) -> bool:
    """Whether to write colours to ``stream``: a terminal, unless the user set NO_COLOR (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and can_move(stream)


def can_move(stream: Any) -> bool:
    """Whether ``stream`` is a terminal with a movable cursor."""
    return os.environ.get("TERM") not in (None, "", "dumb", "unknown") and bool(stream.isatty())


_REFLOWING = """
    TMUX VTE_VERSION KITTY_WINDOW_ID WT_SESSION KONSOLE_VERSION ALACRITTY_WINDOW_ID WEZTERM_PANE ITERM_SESSION_ID
    GHOSTTY_RESOURCES_DIR
""".split()
"""Variables set by terminals that wrap lines again in a narrower window. Others, such as xterm, cut them off."""


def reflows_here() -> bool:
    """Whether the terminal wraps lines again when the window becomes narrower."""
    return any(map(os.environ.get, _REFLOWING))


def is_terminal() -> bool:
    """Whether input and output are both a terminal, so that a person can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def report_width() -> int:
    """Return the columns for a report: those of the terminal, at most 110."""
    return min(110, shutil.get_terminal_size((110, 24)).columns)
