"""Select an agent's tools from those of the MCP servers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.common.names import portable_name

if TYPE_CHECKING:
    from swarmchat.swarm.tools.external_tool import ExternalTool


async def external_tools(swarm: Swarm, agent: Agent, notices: list[str]) -> Sequence["ExternalTool"]:
    """Return the tools of MCP servers that ``agent`` has now; add to ``notices`` what the user should know of them.

    Of tools that a model could not tell apart, the first one counts, and before it the agent's own.
    """
    servers, patterns = swarm.mcp_servers, agent.tool_patterns
    if servers is None or not patterns:
        return ()
    tools = await servers.tools(patterns)
    notices += servers.take_notices(patterns)
    own_names = {portable_name(tool.name) for tool in agent.own_tools}
    first = {portable_name(tool.name): tool for tool in reversed(tools)}
    return [tool for tool in tools if first[name := portable_name(tool.name)] is tool and name not in own_names]
