"""The tools by which agents hand a client over to one another."""

from typing import Any

from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.primitives.navigation import Navigation

PREFIX = "transfer_to_"
BACK = "transfer_back"


def handoff_definitions(swarm: Swarm, agent: Agent, navigation: Navigation) -> list[dict[str, Any]]:
    """Return the definitions of the handoff tools of ``agent``, in the form of the chat API."""
    tools = []
    for name in agent.handoffs:
        purpose = swarm.agent(name).description
        tools.append(_definition(PREFIX + name, f"Hand the user over to {name}." + (f" {purpose}" if purpose else "")))
    if navigation.stack:
        tools.append(_definition(BACK, f"Hand the user back to {navigation.stack[-1]}, who was there before you."))
    return tools


def handoff_names(agent: Agent, navigation: Navigation) -> list[str]:
    """Return the names of the handoff tools that ``agent`` can call now."""
    return [*(PREFIX + name for name in agent.handoffs), *([BACK] if navigation.stack else [])]


def handoff_target(name: str, agent: Agent, navigation: Navigation) -> str | None:
    """Return the agent that the tool ``name`` hands over to; ``None`` unless ``agent`` can make that handoff now."""
    if name == BACK and navigation.stack:
        return navigation.stack[-1]
    target = name.removeprefix(PREFIX)
    return target if name.startswith(PREFIX) and target in agent.handoffs else None


def _definition(name: str, description: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}, "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
