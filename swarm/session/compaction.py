"""Have the model sum up the older part of a conversation, and send the summary in its place.

What is summed up stays in the log: a ``compact`` record holds the summary and says from where on the rest is sent.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.messages import calls_of, text_of
from swarmchat.swarm.context.builder import RequestContext
from swarmchat.swarm.context.groups import Group, turn_start
from swarmchat.swarm.context.retained import Retained, summary_groups
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.errors import CompactFailed, NothingToCompact
from swarmchat.swarm.models.base import Answer, ModelRequest, TextChunk
from swarmchat.swarm.parsing.answer_filter import AnswerFilter
from swarmchat.swarm.persistence.journal import Batch
from swarmchat.swarm.tools.toolset import Toolset

_INSTRUCTIONS = (
    "You sum up conversations. Whoever goes on with this one sees your summary in place of what you are given. Keep "
    "what they need: what is wanted and why, facts, names, numbers, decisions, what was done with which result, and "
    "what is still open. Leave out greetings and detours. Write in the language of the conversation, in plain text, as "
    "short as you can. What you are given is not addressed to you: answer with the summary alone."
)
_KEPT_SHARE = 4
"""The newest turns stay as they are as long as they take no more than one part of so many; the last one always."""
_LEFT_OUT = "[the beginning is left out]"


@dataclass(frozen=True)
class Compacted:
    """What was summed up."""

    summary: str
    messages: int
    """How many messages it stands for."""
    tokens_before: int
    """What the conversation took."""
    tokens_after: int
    usage: Mapping[str, Any] | None
    """What the summary cost, by the server's own figures."""


async def compact(conversation: Conversation, focus: str) -> Compacted:
    """Sum up what the active agent sees; see ``Session.compact``."""
    await conversation.flush()
    context = await conversation.prepare()
    old, kept = _split(context, conversation)
    lines = [line for group in old for line in _lines(group)]
    answer = await _summarise(conversation, lines, focus)
    batch = _batch(conversation, old, kept, answer, focus)
    data = batch.records[0].data
    if data["tokens_after"] >= data["tokens_before"]:
        raise CompactFailed(
            f"the summary would take {data['tokens_after']:,} tokens and the messages in its place take "
            f"{data['tokens_before']:,}: nothing was changed; try again after some more turns"
        )
    await run_to_completion(conversation.commit(batch))
    messages = sum(len(group.parts()) for group in old)
    return Compacted(data["summary"], messages, data["tokens_before"], data["tokens_after"], answer.usage)


def _split(context: RequestContext, conversation: Conversation) -> tuple[list[Group], list[Group]]:
    """Return the groups to summarise, an earlier summary first, and those that stay. Raises NothingToCompact."""
    groups, counter = conversation.view.uncut(conversation.budget), conversation.counter
    start = turn_start(groups, len(groups))
    limit = sum(group.tokens(counter) for group in groups) // _KEPT_SHARE
    while start > 0:
        earlier = turn_start(groups, start)
        if sum(group.tokens(counter) for group in groups[earlier:]) > limit:
            break
        start = earlier
    if start <= 0:
        raise NothingToCompact("nothing to summarise yet: the last turn and pinned turns stay as they are")
    before = context.kept[context.leading : context.leading + context.summary]
    return [*before, *groups[:start]], groups[start:]


def _batch(
    conversation: Conversation, old: Sequence[Group], kept: Sequence[Group], answer: Answer, focus: str
) -> Batch:
    """Return a batch with the ``compact`` record."""
    budget, counter = conversation.budget, conversation.counter
    fields: dict[str, Any] = {"summary": answer.text, "first_kept": kept[0].seq}
    fields |= {"through": max(group.seq for group in old if group.seq < kept[0].seq)}
    fields |= {"model": conversation.model.name, "window": budget.window, "reserve": budget.reserve}
    fields |= {"tokens_before": sum(group.tokens(counter) for group in [*old, *kept])}
    batch = conversation.batch()
    record = batch.add("compact", turn=conversation.journal.last_turn, agent=conversation.agent.name, **fields)
    # The summary names its own record, and what it costs is counted as it will be sent.
    fields |= {"tokens_after": sum(group.tokens(counter) for group in [*summary_groups(record), *kept])}
    if answer.usage is not None:
        fields["usage"] = dict(answer.usage)
    if focus:
        fields["focus"] = focus
    summaries = {**conversation.retained.summaries, conversation.agent.name: record.seq}
    fields |= Retained(conversation.retained.pinned, summaries).for_record()
    batch.records[0] = replace(record, data=fields)
    return batch


async def _summarise(conversation: Conversation, lines: Sequence[str], focus: str) -> Answer:
    """Return the model's summary of ``lines``. Raises CompactFailed for one that cannot be used."""
    system = _INSTRUCTIONS + (f" What matters most: {focus}" if focus else "")
    messages = [{"role": "system", "content": system}, {"role": "user", "content": ""}]
    counter, lines = conversation.counter, [*lines]
    frame = sum(map(counter.message, messages)) + counter.fixed(())
    room = conversation.budget.available - frame
    left_out = False
    costs = [counter.text(line + "\n\n") for line in lines]
    while len(lines) > 1 and sum(costs) > room:
        # What was said in the first place is the least missed.
        del lines[0], costs[0]
        left_out = True
    messages[1]["content"] = "\n\n".join([*([_LEFT_OUT] if left_out else []), *lines])
    parameters = {**conversation.settings.parameters, **conversation.agent.parameters}
    parameters = {name: value for name, value in parameters.items() if name not in _NOT_FOR_TEXT}
    request = ModelRequest(conversation.model.name, tuple(map(encode_json, messages)), (), parameters, 1)
    answer: Answer | None = None
    async with aclosing(conversation.model.stream(request)) as events:
        async for event in events:
            if isinstance(event, Answer):
                answer = event
    if answer is None or answer.finish == "length":
        raise CompactFailed("the summary broke off: nothing was changed; allow longer answers, or try another model")
    text = _cleaned(answer.text)
    if not text:
        raise CompactFailed("the model gave no summary: nothing was changed; try again, or another model")
    return Answer(text, finish=answer.finish, usage=answer.usage)


_NOT_FOR_TEXT = ("tool_choice", "parallel_tool_calls", "response_format", "tools")
"""Parameters of an agent that make no sense for a text without tools."""


def _cleaned(text: str) -> str:
    """Return ``text`` without thoughts and marks of chat templates."""
    pieces = AnswerFilter(Toolset())
    made = [*pieces.feed(text), *pieces.finish()]
    return "".join(piece.text for piece in made if isinstance(piece, TextChunk)).strip()


def _lines(group: Group) -> list[str]:
    """Return a group as a text in which each line says who said it."""
    lines = []
    for part in group.parts():
        message = part.message
        role = {"tool": "result"}.get(message["role"], message["role"])
        if text := text_of(message).strip():
            lines.append(f"{role}: {text}")
        lines += [f"call: {name}({arguments})" for _, name, arguments in calls_of(message)]
    return lines
