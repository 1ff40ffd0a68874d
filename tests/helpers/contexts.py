"""Chats for slash commands, without a terminal."""

from collections.abc import Awaitable, Callable

from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.swarm import Session
from swarmchat.swarm.models.demo import DemoModel


def chat_in(session: Session, open_session: Callable[[str], Awaitable[Session]] | None = None) -> ChatContext:
    """Return a chat in ``session`` with the default settings; each model that it makes is the demo model."""

    async def stay(name: str) -> Session:
        return session

    return ChatContext(session, Settings(), lambda name: DemoModel(), open_session or stay)
