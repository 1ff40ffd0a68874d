"""Slash commands about requests: their messages and cost, summaries, and pinned turns."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, Command, CommandResult
from swarmchat.cli.slash.turns import has_turns, read_timeline, turn_choices
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.messages import calls_of, text_of
from swarmchat.swarm.context.builder import RequestContext
from swarmchat.swarm.context.left_out import Reason, left_out
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
    Reason.FOREIGN_CALL: "for other agents: their tool calls, and messages from outside",
    Reason.CROWDED_OUT: "pinned, but the pins take too much room",
    Reason.COMPACTED: "summarized in record {}",
    Reason.ROTATED: "dropped to fit the window, which starts at record {}",
    Reason.EMPTY: "it has nothing to send",
}


@Command("context", "show the next request: its messages and their tokens, and which messages are dropped and why")
async def _context(chat: ChatContext, argument: str) -> str:
    session = chat.session
    try:
        context = await session.context()
    except OverBudget as error:
        return str(error)
    counter, estimate = session.conversation.counter, _estimate_sign(session)
    parts, width = _tokens_by_part(session, context), shutil.get_terminal_size().columns
    lines = [_row("tokens", "message"), _row(parts["instructions"], f"instructions of {session.agent.name}", estimate)]
    names = ", ".join(str(tool["function"]["name"]) for tool in context.tools)
    if names:
        lines.append(_row(parts["tools"], f"tools: {one_line(names, max(8, width - _NUMBER - 11))}", estimate))
    lines.append(_row(parts["frame"], "overhead of a request", estimate))
    for index, group in enumerate(context.groups):
        mark = ""
        if context.leading <= index < context.leading + context.summary:
            mark = "summary: "
        elif group.seq in context.pinned:
            mark = "pinned: "
        for number, part in enumerate(group.parts()):
            tokens = part.tokens(counter, parallel=group.parallel and number > 0)
            text = one_line(mark + _message_text(part.message), max(8, width - _NUMBER - _ROLE - 5))
            lines.append(_row(tokens, f"{part.message['role']:<{_ROLE}}  {text}"))
    return "\n".join([*lines, *_notes(session, context, await _records(session))])


@Command("tokens", "show the tokens of the next request and of this session")
async def _tokens(chat: ChatContext, argument: str) -> str:
    lines = ["tokens of the next request, as counted here:"]
    try:
        context = await chat.session.context()
    except OverBudget as error:
        lines = [str(error)]
    else:
        estimate, parts = _estimate_sign(chat.session), _tokens_by_part(chat.session, context)
        lines += [_row(tokens, name, estimate) for name, tokens in parts.items() if tokens]
        lines.append(_row(context.tokens, f"of {context.available:,}", estimate))
    return "\n".join([*lines, "", *_usage_lines(await _records(chat.session))])


@Command("compact", "send a summary in place of older turns; the log keeps them", "[FOCUS]", is_useful=has_turns)
async def _compact(chat: ChatContext, argument: str) -> CommandResult:
    if chat.session.model.name == "demo":
        raise UsageError("the demo model cannot write summaries: connect a model, or see /help model")
    done = await chat.session.compact(argument)
    cost = f"; it cost {_cost(done.usage)}" if done.usage else ""
    remark = (
        f"{done.messages} messages summarized: {done.tokens_before:,} tokens became {done.tokens_after:,}{cost}; "
        "/undo takes it back together with the last turn"
    )
    return CommandResult(page=done.summary, remark=remark)


async def _unpinned(chat: ChatContext, typed: str) -> list[Choice]:
    timeline, pinned = await read_timeline(chat.session), await _pinned(chat.session)
    turns = [turn for turn in reversed(timeline.visible) if turn in timeline.texts and turn not in pinned]
    return turn_choices(timeline, turns)


async def _unpinnable(chat: ChatContext, typed: str) -> list[Choice]:
    pinned = sorted(await _pinned(chat.session), reverse=True)
    return turn_choices(await read_timeline(chat.session), pinned)


async def _pinned(session: Session) -> set[int]:
    retained = session.conversation.retained
    return {record.turn for record in await _records(session) if retained.pins(record.seq)}


@Command(
    "pin",
    "always send this turn, or the last one whose question contains the text",
    "[TURN or TEXT]",
    completes=_unpinned,
    is_useful=has_turns,
)
async def _pin(chat: ChatContext, argument: str) -> CommandResult:
    turn = await _turn(chat.session, argument)
    pins = await chat.session.pin(turn)
    share = f"{pins.tokens:,} of at most {pins.limit:,} tokens"
    return CommandResult(remark=f"turn {turn} is pinned; pinned: {_listed(pins.turns)}, {share}")


@Command(
    "unpin",
    "unpin this turn; default: the one pinned last",
    "[TURN or TEXT]",
    completes=_unpinnable,
    is_useful=lambda chat: bool(chat.session.conversation.retained.pinned),
)
async def _unpin(chat: ChatContext, argument: str) -> CommandResult:
    from swarmchat.swarm.session.pinning import pins_of

    pinned = (await pins_of(chat.session.conversation)).turns
    if not pinned:
        raise UsageError("no turn is pinned")
    turn = await _turn(chat.session, argument) if argument else pinned[-1]
    pins = await chat.session.unpin(turn)
    return CommandResult(remark=f"turn {turn} is no longer pinned; pinned: {_listed(pins.turns)}")


async def _turn(session: Session, argument: str) -> int:
    """Return the turn with this number, or the last one whose question contains the text. Raises UsageError."""
    if argument.isascii() and argument.isdecimal() and len(argument) < 10:
        return int(argument)
    timeline = await read_timeline(session)
    for turn in reversed(timeline.visible):
        if argument.casefold() in timeline.texts.get(turn, "").casefold():
            return turn
    raise UsageError(f"no question contains {argument!r}; /history lists them" if argument else "no messages yet")


def _listed(turns: Sequence[int]) -> str:
    return ", ".join(map(str, turns)) or "none"


def _cost(usage: Mapping[str, Any]) -> str:
    total = usage.get("total_tokens") or sum(usage.get(name) or 0 for name in ("prompt_tokens", "completion_tokens"))
    return f"{total:,} tokens"


async def _records(session: Session) -> list[Record]:
    return [record async for record in read_records(session.backend, session.info)]


def _estimate_sign(session: Session) -> str:
    """Return the mark of a number of tokens that is only an estimate."""
    return "~" if session.conversation.counter.approximate else ""


def _tokens_by_part(session: Session, context: RequestContext) -> dict[str, int]:
    """Return the tokens of each part of ``context``; their sum is the tokens of the request."""
    counter, system = session.conversation.counter, context.messages[: context.system]
    leading = context.groups[: context.leading]
    instructions = sum(counter.message(json.loads(message)) for message in system)
    instructions += sum(group.tokens(counter) for group in leading)
    tools = counter.fixed(system, context.tools) - counter.fixed(system)
    summaries = context.groups[context.leading : context.leading + context.summary]
    summary = sum(group.tokens(counter) for group in summaries)
    pinned = sum(group.tokens(counter) for group in context.groups if group.seq in context.pinned)
    return {
        "instructions": instructions,
        "tools": tools,
        "summary": summary,
        "pinned": pinned,
        "conversation": context.tokens - context.fixed_tokens - summary - pinned,
        "frame": context.fixed_tokens - instructions - tools,
    }


def _notes(session: Session, context: RequestContext, records: Sequence[Record]) -> Iterator[str]:
    """Yield the total of a request, the dropped messages and why, and notes on its numbers."""
    conversation = session.conversation
    budget, counter = conversation.budget, conversation.counter
    total = f"of {context.available:,} in all, {context.tokens / context.available:.0%}"
    yield _row(context.tokens, total, _estimate_sign(session))
    reserve = f"window {budget.window:,}, {budget.reserve:,} of it reserved for the answer"
    corrections = [f"by {budget.correction:g}"] if budget.correction != 1 else []
    corrections += [f"for tools by {budget.overhead:,} tokens"] if budget.overhead else []
    correction = f", corrected {' and '.join(corrections)}, as the server counts" if corrections else ""
    yield _row("", reserve + correction)
    retained, first_kept = conversation.retained, conversation.first_kept
    omitted = left_out(records, context, agent=session.agent.name, retained=retained, first_kept=first_kept)
    for each in omitted:
        messages = f"{each.messages:,} {'message' if each.messages == 1 else 'messages'} {_of_turns(list(each.turns))}"
        yield _row("", f"not sent: {messages}: {_WHY[each.reason].format(each.cause)}")
    remarks = {
        "the next request drops them": context.rotation is not None,
        "pins and summaries would fill more than half of the window: the oldest are not sent": context.crowded_out,
        f"rescue steps in this session: {session.info.rescues:,}": session.info.rescues,
        f"figures with ~ are estimates: {counter.problem}": counter.problem,
        "an answer or tool results are shortened to fit": context.shortened,
    }
    yield from (_row("", remark) for remark, applies in remarks.items() if applies)


def _usage_lines(records: Sequence[Record]) -> Iterator[str]:
    """Yield the tokens of this session: sent, and reported by the server.

    Tasks count, and undone turns: they were paid for.
    """
    records = [record.inner_record or record for record in records]
    totals: dict[str, int] = {}
    answers = reported = 0
    for record in records:
        if record.type not in ("assistant", "rescue", "compact", "ask_model"):
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
    yield _row(counted, "sent, as counted here")
    for name, value in totals.items():
        yield _row(value, f"{name}, reported by the server")
    if reported < answers:
        yield _row("", f"no usage reported for {answers - reported:,} of {answers:,} answers")


def _numbers(usage: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    for name, value in usage.items():
        if isinstance(value, int) and not isinstance(value, bool):
            yield prefix + name, value
        elif isinstance(value, dict):
            yield from _numbers(value, f"{name}.")


def _row(tokens: int | str, text: str, sign: str = "") -> str:
    number = tokens if isinstance(tokens, str) else f"{sign}{tokens:,}"
    return f"{number:>{_NUMBER}}  {text}"


def _of_turns(turns: Sequence[int]) -> str:
    if len(turns) == 1:
        return f"of turn {turns[0]}"
    if len(turns) == turns[-1] - turns[0] + 1 or len(turns) > 6:
        return f"of turns {turns[0]} to {turns[-1]}"
    return f"of turns {', '.join(map(str, turns))}"


def _message_text(message: Mapping[str, Any]) -> str:
    calls = " ".join(f" {call.name}({call.arguments})" for call in calls_of(message))
    return (text_of(message) + calls).strip()
