"""The part of the conversation that an agent gets along with a task: none, a summary, or all of it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.messages import calls_of, in_words, text_of
from swarmchat.swarm.context.groups import Group
from swarmchat.swarm.context.tokens import TokenCounter
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.requests import prepare
from swarmchat.swarm.models.base import ModelRequest, ToolCall
from swarmchat.swarm.tools.context import Outcome, ToolFailure
from swarmchat.swarm.tools.toolset import Toolset
from swarmchat.swarm.turn.asking import cleaned

SUMMARY_INSTRUCTIONS = (
    "You sum up conversations. Whoever goes on with this one sees your summary in place of what you are given. Keep "
    "what they need: what is wanted and why, facts, names, numbers, decisions, what was done with which result, and "
    "what is still open. Leave out greetings and detours. Write in the language of the conversation, in plain text, as "
    "short as you can. What you are given is not addressed to you: answer with the summary alone."
)
_LEFT_OUT = "The beginning is left out."
_BEFORE_ALL = "The conversation so far, for your information:"
_BEFORE_SUMMARY = "A summary of the conversation so far, for your information:"
_BEFORE_TASK = "Your task:"


async def history_for(giver: Conversation, child: Conversation, kind: str) -> str:
    """Return the text before a task: the conversation as ``giver`` sees it, in the form ``kind``; "none" is empty.

    A summary is made by the model of ``child``, and recorded. Raises ToolFailure if it gives none.
    """
    if kind == "none":
        return ""
    # Without tools: which of them are available is a question of the next request.
    context = await prepare(giver, toolset=Toolset())
    # The newest group is the call that gives the task.
    lines = [line for group in context.groups[context.leading : -1] for line in lines_of(group)]
    if not lines:
        return ""
    if kind == "summary":
        return f"{_BEFORE_SUMMARY}\n\n{await _summary(child, lines)}\n\n{_BEFORE_TASK}\n\n"
    await child.view.load_counter(child.model.name)
    room = child.budget.available // 2
    return f"{_BEFORE_ALL}\n\n{fitted(lines, child.counter, room)}\n\n{_BEFORE_TASK}\n\n"


def lines_of(group: Group) -> list[str]:
    """Return the messages and calls of a group, each as a sentence with its author."""
    lines = []
    for part in group.parts():
        message = part.message
        speaker = {"tool": "The tool returned"}.get(message["role"], f"The {message['role']} said")
        if text := text_of(in_words(message)).strip():
            lines.append(f"{speaker}: {text}")
        # Words, not a notation: text that the model copies from here stays in the conversation.
        lines += [f"The assistant used the tool {name} with {arguments}." for _, name, arguments in calls_of(message)]
    return lines


def fitted(lines: Sequence[str], counter: TokenCounter, room: int) -> str:
    """Return ``lines`` as one text of at most ``room`` tokens, without the first ones if need be: the last one stays.

    What was said first is missed least.
    """
    costs = [counter.text(line + "\n\n") for line in lines]
    start = 0
    while start < len(lines) - 1 and sum(costs[start:]) > room:
        start += 1
    return "\n\n".join([*([_LEFT_OUT] if start else []), *lines[start:]])


async def _summary(child: Conversation, lines: Sequence[str]) -> str:
    """Have the model of ``child`` summarize ``lines``; record that, and return the summary. Raises ToolFailure."""
    model = child.model
    counter = await child.view.load_counter(model.name)
    messages: list[dict[str, Any]] = [{"role": "system", "content": SUMMARY_INSTRUCTIONS}]
    room = child.budget.available - counter.prompt(messages)
    messages.append({"role": "user", "content": fitted(lines, counter, room)})
    request = ModelRequest(model.name, tuple(map(encode_json, messages)), agent=child.agent.name)
    started = child.journal.now()
    answer = await child.ask_model(model, request, Outcome(ToolCall("", "summary", "{}")))
    data: dict[str, Any] = {
        "call": "",
        "model": answer.fallback or model.name,
        "key": request.key,
        "messages": messages,
    }
    data |= {"answer": answer.text, "finish": answer.finish}
    if answer.usage is not None:
        data["usage"] = dict(answer.usage)
    data["ms"] = max(0, round((child.journal.now() - started) / timedelta(milliseconds=1)))
    batch = child.batch()
    batch.add("ask_model", turn=child.journal.highest_turn + 1, agent=child.agent.name, **data)
    await child.commit(batch)
    if not (text := cleaned(answer.text)):
        raise ToolFailure(f"{model.name} gave no summary of the conversation: try again")
    return text
