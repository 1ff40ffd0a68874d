"""Open sessions from the settings, for a chat, a question or a script."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from swarmchat.backends import Backend
from swarmchat.cli.errors import UsageError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.settings.store import open_store
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.persistence.session_index import latest_session
from swarmchat.swarm.session.session import Session


def check_names(session: str | None, resume: bool) -> None:
    """Raise UsageError unless ``-s`` and ``-c`` make sense together."""
    if session is not None and resume:
        raise UsageError("-s names a session and -c takes the last one: give one of them")
    if session is not None and not session.strip():
        raise UsageError("-s needs the name of a session")


@dataclass(frozen=True)
class Opener:
    """Opens sessions with one backend, swarm and model."""

    settings: Settings
    backend: Backend
    swarm: Swarm
    model: Model
    interactive: bool
    models: list[Model] = field(default_factory=list)
    """The models made by commands, to be closed at the end."""

    async def open(self, name: str | None) -> Session:
        """Open the session ``name``, or a new one; see ``Session.open``."""
        settings = self.settings
        session = await Session.open(
            self.backend,
            self.model,
            client=settings.client_name,
            name=name,
            swarm=self.swarm,
            settings=wiring.session_settings(settings),
            models=self._make_model,
        )
        if settings.locale is not None:
            try:
                await session.primitives.memory.set("locale", settings.locale)
            except BaseException:
                await session.close()
                raise
        return session

    async def open_chat(self, name: str | None, resume: bool, remark: Callable[[str], None]) -> ChatContext:
        """Open a chat in the session ``name``, or with ``resume`` in the last one; ``remark`` says if there is none."""
        if resume:
            client, backend = self.settings.client_name, wiring.backend_name(self.settings)
            if last := await latest_session(self.backend, client):
                name = last.id
            else:
                remark(f"{client} has no session on {backend}; a new one begins")
        return ChatContext(await self.open(name), self.settings, self.make_model, self.open)

    def make_model(self, name: str) -> Model:
        """Make the model ``name`` for a command. Raises UsageError if no server is known for it, and ConfigError."""
        # Without a server the demo model answers in place of all others, but not when the user asks for one of them.
        if name != "demo" and not wiring.is_connected(replace(self.settings, model=name)):
            raise UsageError(f"no server to ask for {name!r}: set OPENAI_API_KEY, or give --base-url URL")
        model = self._make_model(name, replace(self.settings, model=name))
        self.models.append(model)
        return model

    def _make_model(self, name: str, settings: Settings | None = None) -> Model:
        return wiring.make_model(settings or self.settings, interactive=self.interactive, swarm=self.swarm, name=name)


@asynccontextmanager
async def opening(settings: Settings, *, interactive: bool) -> AsyncIterator[Opener]:
    """Open the store, the swarm and the model that sessions need; close them when the context ends."""
    async with open_store(settings) as store:
        swarm = wiring.make_swarm(settings)
        model = wiring.make_model(settings, interactive=interactive, swarm=swarm)
        opener = Opener(settings, store.backend, swarm, model, interactive)
        try:
            yield opener
        finally:
            for each in [model, *opener.models]:
                with suppress(SwarmError):
                    await each.close()
            await wiring.close_swarm(swarm)
