"""Derive from a log what is stored beside it: the entry in the session list, the active agent, and the states.

A session from a file or a fork starts with these.
"""

from dataclasses import dataclass, replace
from typing import Any

from swarmchat.backends import Backend, Put, Write
from swarmchat.swarm.common.encoding import clean_text, encode_json
from swarmchat.swarm.common.messages import text_of
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.session_index import SessionInfo
from swarmchat.swarm.primitives.session_state import SessionState


@dataclass(frozen=True)
class StoredState:
    """What is stored beside a log: the navigation, and the states by the last part of their keys."""

    navigation: bytes | None
    states: dict[str, bytes]

    def writes(self, info: SessionInfo, ttl: float | None) -> list[Write]:
        """Return the writes that store this for the session ``info``."""
        values = zip(self.keys(info), (self.navigation, *self.states.values()), strict=True)
        return [Put(key, value, ttl) for key, value in values if value is not None]

    def keys(self, info: SessionInfo) -> list[str]:
        """Return the keys of the navigation, even if it is ``None``, and of the states."""
        prefix = keys.session_states(info.client, info.id)
        return [keys.session_swarm(info.client, info.id), *(prefix + name for name in self.states)]


class LogSummary:
    """Summary of the records of a log, which ``take`` is given in order."""

    def __init__(self) -> None:
        self.count = 0
        self.id = self.name = self.swarm = self.model = ""
        self.state = SessionState()
        self._first = self._last = ""
        self._turns = self._rescues = 0
        self._titled = SessionInfo("", "", "", "", "")

    def take(self, record: Record) -> None:
        """Add the next record."""
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
            self._titled = self._titled.with_title(clean_text(text_of(record.message)))
        else:
            self.state = self.state.after(record)

    def info(self, client: str, session: str, name: str) -> SessionInfo:
        """Return the entry in the list, for the session ``session`` of ``client``."""
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
    def stored_state(self) -> StoredState:
        """The state at the end of the log, in the form in which it is stored beside it."""
        navigation = None if self.state.navigation is None else self.state.navigation.to_bytes()
        states = {keys.escape(name): encode_json(value) for name, value in self.state.states.items()}
        return StoredState(navigation, states)


async def read_stored_state(backend: Backend, info: SessionInfo) -> StoredState:
    """Return what is stored beside the log of a session now."""
    prefix = keys.session_states(info.client, info.id)
    states = {key.removeprefix(prefix): value async for key, value in backend.scan(prefix)}
    return StoredState(await backend.get(keys.session_swarm(info.client, info.id)), states)


def _text(data: Any, name: str) -> str:
    value = data.get(name)
    return clean_text(value) if isinstance(value, str) else ""
