"""Names that models and people type: which there may be, and which was probably meant."""

import difflib
import re
from collections.abc import Iterable

from swarmchat.swarm.errors import DefinitionError

_TOOL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AGENT = re.compile(r"[A-Za-z0-9_-]{1,50}")


def check_tool_name(name: str) -> None:
    """Raise DefinitionError unless the chat API takes ``name`` for a tool."""
    if not _TOOL.fullmatch(name):
        raise DefinitionError(f"tool {name!r}: a name has 1 to 64 letters, digits, _ and -")


def check_agent_name(name: str) -> None:
    """Raise DefinitionError unless ``name`` can be part of the name of a tool: ``transfer_to_NAME``."""
    if not _AGENT.fullmatch(name):
        raise DefinitionError(f"agent {name!r}: a name has 1 to 50 letters, digits, _ and -")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for whoever asked for a ``name`` that there is not: the nearest one, or all."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(names)}" if names else "there are none"
