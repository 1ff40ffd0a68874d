"""What every primitive has in common: where it is kept, for how long, and whether its changes wait for others."""

from dataclasses import dataclass, field

from swarmchat.backends import Backend
from swarmchat.swarm.persistence.changes import Edits, commit_edits


@dataclass(frozen=True)
class Lifetimes:
    """How long each kind of value is kept, in seconds; ``None`` is for ever."""

    session: float | None = None
    """The log, the entry in the list, agent and stack, states: from the last turn."""
    memory: float | None = None
    storage: float | None = None
    embedding: float | None = None
    ban: float | None = None
    """Unless the policy says how long."""
    alive: float = 60
    """Presence, from its last renewal."""


REDIS_LIFETIMES = Lifetimes(session=24 * 3600, embedding=7 * 24 * 3600)
"""The defaults where memory is dear and somebody else's."""


@dataclass(frozen=True)
class Store:
    """A backend, and what is to be committed to it later.

    Without ``edits``, changes are committed at once. With it they are collected there and seen by reads through this
    store, and whoever made the store commits them.
    """

    backend: Backend
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    edits: Edits | None = None

    async def read(self, key: str) -> bytes | None:
        """Return the value of ``key`` with the collected changes."""
        return await self.backend.get(key) if self.edits is None else await self.edits.read(self.backend, key)

    async def apply(self, edits: Edits) -> None:
        """Commit ``edits``, or collect them."""
        if self.edits is None:
            await commit_edits(self.backend, edits)
        else:
            self.edits.extend(edits)
