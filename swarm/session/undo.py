"""Undo and redo: hide turns and show them again, restoring the agent, stack and states of that time.

The log only grows. An ``undo`` or ``redo`` record names the turns and contains the session state after it, so a reader
needs no earlier records. The state that an undo restores is computed from the whole log.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.messages import text_of, texts_of
from swarmchat.swarm.common.mistakes import check_value, instance_of
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.log import read_lines, record_at, turns_of
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.primitives.navigation import Navigation
from swarmchat.swarm.primitives.session_state import SessionState

if TYPE_CHECKING:
    from swarmchat.swarm.turn.question import Asked

_MESSAGE = re.compile(rb'\{"v":1,"type":"(user|assistant|tool|request)","seq":\d+,"turn":(\d+),"ts":"')
"""The start of most lines of a log: an undo needs only their turn, or the text of a question, and no JSON parser."""


@dataclass(frozen=True)
class UndoResult:
    """The outcome of an undo or a redo."""

    turns: tuple[int, ...]
    """The turns that are now hidden, or shown again; empty if there were none."""
    question: "Asked"
    """The user's message in the first of them: its text, or its content parts."""
    left: int
    """The number of visible turns now, without resets."""
    resets: frozenset[int] = frozenset()
    """Those of ``turns`` that are a reset."""

    @property
    def text(self) -> str:
        """The text of the question."""
        return self.question if isinstance(self.question, str) else "\n".join(texts_of({"content": self.question}))


def redoable(records: Sequence[Record]) -> list[int]:
    """Return the turns that a redo would show again, by the last ``records`` of a log."""
    undone: set[int] = set()
    for record in records:
        if record.type == "undo":
            undone.update(turns_of(record))
        elif record.type == "redo":
            undone.difference_update(turns_of(record))
        elif not record.is_outside_turns:
            undone.clear()
    return sorted(undone)


class Timeline:
    """The turns of a log: visible ones, redoable ones, and the session state at the end of each.

    It takes all records of the log in order, or all stored lines, of which it parses only those that it must.
    """

    def __init__(self, default: str) -> None:
        self.visible: list[int] = []
        self.redoable: list[int] = []
        self.texts: dict[int, str] = {}
        """The user's message, by turn."""
        self.resets: set[int] = set()
        """The turns that are a reset and nothing else."""
        self._state_names: dict[str, None] = {}
        """The states that ever changed, in the order of their first change."""
        self._questions: dict[int, bytes] = {}
        """Stored lines with user messages that are not in ``texts``, by turn."""
        self._highest = 0
        self._state = SessionState(Navigation(default))
        self._state_after = {0: self._state}

    @property
    def count(self) -> int:
        """The number of visible turns, without resets."""
        return sum(turn not in self.resets for turn in self.visible)

    def take(self, record: Record) -> None:
        """Follow the next record."""
        if record.is_outside_turns:
            if record.type != "state":
                return
            # A task in the background has changed it.
        elif record.type in ("undo", "redo"):
            self.move(record.type == "undo", turns_of(record))
        else:
            # Anything else after an undo ends the chance to redo.
            self.redoable.clear()
            if record.turn > self._highest:
                self._highest = record.turn
                self.visible.append(record.turn)
                if record.type == "reset":
                    self.resets.add(record.turn)
            if record.type == "user":
                self.texts.setdefault(record.turn, text_of(record.message))
            elif record.type == "unsent" or (record.type == "policy" and record.data.get("direction") == "input"):
                self.texts.setdefault(record.turn, str(record.data.get("text", "")))
        self._state = self._state.after(record)
        if record.type == "state":
            self._state_names[str(record.data.get("name"))] = None
        self._state_after[self.last] = self._state

    def take_line(self, line: bytes, position: int) -> None:
        """Follow the next line. An unreadable one is skipped. Raises BadRecord for a newer format version."""
        if (start := _MESSAGE.match(line)) and line.endswith(b"}"):
            turn = int(start[2])
            if start[1] == b"user":
                self._questions.setdefault(turn, line)
            self.take(Record("request", position, turn, ""))
        elif (record := record_at(line, position)) is not None:
            self.take(record)

    def question(self, turn: int) -> "Asked":
        """Return the user's message in ``turn``: its text, or its content parts."""
        line = self._questions.get(turn)
        record = None if line is None else record_at(line, 0)
        if record is None:
            return self.texts.get(turn, "")
        content = record.message.get("content")
        if isinstance(content, list) and content:
            # Loaded with the first image.
            from swarmchat.swarm.importers.record_builder import message_problem

            if message_problem(record.message) is None:
                return content
        return text_of(record.message)

    @property
    def last(self) -> int:
        """The last visible turn; 0 if there is none."""
        return self.visible[-1] if self.visible else 0

    def move(self, hide: bool, turns: range) -> None:
        """Hide the visible turns among ``turns``, or show the redoable ones again."""
        source, target = (self.visible, self.redoable) if hide else (self.redoable, self.visible)
        target[:] = sorted({*target, *(turn for turn in source if turn in turns)})
        source[:] = [turn for turn in source if turn not in turns]

    def state(self, agents: frozenset[str], default: str) -> tuple[Navigation, dict[str, Any]]:
        """Return navigation and states at the end of the last visible turn. A state of ``None`` has its default."""
        state = self._state_after.get(self.last, self._state)
        navigation = (state.navigation or Navigation(default)).healed(agents, default)
        return navigation, {name: state.states.get(name) for name in self._state_names}


