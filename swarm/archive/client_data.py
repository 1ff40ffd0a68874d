"""Copy a client's data outside its sessions: memory, bans and storages."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import unquote

from swarmchat.backends import Backend, Conflict, Expect, Put
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import Lifetimes


async def copy_client_data(
    source: Backend, target: Backend, client: str, lifetimes: Lifetimes
) -> AsyncIterator[tuple[str, bool]]:
    """Copy memory, bans and own storages of ``client``; yield each one's name, and whether it was copied.

    Values that ``target`` already has are not changed.
    """
    async for key, memory in source.scan(keys.common_memory(client)):
        scope = key.removeprefix(keys.common_memory(client)).removeprefix(":")
        name = f"memory of {unquote(scope)}" if scope else "memory"
        yield name, await _copied(target, Put(key, memory, lifetimes.memory))
    async for key, ban in source.scan(keys.bans()):
        if keys.is_ban_of(key, client):
            yield f"ban by {unquote(key.split(':')[-2])}", await _copied(target, Put(key, ban, _rest(ban)))
    prefix = keys.storage_versions(client)
    async for key, version in source.scan(prefix):
        path = key.removeprefix(prefix)
        items = source.scan(keys.storage_items(client, path))
        puts = [Put(item_key, item, lifetimes.storage) async for item_key, item in items]
        manifest_key = keys.storage_manifest(client, path)
        if (manifest := await source.get(manifest_key)) is not None:
            puts.append(Put(manifest_key, manifest, lifetimes.storage))
        yield f"storage {unquote(path)}", await _copied(target, Put(key, version, lifetimes.storage), *puts)


async def shared_data(source: Backend) -> list[str]:
    """Return the names of the storages and states that all clients share, which ``copy_client_data`` leaves."""
    prefixes = {"storage": keys.storage_versions(None), "state": keys.shared_states()}
    return [
        f"{kind} {unquote(key.removeprefix(prefix))}"
        for kind, prefix in prefixes.items()
        async for key, _ in source.scan(prefix)
    ]


async def _copied(target: Backend, first: Put, *puts: Put) -> bool:
    """Write all of ``first`` and ``puts`` unless the key of ``first`` exists; return whether they were written."""
    try:
        await target.commit(Expect(first.key, None), first, *puts)
    except Conflict:
        return False
    return True


def _rest(ban: bytes) -> float | None:
    """Return the seconds until a ban ends; ``None`` if it does not end by itself, or cannot be read."""
    try:
        until = json.loads(ban)["until"]
        return None if until is None else (datetime.fromisoformat(until) - datetime.now(UTC)).total_seconds()
    except (ValueError, KeyError, TypeError):
        return None
