"""Summarize older turns before a turn that would otherwise drop some of them: the setting ``auto_compact``.

It works like ``Session.compact``, so a replay repeats it like a compaction that the user requested.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Event, Summarized, Warned
from swarmchat.swarm.conversation.requests import prepare
from swarmchat.swarm.errors import ClientBanned, CompactFailed, ModelError, NothingToCompact, OverBudget
from swarmchat.swarm.session.compaction import compact
from swarmchat.swarm.turn.question import Question


async def with_room(
    conversation: Conversation, question: Question, turn: AsyncGenerator[Event, None]
) -> AsyncGenerator[Event, None]:
    """Summarize if there is no room for ``question``, then yield the events of its ``turn``."""
    async with aclosing(turn) as events:
        if (notice := await _compact_if_full(conversation, question)) is not None:
            yield notice
        async for event in events:
            yield event


async def _compact_if_full(conversation: Conversation, question: Question) -> Summarized | Warned | None:
    """Summarize if there is no room for ``question``; return a message for the user, ``None`` if nothing was done."""
    model = conversation.model.name
    if model in conversation.no_summaries or not await _is_full(conversation, question):
        return None
    if model == "demo":
        conversation.no_summaries.add(model)
        return Warned("older messages are dropped to fit the window: the demo model cannot write summaries")
    try:
        done = await compact(conversation, "")
    except (NothingToCompact, ClientBanned):
        # The turn itself reports it.
        return None
    except (CompactFailed, ModelError) as error:
        conversation.no_summaries.add(model)
        return Warned(f"older messages are dropped to fit the window, because {model} gave no summary of them: {error}")
    return Summarized(done.messages, done.tokens_before, done.tokens_after)


async def _is_full(conversation: Conversation, question: Question) -> bool:
    """Whether the next request would drop messages."""
    await conversation.ready()
    try:
        context = await prepare(conversation)
    except OverBudget:
        return False
    counter = conversation.counter
    asked = sum(counter.message(message) for message in (*question.earlier, question.message))
    room = context.available - context.fixed_tokens
    filled = context.tokens - context.fixed_tokens + asked
    return context.rotation is not None or filled > conversation.budget.high * room
