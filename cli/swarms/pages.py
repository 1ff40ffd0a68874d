"""The parts of a swarm as text: a line for a tool, and its handoffs as a tree or a Mermaid flowchart."""

from collections.abc import Mapping
from typing import Any

from swarmchat.swarm.agents.agent import Swarm


def tool_line(function: Mapping[str, Any]) -> str:
    """Return ``NAME(PARAMETERS)`` and the first line of the description of a function in the form of the chat API."""
    summary = function.get("description", "").split("\n")[0]
    return f"{function['name']}({', '.join(function['parameters']['properties'])})  {summary}".rstrip()


def as_tree(swarm: Swarm) -> str:
    """Return the handoffs as a tree from the default agent; one that is already in it is only named."""
    lines = [swarm.default]
    seen = {swarm.default}

    def grow(name: str, indent: str) -> None:
        targets = list(swarm.agent(name).handoffs)
        for number, target in enumerate(targets):
            last = number == len(targets) - 1
            again = target in seen
            lines.append(f"{indent}{'└─' if last else '├─'} {target}{' ↑' if again else ''}")
            if not again:
                seen.add(target)
                grow(target, indent + ("   " if last else "│  "))

    grow(swarm.default, "")
    apart = [agent.name for agent in swarm.agents if agent.name not in seen]
    if apart:
        lines.append(f"nobody hands over to {', '.join(apart)}")
    return "\n".join(lines)


def as_mermaid(swarm: Swarm) -> str:
    """Return the handoffs as a Mermaid flowchart; the default agent is rounded."""
    # Node ids are numbers: "end" and other names are words of Mermaid.
    ids = {agent.name: f"agent{number}" for number, agent in enumerate(swarm.agents)}
    lines = ["flowchart LR"]
    for name, node in ids.items():
        lines.append(f'    {node}(["{name}"])' if name == swarm.default else f'    {node}["{name}"]')
    lines += [f"    {ids[agent.name]} --> {ids[target]}" for agent in swarm.agents for target in agent.handoffs]
    return "\n".join(lines)
