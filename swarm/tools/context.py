"""What a tool can reach: the session's states, the client's memory, storages, and the way to another agent."""

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from swarmchat.swarm.primitives.memory import PersistMemory
    from swarmchat.swarm.primitives.state import PersistState
    from swarmchat.swarm.storage.storage import PersistStorage

_T = TypeVar("_T")


class PrimitiveAccess(Protocol):
    """Where a context gets its primitives from; a session provides it."""

    @property
    def memory(self) -> "PersistMemory":
        """What is remembered of the client."""
        ...

    def state(self, name: str) -> "PersistState[Any]":
        """Return the state ``name``. Raises DefinitionError for one that the swarm does not declare."""
        ...

    def storage(self, name: str) -> "PersistStorage[Any]":
        """Return the storage ``name``. Raises DefinitionError for one that the swarm does not declare."""
        ...

    def check_agent(self, name: str) -> None:
        """Raise DefinitionError when there is no agent ``name``."""
        ...


@dataclass
class Context:
    """Handed to a tool, a prompt or a condition that asks for it with a parameter ``ctx``.

    What a tool changes through it is stored together with the tool's result, or, when the tool fails, not at all.
    """

    client: str
    session: str
    agent: str
    reach: PrimitiveAccess = field(repr=False)
    call_id: str = ""
    """The id of the call that is being carried out; empty outside one."""
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when nobody waits for the tool any more; a tool that runs long should look at it."""
    handoff_to: str | None = None
    loop: asyncio.AbstractEventLoop | None = field(default=None, repr=False)

    @property
    def memory(self) -> "PersistMemory":
        """What is remembered of the client, across sessions."""
        return self.reach.memory

    def state(self, name: str) -> "PersistState[Any]":
        """Return the session's state ``name``."""
        return self.reach.state(name)

    def storage(self, name: str) -> "PersistStorage[Any]":
        """Return the storage ``name``."""
        return self.reach.storage(name)

    def handoff(self, agent: str) -> None:
        """Make ``agent`` the active one once this tool's result is stored. Raises DefinitionError if there is none."""
        self.reach.check_agent(agent)
        self.handoff_to = agent

    def wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run ``work`` and return its result, from a tool that is not async: ``ctx.wait(ctx.memory.get("locale"))``."""
        if self.loop is None:
            raise RuntimeError("ctx.wait is for tools that are not async; in one that is, use await")
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()
