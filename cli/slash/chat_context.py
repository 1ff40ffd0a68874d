"""What every slash command works with: the open session, the program's settings, and ways to models and sessions."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.session.session import Session


@dataclass
class ChatContext:
    """One chat: its open session, and what opened it. The prompt or script that runs the chat makes it."""

    session: Session
    """The open session. Closing it is up to whoever made the context."""
    settings: Settings
    make_model: Callable[[str], Model]
    """Make the model with this name. Raises UsageError if no server is known for it, and ConfigError."""
    open_session: Callable[[str], Awaitable[Session]]
    """Open the session with this name or id; create it if it does not exist."""

    async def switch_to(self, name: str) -> None:
        """Open the session ``name`` in place of the open one, and close that."""
        previous, self.session = self.session, await self.open_session(name)
        self.session.conversation.approver = previous.approver
        await previous.close()
