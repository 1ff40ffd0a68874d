"""Compute from a log the values stored beside it: the entry in the session list, the active agent, and the states.

A session that is imported or forked starts with these.
"""

from dataclasses import dataclass

from swarmchat.backends import Backend, Put, Write
from swarmchat.swarm.common.encoding import encode_json
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
        self.info = SessionInfo("", "", "", "", "")
        """The entry in the list."""
        self.state = SessionState()

    def take(self, record: Record) -> None:
        """Add the next record."""
        self.count += 1
        self.info = self.info.after(record)
        self.state = self.state.after(record)

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
