"""Undo and redo: turns are hidden and shown again, with agent, way back and states as they were at their end.

The log only grows. An ``undo`` or ``redo`` record says which turns it is about and how things stand from then on, so
nothing before it has to be read to know that. What an undo goes back to is found in the log before it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.messages import text_of
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.log_reader import read_lines, record_at, turns_of
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.primitives.navigation import Navigation

if TYPE_CHECKING:
    from swarmchat.swarm.session.session import Session

_MESSAGE = re.compile(rb'\{"v":1,"type":"(user|assistant|tool|request)","seq":\d+,"turn":(\d+),"ts":"')
"""How the lines begin of which an undo needs the turn only, and the text of one question: nearly all of a log."""


@dataclass(frozen=True)
class UndoResult:
    """What an undo or a redo did."""

    turns: tuple[int, ...]
    """The turns that are hidden now, or shown again. Empty: there were none."""
    text: str
    """What the user had written in the first of them."""
    left: int
    """How many turns are there now."""


@dataclass(frozen=True)
class _Standing:
    """Who is talking, and what the states are. A state that is missing has its default."""

    navigation: Navigation
    states: Mapping[str, Any] = field(default_factory=dict)

    def after(self, record: Record) -> "_Standing":
        """Return how things stand after ``record``."""
        data = record.data
        if record.type == "handoff":
            return _Standing(Navigation(str(data.get("to")), _names(data.get("stack"))), self.states)
        if record.type == "state":
            return _Standing(self.navigation, _with(self.states, {str(data.get("name")): data.get("value")}))
        if record.type in ("undo", "redo") and isinstance(data.get("active"), str):
            states = data.get("states")
            told = states if isinstance(states, dict) else {}
            return _Standing(Navigation(data["active"], _names(data.get("stack"))), _with(self.states, told))
        return self


def redoable(records: Sequence[Record]) -> list[int]:
    """Return the turns that a redo would bring back, from the last ``records`` of a log."""
    undone: set[int] = set()
    for record in records:
        if record.type == "undo":
            undone.update(turns_of(record))
        elif record.type == "redo":
            undone.difference_update(turns_of(record))
        elif record.type != "rename":
            undone.clear()
    return sorted(undone)


class Timeline:
    """Takes the records of one log, in order: which turns are there, which can be redone, and how things stood."""

    def __init__(self, default: str) -> None:
        self.visible: list[int] = []
        self.redoable: list[int] = []
        self.texts: dict[int, str] = {}
        """What the user wrote, by turn."""
        self.state_names: dict[str, None] = {}
        """The states that were ever changed, in the order in which they first were."""
        self._highest = 0
        self._now = _Standing(Navigation(default))
        self._then = {0: self._now}

    def take(self, record: Record) -> None:
        """Follow the next record."""
        if record.type == "rename":
            return
        if record.type in ("undo", "redo"):
            self._move(record)
        else:
            # Whatever is done after an undo goes on from there.
            self.redoable.clear()
            if record.turn > self._highest:
                self._highest = record.turn
                self.visible.append(record.turn)
            self._read_text(record)
        self._now = self._now.after(record)
        if record.type == "state":
            self.state_names[str(record.data.get("name"))] = None
        self._then[self.last] = self._now

    @property
    def last(self) -> int:
        """The last turn that is there; 0 if there is none."""
        return self.visible[-1] if self.visible else 0

    def hide(self, turns: Sequence[int]) -> None:
        """Take ``turns`` away."""
        gone = set(turns)
        self.visible = [turn for turn in self.visible if turn not in gone]
        self.redoable = sorted(gone.union(self.redoable))

    def show(self, turns: Sequence[int]) -> None:
        """Bring ``turns`` back."""
        back = set(turns)
        self.visible = sorted(back.union(self.visible))
        self.redoable = [turn for turn in self.redoable if turn not in back]

    def standing(self, swarm_names: frozenset[str], default: str) -> tuple[Navigation, dict[str, Any]]:
        """Return who was talking at the end of the last turn that is there, and every state, ``None`` the default."""
        then = self._then.get(self.last, self._now)
        return then.navigation.healed(swarm_names, default), {name: then.states.get(name) for name in self.state_names}

    def _move(self, record: Record) -> None:
        turns = turns_of(record)
        if record.type == "undo":
            self.hide([turn for turn in self.visible if turn in turns])
        else:
            self.show([turn for turn in self.redoable if turn in turns])

    def _read_text(self, record: Record) -> None:
        if record.type == "user":
            self.texts.setdefault(record.turn, text_of(record.message))
        elif record.type == "unsent" or (record.type == "policy" and record.data.get("direction") == "input"):
            self.texts.setdefault(record.turn, str(record.data.get("text", "")))


class _Read(Timeline):
    """A timeline that takes a log as it is stored, and decodes only the lines that it must."""

    def __init__(self, default: str) -> None:
        super().__init__(default)
        self._questions: dict[int, bytes] = {}

    def take_line(self, line: bytes, position: int) -> None:
        """Follow the next line. One that is no record is left out; raises BadRecord for one of a newer version."""
        if (begin := _MESSAGE.match(line)) and line.endswith(b"}"):
            turn = int(begin[2])
            if begin[1] == b"user":
                self._questions.setdefault(turn, line)
            self.take(Record("request", position, turn, ""))
        elif (record := record_at(line, position)) is not None:
            self.take(record)

    def text(self, turn: int) -> str:
        """Return what the user wrote in ``turn``."""
        line = self._questions.get(turn)
        record = None if line is None else record_at(line, 0)
        return self.texts.get(turn, "") if record is None else text_of(record.message)


async def undo(session: "Session", turns: int) -> UndoResult:
    """Hide the last ``turns`` turns; see ``Session.undo``."""
    timeline = await _timeline(session)
    moved = timeline.visible[-turns:] if turns > 0 else []

    def record(offset: int, **data: Any) -> Record:
        return session.journal.record("undo", None, offset=offset, turn=session.turns, **data)

    return await _commit(session, timeline, moved, list(_runs(moved))[::-1], timeline.hide, record)


async def redo(session: "Session", turns: int) -> UndoResult:
    """Show the first ``turns`` of the turns that were undone; see ``Session.redo``."""
    timeline = await _timeline(session)
    moved = timeline.redoable[: max(0, turns)]

    def record(offset: int, **data: Any) -> Record:
        return session.journal.record("redo", None, offset=offset, turn=session.turns, **data)

    return await _commit(session, timeline, moved, list(_runs(moved)), timeline.show, record)


async def _timeline(session: "Session") -> _Read:
    await session.ready()
    if session.journal.unsaved:
        # What was held back belongs to the turns that this is about.
        await session.commit([])
    timeline, position = _Read(session.swarm.default), 0
    async for line in read_lines(session.backend, session.info):
        timeline.take_line(line, position)
        position += 1
    return timeline


async def _commit(
    session: "Session",
    timeline: _Read,
    moved: Sequence[int],
    runs: Sequence[Sequence[int]],
    move: Callable[[Sequence[int]], None],
    make: Callable[..., Record],
) -> UndoResult:
    """Store a record for each of ``runs``, with navigation and states as they are after the last, in one commit."""
    swarm, info = session.swarm, session.info
    records: list[Record] = []
    navigation, states = session.navigation, dict[str, Any]()
    for run in runs:
        move(run)
        navigation, states = timeline.standing(swarm.names, swarm.default)
        about = {"active": navigation.active, "stack": list(navigation.stack), "states": states}
        records.append(make(len(records), **{"from": run[0], "to": run[-1], "last": timeline.last, **about}))
    if records:
        changes = ChangeSet()
        ttl = session.settings.lifetimes.session
        await session.primitives.staging(changes).navigation.set(navigation)
        for name, value in states.items():
            stored = None if value is None else encode_json(value)
            changes.update(keys.session_state(info.client, info.id, name), partial(_replace, stored), ttl)
        await session.commit_and_switch(records, changes, navigation)
    text = timeline.text(moved[0]) if moved else ""
    return UndoResult(tuple(moved), text, len(timeline.visible))


def _runs(turns: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield the parts of ``turns`` that have no gap: a turn that was undone before is not undone again."""
    start = 0
    for index in range(1, len(turns) + 1):
        if index == len(turns) or turns[index] != turns[index - 1] + 1:
            yield turns[start:index]
            start = index


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _with(states: Mapping[str, Any], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in {**states, **changes}.items() if value is not None}


def _replace(value: bytes | None, stored: bytes | None) -> bytes | None:
    return value
