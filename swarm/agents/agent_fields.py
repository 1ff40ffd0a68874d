"""What the arguments of agents are expected to be."""

from collections.abc import Mapping

from swarmchat.swarm.common.mistakes import FUNCTION, TEXT, Expected, instance_of, many, named_part, optional


def _is_tool(value: object) -> bool:
    """Whether ``value`` is a tool of an agent: a function, a pattern for tools of MCP servers, or ``agent:NAME``."""
    return "/" in value or value.startswith("agent:") if isinstance(value, str) else callable(value)


AGENT = {
    "prompt": Expected("a text or a function of the context", lambda value: isinstance(value, str) or callable(value)),
    "tools": many(
        "functions, agents as AGENT.as_tool() or 'agent:NAME', or names such as 'files/*' of an MCP server's tools",
        _is_tool,
    ),
    "handoffs": many("agents or their names", named_part),
    "system": many("texts or functions of the context", lambda value: isinstance(value, str) or callable(value)),
    "description": TEXT,
    "model": optional(instance_of(str, "the name of a model; one for all agents is given to Session.open")),
    "parameters": instance_of(Mapping, 'a mapping such as {"temperature": 0}'),
    "max_tool_calls": optional(Expected("0 or more", lambda value: isinstance(value, int) and value >= 0)),
    "validate": optional(FUNCTION),
}
"""What the arguments of an agent are expected to be."""
