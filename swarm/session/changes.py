"""Changes to a session outside its turns: another agent, name or settings, and a reset."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.primitives.navigation import Navigation

if TYPE_CHECKING:
    from swarmchat.swarm.primitives.memory import PersistMemory


async def begin(conversation: Conversation) -> None:
    """Store a new session before its first turn."""
    await conversation.ready()
    if conversation.journal.is_new:
        await conversation.commit(conversation.batch())


def navigation_to(conversation: Conversation, agent: str) -> Navigation:
    """Return the navigation after going to ``agent``. The way back leads to no operator: that one is done."""
    navigation = conversation.navigation
    if conversation.agent.is_person and agent != navigation.active:
        navigation = navigation.back() if navigation.stack else Navigation(agent)
    return navigation.to(agent)


async def navigate(conversation: Conversation, navigation: Navigation) -> Navigation:
    """Switch to the active agent of ``navigation``, and store that."""
    await conversation.ready_to_act()
    if navigation.active != conversation.navigation.active:
        batch, source = conversation.batch(), conversation.agent.name
        fields = {"from": source, "to": navigation.active, "stack": list(navigation.stack)}
        batch.add("handoff", turn=conversation.journal.last_turn, agent=source, **fields)
        await conversation.commit_and_switch(batch, ChangeSet(), navigation)
    return navigation


async def reset(conversation: Conversation) -> None:
    """Stop sending the conversation so far, as a turn of its own."""
    await conversation.ready_to_act()
    if not conversation.journal.is_new:
        batch = conversation.batch()
        batch.add("reset", turn=conversation.journal.highest_turn + 1)
        await conversation.commit(batch)


async def rename(conversation: Conversation, name: str) -> None:
    """Give the session another name."""
    await conversation.ready()
    journal = conversation.journal
    if journal.is_new:
        journal.info = replace(journal.info, name=name)
        return
    batch = conversation.batch()
    batch.add("rename", turn=journal.highest_turn, name=name)
    await conversation.commit(batch)


async def change_memory(conversation: Conversation, change: Callable[["PersistMemory"], Awaitable[object]]) -> None:
    """Change the client's memory, and record it: a replay knows it from then on."""
    await conversation.ready_to_act()
    changes = ChangeSet()
    await change(conversation.primitives.staging(changes).memory)
    if conversation.journal.is_new:
        # The first record will hold the memory.
        await change(conversation.primitives.memory)
    else:
        await conversation.commit(None, changes)


async def change_settings(conversation: Conversation, settings: SessionSettings) -> None:
    """Use ``settings`` from now on, and record those that a replay needs. Changes nothing if that fails."""
    await conversation.ready()
    journal = conversation.journal
    old_settings, old_fields = conversation.settings, conversation.recorded_settings
    conversation.change_settings(settings)
    journal.info = journal.info.resumed_with(settings.resume_with)
    fields = conversation.recorded_settings
    if journal.is_new or fields == old_fields:
        return
    try:
        batch = conversation.batch()
        batch.add("set", turn=journal.last_turn, **fields)
        await conversation.commit(batch)
    except BaseException:
        conversation.change_settings(old_settings)
        raise


async def record_settings(conversation: Conversation) -> None:
    """Record the settings if the session was opened with others than before: a replay needs them."""
    recorded = conversation.info.settings
    if recorded is None or not conversation.records_settings or conversation.journal.is_new:
        return
    fields = conversation.recorded_settings
    if fields.get("settings", {}) != recorded:
        await conversation.ready()
        batch = conversation.batch()
        batch.add("set", turn=conversation.journal.last_turn, **fields)
        await conversation.commit(batch)
