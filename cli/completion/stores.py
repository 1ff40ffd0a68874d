"""Completion candidates from a store: sessions, states, memory, storages, bans. Never creates a store."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from swarmchat.cli.completion.command_line import Candidate, PartialCommandLine
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.printing import as_line

if TYPE_CHECKING:
    from swarmchat.cli.settings.store import OpenStore

SECONDS = 1.0
"""How long a store may take: nobody waits long for Tab."""
_TURNS = 100
"""How many turns are offered at most, the last ones."""


def look(settings: Settings, ask: Callable[["OpenStore"], Awaitable[list[Candidate]]]) -> list[Candidate]:
    """Return what ``ask`` finds in the store of ``settings``; nothing in one that keeps nothing."""
    folder = None
    if settings.backend == "disk":
        folder = wiring.data_dir(settings) / "sessions"
    if settings.backend == "memory" or (folder is not None and not folder.is_dir()):
        return []

    import asyncio

    from swarmchat.cli.settings.store import open_store

    async def run() -> list[Candidate]:
        async with open_store(settings) as store, asyncio.timeout(SECONDS):
            return await ask(store)

    return asyncio.run(run())


def sessions(typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the client's sessions but for those that are named already, the last used first."""

    async def ask(store: "OpenStore") -> list[Candidate]:
        return [(info.name, info.title) for info in await store.sessions() if info.name not in typed.words]

    return look(settings, ask)


def turns(typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the numbers of the turns of the session that is named first, the last one first."""

    async def ask(store: "OpenStore") -> list[Candidate]:
        info = await store.find(typed.words[0])
        return [(str(turn), "") for turn in range(info.turns, 0, -1)][:_TURNS] if info else []

    return look(settings, ask)


def states(typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the states that are kept of the session that is named, or that was used last."""
    from swarmchat.swarm.persistence import keys

    async def ask(store: "OpenStore") -> list[Candidate]:
        info = await store.find(typed.given.get("session"))
        if info is None:
            return []
        prefix = keys.session_states(store.client, info.id)
        return [(key.removeprefix(prefix), value.decode()) async for key, value in store.backend.scan(prefix)]

    return look(settings, ask)


def remembered(typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the names of what is remembered of the client."""
    from swarmchat.swarm.persistence.store import Store
    from swarmchat.swarm.primitives.memory import PersistMemory

    async def ask(store: "OpenStore") -> list[Candidate]:
        kept = await PersistMemory(Store(store.backend), settings.client_name).all()
        return [(name, as_line(value)) for name, value in kept.items()]

    return look(settings, ask)


def storages(typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the storages that have items: those of the client, or with --shared those of all clients."""
    from swarmchat.swarm.persistence import keys

    async def ask(store: "OpenStore") -> list[Candidate]:
        prefix = keys.storage_versions(None if "shared" in typed.switches else settings.client_name)
        return [(unquote(key.removeprefix(prefix)), "has items") async for key, _ in store.backend.scan(prefix)]

    return look(settings, ask)


def banned(swarm: str, policies: list[str], settings: Settings) -> list[Candidate]:
    """Return who is banned by one of ``policies`` of ``swarm``, and why."""
    from swarmchat.swarm.persistence.store import Store
    from swarmchat.swarm.primitives.policy import PersistPolicy

    async def ask(store: "OpenStore") -> list[Candidate]:
        kept = [PersistPolicy(Store(store.backend), swarm, policy) for policy in policies]
        return [(ban.client, ban.why) for each in kept for ban in await each.list()]

    return look(settings, ask)


def online(swarm: str, settings: Settings) -> list[Candidate]:
    """Return who is online with ``swarm``."""
    from swarmchat.swarm.primitives.presence import PersistAlive

    async def ask(store: "OpenStore") -> list[Candidate]:
        present = await PersistAlive(store.backend, swarm).online()
        return [(each.client, f"talks with {each.agent}") for each in present]

    return look(settings, ask)
