"""The active agent and the stack of previous agents, stored as one value so that they never disagree."""

import json
from dataclasses import dataclass

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import Store


@dataclass(frozen=True)
class Navigation:
    """The active agent, and the stack of those it can hand back to, the oldest first. No agent appears twice."""

    active: str
    stack: tuple[str, ...] = ()

    def to(self, agent: str) -> "Navigation":
        """Return the navigation after a handoff to ``agent``. If it is on the stack, all above it are dropped."""
        if agent == self.active:
            return self
        if agent in self.stack:
            return Navigation(agent, self.stack[: self.stack.index(agent)])
        return Navigation(agent, (*self.stack, self.active))

    def back(self) -> "Navigation":
        """Return the navigation one step back; unchanged when the stack is empty."""
        return Navigation(self.stack[-1], self.stack[:-1]) if self.stack else self

    def to_bytes(self) -> bytes:
        """Return the navigation as it is stored."""
        return encode_json({"active": self.active, "stack": list(self.stack)})

    @classmethod
    def from_bytes(cls, stored: bytes | None, default: str) -> "Navigation":
        """Return the navigation that is ``stored``; ``default`` alone if that is missing or cannot be read."""
        try:
            value = json.loads(stored or b"")
            return cls(str(value["active"]), tuple(map(str, value["stack"])))
        except (ValueError, TypeError, KeyError):
            return cls(default)

    def healed(self, agents: frozenset[str], default: str) -> "Navigation":
        """Return the navigation without agents other than ``agents``; ``default`` replaces an unknown active one."""
        active = self.active if self.active in agents else default
        return Navigation(active, tuple(name for name in self.stack if name in agents and name != active))


class PersistSwarm:
    """The navigation of one session."""

    def __init__(self, store: Store, client: str, session: str) -> None:
        self._store = store
        self._key = keys.session_swarm(client, session)

    async def get(self, default: str) -> Navigation:
        """Return the stored navigation; ``default`` alone if it is missing or cannot be read."""
        return Navigation.from_bytes(await self._store.read(self._key), default)

    async def set(self, navigation: Navigation) -> None:
        """Store ``navigation``."""
        await self._store.update(self._key, lambda stored: navigation.to_bytes(), self._store.lifetimes.session)
