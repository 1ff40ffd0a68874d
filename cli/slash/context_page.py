"""What ``/context`` and ``/tokens`` show."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.messages import calls_of, text_of
from swarmchat.swarm.context.builder import RequestContext
from swarmchat.swarm.context.left_out import LeftOut, Reason, left_out
from swarmchat.swarm.errors import OverBudget
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.session.session import Session

_NUMBER = 8
"""Columns of a number of tokens."""
_ROLE = 9
"""Columns of a role."""
_WHY = {
    Reason.REFUSED: "refused by a policy, or stopped before it was sent",
    Reason.UNDONE: "undone",
    Reason.RESET: "before the reset in record {}",
    Reason.FOREIGN_CALL: "tool calls of other agents, with their results",
    Reason.CROWDED_OUT: "pinned, but the pins take too much room",
    Reason.COMPACTED: "summed up in record {}",
    Reason.ROTATED: "dropped to fit the window, which starts at record {}",
    Reason.EMPTY: "nothing in it can be sent",
}


@dataclass
class Parts:
    """What each part of a request costs."""

    instructions: int
    tools: int
    summary: int
    pinned: int
    conversation: int
    frame: int


async def context_page(session: Session) -> str:
    """Return the messages that would be sent now, one a line, with their tokens, and what is left out and why."""
    try:
        context = await session.context()
    except OverBudget as error:
        return str(error)
    parts, counter = parts_of(session, context), session.conversation.counter
    about = "~" if counter.approximate else ""
    width = shutil.get_terminal_size().columns
    lines = [f"{'tokens':>{_NUMBER}}  message"]
    lines.append(_row(about, parts.instructions, f"instructions of {session.agent.name}"))
    names = ", ".join(str(tool["function"]["name"]) for tool in context.tools)
    if names:
        lines.append(_row(about, parts.tools, f"tools: {one_line(names, max(8, width - _NUMBER - 11))}"))
    lines.append(_row(about, parts.frame, "overhead of a request"))
    for place, group in enumerate(context.kept):
        mark = ""
        if context.leading <= place < context.leading + context.summary:
            mark = "summary: "
        elif group.seq in context.pinned:
            mark = "pinned: "
        for index, part in enumerate(group.parts()):
            tokens = part.tokens(counter, parallel=group.parallel and index > 0)
            text = one_line(mark + _says(part.message), max(8, width - _NUMBER - _ROLE - 5))
            lines.append(_row("", tokens, f"{part.message['role']:<{_ROLE}}  {text}"))
    records = [record async for record in read_records(session.backend, session.info)]
    conversation = session.conversation
    omitted = left_out(
        records,
        context,
        agent=session.agent.name,
        retained=conversation.retained,
        first_kept=conversation.first_kept,
    )
    lines += _notes(session, context, omitted)
    return "\n".join(lines)


async def tokens_page(session: Session) -> str:
    """Return the tokens of each part of the next request, and the usage that the server has reported so far."""
    lines = ["tokens of the next request, as counted here:"]
    try:
        context = await session.context()
    except OverBudget as error:
        lines = [str(error)]
    else:
        about = "~" if session.conversation.counter.approximate else ""
        parts = parts_of(session, context)
        lines += [_row(about, tokens, name) for name, tokens in vars(parts).items() if tokens]
        lines.append(_row(about, context.tokens, f"of {context.available:,}"))
    records = [record async for record in read_records(session.backend, session.info)]
    lines += ["", *_usage_lines(records)]
    return "\n".join(lines)


def parts_of(session: Session, context: RequestContext) -> Parts:
    """Return what the parts of ``context`` cost; together they are its tokens."""
    counter, system = session.conversation.counter, context.messages[: context.system]
    leading = context.kept[: context.leading]
    summary = context.kept[context.leading : context.leading + context.summary]
    pinned = [group for group in context.kept if group.seq in context.pinned]
    instructions = sum(counter.message(json.loads(message)) for message in system)
    instructions += sum(group.tokens(counter) for group in leading)
    tools = counter.fixed(system, context.tools) - counter.fixed(system)
    summed_up = sum(group.tokens(counter) for group in summary)
    held = sum(group.tokens(counter) for group in pinned)
    conversation = context.tokens - context.fixed_tokens - summed_up - held
    frame = context.fixed_tokens - instructions - tools
    return Parts(instructions, tools, summed_up, held, conversation, frame)


def _notes(session: Session, context: RequestContext, out: Sequence[LeftOut]) -> Iterator[str]:
    budget, counter = session.conversation.budget, session.conversation.counter
    about = "~" if counter.approximate else ""
    yield _row(about, context.tokens, f"of {context.available:,} in all, {context.tokens / context.available:.0%}")
    reserve = f"window {budget.window:,}, {budget.reserve:,} of it reserved for the answer"
    correction = f", corrected by {budget.correction:g}, as the server counts" if budget.correction != 1 else ""
    yield _note(reserve + correction)
    for each in out:
        messages = f"{each.messages:,} {'message' if each.messages == 1 else 'messages'} {_turns(list(each.turns))}"
        yield _note(f"not sent: {messages}: {_WHY[each.reason].format(each.cause)}")
    if context.rotation is not None:
        yield _note("the next request makes this cut")
    if context.crowded_out:
        yield _note("pins and summaries would fill more than half of the window: the oldest are not sent")
    if session.info.rescues:
        yield _note(f"rescue steps in this session: {session.info.rescues:,}")
    if counter.problem:
        yield _note(f"figures with ~ are estimates: {counter.problem}")
    if context.shortened:
        yield _note("the newest tool results are shortened to fit")


def _usage_lines(records: Sequence[Record]) -> Iterator[str]:
    """Yield what the server has counted, undone turns and summaries included: they were paid for."""
    totals: dict[str, int] = {}
    answers = reported = 0
    for record in records:
        if record.type not in ("assistant", "rescue", "compact"):
            continue
        usage = record.data.get("usage")
        answers += record.type == "assistant" or isinstance(usage, dict)
        if isinstance(usage, dict):
            reported += 1
            for name, value in _numbers(usage):
                totals[name] = totals.get(name, 0) + value
    requests = sum(record.type == "request" for record in records)
    counted = sum(int(record.data.get("tokens", 0)) for record in records if record.type == "request")
    yield f"tokens of this session: {requests:,} requests"
    yield _row("", counted, "sent, as counted here")
    for name, value in totals.items():
        yield _row("", value, f"{name}, reported by the server")
    if reported < answers:
        yield _note(f"no usage reported for {answers - reported:,} of {answers:,} answers")


def _numbers(usage: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    for name, value in usage.items():
        if isinstance(value, int) and not isinstance(value, bool):
            yield prefix + name, value
        elif isinstance(value, dict):
            yield from _numbers(value, f"{name}.")


def _row(about: str, tokens: int, text: str) -> str:
    return f"{about + format(tokens, ','):>{_NUMBER}}  {text}"


def _note(text: str) -> str:
    return f"{'':>{_NUMBER}}  {text}"


def _turns(turns: Sequence[int]) -> str:
    if len(turns) == 1:
        return f"of turn {turns[0]}"
    if len(turns) == turns[-1] - turns[0] + 1 or len(turns) > 6:
        return f"of turns {turns[0]} to {turns[-1]}"
    return f"of turns {', '.join(map(str, turns))}"


def _says(message: Mapping[str, Any]) -> str:
    calls = " ".join(f" {call.name}({call.arguments})" for call in calls_of(message))
    return (text_of(message) + calls).strip()
