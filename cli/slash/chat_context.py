"""The context of slash commands: the open session, the settings, and functions that make models and open sessions."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from swarmchat.cli.settings.settings import Settings
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

    async def switch_to(self, name: str) -> None:
        """Close the open session, and open the session ``name`` in its place."""
        previous, self.session = self.session, await self.open_session(name)
        self.session.conversation.approver = previous.approver
        self.session.primitives.embedding_progress = previous.primitives.embedding_progress
        self.session.primitives.tool_progress = previous.primitives.tool_progress
        self.session.conversation.answerer = previous.conversation.answerer
        await previous.close()
