"""What is stored between two turns: another agent, a reset, a new name, other settings, a tool called by hand.

The records belong to the turn before them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swarmchat.swarm.agents.rescue_steps import check_steps
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.primitives.navigation import Navigation
from swarmchat.swarm.tools.outcome import ToolFailure

if TYPE_CHECKING:
    from swarmchat.swarm.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class HandCall:
    """What a tool returned that was called by hand."""

    result: str
    handoff_to: str | None
    """The agent that the tool wants to hand over to."""


async def navigate(conversation: Conversation, navigation: Navigation) -> Navigation:
    """Switch to the active agent of ``navigation``, and store that."""
    await conversation.ready()
    if navigation.active != conversation.navigation.active:
        changes = ChangeSet()
        await conversation.primitives.staging(changes).navigation.set(navigation)
        batch, source = conversation.batch(), conversation.agent.name
        fields = {"from": source, "to": navigation.active, "stack": list(navigation.stack)}
        batch.add("handoff", turn=conversation.journal.last_turn, agent=source, **fields)
        await conversation.commit_and_switch(batch, changes, navigation)
    return navigation


async def reset(conversation: Conversation) -> None:
    """Store that nothing said so far is sent from now on."""
    await conversation.ready()
    if not conversation.journal.is_new:
        batch = conversation.batch()
        batch.add("reset", turn=conversation.journal.last_turn)
        await conversation.commit(batch)


async def rename(conversation: Conversation, name: str) -> None:
    """Give the session another name and record it."""
    await conversation.ready()
    journal = conversation.journal
    if journal.is_new:
        journal.info = replace(journal.info, name=name)
        return
    batch = conversation.batch()
    batch.add("rename", turn=journal.turns, name=name)
    await conversation.commit(batch)


async def change_settings(conversation: Conversation, settings: SessionSettings) -> None:
    """Use ``settings`` from now on, and record those that a replay needs."""
    await conversation.ready()
    steps = check_steps(conversation.swarm.rescue if settings.rescue is None else settings.rescue)
    old_settings, old_steps, old_fields = (
        conversation.settings,
        conversation.rescue_steps,
        conversation.recorded_settings,
    )
    conversation.settings, conversation.rescue_steps = settings, steps
    fields = conversation.recorded_settings
    if conversation.journal.is_new or fields == old_fields:
        return
    try:
        batch = conversation.batch()
        batch.add("set", turn=conversation.journal.last_turn, **fields)
        await conversation.commit(batch)
    except BaseException:
        conversation.settings, conversation.rescue_steps = old_settings, old_steps
        raise


async def call_tool(conversation: Conversation, tool: "Tool", arguments: Mapping[str, object], agent: str) -> HandCall:
    """Call ``tool`` by hand and store what it changes; see ``Session.call_tool``."""
    await conversation.ready()
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
