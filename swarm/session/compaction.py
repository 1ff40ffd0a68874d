"""Let the model summarize the older part of a conversation, and send the summary in its place.

The log stays whole: a ``compact`` record holds the summary and the number of the first record that is sent after it.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.context.builder import RequestContext
from swarmchat.swarm.context.groups import Group, turn_start
from swarmchat.swarm.context.retained import Retained, summary_groups
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.requests import prepare
from swarmchat.swarm.errors import CompactFailed, NothingToCompact
from swarmchat.swarm.models.base import Answer, ModelRequest
from swarmchat.swarm.turn.asking import cleaned
from swarmchat.swarm.turn.history import SUMMARY_INSTRUCTIONS, fitted, lines_of

_RECENT_SHARE = 4
"""The newest turns that take at most a quarter of all tokens stay as they are; the last one always does."""


@dataclass(frozen=True)
class Compacted:
    """The outcome of a compaction."""

    summary: str
    messages: int
    """The number of messages that it replaces."""
    tokens_before: int
    """The tokens of the conversation before, and with the summary."""
    tokens_after: int
    usage: Mapping[str, Any] | None
    """The usage that the server reported for the summary."""


async def compact(conversation: Conversation, focus: str) -> Compacted:
    """Let the model summarize what the active agent sees; see ``Session.compact``."""
    await conversation.primitives.refuse_banned()
    await conversation.flush()
    old, recent = _split(await prepare(conversation), conversation)
    answer = await _summarize(conversation, [line for group in old for line in lines_of(group)], focus)
    # Its record names its own number.
    async with conversation.step(storing=True):
        return await _store(conversation, answer, old, recent, focus)


async def _store(
    conversation: Conversation, answer: Answer, old: Sequence[Group], recent: Sequence[Group], focus: str
) -> Compacted:
    """Store the summary ``answer`` of ``old``. Raises CompactFailed if it is no shorter."""
    budget, counter, agent = conversation.budget, conversation.counter, conversation.agent.name
    batch = conversation.batch()
    record = batch.add("compact", turn=conversation.journal.last_turn, agent=agent, summary=answer.text)
    before = sum(group.tokens(counter) for group in [*old, *recent])
    # The summary is counted in the messages that it is sent in.
    after = sum(group.tokens(counter) for group in [*summary_groups(record), *recent])
    if after >= before:
        raise CompactFailed(
            f"the summary would take {after:,} tokens and its messages only {before:,}: nothing was "
            "changed; try again after some more turns"
        )
    fields: dict[str, Any] = {"summary": answer.text, "first_kept": recent[0].seq}
    fields |= {"through": max(group.seq for group in old if group.seq < recent[0].seq)}
    fields |= {"model": conversation.model.name, "window": budget.window, "reserve": budget.reserve}
    fields |= {"tokens_before": before, "tokens_after": after}
    if answer.usage is not None:
        fields["usage"] = dict(answer.usage)
    if focus:
        fields["focus"] = focus
    retained = conversation.retained
    fields |= Retained(retained.pinned, {**retained.summaries, agent: record.seq}).for_record()
    batch.records[-1] = replace(record, data=fields)
    await run_to_completion(conversation.commit(batch))
    return Compacted(answer.text, sum(len(group.parts()) for group in old), before, after, answer.usage)


def _split(context: RequestContext, conversation: Conversation) -> tuple[list[Group], list[Group]]:
    """Return the groups to summarize, an earlier summary first, and the recent ones. Raises NothingToCompact."""
    groups, counter = conversation.view.uncut(conversation.budget), conversation.counter
    start = turn_start(groups, len(groups))
    limit = sum(group.tokens(counter) for group in groups) // _RECENT_SHARE
    while start > 0:
        earlier = turn_start(groups, start)
        if sum(group.tokens(counter) for group in groups[earlier:]) > limit:
            break
        start = earlier
    if start <= 0:
        raise NothingToCompact("nothing to summarize yet: the last turn and pinned turns stay as they are")
    earlier_summary = context.groups[context.leading : context.leading + context.summary]
    return [*earlier_summary, *groups[:start]], groups[start:]


async def _summarize(conversation: Conversation, lines: Sequence[str], focus: str) -> Answer:
    """Return the model's summary of ``lines``. Raises CompactFailed if it cannot be used."""
    system = SUMMARY_INSTRUCTIONS + (f" What matters most: {focus}" if focus else "")
    messages = [{"role": "system", "content": system}, {"role": "user", "content": ""}]
    counter = conversation.counter
    room = conversation.budget.available - sum(map(counter.message, messages)) - counter.fixed(())
    messages[1]["content"] = fitted(lines, counter, room)
    parameters = {**conversation.settings.parameters, **conversation.agent.parameters}
    parameters = {name: value for name, value in parameters.items() if name not in _TOOL_PARAMETERS}
    request = ModelRequest(conversation.model.name, tuple(map(encode_json, messages)), (), parameters, 1)
    answer: Answer | None = None
    async with aclosing(conversation.model.stream(request)) as events:
        async for event in events:
            if isinstance(event, Answer):
                answer = event
    if answer is None or answer.finish == "length":
        raise CompactFailed("the summary was cut off: nothing was changed; allow longer answers, or try another model")
    text = cleaned(answer.text)
    if not text:
        raise CompactFailed("the model gave no summary: nothing was changed; try again, or another model")
    return Answer(text, finish=answer.finish, usage=answer.usage)


_TOOL_PARAMETERS = ("tool_choice", "parallel_tool_calls", "response_format", "tools")
"""Parameters of an agent that a request for plain text must not have."""
