"""Call a tool by hand, outside a turn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.tools.context import ToolFailure

if TYPE_CHECKING:
    from swarmchat.swarm.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class HandCall:
    """The result of a tool that was called by hand."""

    result: str
    handoff_to: str | None
    """The agent that the tool wants to hand over to."""


async def call_by_hand(
    conversation: Conversation, tool: "Tool", arguments: Mapping[str, object], agent: str
) -> HandCall:
    """Call ``tool`` as ``agent``, and store what it changes; see ``Session.call_tool``."""
    await conversation.ready_to_act()
    changes = ChangeSet()
    ctx = conversation.tool_context("by hand", changes)
    ctx.agent = agent
    try:
        result = await tool.run(ctx, dict(arguments))
    except Exception as error:
        raise ToolFailure(f"{tool.name}: {type(error).__name__}: {error}") from error
    if changes:
        await conversation.commit(conversation.batch(), changes)
    return HandCall(result, ctx.handoff_to)
