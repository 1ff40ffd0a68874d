"""Slash commands about turns: undo, redo, ask again, edit the question, and reset."""

import re
from collections.abc import Sequence

from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, Command, CommandResult
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.session.undo import Timeline, UndoResult, redoable

_MAX_CHOICES = 100
"""Maximum number of turns to offer."""

_UNCHANGED = "memory, storages and bans stay as they are"


def has_turns(chat: ChatContext) -> bool:
    """Whether a message was sent in this session."""
    return chat.session.last_turn > 0


async def read_timeline(session: Session) -> Timeline:
    """Read the turns of ``session``, with those that are not stored yet."""
    timeline, stored = Timeline(session.swarm.initial), 0
    async for record in read_records(session.backend, session.info):
        timeline.take(record)
        stored = record.seq + 1
    for record in session.unsaved:
        if record.seq >= stored:
            timeline.take(record)
    return timeline


def turn_choices(timeline: Timeline, turns: Sequence[int]) -> list[Choice]:
    """Offer ``turns`` by their numbers, each with its question."""
    return [
        (str(turn), "/reset" if turn in timeline.resets else timeline.texts.get(turn, ""))
        for turn in turns[:_MAX_CHOICES]
    ]


def _counts(timeline: Timeline, turns: Sequence[int]) -> list[Choice]:
    """Offer how many of ``turns`` to take, each number with the question of the last turn that it includes."""
    questions = [question for _, question in turn_choices(timeline, turns)]
    return [(str(count), question) for count, question in enumerate(questions, 1)]


async def _undoable(chat: ChatContext, typed: str) -> list[Choice]:
    timeline = await read_timeline(chat.session)
    return _counts(timeline, timeline.visible[::-1])


async def _redoable(chat: ChatContext, typed: str) -> list[Choice]:
    timeline = await read_timeline(chat.session)
    return _counts(timeline, timeline.redoable)


def _has_undone(chat: ChatContext) -> bool:
    return bool(redoable([*chat.session.records, *chat.session.unsaved]))


def _check_number(swarm: Swarm, argument: str) -> None:
    _number(argument)


@Command(
    "undo",
    "undo the last turn, or the last N, with agent and states",
    "[N]",
    check=_check_number,
    completes=_undoable,
    is_useful=has_turns,
)
async def _undo(chat: ChatContext, argument: str) -> CommandResult:
    undone = await chat.session.undo(_number(argument))
    if not undone.turns:
        raise UsageError("nothing to undo: no turn is left")
    running = [*chat.session.tasks.running]
    also = f"; in the background, {', '.join(running)} still runs: /task {running[0]} stop" if running else ""
    return CommandResult(remark=f"{_named(undone)} undone; {_remaining(chat.session, undone)}; {_UNCHANGED}{also}")


@Command(
    "redo",
    "redo the first undone turn, or the first N",
    "[N]",
    check=_check_number,
    completes=_redoable,
    is_useful=_has_undone,
)
async def _redo(chat: ChatContext, argument: str) -> CommandResult:
    redone = await chat.session.redo(_number(argument))
    if not redone.turns:
        raise UsageError("nothing to redo: redo works only right after an undo")
    return CommandResult(remark=f"{_named(redone)} back; {_remaining(chat.session, redone)}")


@Command("retry", "undo the last turn and ask again", is_useful=has_turns)
async def _retry(chat: ChatContext, argument: str) -> CommandResult:
    undone = await _undo_question(chat.session, "no question to ask again")
    remark = f"{_named(undone)} undone; {_UNCHANGED}"
    if not undone.question:
        return CommandResult(remark=f"{remark}; it had no text to ask again")
    turn = undone.turns[-1]
    has_answer = any(record.turn == turn and record.type == "assistant" for record in chat.session.records)
    return CommandResult(remark=remark, send=undone.question, retried=turn if has_answer else 0)


@Command("edit", "undo the last turn and edit its question", at_prompt_only=True, is_useful=has_turns)
async def _edit(chat: ChatContext, argument: str) -> CommandResult:
    undone = await _undo_question(chat.session, "no question to edit")
    remark = f"{_named(undone)} undone; {_remaining(chat.session, undone)}; {_UNCHANGED}"
    return CommandResult(remark=remark, draft=undone.text)


@Command("now", "send a message with the next request of the running turn", "TEXT")
async def _now(chat: ChatContext, argument: str) -> CommandResult:
    if not argument:
        raise UsageError("/now needs the message to send")
    # During a turn the prompt takes it: here none is running.
    return CommandResult(send=argument)


@Command("reset", "stop sending earlier messages; states, memory and the log are kept", is_useful=has_turns)
async def _reset(chat: ChatContext, argument: str) -> str:
    await chat.session.reset()
    return "earlier messages are no longer sent; /undo takes the reset back"


async def _undo_question(session: Session, otherwise: str) -> UndoResult:
    """Undo the last turn. Raises UsageError if it is a reset, and with the message ``otherwise`` if there is none."""
    timeline = await read_timeline(session)
    if timeline.last in timeline.resets:
        raise UsageError(f"{otherwise} since the reset: /undo takes the reset back")
    undone = await session.undo()
    if not undone.turns:
        raise UsageError(otherwise)
    return undone


def _number(argument: str) -> int:
    if not argument:
        return 1
    if not re.fullmatch("[0-9]{1,9}", argument) or int(argument) < 1:
        raise UsageError(f"{argument!r} is not a number of turns, expected 1 or more")
    return int(argument)


def _named(result: UndoResult) -> str:
    turns = result.turns
    if result.resets.issuperset(turns):
        return "the reset is" if len(turns) == 1 else f"{len(turns)} resets are"
    if len(turns) == 1:
        return f"turn {turns[0]} is"
    if len(turns) == turns[-1] - turns[0] + 1:
        return f"turns {turns[0]} to {turns[-1]} are"
    return f"{len(turns)} turns are"


def _remaining(session: Session, result: UndoResult) -> str:
    turns = "1 turn" if result.left == 1 else f"{result.left or 'no'} turns"
    return f"now {turns}; active agent: {session.agent.name}"
