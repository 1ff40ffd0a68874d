"""Candidates that a store knows: sessions, and what is kept beside them. Nothing is made by a look."""

from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from swarmchat.backends import Backend
from swarmchat.cli.completion.command_line import Candidate, PartialCommandLine
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.printing import as_line

SECONDS = 0.3
"""How long a store may take: nobody waits long for Tab."""
_TURNS = 100
"""How many turns are offered at most, the last ones."""


def look(settings: Settings, ask: Callable[[Backend], Awaitable[list[Candidate]]]) -> list[Candidate]:
    """Return what ``ask`` finds in the store of ``settings``; nothing in one that keeps nothing."""
    folder = None
    if settings.backend == "disk":
        folder = wiring.data_dir(settings) / "sessions"
    if settings.backend == "memory" or (folder is not None and not folder.is_dir()):
        return []

    import asyncio

    async def run() -> list[Candidate]:
        backend = wiring.make_backend(settings)
        try:
            async with asyncio.timeout(SECONDS):
                return await ask(backend)
        finally:
            await backend.close()

    return asyncio.run(run())


def sessions(typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the client's sessions but for those that are named already, the last used first."""
    from swarmchat.swarm.persistence.session_index import list_sessions

    async def ask(backend: Backend) -> list[Candidate]:
        found = await list_sessions(backend, settings.client_name)
        return [(info.name, info.title) for info in found if info.name not in typed.words]

    return look(settings, ask)


def turns(typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the numbers of the turns of the session that is named first, the last one first."""
    from swarmchat.swarm.persistence.session_index import find_session

    async def ask(backend: Backend) -> list[Candidate]:
        info = await find_session(backend, settings.client_name, typed.words[0])
        return [(str(turn), "") for turn in range(info.turns, 0, -1)][:_TURNS] if info else []

    return look(settings, ask)


def states(typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the states that are kept of the session that is named, or that was used last."""
    from swarmchat.swarm.persistence import keys
    from swarmchat.swarm.persistence.session_index import find_session, latest_session

    async def ask(backend: Backend) -> list[Candidate]:
        client, name = settings.client_name, typed.given.get("session")
        info = await (latest_session(backend, client) if name is None else find_session(backend, client, name))
        if info is None:
            return []
        prefix = keys.session_states(client, info.id)
        return [(key.removeprefix(prefix), value.decode()) async for key, value in backend.scan(prefix)]

    return look(settings, ask)


def remembered(typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the names of what is remembered of the client."""
    from swarmchat.swarm.persistence.store import Store
    from swarmchat.swarm.primitives.memory import PersistMemory

    async def ask(backend: Backend) -> list[Candidate]:
        kept = await PersistMemory(Store(backend), settings.client_name).all()
        return [(name, as_line(value)) for name, value in kept.items()]

    return look(settings, ask)


def storages(typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the storages that have items: those of the client, or with --shared those of all clients."""
    from swarmchat.swarm.persistence import keys

    async def ask(backend: Backend) -> list[Candidate]:
        prefix = keys.storage_versions(None if "shared" in typed.switches else settings.client_name)
        return [(unquote(key.removeprefix(prefix)), "has items") async for key, _ in backend.scan(prefix)]

    return look(settings, ask)


def banned(swarm: str, policies: list[str], settings: Settings) -> list[Candidate]:
    """Return who is banned by one of ``policies`` of ``swarm``, and why."""
    from swarmchat.swarm.persistence.store import Store
    from swarmchat.swarm.primitives.policy import PersistPolicy

    async def ask(backend: Backend) -> list[Candidate]:
        kept = [PersistPolicy(Store(backend), swarm, policy) for policy in policies]
        return [(ban.client, ban.why) for each in kept for ban in await each.list()]

    return look(settings, ask)


def online(swarm: str, settings: Settings) -> list[Candidate]:
    """Return who is online with ``swarm``."""
    from swarmchat.swarm.primitives.presence import PersistAlive

    async def ask(backend: Backend) -> list[Candidate]:
        present = await PersistAlive(backend, swarm).online()
        return [(each.client, f"talks with {each.agent}") for each in present]

    return look(settings, ask)
