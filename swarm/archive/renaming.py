"""Notice that a swarm has another name than before: everything that it keeps is found by its name."""

from swarmchat.backends import Backend, Put
from swarmchat.swarm.persistence import keys


async def notice_name(backend: Backend, client: str, source: str, scope: str) -> str | None:
    """Remember that the swarm in ``source`` has ``scope``; return another one that it had before for ``client``."""
    key = keys.swarm_scope(client, source)
    before = await backend.get(key)
    if before == scope.encode():
        return None
    await backend.commit(Put(key, scope.encode()))
    return None if before is None else before.decode("utf-8", "replace")


async def kept_under(backend: Backend, client: str, scope: str) -> list[str]:
    """Return the kinds of data that are kept for ``client``, or for all, in the swarms with ``scope``."""
    scoped = f"{keys.escape(scope)}/"
    kinds = ["the memory"] if await backend.get(keys.memory(client, scope)) is not None else []
    prefixes = {
        "storages": keys.storage_versions(client) + scoped,
        "shared storages": keys.storage_versions(None) + scoped,
        "shared states": keys.shared_states() + scoped,
        "bans": f"{keys.bans()}{keys.escape(scope)}:",
    }
    for kind, prefix in prefixes.items():
        async for _ in backend.scan(prefix):
            kinds.append(kind)
            break
    return kinds
