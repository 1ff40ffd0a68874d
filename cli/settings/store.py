"""Open the store that the settings choose, and find sessions in it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmchat.backends import Backend
from swarmchat.cli.errors import NotFoundError, UsageError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session, latest_session, list_sessions

if TYPE_CHECKING:
    from swarmchat.backends.redis.backend import RedisBackend

_NAMED = 10
"""Number of sessions up to which an error lists them."""


@dataclass(frozen=True)
class OpenStore:
    """An open backend, and the client whose sessions to use."""

    settings: Settings
    backend: Backend

    @property
    def client(self) -> str:
        """The client's name."""
        return self.settings.client_name

    @property
    def name(self) -> str:
        """The short name of the backend, for the screen."""
        return wiring.backend_name(self.settings)

    @property
    def ttl(self) -> float | None:
        """Seconds that a session is kept after its last turn; ``None`` for ever."""
        return wiring.session_settings(self.settings).lifetimes.session

    async def sessions(self) -> list[SessionInfo]:
        """Return the client's sessions, the last used first."""
        return await list_sessions(self.backend, self.client)

    async def find(self, name: str | None) -> SessionInfo | None:
        """Return the session with this name or id, the last used one for ``None``; ``None`` if it does not exist."""
        if name is None:
            return await latest_session(self.backend, self.client)
        return await find_session(self.backend, self.client, name)

    async def session(self, name: str | None) -> SessionInfo:
        """Return the session that ``find`` finds. Raises NotFoundError, with a hint, if it does not exist."""
        info = await self.find(name)
        if info is not None:
            return info
        if name is None:
            raise NotFoundError(f"{self.client} has no session on {self.name}")
        names = [each.name for each in await self.sessions()]
        hint = f"; {nearest(name, names)}" if 0 < len(names) <= _NAMED else ""
        raise NotFoundError(f"{self.client} has no session {name!r} on {self.name}{hint}")

    def must_last(self) -> None:
        """Raise UsageError if the store ends with this command, so that stored data would be lost at once."""
        if self.backend.url.startswith("memory:"):
            raise UsageError(f"{self.name} would lose it when this command ends: name another store, such as disk")

    async def must_be_free(self, name: str) -> None:
        """Raise UsageError unless a session can be called ``name``."""
        if not name.strip():
            raise UsageError("the name of a session cannot be empty")
        if await self.find(name) is not None:
            raise UsageError(f"{self.client} already has a session {name!r} on {self.name}: choose another name")


def as_redis(backend: Backend) -> "RedisBackend | None":
    """Return ``backend`` if it is the built-in one for Redis, which is slow to import; else ``None``."""
    if "redis" not in (scheme := backend.url.split(":", 1)[0]) and scheme != "unix":
        return None
    from swarmchat.backends.redis.backend import RedisBackend

    return backend if isinstance(backend, RedisBackend) else None


async def eviction_warning(backend: Backend) -> str | None:
    """Return a warning if the server may evict parts of sessions."""
    if (server := as_redis(backend)) is None:
        return None
    from swarmchat.backends.redis.report import eviction_policy

    policy = await eviction_policy(server)
    return policy and f"maxmemory-policy {policy}: the server may evict parts of sessions; set it to noeviction"


def matching_session(infos: Sequence[SessionInfo], text: str) -> SessionInfo | None:
    """Return the session that ``text`` means: its name or id, its number from 1, or how its name or title begins.

    ``infos`` are all sessions, the last used first. Raises UsageError if two begin so.
    """
    exact = [info for info in infos if text in (info.id, info.name)]
    if exact:
        return exact[0]
    if text.isascii() and text.isdecimal() and 0 < int(text) <= len(infos):
        return infos[int(text) - 1]
    start = text.casefold()
    for texts in ([info.name for info in infos], [info.title for info in infos]):
        matches = [info for info, each in zip(infos, texts, strict=True) if start and each.casefold().startswith(start)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            names = ", ".join(one_line(info.name, 40) for info in matches[:_NAMED])
            raise UsageError(f"{text!r} may mean {names}: give more of the name")
    return None


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[OpenStore]:
    """Open the store of ``settings``; close it when the context ends."""
    backend = wiring.make_backend(settings)
    try:
        yield OpenStore(settings, backend)
    finally:
        await backend.close()
