"""Completion candidates from the store: sessions, turns, memory, bans and clients online. Never creates a store."""

import functools
from collections.abc import Awaitable, Callable
from typing import TypeVarTuple
from urllib.parse import unquote

from swarmchat.backends import Backend
from swarmchat.cli.completion.command_line import Candidate, PartialCommandLine
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.printing import as_line
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.session_index import find_session, latest_session, list_sessions
from swarmchat.swarm.persistence.store import Store
from swarmchat.swarm.primitives.memory import PersistMemory
from swarmchat.swarm.primitives.policy import PersistPolicy
from swarmchat.swarm.primitives.presence import PersistAlive

Arguments = TypeVarTuple("Arguments")

SECONDS = 0.3
"""Time limit of a query: nobody waits long for Tab."""
_TURNS = 100
"""Most turns offered, latest first."""


def query_store(
    query: Callable[[Backend, *Arguments, Settings], Awaitable[list[Candidate]]],
) -> Callable[[*Arguments, Settings], list[Candidate]]:
    """Wrap ``query`` to open and close the store; no candidates if the store is missing or in memory."""

    @functools.wraps(query)
    def candidates(*arguments: *tuple[*Arguments, Settings]) -> list[Candidate]:
        settings: Settings = arguments[-1]
        folder = wiring.data_dir(settings) / "sessions" if settings.backend == "disk" else None
        if settings.backend == "memory" or (folder is not None and not folder.is_dir()):
            return []

        import asyncio

        async def run() -> list[Candidate]:
            backend = wiring.make_backend(settings)
            try:
                async with asyncio.timeout(SECONDS):
                    return await query(backend, *arguments)
            finally:
                await backend.close()

        return asyncio.run(run())

    return candidates


@query_store
async def sessions(backend: Backend, typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the client's sessions that are not on the command line yet, most recently used first."""
    infos = await list_sessions(backend, settings.client_name)
    return [(info.name, info.title) for info in infos if info.name not in typed.words]


@query_store
async def turns(backend: Backend, typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the turn numbers of the session named first, latest first."""
    info = await find_session(backend, settings.client_name, typed.words[0])
    return [(str(turn), "") for turn in range(info.turns, 0, -1)][:_TURNS] if info else []


@query_store
async def states(backend: Backend, typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the stored states of the session given by --session, or of the latest one."""
    client, name = settings.client_name, typed.given.get("session")
    info = await (latest_session(backend, client) if name is None else find_session(backend, client, name))
    if info is None:
        return []
    prefix = keys.session_states(client, info.id)
    return [(key.removeprefix(prefix), value.decode()) async for key, value in backend.scan(prefix)]


@query_store
async def remembered(backend: Backend, typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the names in the client's memory."""
    memory = await PersistMemory(Store(backend), settings.client_name).all()
    return [(name, as_line(value)) for name, value in memory.items()]


@query_store
async def storages(backend: Backend, typed: PartialCommandLine, settings: Settings) -> list[Candidate]:
    """Return the storages that have items: those of the client, or with --shared those of all clients."""
    prefix = keys.storage_versions(None if "shared" in typed.switches else settings.client_name)
    return [(unquote(key.removeprefix(prefix)), "has items") async for key, _ in backend.scan(prefix)]


@query_store
async def banned(backend: Backend, swarm: str, policies: list[str], settings: Settings) -> list[Candidate]:
    """Return the clients banned by ``policies`` of ``swarm``, with the reason."""
    ban_lists = [PersistPolicy(Store(backend), swarm, policy) for policy in policies]
    return [(ban.client, ban.why) for bans in ban_lists for ban in await bans.list()]


@query_store
async def online(backend: Backend, swarm: str, settings: Settings) -> list[Candidate]:
    """Return the clients that are online with ``swarm``."""
    clients = await PersistAlive(backend, swarm).online()
    return [(client.client, f"talks with {client.agent}") for client in clients]
