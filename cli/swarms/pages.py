"""The parts of a swarm as text: a line for a tool, and its handoffs as a tree or a Mermaid flowchart."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from swarmchat.cli.terminal.printing import as_line
from swarmchat.swarm.agents.agent import Swarm

if TYPE_CHECKING:
    from swarmchat.swarm.tools.agent_tool import AgentTool


def tool_line(function: Mapping[str, Any]) -> str:
    """Return the name, parameters and first line of description of a function that has the form of the chat API.

    The line is safe to print.
    """
    summary = function.get("description", "").split("\n")[0]
    return as_line(f"{function['name']}({', '.join(function['parameters']['properties'])})  {summary}".rstrip())


def tool_limits(tool: "AgentTool") -> str:
    """Return the settings of an agent that is used as a tool, in brackets; empty if there are none."""
    limits = [f"history {tool.history}"] if tool.history != "none" else []
    units = {"requests": "requests", "tokens": "tokens", "seconds": "s"}
    limits += [f"{value:,} {unit}" for name, unit in units.items() if (value := getattr(tool, name)) is not None]
    return f" ({', '.join(limits)})" if limits else ""


def as_tree(swarm: Swarm) -> str:
    """Return the handoffs as a tree from the default agent; ``↑`` marks an agent that is in it already."""
    lines = [swarm.initial]
    seen = {swarm.initial}

    def add_targets(name: str, indent: str) -> None:
        targets = list(swarm.agent(name).targets)
        for number, target in enumerate(targets):
            last = number == len(targets) - 1
            repeated = target in seen
            lines.append(f"{indent}{'└─' if last else '├─'} {target}{' ↑' if repeated else ''}")
            if not repeated:
                seen.add(target)
                add_targets(target, indent + ("   " if last else "│  "))

    add_targets(swarm.initial, "")
    used = {agent.name: [tool.agent_name for tool in agent.agent_tools] for agent in swarm.agents}
    lines += [f"{name} gives tasks to {', '.join(names)}" for name, names in used.items() if names]
    seen |= {name for names in used.values() for name in names}
    unreachable = [agent.name for agent in swarm.agents if agent.name not in seen]
    if unreachable:
        lines.append(f"not reachable from {swarm.initial}: {', '.join(unreachable)}")
    return "\n".join(lines)


def as_mermaid(swarm: Swarm) -> str:
    """Return the handoffs as a Mermaid flowchart; the default agent has round corners."""
    # Names cannot be node ids: some, such as "end", are keywords of Mermaid.
    ids = {agent.name: f"agent{number}" for number, agent in enumerate(swarm.agents)}
    lines = ["flowchart LR"]
    for name, node in ids.items():
        lines.append(f'    {node}(["{name}"])' if name == swarm.initial else f'    {node}["{name}"]')
    lines += [f"    {ids[agent.name]} --> {ids[target]}" for agent in swarm.agents for target in agent.targets]
    for agent in swarm.agents:
        lines += [f"    {ids[agent.name]} -. task .-> {ids[tool.agent_name]}" for tool in agent.agent_tools]
    return "\n".join(lines)
