"""The list of a client's sessions: one small entry for each, written together with its log."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from swarmchat.backends import Backend, Put
from swarmchat.swarm.common.encoding import clean_text, encode_json
from swarmchat.swarm.common.messages import text_of
from swarmchat.swarm.common.names import random_name
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import OUTSIDE_TURNS, Record

_TITLE = 60


@dataclass(frozen=True)
class SessionInfo:
    """An entry of the list: facts about a session that can be read without its log. Times are as in records."""

    id: str
    name: str
    client: str
    created: str
    updated: str
    title: str = ""
    """The first line of the first question."""
    swarm: str = ""
    model: str = ""
    turns: int = 0
    """How many turns are visible. A reset is none, and an undone one is not."""
    highest_turn: int = 0
    """The highest number of a turn so far: each turn and each reset takes the next one."""
    rescues: int = 0
    """How many rescue steps were taken."""
    states: Sequence[str] = ()
    """The names of the states that have another value than their default."""
    tasks: int = 0
    """The highest number of a task in the background."""
    running: Sequence[str] = ()
    """The tasks in the background that have not ended, by their ids."""
    resume_with: Mapping[str, str] | None = None
    """What a program needs to continue the session: see ``SessionSettings.resume_with``."""
    settings: Mapping[str, Any] | None = None
    """The settings in the last ``session`` or ``set`` record; ``None`` if an older version wrote the entry."""
    unknown: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a newer version, kept unchanged."""

    def put(self, ttl: float | None) -> Put:
        """Return the write that stores the entry."""
        content = {name: getattr(self, name) for name in _FIELDS}
        for name in ("resume_with", "states", "tasks", "running"):
            if not content[name]:
                del content[name]
        if self.settings is None:
            del content["settings"]
        return Put(keys.session_index(self.client, self.id), encode_json({**self.unknown, **content}), ttl)

    def resumed_with(self, chosen: Mapping[str, str] | None, answered: str = "") -> "SessionInfo":
        """Return the entry with what a program has ``chosen`` now; ``answered`` is the model if that has answered.

        Until it has, the model and the server stay that have answered before: the chosen ones may not exist.
        """
        if chosen is None:
            return self
        before = self.resume_with or {}
        server = {"model": answered} if answered else {}
        if not answered and "model" in before:
            server = {name: before[name] for name in ("model", "base_url") if name in before}
        return replace(self, resume_with={**chosen, **server})

    def after(self, record: Record) -> "SessionInfo":
        """Return the entry after ``record`` was added to the log."""
        changes: dict[str, Any] = {}
        match record.type:
            case "session" if record.seq == 0:
                changes = {name: record.text(name) for name in ("id", "name", "swarm", "model")}
                changes |= {"name": changes["name"] or changes["id"], "settings": _settings(record)}
            case "set":
                changes = {"settings": _settings(record)}
            case "rename":
                changes = {"name": record.text("name") or self.name}
            case "request":
                changes = {"model": record.text("model") or self.model}
            case "rescue":
                changes = {"rescues": self.rescues + 1}
            case "state":
                changes = {"states": self._states({record.text("name"): record.data.get("value")})}
            case "task_start":
                changes = {"tasks": max(self.tasks, number_of(record.task)), "running": [*self.running, record.task]}
            case "task_end":
                changes = {"running": [task for task in self.running if task != record.task]}
            case "undo" | "redo" if isinstance(states := record.data.get("states"), dict):
                changes = {"states": self._states(states)}
            case "user" if not self.title:
                changes = {"title": _title(text_of(record.message))}
        created = self.created or record.ts
        numbers = {"turns": self._turns_after(record), "highest_turn": max(self.highest_turn, record.turn)}
        changes = {"created": created, "updated": record.ts, **numbers, **changes}
        return replace(self, **changes)

    def _turns_after(self, record: Record) -> int:
        if record.type in ("undo", "redo"):
            left = record.data.get("left")
            return left if isinstance(left, int) and 0 <= left <= self.highest_turn else self.turns
        is_turn = record.turn > self.highest_turn and record.type != "reset" and record.type not in OUTSIDE_TURNS
        return self.turns + is_turn

    def _states(self, values: Mapping[str, Any]) -> Sequence[str]:
        """Return the names of the changed states after ``values`` were set; ``None`` is the default."""
        values = {clean_text(name): value for name, value in values.items()}
        names = dict.fromkeys([*self.states, *values])
        return [name for name in names if values.get(name, name) is not None]


