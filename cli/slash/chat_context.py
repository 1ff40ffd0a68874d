"""The context of slash commands: the open session, the settings, and functions that make models and open sessions."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.errors import SessionBusy
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.session.session import Session


@dataclass
class ChatContext:
    """A running chat, as slash commands see it."""

    session: Session
    """The open session, which the caller closes."""
    settings: Settings
    make_model: Callable[[Settings], Model]
    """Make the model of these settings. Raises ConfigError, and UsageError if there is no server to ask for it."""
    open_session: Callable[[str], Awaitable[Session]]
    """Open the session with this name or id; create it if it does not exist."""

    @property
    def running_tasks(self) -> str:
        """A line about the tasks in the background that end with the session; empty if none runs."""
        running = [*self.session.tasks.running]
        if not running:
            return ""
        ended = f"task {running[0]} is" if len(running) == 1 else f"tasks {', '.join(running)} are"
        return f"{ended} interrupted; in session {self.session.info.name}, /task {running[0]} again repeats it"

    async def switch_to(self, name: str) -> str:
        """Close the open session, and open the session ``name`` in its place; return what ``close`` does."""
        previous, self.session = self.session, await self.open_session(name)
        self.session.conversation.approver = previous.approver
        self.session.primitives.embedding_progress = previous.primitives.embedding_progress
        self.session.primitives.tool_progress = previous.primitives.tool_progress
        self.session.conversation.answerer = previous.conversation.answerer
        return await _close(previous)

    async def close(self) -> str:
        """Close the open session. Return a line for the user if another process has deleted or continued it."""
        return await _close(self.session)

    async def keep(self) -> str:
        """Continue in a new session with what the open one, which another process has deleted, has in memory.

        Return a line for the user. Raises the backend's errors.
        """
        name, lacking = await _keep(self.session)
        await self.switch_to(name)
        return f"this conversation continues as session {name!r}{lacking}"


async def _close(session: Session) -> str:
    try:
        await session.close()
    except SessionBusy as error:
        if not session.unsaved:
            return str(error)
        name, lacking = await _keep(session)
        return f"{error}; it is kept in session {name!r}{lacking}"
    return ""


async def _keep(session: Session) -> tuple[str, str]:
    """Store what ``session`` has in memory as a new session; return its name, and what it lacks."""
    # Rarely needed, and it imports the archive package.
    from swarmchat.swarm.conversation.restore import keep_as_new

    of = session.conversation
    info, lacking = await keep_as_new(of.journal, of.blobs, session.settings.lifetimes, of.navigation)
    return info.name, f", without {lacking}" if lacking else ""
