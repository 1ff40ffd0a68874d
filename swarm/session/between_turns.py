"""What the user does with a session between two turns."""

import asyncio
from typing import TYPE_CHECKING, cast

from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.encoding import clean_text
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.primitives.navigation import Navigation
from swarmchat.swarm.session.operations import change_settings, navigate, rename, reset

if TYPE_CHECKING:
    from swarmchat.swarm.session.compaction import Compacted
    from swarmchat.swarm.session.pinning import Pins
    from swarmchat.swarm.session.session import Session
    from swarmchat.swarm.session.undo import UndoResult


class BetweenTurns:
    """The part of ``Session`` that waits for the turn to end and then stores one thing."""

    _turn_lock: asyncio.Lock

    @property
    def _session(self) -> "Session":
        return cast("Session", self)

    async def go_to(self, agent: str) -> Navigation:
        """Make ``agent`` the active one, on the user's own wish; store it. Raises DefinitionError if there is none."""
        session = self._session
        session.swarm.agent(agent)
        async with self._turn_lock:
            return await run_to_completion(navigate(session, session.navigation.to(agent)))

    async def go_back(self) -> Navigation:
        """Go back to the agent before the active one, if there was one; store it."""
        async with self._turn_lock:
            return await run_to_completion(navigate(self._session, self._session.navigation.back()))

    async def reset(self) -> None:
        """Send nothing of what was said so far any more. The log, states, memory and agent stay."""
        async with self._turn_lock:
            await run_to_completion(reset(self._session))

    async def undo(self, turns: int = 1) -> "UndoResult":
        """Hide the last ``turns`` turns, or as many as there are. Agent, way back and states are as they were before.

        Nothing is removed from the log, and ``redo`` brings them back. What the client has beyond the session stays:
        memory, storages, bans. Raises the backend's errors.
        """
        from swarmchat.swarm.session.undo import undo

        async with self._turn_lock:
            return await run_to_completion(undo(self._session, turns))

    async def redo(self, turns: int = 1) -> "UndoResult":
        """Show what was undone last again, ``turns`` turns of it, until something else is done after an undo."""
        from swarmchat.swarm.session.undo import redo

        async with self._turn_lock:
            return await run_to_completion(redo(self._session, turns))

    async def compact(self, focus: str = "") -> "Compacted":
        """Have the model sum up what the active agent sees, but for the newest turns; send that in its place.

        The log stays whole. ``focus`` says what matters most. Raises NothingToCompact, CompactFailed, the kinds of
        ModelError, and the backend's errors: then all is as it was.
        """
        from swarmchat.swarm.session.compaction import compact

        async with self._turn_lock:
            return await compact(self._session, clean_text(focus))

    async def pin(self, turn: int) -> "Pins":
        """Send ``turn`` whatever is left out for room. Raises PinError where that cannot be."""
        from swarmchat.swarm.session.pinning import pin

        async with self._turn_lock:
            return await run_to_completion(pin(self._session, turn))

    async def unpin(self, turn: int) -> "Pins":
        """Send ``turn`` as any other again. Raises PinError where it is not pinned."""
        from swarmchat.swarm.session.pinning import unpin

        async with self._turn_lock:
            return await run_to_completion(unpin(self._session, turn))

    async def rename(self, name: str) -> None:
        """Give the session another name. Whether it is free is up to the caller."""
        async with self._turn_lock:
            await run_to_completion(rename(self._session, clean_text(name)))

    async def change_settings(self, settings: SessionSettings) -> None:
        """Have ``settings`` from now on, until the session is closed. Raises ValueError for bad steps."""
        async with self._turn_lock:
            await run_to_completion(change_settings(self._session, settings))
