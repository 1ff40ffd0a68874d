"""The settings of agents and tools that models do not see, recorded so that a replay notices a change."""

from typing import Any

from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.agents.operator import Operator


def rules_of(swarm: Swarm, agent: Agent) -> list[dict[str, Any]]:
    """Return the rules of ``agent``, of its tools, and of the operators that it can hand over to, each with a name.

    A rule that is the default is left out.
    """
    rules: list[dict[str, Any]] = []
    if agent.max_tool_calls is not None:
        rules.append({"name": agent.name, "max_tool_calls": agent.max_tool_calls})
    rules += [{"name": tool.name, **tool.rules} for tool in agent.own_tools if tool.rules]
    for person in swarm.operators:
        if isinstance(person, Operator) and person.name in agent.targets:
            times = {"hours": person.hours, "timezone": person.timezone, "timeout": person.timeout}
            rules.append({"name": person.name, **times})
    return rules