_TURNS = instance_of(int, "a number of turns")


async def undo(conversation: Conversation, turns: int) -> UndoResult:
    """Hide the last ``turns`` turns; see ``Session.undo``."""
    check_value("undo", "turns", turns, _TURNS)
    timeline = await _read_timeline(conversation)
    return await _move(conversation, timeline, "undo", timeline.visible[-turns:] if turns > 0 else [])


async def redo(conversation: Conversation, turns: int) -> UndoResult:
    """Show the first ``turns`` of the undone turns; see ``Session.redo``."""
    check_value("redo", "turns", turns, _TURNS)
    timeline = await _read_timeline(conversation)
    return await _move(conversation, timeline, "redo", timeline.redoable[: max(0, turns)])


async def _read_timeline(conversation: Conversation) -> Timeline:
    # Unsaved records belong to the turns in question.
    await conversation.flush()
    timeline, position = Timeline(conversation.swarm.initial), 0
    async for line in read_lines(conversation.backend, conversation.info):
        timeline.take_line(line, position)
        position += 1
    return timeline


async def _move(
    conversation: Conversation, timeline: Timeline, kind: Literal["undo", "redo"], turns: Sequence[int]
) -> UndoResult:
    """Undo or redo ``turns``: one commit with a record for each run of them, and with the state after the last."""
    await conversation.primitives.refuse_banned()
    swarm, info = conversation.swarm, conversation.info
    batch = conversation.batch()
    navigation, states = conversation.navigation, dict[str, Any]()
    runs = _runs(turns)
    for run in reversed(runs) if kind == "undo" else runs:
        timeline.move(kind == "undo", run)
        navigation, states = timeline.state(swarm.names, swarm.initial)
        fields: dict[str, Any] = {"from": run[0], "to": run[-1], "last": timeline.last, "left": timeline.count}
        fields |= {"active": navigation.active, "stack": list(navigation.stack), "states": states}
        batch.add(kind, turn=conversation.journal.highest_turn, **fields)
    if batch.records:
        changes = ChangeSet()
        ttl = conversation.settings.lifetimes.session
        for name, value in states.items():
            stored = None if value is None else encode_json(value)
            changes.update(keys.session_state(info.client, info.id, name), partial(_replace, stored), ttl)
        await conversation.commit_and_switch(batch, changes, navigation)
    question = timeline.question(turns[0]) if turns else ""
    return UndoResult(tuple(turns), question, timeline.count, frozenset(timeline.resets.intersection(turns)))


def _runs(turns: Sequence[int]) -> list[range]:
    """Return the parts of ``turns`` without a gap: a turn that is undone already is not undone again."""
    members = set(turns)
    starts = (turn for turn in turns if turn - 1 not in members)
    ends = (turn for turn in turns if turn + 1 not in members)
    return [range(start, end + 1) for start, end in zip(starts, ends, strict=True)]


def _replace(value: bytes | None, stored: bytes | None) -> bytes | None:
    return value
