"""The tools with which agents hand a client over to one another."""

from typing import Any

from swarmchat.swarm.agents.agent import BACK, PREFIX, Agent, Swarm
from swarmchat.swarm.primitives.navigation import Navigation


def handoff_definitions(swarm: Swarm, agent: Agent, navigation: Navigation) -> list[dict[str, Any]]:
    """Return the definitions of the handoff tools of ``agent``, in the form of the chat API."""
    texts, people = {}, {PREFIX + operator.name for operator in swarm.operators}
    for name in agent.targets:
        purpose = swarm.agent(name).description
        who = f"{name}, a person, who may take a while" if PREFIX + name in people else name
        texts[PREFIX + name] = f"Hand the user over to {who}." + (f" {purpose}" if purpose else "")
    if navigation.stack:
        texts[BACK] = f"Hand the user back to {navigation.stack[-1]}, who was there before you."
    return [
        {
            "type": "function",
            "function": {"name": name, "description": text, "parameters": _FOR_PERSON if name in people else _NONE},
        }
        for name, text in texts.items()
    ]


def handoff_names(agent: Agent, navigation: Navigation) -> list[str]:
    """Return the names of the handoff tools that ``agent`` can call now."""
    return [*(PREFIX + name for name in agent.targets), *([BACK] if navigation.stack else [])]


def handoff_target(name: str, agent: Agent, navigation: Navigation) -> str | None:
    """Return the agent that the tool ``name`` hands over to; ``None`` unless ``agent`` can make that handoff now."""
    if name == BACK and navigation.stack:
        return navigation.stack[-1]
    target = name.removeprefix(PREFIX)
    return target if name.startswith(PREFIX) and target in agent.targets else None


_NONE = {"type": "object", "properties": {}, "additionalProperties": False}
_FOR_PERSON = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "description": "Why a person is needed, in one sentence."},
        "summary": {"type": "string", "description": "What the person has to know, in two or three sentences."},
    },
    "required": ["reason"],
    "additionalProperties": False,
}
"""The parameters of a handoff to an agent, and to an operator."""