_FIELDS = tuple(each.name for each in fields(SessionInfo) if each.name != "unknown")


def _settings(record: Record) -> Mapping[str, Any]:
    settings = record.data.get("settings")
    return settings if isinstance(settings, dict) else {}


def number_of(task: str) -> int:
    """Return the number in the id of a task in the background, such as ``b3``; 0 if it has none."""
    number = task.removeprefix("b")
    return int(number) if number.isdecimal() and len(number) < 10 else 0


def _title(question: str) -> str:
    """Return the first line of ``question``, shortened."""
    line = " ".join(next(iter(clean_text(question).strip().splitlines()), "").split())
    return line if len(line) <= _TITLE else line[: _TITLE - 1] + "…"


async def list_sessions(backend: Backend, client: str) -> list[SessionInfo]:
    """Return the sessions of ``client``, the last used first, without entries that cannot be read."""
    infos = [info async for _, value in backend.scan(keys.sessions(client)) if (info := _parse(value))]
    return sorted(infos, key=lambda info: (info.updated, info.id), reverse=True)


async def count_entries(backend: Backend, client: str) -> int:
    """Return the number of sessions of ``client``, including unreadable entries."""
    return sum([1 async for _ in backend.scan(keys.sessions(client))])


async def find_session(backend: Backend, client: str, name: str) -> SessionInfo | None:
    """Return the session of ``client`` with the id ``name``, or otherwise with this name."""
    value = await backend.get(keys.session_index(client, name))
    if value is not None and (info := _parse(value)):
        return info
    return next((info for info in await list_sessions(backend, client) if info.name == name), None)


async def stored_swarms(backend: Backend, sessions: Sequence[tuple[str, str]]) -> list[str | None]:
    """Return the name of the swarm of each of ``sessions``, given by client and id; ``None`` if there is no entry."""
    values = await backend.get_many([keys.session_index(*each) for each in sessions]) if sessions else []
    infos = [None if value is None else _parse(value) for value in values]
    return [None if value is None else info.swarm if info else "" for value, info in zip(values, infos, strict=True)]


async def latest_session(backend: Backend, client: str) -> SessionInfo | None:
    """Return the session that ``client`` used last."""
    return next(iter(await list_sessions(backend, client)), None)


async def free_name(backend: Backend, client: str, rng: random.Random) -> str:
    """Return a random name that no session of ``client`` uses."""
    while True:
        name = random_name(rng)
        for candidate in (name, f"{name}-{rng.randrange(100, 1000)}"):
            if await backend.get(keys.session_index(client, candidate)) is None:
                return candidate


async def numbered_name(backend: Backend, client: str, name: str) -> str:
    """Return ``name-2``, or the first higher number that no session of ``client`` uses."""
    number = 2
    while await find_session(backend, client, f"{name}-{number}") is not None:
        number += 1
    return f"{name}-{number}"


def _parse(value: bytes) -> SessionInfo | None:
    try:
        content = json.loads(value.decode())
        known = {name: content.pop(name) for name in _FIELDS if name in content}
        info = SessionInfo(**known, unknown=content)
    except (ValueError, TypeError, AttributeError):
        return None
    texts = (info.id, info.name, info.client, info.created, info.updated, info.title, info.swarm, info.model)
    is_valid = (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int) for number in (info.turns, info.highest_turn, info.rescues, info.tasks))
        and all(isinstance(names, list | tuple) for names in (info.states, info.running))
        and all(isinstance(name, str) for name in (*info.states, *info.running))
        and isinstance(info.resume_with, dict | None)
    )
    return info if is_valid else None
