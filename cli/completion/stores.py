"""Completion candidates from the store: sessions, turns, states, memory, storages, bans. Never creates a store."""

import json
from collections.abc import Awaitable, Callable
from functools import wraps
from urllib.parse import unquote

from swarmchat.cli.completion.command_line import Candidate, Finder, PartialCommandLine
from swarmchat.cli.completion.swarm_scan import swarm_of
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.store import OpenStore, open_store
from swarmchat.cli.terminal.printing import as_line
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import Store

_SECONDS = 1.0
"""How long a store may take: nobody waits long for Tab."""
_TURNS = 100
"""How many turns are offered at most, the last ones."""


def _from_store(ask: Callable[[PartialCommandLine, OpenStore], Awaitable[list[Candidate]]]) -> Finder:
    """Return a finder that asks the store of the command line; it finds nothing if that store stores nothing yet."""

    @wraps(ask)
    def find(typed: PartialCommandLine) -> list[Candidate]:
        settings = typed.settings()
        if settings.backend == "memory":
            return []
        if settings.backend == "disk" and not (wiring.data_dir(settings) / "sessions").is_dir():
            return []

        import asyncio

        async def run() -> list[Candidate]:
            async with open_store(settings) as store, asyncio.timeout(_SECONDS):
                return await ask(typed, store)

        return asyncio.run(run())

    return find


@_from_store
async def sessions(typed: PartialCommandLine, store: OpenStore) -> list[Candidate]:
    """Return the client's sessions, the last used first, without those that are on the command line already."""
    return [(info.name, info.title) for info in await store.sessions() if info.name not in typed.words]


@_from_store
async def turns(typed: PartialCommandLine, store: OpenStore) -> list[Candidate]:
    """Return the turn numbers of the session that the first argument names, the last turn first."""
    info = await store.find(typed.words[0])
    return [(str(turn), "") for turn in range(info.highest_turn, 0, -1)][:_TURNS] if info else []


@_from_store
async def states(typed: PartialCommandLine, store: OpenStore) -> list[Candidate]:
    """Return the stored states of the session given with ``--session``, or of the last used one."""
    info = await store.find(typed.options.get("session"))
    if info is None:
        return []
    prefix = keys.session_states(store.client, info.id)
    return [(unquote(key.removeprefix(prefix)), value.decode()) async for key, value in store.backend.scan(prefix)]


@_from_store
async def memory(typed: PartialCommandLine, store: OpenStore) -> list[Candidate]:
    """Return the names in the client's memory, whatever the swarm."""
    memories = [json.loads(value) async for _, value in store.backend.scan(keys.common_memory(store.client))]
    return [(name, as_line(value)) for values in memories for name, value in values.items()]


@_from_store
async def storages(typed: PartialCommandLine, store: OpenStore) -> list[Candidate]:
    """Return the storages with items: those of the client, or with ``--shared`` those of all clients."""
    prefix = keys.storage_versions(None if "shared" in typed.switches else store.client)
    paths = [key.removeprefix(prefix) async for key, _ in store.backend.scan(prefix)]
    return [(unquote(path.partition("/")[2] or path), "has items") for path in paths]


@_from_store
async def banned(typed: PartialCommandLine, store: OpenStore) -> list[Candidate]:
    """Return the clients banned by the policy given with ``--policy``, or by any policy of the swarm."""
    from swarmchat.swarm.primitives.policy import PersistPolicy

    swarm = swarm_of(typed)
    policies = [typed.options["policy"]] if "policy" in typed.options else swarm.policies
    lists = [PersistPolicy(Store(store.backend), swarm.namespace or swarm.name, policy) for policy in policies]
    return [(ban.client, ban.why) for bans in lists for ban in await bans.list()]


@_from_store
async def online(typed: PartialCommandLine, store: OpenStore) -> list[Candidate]:
    """Return the clients that are online with the swarm."""
    from swarmchat.swarm.primitives.presence import PersistAlive

    present = await PersistAlive(store.backend, swarm_of(typed).name).online()
    return [(each.client, f"talks with {each.agent}") for each in present]
