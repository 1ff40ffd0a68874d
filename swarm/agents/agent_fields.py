"""Checks of the arguments of agents and states."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.mistakes import FUNCTION, TEXT, Expected, instance_of, many, named_part, optional
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import DefinitionError

if TYPE_CHECKING:
    from swarmchat.swarm.primitives.state import State


def _is_tool(value: object) -> bool:
    """Whether ``value`` is a tool of an agent: a function, a pattern for tools of MCP servers, or ``agent:NAME``."""
    return "/" in value or value.startswith("agent:") if isinstance(value, str) else callable(value)


_SYSTEM_TEXT = Expected("a text or a function of the context", lambda value: isinstance(value, str) or callable(value))

AGENT = {
    "prompt": _SYSTEM_TEXT,
    "tools": many(
        "functions, agents as AGENT.as_tool() or 'agent:NAME', or names such as 'files/*' of an MCP server's tools",
        _is_tool,
    ),
    "handoffs": many("agents or their names", named_part),
    "system": many("texts or functions of the context", lambda value: isinstance(value, str) or callable(value)),
    "reminder": _SYSTEM_TEXT,
    "description": TEXT,
    "model": optional(instance_of(str, "the name of a model; a model for all agents goes to Session.open")),
    "parameters": instance_of(Mapping, 'a mapping such as {"temperature": 0}'),
    "max_tool_calls": optional(Expected("0 or more", lambda value: isinstance(value, int) and value >= 0)),
    "validate": optional(FUNCTION),
}
"""What the arguments of an agent are expected to be."""


EMBEDDER = optional(
    Expected(
        "an embedder: an object with a name, a default_score and async def embed(self, texts)",
        lambda value: all(hasattr(value, name) for name in ("name", "default_score", "embed")),
    )
)
"""What the embedder of a swarm is expected to be."""


def check_computed(swarm: str, states: Sequence["State[Any]"]) -> None:
    """Check that computed states name stored states, or computed ones that are declared before them.

    Raises DefinitionError, with the name of the ``swarm``.
    """
    known = [state.name for state in states if state.compute is None]
    for state in states:
        if state.compute is None:
            continue
        for name in state.of:
            if name not in known:
                raise DefinitionError(
                    f"swarm {swarm!r}: the state {state.name!r} is computed from {name!r}, which is not defined "
                    f"before it; {nearest(name, known)}"
                )
        known.append(state.name)
