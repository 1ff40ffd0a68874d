"""Call a tool by hand, outside a turn: the command ``/call``."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.tools.context import Outcome, ToolFailure
from swarmchat.swarm.turn.asking import ToolAsking

if TYPE_CHECKING:
    from swarmchat.swarm.tools.tool import Tool

BY_HAND = "by hand"
"""Stands for the id of a call that no model made."""


@dataclass(frozen=True, slots=True)
class HandCall:
    """The result of a tool that was called by hand."""

    result: str
    handoff_to: str | None
    """The agent that the tool wants to hand over to."""


async def call_by_hand(
    conversation: Conversation, tool: "Tool", arguments: Mapping[str, object], agent: str
) -> HandCall:
    """Call ``tool`` as ``agent``, and store its changes; see ``Session.call_tool``."""
    if tool.gives_task:
        raise ToolFailure(f"{tool.name} is an agent: talk to it with /agent, or let an agent give it a task")
    await conversation.ready_to_act()
    changes = ChangeSet()
    ctx = conversation.tool_context(BY_HAND, changes)
    ctx.agent = agent
    outcome = Outcome(ToolCall(BY_HAND, tool.name, "{}"))
    ctx.asking = ToolAsking(conversation, ctx, outcome)
    ctx.report = partial(conversation.primitives.tool_progress, tool.name)
    batch = conversation.batch()
    try:
        result = await tool.run(ctx, dict(arguments))
    except Exception as error:
        raise ToolFailure(f"{tool.name}: {type(error).__name__}: {error}") from error
    for kind, asked in outcome.asked:
        batch.add(kind, turn=conversation.journal.last_turn, agent=agent, call=BY_HAND, **asked)
    if changes or outcome.asked:
        await conversation.commit(batch, changes)
    return HandCall(result, ctx.handoff_to)
