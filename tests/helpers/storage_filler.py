"""A process that opens a storage at the same time as another. Argument: the URL of a store.

It says "ready", waits for a line, lists the storage (which puts the default items in) and prints how many it found.
"""

import asyncio
import sys

from swarmchat.backends import open_backend
from swarmchat.swarm.persistence.store import Store
from swarmchat.swarm.storage.declaration import Storage
from swarmchat.swarm.storage.embeddings import PersistEmbedding
from swarmchat.swarm.storage.ngram_embedder import NgramEmbedder
from swarmchat.swarm.storage.storage import PersistStorage


async def main(url: str) -> None:
    backend = open_backend(url)
    store = Store(backend)
    definition = Storage("facts", index=str, items=[f"fact {number}" for number in range(50)])
    storage = PersistStorage(definition, store, "ann", PersistEmbedding(store, NgramEmbedder()))
    # Connected and imported, so that only the race is left.
    await backend.get("swarmchat:1:nothing")
    print("ready", flush=True)
    sys.stdin.readline()
    print(len(await storage.list()), flush=True)
    await backend.close()


asyncio.run(main(sys.argv[1]))
