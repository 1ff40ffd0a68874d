"""The choice of an agent's tools among those of MCP servers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from swarmchat.swarm.common.names import portable_name

if TYPE_CHECKING:
    from swarmchat.swarm.tools.external_tool import ExternalTool
    from swarmchat.swarm.tools.tool import Tool


def without_doubles(tools: Sequence["ExternalTool"], own: Sequence["Tool"]) -> list["ExternalTool"]:
    """Return ``tools`` without those that a model could not tell apart from an earlier one, or from one of ``own``."""
    taken = {portable_name(tool.name) for tool in own}
    first = {portable_name(tool.name): tool for tool in reversed(tools)}
    return [tool for tool in tools if first[name := portable_name(tool.name)] is tool and name not in taken]
