"""What a log says of its session: its entry in the list, who is talking, and its states, as they were at its end.

A session that comes from a file, or that is forked off another, goes on from this.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from swarmchat.backends import Backend, Put, Write
from swarmchat.swarm.common.encoding import clean_text, encode_json
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.session_index import SessionInfo
from swarmchat.swarm.primitives.navigation import Navigation


@dataclass(frozen=True)
class SessionState:
    """What is kept beside a log, as it is stored: the navigation, and the states by the last part of their keys."""

    navigation: bytes | None
    states: dict[str, bytes]

    def writes(self, info: SessionInfo, ttl: float | None) -> list[Write]:
        """Return the writes that keep this for the session ``info``."""
        writes: list[Write] = []
        if self.navigation is not None:
            writes.append(Put(keys.session_swarm(info.client, info.id), self.navigation, ttl))
        for name, value in self.states.items():
            writes.append(Put(keys.session_states(info.client, info.id) + name, value, ttl))
        return writes

    def keys(self, info: SessionInfo) -> list[str]:
        """Return the keys of this, whether there is a navigation or not."""
        prefix = keys.session_states(info.client, info.id)
        return [keys.session_swarm(info.client, info.id), *(prefix + name for name in self.states)]


class LogSummary:
    """Takes the records of one log, in order."""

    def __init__(self) -> None:
        self.count = 0
        self.id = self.name = self.swarm = self.model = ""
        self.navigation: Navigation | None = None
        self.states: dict[str, bytes] = {}
        self._first = self._last = ""
        self._turns = self._rescues = 0
        self._titled = SessionInfo("", "", "", "", "")

    def take(self, record: Record) -> None:
        """Follow the next record."""
        self.count += 1
        self._first = self._first or record.ts
        self._last = record.ts
        self._turns = max(self._turns, record.turn)
        data = record.data
        if record.type == "session" and self.count == 1:
            self.id, self.swarm, self.model = _text(data, "id"), _text(data, "swarm"), _text(data, "model")
            self.name = _text(data, "name") or self.id
        elif record.type == "rename":
            self.name = _text(data, "name") or self.name
        elif record.type == "request":
            self.model = _text(data, "model") or self.model
        elif record.type == "rescue":
            self._rescues += 1
        elif record.type == "user":
            self._titled = self._titled.with_title(clean_text(str(record.message.get("content", ""))))
        elif record.type == "handoff":
            self.navigation = Navigation(_text(data, "to"), _stack(data))
        elif record.type == "state":
            self._take_state(_text(data, "name"), data.get("value"))
        elif record.type in ("undo", "redo"):
            self._take_back(data)

    def info(self, client: str, session: str, name: str) -> SessionInfo:
        """Return the entry for the list, as that of the session ``session`` of ``client``."""
        return replace(
            self._titled,
            id=session,
            name=name,
            client=client,
            created=self._first,
            updated=self._last,
            swarm=self.swarm,
            model=self.model,
            turns=self._turns,
            rescues=self._rescues,
        )

    @property
    def beside(self) -> SessionState:
        """What is to be kept beside the log."""
        navigation = self.navigation
        if navigation is None:
            return SessionState(None, dict(self.states))
        return SessionState(navigation.to_bytes(), dict(self.states))

    def _take_back(self, data: Mapping[str, Any]) -> None:
        """Go back, or forth, to how things stood then, as the record tells."""
        if active := _text(data, "active"):
            self.navigation = Navigation(active, _stack(data))
        states = data.get("states")
        for name, value in states.items() if isinstance(states, dict) else ():
            self._take_state(clean_text(name), value)

    def _take_state(self, name: str, value: Any) -> None:
        if value is None:
            self.states.pop(keys.escape(name), None)
        else:
            self.states[keys.escape(name)] = encode_json(value)


async def read_session_state(backend: Backend, info: SessionInfo) -> SessionState:
    """Return what is kept beside the log of a session now."""
    prefix = keys.session_states(info.client, info.id)
    states = {key.removeprefix(prefix): value async for key, value in backend.scan(prefix)}
    return SessionState(await backend.get(keys.session_swarm(info.client, info.id)), states)


def _stack(data: Mapping[str, Any]) -> tuple[str, ...]:
    stack = data.get("stack")
    return tuple(map(str, stack)) if isinstance(stack, list) else ()


def _text(data: Any, name: str) -> str:
    value = data.get(name)
    return clean_text(value) if isinstance(value, str) else ""
