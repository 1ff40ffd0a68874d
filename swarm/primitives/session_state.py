"""The active agent and the states of a session, computed from the records of its log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmchat.backends import Backend
from swarmchat.swarm.common.encoding import clean_text
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.session_index import SessionInfo
from swarmchat.swarm.primitives.navigation import Navigation


@dataclass(frozen=True)
class SessionState:
    """The state of a session after some record of its log.

    Without a navigation, no record has named an agent: the default agent is active. A state that is missing has its
    default value.
    """

    navigation: Navigation | None = None
    states: Mapping[str, Any] = field(default_factory=dict)

    def after(self, record: Record) -> "SessionState":
        """Return the state after ``record``. Ignores the damaged parts of a record."""
        data = record.data
        match record.type:
            case "handoff":
                return SessionState(_navigation(record, "to"), self.states)
            case "state":
                return SessionState(self.navigation, self._with({record.text("name"): data.get("value")}))
            case "undo" | "redo":
                # Such a record contains the whole state after it.
                states = data.get("states")
                navigation = _navigation(record, "active") if record.text("active") else self.navigation
                return SessionState(navigation, self._with(states if isinstance(states, dict) else {}))
        return self

    def _with(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the states with ``changes``, in which ``None`` is the default value."""
        changes = {clean_text(name): value for name, value in changes.items()}
        return {name: value for name, value in {**self.states, **changes}.items() if value is not None}


async def logged_state(backend: Backend, info: SessionInfo) -> SessionState:
    """Return the state at the end of the log of a session, which is read from its start."""
    state = SessionState()
    async for record in read_records(backend, info):
        state = state.after(record)
    return state


def _navigation(record: Record, field_name: str) -> Navigation:
    stack = record.data.get("stack")
    names = map(str, stack) if isinstance(stack, list) else ()
    return Navigation(record.text(field_name), tuple(names))
