"""The program's environment variables, with the user's keys hidden from tools and other programs."""

import os
from collections.abc import Iterable

_KEYS = (
    *("OPENAI_API_KEY", "SWARMCHAT_API_KEY", "SWARMCHAT_REDIS_URL", "SWARMCHAT_HEADERS", "SWARMCHAT_QUERY"),
    *("SWARMCHAT_MODELS", "SWARMCHAT_MCP", "SWARMCHAT_BACKEND"),
)
"""Variables that hold a key, or may hold one."""


class _Keys:
    """The variables that were taken out of the environment."""

    def __init__(self) -> None:
        self.hidden: dict[str, str] = {}
        self.hides = False
        """Whether this process is the program, whose environment may be changed."""


_keys = _Keys()


def environment() -> dict[str, str]:
    """Return the whole environment, as settings read it."""
    return {**os.environ, **_keys.hidden}


def hide_keys() -> None:
    """Remove the keys from the environment that tools and child programs inherit. Called at the program's start."""
    _keys.hides = True
    hide(_KEYS)


def hide(names: Iterable[str]) -> None:
    """Hide these variables, too, once ``hide_keys`` was called."""
    for name in names:
        if _keys.hides and name in os.environ:
            _keys.hidden[name] = os.environ.pop(name)


def show_keys() -> None:
    """Put the keys back, for a user who wants tools to have them."""
    os.environ.update(_keys.hidden)
    _keys.hides = False
    _keys.hidden.clear()
