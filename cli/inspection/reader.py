"""Look at what is kept of a client and a session, without opening the session: it may be in use."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from swarmchat.backends import Backend
from swarmchat.cli.errors import NotFoundError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.conversation.primitives import Primitives
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session, latest_session


@dataclass(frozen=True)
class StoreReader:
    """What a command looks at."""

    settings: Settings
    backend: Backend
    swarm: Swarm
    client: str

    async def session(self, name: str | None) -> SessionInfo:
        """Return the session ``name`` of the client, the last used one for ``None``. Raises NotFoundError."""
        where = wiring.backend_name(self.settings)
        if name is None:
            info = await latest_session(self.backend, self.client)
            if info is None:
                raise NotFoundError(f"{self.client} has no session on {where}")
            return info
        info = await find_session(self.backend, self.client, name)
        if info is None:
            raise NotFoundError(f"{self.client} has no session {name!r} on {where}")
        return info

    def primitives(self, session: str = "") -> Primitives:
        """Return the primitives of the client and ``session``."""
        lifetimes = wiring.session_settings(self.settings).lifetimes
        return Primitives(self.swarm, self.backend, lifetimes, self.client, session)

    async def values(self, prefix: str) -> dict[str, Any]:
        """Return the JSON values under ``prefix``, by what is left of their keys."""
        return {key.removeprefix(prefix): json.loads(value) async for key, value in self.backend.scan(prefix)}


@asynccontextmanager
async def open_reader(flags: dict[str, object]) -> AsyncIterator[StoreReader]:
    """Open what the ``flags`` of a command name."""
    settings = wiring.apply_settings(flags)
    swarm = wiring.make_swarm(settings)
    backend = wiring.make_backend(settings)
    try:
        yield StoreReader(settings, backend, swarm, settings.client_name)
    finally:
        await wiring.close_swarm(swarm)
        await backend.close()
