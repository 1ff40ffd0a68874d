"""The definitions of MCP tools in the log, from which a replay offers them without a server."""

from collections.abc import Sequence
from typing import Any

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.tools.toolset import Toolset


def unrecorded_tools(
    conversation: Conversation, toolset: Toolset, pending: Sequence[Record]
) -> list[dict[str, Any]] | None:
    """Return the definitions of external tools for the log; ``None`` if the last record of the agent has the same."""
    agent = conversation.agent
    if not agent.tool_patterns:
        return None
    from swarmchat.swarm.tools.external_tool import ExternalTool

    offered = [tool.for_record() for tool in toolset.tools.values() if isinstance(tool, ExternalTool)]
    journal = conversation.journal
    for record in reversed([*journal.log.records, *journal.unsaved, *pending]):
        if record.type == "tools" and record.agent == agent.name:
            return None if record.data.get("tools") == offered else offered
    return offered or None
